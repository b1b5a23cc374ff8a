#!/bin/sh
# Installs what the comparison of correlators (make bench-correlate) uses beside
# Go: Python 3, a Java runtime, and ansible-rulebook from PyPI in a virtual
# environment of its own, bin/rulebook. Packages of the system are installed as
# root on Debian 12; elsewhere it says what is missing. Run it as often as you
# like: what is there is left alone.
set -eu
cd "$(dirname "$0")/.."

missing=
command -v python3 >/dev/null || missing="$missing python3"
python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
command -v java >/dev/null || missing="$missing openjdk-17-jre-headless"
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "install-bench-deps: not root on Debian, and these are missing:$missing" >&2
        exit 1
    fi
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

venv=bin/rulebook
if [ ! -x "$venv/bin/ansible-rulebook" ] || ! "$venv/bin/python" -c 'import ansible' 2>/dev/null; then
    python3 -m venv "$venv"
    # ansible-rulebook looks for ansible-core at run time and does not install it.
    "$venv/bin/pip" install -q --disable-pip-version-check 'ansible-rulebook==1.3.2' 'ansible-core>=2.16,<2.20'
fi
"$venv/bin/python" - <<'PY'
from importlib.metadata import version
print("ansible-rulebook", version("ansible_rulebook"), "drools_jpy", version("drools_jpy"), "ansible-core", version("ansible-core"))
PY
