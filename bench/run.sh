#!/usr/bin/env bash
# Measures sluice beside Postfix as Debian ships it, in a network, mount and process
# namespace of its own: only loopback exists there, every port is free, and everything
# ends with the script. Root is needed, for the namespaces and for Postfix's users.
# Options go to the harness: bench/run.sh -h
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "bench: needs root (namespaces, and Postfix runs as users of its own)" >&2; exit 1; }
scripts/tools.sh
[ -x bin/sluice ] || make -s build
CGO_ENABLED=0 go build -o .cache/bin/bench ./bench
# The shell is the first process of the namespace: it buries what Postfix orphans.
exec unshare --net --mount --pid --fork --kill-child --mount-proc bash -c '"$@"; exit $?' bench .cache/bin/bench "$@"
