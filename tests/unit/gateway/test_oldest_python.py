# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on a gateway runs on its system's Python: 3.9 on RHEL 9, 3.10 on Ubuntu 22.04.

`python_requires` in tests/config.yml holds for all modules of a collection alike, so these are held to the older one here.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.gateway import gateways

ROOT = Path(__file__).resolve().parents[3]
OLDEST = (3, 9)
MODULES = ("gateway", "gateway_info")
FILES = sorted((ROOT / "plugins/module_utils/gateway").glob("*.py")) + [ROOT / f"plugins/modules/{name}.py" for name in MODULES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_syntax_is_the_oldest_pythons(path):
    tree = ast.parse(path.read_text(), feature_version=OLDEST)
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert "annotations" in names, "types such as `int | None` are evaluated without it"


def test_what_a_gateway_module_imports_is_the_gateways():
    """Anything else in module_utils may use what a newer Python has."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and "ansible_collections" in (node.module or ""):
                assert node.module.endswith(".plugins.module_utils.gateway"), path


@pytest.mark.parametrize("name", MODULES)
def test_requirement_is_documented(name):
    assert f"Python {OLDEST[0]}.{OLDEST[1]} or newer" in (ROOT / f"plugins/modules/{name}.py").read_text()


def oldest_python() -> str | None:
    """Find an interpreter of that version; a version manager's stub does not count."""
    wanted = "{}.{}".format(*OLDEST)
    candidates = [
        os.environ.get("ONEFLOWER_OLDEST_PYTHON", ""),
        shutil.which(f"python{wanted}") or "",
        *map(str, Path.home().glob(f".pyenv/versions/{wanted}.*/bin/python")),
    ]
    for candidate in filter(None, candidates):
        version = subprocess.run(
            [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True, check=False
        )
        if version.stdout.strip() == wanted:
            return candidate
    return None


@pytest.mark.skipif(oldest_python() is None, reason="no Python 3.9 here")
def test_modules_run_on_the_oldest_python(tmp_path):
    """In check mode, which needs none of the tools; what does not work there fails with its own message, not with Python's."""
    tasks = [
        {"oneflower.federation.gateway": gateways.asked("spoke", interface="unittest0")},
        {"oneflower.federation.gateway": {"interface": "unittest0", "federation": "flower", "state": "absent"}},
        {"oneflower.federation.gateway_info": {"interface": "unittest0", "probe": {"host": "127.0.0.1", "port": 1}, "wait": 1}},
    ]
    play = tmp_path / "play.json"
    play.write_text(
        json.dumps(
            [
                {
                    "hosts": "localhost",
                    "connection": "local",
                    "gather_facts": False,
                    "vars": {"ansible_python_interpreter": oldest_python()},
                    "tasks": [*tasks, {"ansible.builtin.ping": {}}],
                }
            ]
        )
    )
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "--check", str(play)],
        cwd=tmp_path,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build/collections"), "ANSIBLE_LOCAL_TEMP": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "ok=4" in done.stdout and "failed=0" in done.stdout
