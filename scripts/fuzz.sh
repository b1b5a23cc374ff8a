#!/usr/bin/env bash
# Runs every fuzz target of the module for a while each: fuzz.sh [TIME]
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-8s}
found=0
while IFS=: read -r file target; do
	pkg=./$(dirname "$file")
	echo "fuzz $pkg $target for $time"
	go test "$pkg" -run '^$' -fuzz "^${target}\$" -fuzztime "$time" -fuzzminimizetime 5x >/tmp/signalbox-fuzz.$$ 2>&1 || { cat /tmp/signalbox-fuzz.$$; rm -f /tmp/signalbox-fuzz.$$; exit 1; }
	tail -n 1 /tmp/signalbox-fuzz.$$
	found=$((found + 1))
done < <(git ls-files '*_test.go' | xargs grep -oHE '^func Fuzz[A-Za-z0-9_]*' | sed 's/:func /:/' | sort)
rm -f /tmp/signalbox-fuzz.$$
[ "$found" -gt 0 ] || { echo "no fuzz target found"; exit 1; }
echo "$found fuzz targets passed"
