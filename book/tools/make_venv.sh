#!/bin/sh
# Makes .venv if there is none that works.
set -eu
cd "$(dirname "$0")/../.."
.venv/bin/python -m pip --version >/dev/null 2>&1 && exit 0
python=$(sh book/tools/find_python.sh)
echo "   .venv: made with $("$python" --version)"
"$python" -m venv --clear .venv || {
    echo "$python could not make a virtual environment: install its venv module (Debian: apt-get install python3-venv)" >&2
    exit 1
}
