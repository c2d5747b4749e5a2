#!/bin/sh
# Runs the test suites named (unit, integration; packages, docs, kvm, selinux: not part of `make test`, they take long) and ends with one line "N passed, N failed".
# Integration tests run one file after the other: they share the machine's mounts, networks and firewall.
set -u
cd "$(dirname "$0")/.."
# Not the first that is there: older npm installs the variants for other C libraries too.
bun=node_modules/@oven/bun-linux-$(uname -m | sed 's/x86_64/x64/')/bin/bun
RKT=${RKT:-$PWD/build/rkt}
export RKT

passed=0
failed=0
skipped=0
log=$(mktemp)
failures=$(mktemp)
trap 'rm -f "$log" "$failures"' EXIT

once() { # once NAME ARGS…: one bun test; what it printed is in $log, its counts in p, f and s
  name=$1
  shift
  started=$(date +%s)
  "$bun" test --no-env-file "$@" > "$log" 2>&1
  status=$?
  grep -E '^\(fail\)|^error:|^\s+at |^(Expected|Received)|^✗' "$log" | head -n 60
  p=$(sed -n 's/^ *\([0-9][0-9]*\) pass$/\1/p' "$log" | tail -n 1)
  f=$(sed -n 's/^ *\([0-9][0-9]*\) fail$/\1/p' "$log" | tail -n 1)
  s=$(sed -n 's/^ *\([0-9][0-9]*\) skip$/\1/p' "$log" | tail -n 1)
  [ $status -eq 0 ] || [ "${f:-0}" -gt 0 ] || { f=1; tail -n 30 "$log"; }
  echo "   ${p:-0} passed, ${f:-0} failed, ${s:-0} skipped, $(($(date +%s) - started)) s"
  [ "${s:-0}" -eq 0 ] || grep -E '^\(skip\)' "$log"
}

keep() { # keep SUFFIX: the log of a failed file, and its failures for the end of the run
  kept=build/test-logs/$(echo "$name" | tr / -)$1.log
  mkdir -p build/test-logs
  cp "$log" "$kept"
  echo "   all of its output: $kept"
  grep -E '^\(fail\)|^error:|^\s+at |^(Expected|Received)' "$log" | head -n 12 >> "$failures"
}

run() { # run NAME ARGS…: a file that failed is run a second time, whose result counts; it is told all the same
  echo "== $1"
  once "$@"
  if [ "${f:-0}" -gt 0 ]; then
    echo "== $name: failed" >> "$failures"
    keep ""
    echo "   once more:"
    once "$@"
    if [ "${f:-0}" -gt 0 ]; then
      echo "== $name: failed a second time" >> "$failures"
      keep "-again"
    else
      echo "== $name: unsteady, passed the second time" >> "$failures"
    fi
  fi
  passed=$((passed + ${p:-0}))
  failed=$((failed + ${f:-0}))
  skipped=$((skipped + ${s:-0}))
}

for suite in "$@"; do
  case $suite in
    # Paths, not names: "stage1" would find tests/stage1 as well.
    unit) run unit --timeout 300000 ./src ./stage1 ./tools ;;
    integration)
      for file in $(find tests -path tests/packages -prune -o -path tests/docs -prune -o -path tests/kvm -prune -o -path tests/selinux -prune -o -name '*.test.ts' -print | LC_ALL=C sort); do
        run "$file" --timeout 300000 "./$file"
      done
      ;;
    packages | docs | kvm | selinux)
      for file in $(find "tests/$suite" -name '*.test.ts' | LC_ALL=C sort); do
        run "$file" --timeout 300000 "./$file"
      done
      ;;
  esac
done

# Once more at the end: of a long log that is what is kept.
cat "$failures"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
