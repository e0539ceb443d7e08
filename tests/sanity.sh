#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# ansible-test sanity on a copy of what the collection ships: it wants the path ansible_collections/NAMESPACE/NAME and a tree of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD
copy=$here/.build/sanity/ansible_collections/oneflower/federation
rm -rf "$copy"
mkdir -p "$copy"
# What the collection ships is what galaxy.yml does not leave out; tests/config.yml is for ansible-test itself.
git ls-files -z -- . ':!lab' ':!tests' ':!.ci' ':!benchmarks' tests/config.yml | while IFS= read -r -d '' file; do
    [ -e "$file" ] && printf '%s\0' "$file"
done | tar --null -T - -cf - | tar -xf - -C "$copy"

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
python=$("$here/.venv/bin/python" -c "import sys; print('%d.%d' % sys.version_info[:2])")
PATH=$here/.venv/bin:$PATH exec ansible-test sanity --local --python "$python" --color no "$@"
