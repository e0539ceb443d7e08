#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A few tests with one pyone: tests/pyone.sh oldest | newest, of those that meta/ee-requirements.txt allows.
# Exits with 77 when it cannot be installed. The newest is looked up once a month.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${ONEFLOWER_VENV:-$PWD/.venv}/bin/python
place=$PWD/.build/pyone-${1:-}
lowest=$(sed -n 's/^pyone>=//p' meta/ee-requirements.txt)

case ${1:-} in
    oldest) wanted="pyone==$lowest" stamp=$wanted ;;
    newest) wanted="pyone>=$lowest" stamp="$wanted $(date +%Y-%m)" ;;
    *) echo "usage: $0 oldest | newest" >&2; exit 2 ;;
esac
if [ "$(cat "$place/.stamp" 2>/dev/null)" != "$stamp" ]; then
    rm -rf "$place"
    # With all that it requires, in front of what the tests' environment has.
    "$python" -m pip install -q --no-compile --target "$place" "$wanted" 2>"$place.log" ||
        { tail -n 3 "$place.log"; echo "$wanted cannot be installed here, skipped"; rm -rf "$place"; exit 77; }
    echo "$stamp" >"$place/.stamp"
fi
export PYTHONPATH=$place
"$python" -c "import pyone; from importlib.metadata import version
assert pyone.__file__.startswith('$place/'), pyone.__file__
print('pyone', version('pyone'))"
exec "$python" -m pytest -q -p no:cacheprovider tests/unit/opennebula/test_pyone.py tests/unit/opennebula/test_transport.py \
    tests/contract/test_zones.py -k "not 6.10"
