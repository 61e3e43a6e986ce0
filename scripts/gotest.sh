#!/usr/bin/env bash
# usage: gotest.sh unit|race|blackbox|soak PACKAGES...
# Runs one group of the tests and says how many passed.
set -uo pipefail
cd "$(dirname "$0")/.."
group=$1
shift
mkdir -p .cache/logs
log=.cache/logs/$group.log
args=(-timeout 10m -vet=off) # vet has run in check
case $group in
  race)
    if ! command -v "${CC:-gcc}" > /dev/null; then
      echo "race: NOT RUN: the race detector needs a C compiler and there is none"
      exit 0
    fi
    export CGO_ENABLED=1
    args+=(-race -short) # -short leaves out the long simulated worlds
    # The import arrows have no concurrency and take long under the detector.
    mapfile -t packages < <(go list "$@" | grep -v '/internal$')
    set -- "${packages[@]}"
    ;;
  unit) export SLUICE_WORLDS=${SLUICE_WORLDS:-1m} ;; # random worlds, from the first seed on
  blackbox) args+=(-count=1 -v) ;;
  soak)
    export SLUICE_SOAK=1
    args=(-vet=off -count=1 -v -timeout 4h)
    ;;
esac
echo "== $group: go test ${args[*]}"
start=$SECONDS
go test "${args[@]}" "$@" 2>&1 | tee "$log" | grep -vE '^(=== (RUN|PAUSE|CONT|NAME)|\?.*\[no test files\])'
status=${PIPESTATUS[0]}
ok=$(grep -c '^ok ' "$log")
tests=$(grep -cE '^ *--- PASS' "$log")
failed=$(grep -cE '^(FAIL\s|--- FAIL|panic:)' "$log")
((ok + failed)) || { echo "$group: no package was tested"; status=1; }
echo "== $group: $ok packages ok$( ((tests)) && echo ", $tests tests passed"), $failed failures, $((SECONDS - start)) s"
exit "$status"
