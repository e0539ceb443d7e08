#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# ansible-test sanity on what the collection ships: it wants the path ansible_collections/NAMESPACE/NAME and a tree of its own.
# The environment whose ansible-test runs is .venv, or the one that ONEFLOWER_VENV names.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${ONEFLOWER_VENV:-$PWD/.venv}
export PATH=$venv/bin:$PATH
work=$PWD/.build/sanity/$(basename "$venv")
copy=$work/ansible_collections/oneflower/federation
rm -rf "$work"
mkdir -p "$copy/tests"
ansible-galaxy collection build --output-path "$work" . >/dev/null
tar -xzf "$work"/*.tar.gz -C "$copy"
cp tests/config.yml "$copy/tests"

# ansible-test would fetch pip's installer from the network; Python's own ensurepip does the same work.
cache=$HOME/.ansible/test/cache
mkdir -p "$cache"
for version in 24_2 25_2; do
    [ -e "$cache/get_pip_$version.py" ] || cat >"$cache/get_pip_$version.py" <<'PYTHON'
import subprocess
import sys

arguments = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "ensurepip"])
subprocess.check_call([sys.executable, "-m", "pip", "install"] + arguments)
PYTHON
done
cd "$copy"
git init -q . && git add -A
exec ansible-test sanity --local --python "$(python -c "import sys; print('%d.%d' % sys.version_info[:2])")" --color no "$@"
