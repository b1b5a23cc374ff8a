#!/bin/sh
# Installs what the tests use beside Go: real senders and a real broker. Runs as
# root on Debian 12, as often as you like: what is there is left alone.
set -eu

packages='
    rabbitmq-server
    snmp
    rsyslog
    rsyslog-openssl
    python3-pika
    python3-aio-pika
    strace
    jq
    curl
    openssl
    bsdutils
'

missing=
for p in $packages; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $p"
done
if [ -z "$missing" ]; then
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    echo "install-test-deps: not root, and these are missing:$missing" >&2
    exit 1
fi

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
saved=
cleanup() {
    rm -f "$log" "$policy"
    if [ -n "$saved" ]; then mv "$saved" "$policy"; fi
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

# The packages would start their services, and hold the ports that tests use.
# 101 is the answer "not allowed" (invoke-rc.d(8)).
if [ -e "$policy" ]; then
    saved=$policy.signalbox-saved
    mv "$policy" "$saved"
fi
printf '#!/bin/sh\nexit 101\n' > "$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
run() {
    if ! "$@" > "$log" 2>&1; then
        echo "install-test-deps: failed: $*" >&2
        cat "$log" >&2
        exit 1
    fi
}
run apt-get update -qq
# shellcheck disable=SC2086 # a list of words
run apt-get install -y -qq --no-install-recommends $missing
