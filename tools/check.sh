#!/bin/sh
# The repository's own rules: types, format and lint, import direction, size of the run path, words that do not belong here.
set -u
cd "$(dirname "$0")/.."
bun=$(ls node_modules/@oven/bun-linux-*/bin/bun | head -n 1)
failed=0
step() {
  name=$1
  shift
  if output=$("$@" 2>&1); then echo "ok    $name"; else failed=1; echo "FAIL  $name"; printf '%s\n' "$output" | tail -n 40; fi
}
step "types" node_modules/.bin/tsc -p .
step "format and lint" "$(ls node_modules/@biomejs/cli-linux-*/biome | head -n 1)" check --error-on-warnings .
step "import direction, module files, forbidden words" "$bun" --no-env-file tools/check-repository.ts
exit $failed
