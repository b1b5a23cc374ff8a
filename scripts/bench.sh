#!/bin/sh
# Measures Signalbox beside its peers on this machine: bench.sh [FLAGS], such as
#
#     bench.sh -run 'tcp|udp'    some of it
#     bench.sh -short            a smoke run
#     bench.sh -dir /srv         on another disk than that of $TMPDIR
#
# See docs/performance.md. The whole takes less than ten minutes.
set -eu
cd "$(dirname "$0")/.."
scripts/install-test-deps.sh
[ -x bin/signalbox ] || make build
exec go run ./bench -bin bin/signalbox "$@"
