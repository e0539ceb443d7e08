#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Tests on the newest ansible-core, which needs a newer Python than the rest: tests/next_core.sh sanity | unit | syntax
# Exits with 77 when this machine has no such Python.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted=3.13
venv=$PWD/.build/next-core

# A python3.13 on PATH may be a version manager's stub that only says which versions it has: only what runs counts.
find_python() {
    local candidate
    for candidate in "${ONEFLOWER_NEXT_PYTHON:-}" "python$wanted" "$HOME"/.pyenv/versions/"$wanted".*/bin/python \
        /usr/bin/"python$wanted" /usr/local/bin/"python$wanted" /opt/python/"$wanted"*/bin/python "$HOME"/.local/bin/"python$wanted"; do
        if [ -n "$candidate" ] && "$candidate" -c "import ensurepip, sys; sys.exit('%d.%d' % sys.version_info[:2] != '$wanted')" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

if ! cmp -s requirements/next.txt "$venv/.requirements"; then
    python=$(find_python) || { echo "no Python $wanted here, skipped"; exit 77; }
    echo "==> Python environment of the newest ansible-core (.build/next-core)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/pip" install -qq -r requirements/next.txt
    cp requirements/next.txt "$venv/.requirements"
fi
export PATH=$venv/bin:$PATH ANSIBLE_COLLECTIONS_PATH=$PWD/.build/collections
python -c "import platform; from importlib.metadata import version; print('Python', platform.python_version() + ', ansible-core', version('ansible-core'))"

case ${1:-} in
    sanity) ONEFLOWER_VENV=$venv tests/sanity.sh ;;
    unit) "$venv/bin/python" -m pytest -q -p no:cacheprovider tests/unit/opennebula tests/unit/federation tests/unit/gateway \
        tests/contract/test_paths.py ;;
    syntax)
        for inventory in inventories/*/; do
            "$venv/bin/ansible-playbook" --syntax-check -i "$inventory" playbooks/*.yml >/dev/null || { echo "with $inventory"; exit 1; }
        done
        ;;
    *) echo "usage: $0 sanity | unit | syntax" >&2; exit 2 ;;
esac
