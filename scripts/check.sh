#!/usr/bin/env bash
# Format, vet, staticcheck, the import arrows, and generated files that are up to date.
set -euo pipefail
cd "$(dirname "$0")/.."
status=0
step() { # TITLE COMMAND...: prints the command's output only when it says something is wrong
  local title=$1 out
  shift
  if out=$("$@" 2>&1); then
    echo "check: $title: ok"
  else
    echo "check: $title: FAILED"
    printf '%s\n' "$out"
    status=1
  fi
}

formatted() {
  local files
  files=$(.cache/bin/gofumpt -l cmd internal tests bench scripts)
  [ -z "$files" ] || { echo "not formatted (make fmt):"; echo "$files"; return 1; }
}

step gofumpt formatted
step vet go vet ./...
step staticcheck .cache/bin/staticcheck ./...
step "import arrows" go test ./internal/
step "generated files" scripts/generate.sh --check
exit $status
