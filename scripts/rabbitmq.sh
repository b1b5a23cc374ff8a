#!/bin/sh
# A private RabbitMQ node for tests: its own name, ports, cookie and data below
# a folder of its own, on loopback only, beside whatever else runs here.
#
#     rabbitmq.sh prepare [DIR]   makes DIR and chooses the ports, and starts nothing
#     rabbitmq.sh start [DIR]     starts the node, and again after stop; waits until it is up
#     rabbitmq.sh stop [DIR]      stops it; queues and messages stay in DIR
#     rabbitmq.sh kill [DIR]      ends it at once, as a power cut would
#     rabbitmq.sh url [DIR]       prints amqp://…
#     rabbitmq.sh tls-url [DIR]   prints amqps://…; its CA is DIR/tls/ca.pem
#     rabbitmq.sh ctl [DIR] ARGS  runs rabbitmqctl against it
#     rabbitmq.sh clean [DIR]     stops it and removes DIR
#
# DIR is ${TMPDIR:-/tmp}/signalbox-rabbitmq by default. Exits with 77 where
# RabbitMQ is not installed.
set -eu

usage() {
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "$0" >&2
    exit 2
}

command=${1:-}
[ -n "$command" ] || usage
shift
dir=${1:-${TMPDIR:-/tmp}/signalbox-rabbitmq}
if [ $# -gt 0 ]; then shift; fi

lib=/usr/lib/rabbitmq/bin
if [ ! -x "$lib/rabbitmq-server" ]; then
    echo "rabbitmq.sh: RabbitMQ is not installed: run scripts/install-test-deps.sh" >&2
    exit 77
fi

# free_port prints a port that nothing listens on at present.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# make_tls makes a test CA, and a certificate for 127.0.0.1 and localhost.
make_tls() {
    mkdir -p "$dir/tls"
    (
        cd "$dir/tls"
        new_key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
        # shellcheck disable=SC2086
        openssl req -x509 $new_key -keyout ca.key -out ca.pem -days 7 -subj '/CN=Signalbox test CA'
        for name in server client; do
            # shellcheck disable=SC2086
            openssl req $new_key -keyout $name.key -out $name.csr -subj "/CN=$name"
            printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' > $name.ext
            openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
                -out $name.pem -days 7 -extfile $name.ext
        done
    ) > "$dir/tls.log" 2>&1
}

# prepare writes DIR/env and the node's configuration, once.
prepare() {
    [ ! -e "$dir/env" ] || return 0
    mkdir -p "$dir/data" "$dir/log" "$dir/home"
    chmod 700 "$dir"
    make_tls
    amqp=$(free_port) tls=$(free_port) dist=$(free_port) epmd=$(free_port)
    cat > "$dir/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$amqp
listeners.ssl.1 = 127.0.0.1:$tls
ssl_options.cacertfile = $dir/tls/ca.pem
ssl_options.certfile = $dir/tls/server.pem
ssl_options.keyfile = $dir/tls/server.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
default_user = signalbox
default_pass = signalbox-test
default_vhost = signalbox
loopback_users = none
disk_free_limit.absolute = 1MB
vm_memory_high_watermark.absolute = 512MB
log.console = false
CONF
    printf '[].\n' > "$dir/enabled_plugins"
    {
        echo "amqp_port=$amqp"
        echo "tls_port=$tls"
        echo "dist_port=$dist"
        echo "epmd_port=$epmd"
        echo "node=signalbox-$$@localhost"
    } > "$dir/env.new"
    mv "$dir/env.new" "$dir/env"
}

load() {
    if [ ! -e "$dir/env" ]; then
        echo "rabbitmq.sh: no node in $dir: start it first" >&2
        exit 1
    fi
    # shellcheck disable=SC1091
    . "$dir/env"
    # HOME holds the Erlang cookie, so that no other node's is touched; an epmd
    # port of its own, so that no other epmd is used or stopped.
    export HOME="$dir/home" ERL_EPMD_PORT="$epmd_port" ERL_EPMD_ADDRESS=127.0.0.1
    export RABBITMQ_NODENAME="$node" RABBITMQ_DIST_PORT="$dist_port"
    export RABBITMQ_CONFIG_FILE="$dir/rabbitmq.conf" RABBITMQ_CONF_ENV_FILE=/dev/null
    export RABBITMQ_MNESIA_BASE="$dir/data" RABBITMQ_LOG_BASE="$dir/log"
    export RABBITMQ_ENABLED_PLUGINS_FILE="$dir/enabled_plugins" RABBITMQ_PID_FILE="$dir/pid"
    export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
    export RABBITMQ_CTL_ERL_ARGS="+S 1:1 +sbwt none"
    export LC_ALL=C.UTF-8
}

running() {
    [ -e "$dir/pid" ] && kill -0 "$(cat "$dir/pid")" 2>/dev/null
}

# port_open says whether the broker takes connections.
port_open() {
    python3 -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1).close()' "$1" 2>/dev/null
}

start() {
    prepare
    load
    if running; then return 0; fi
    rm -f "$dir/pid"
    setsid "$lib/rabbitmq-server" > "$dir/log/out" 2>&1 < /dev/null &
    for _ in $(seq 600); do
        if running && port_open "$amqp_port"; then return 0; fi
        sleep 0.1
    done
    echo "rabbitmq.sh: the node did not start within 60 s:" >&2
    tail -n 20 "$dir/log/out" >&2
    exit 1
}

# gone waits until a process has ended. The node takes its pid file away long
# before it has.
gone() {
    for _ in $(seq 300); do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    echo "rabbitmq.sh: the node did not end within 30 s" >&2
    exit 1
}

stop() {
    [ -e "$dir/env" ] || return 0
    load
    if running; then
        pid=$(cat "$dir/pid")
        kill -s "${1:-TERM}" "$pid"
        gone "$pid"
    fi
    rm -f "$dir/pid"
    # Nobody else knows the port of this epmd.
    epmd -port "$epmd_port" -kill > /dev/null 2>&1 || true
}

case $command in
prepare) prepare ;;
start) start ;;
stop) stop ;;
kill) stop KILL ;;
url)
    load
    echo "amqp://signalbox:signalbox-test@127.0.0.1:$amqp_port/signalbox"
    ;;
tls-url)
    load
    echo "amqps://signalbox:signalbox-test@127.0.0.1:$tls_port/signalbox"
    ;;
ctl)
    load
    exec "$lib/rabbitmqctl" "$@"
    ;;
clean)
    stop
    rm -rf "$dir"
    ;;
*) usage ;;
esac
