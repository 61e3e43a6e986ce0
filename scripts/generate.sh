#!/usr/bin/env bash
# Writes the parts of the manual that the program itself knows. With --check it writes
# nothing and fails when a file in the tree is not what the program says.
set -euo pipefail
cd "$(dirname "$0")/.."
make -s build

new=$(mktemp)
trap 'rm -f "$new"' EXIT
bin/sluice config reference --markdown > "$new"
if [ "${1:-}" = --check ]; then
  diff -u docs/options.md "$new" || { echo "docs/options.md is not what the program says: make generate" >&2; exit 1; }
else
  cat "$new" > docs/options.md
fi
