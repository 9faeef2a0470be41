#!/bin/bash
# Runs a command in the cluster and, when it fails in whatever way, writes what the cluster knows: observe.sh DIR COMMAND [ARG...]
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
status=0
"${@:2}" || status=$?
[ $status -eq 0 ] || "$here/dump.sh" "$1"
exit $status
