#!/bin/sh
# The repository's own rules: types, format and lint, import direction, size of the run path, words that do not belong here.
set -u
cd "$(dirname "$0")/.."
# Not the first that is there: older npm installs the variants for other C libraries too.
bun=node_modules/@oven/bun-linux-$(uname -m | sed 's/x86_64/x64/')/bin/bun
failed=0
step() {
  name=$1
  shift
  if output=$("$@" 2>&1); then echo "ok    $name"; else failed=1; echo "FAIL  $name"; printf '%s\n' "$output" | tail -n 40; fi
}
step "types" node_modules/.bin/tsc -p .
# By name: the linter walks everything else as well, and gives up on the links of the Debian in build/.cache that tests boot.
step "format and lint" "node_modules/@biomejs/cli-linux-$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')/biome" check --error-on-warnings bench src stage1 tests tools biome.json package.json tsconfig.json
step "import direction, module files, forbidden words" "$bun" --no-env-file tools/check-repository.ts
exit $failed
