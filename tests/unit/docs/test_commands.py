# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command in the documentation is run by a test; this one says by which."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    path
    for pattern in (
        "README.md",
        "CONTRIBUTING.md",
        "docs/*.md",
        "inventories/*/*.yml",
        "lab/*.md",
        "tests/contract/*.md",
        "benchmarks/*/*.md",
    )
    for path in ROOT.glob(pattern)
)
_SPEC = importlib.util.spec_from_file_location("update", ROOT / "docs" / "update.py")
update = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(update)
PROGRAMS = ("make", "ansible-playbook", "ansible-galaxy", "molecule", "python", "pytest")
CALL = re.compile(rf"(?:{'|'.join(PROGRAMS)}) [^`\n]+")

# The command, and the test that runs it: a file with a function, or the Makefile's own chain.
RUN_BY = {
    "make walkthrough": "tests/lab/test_walkthrough.py::first_run",
    "make test": ".ci/run::make test",
    'make walkthrough PLAYBOOK_ARGS="-e federation_train=true"': "tests/lab/test_walkthrough.py::test_trains_again_when_asked",
    "make lab-up": "Makefile::walkthrough: lab-up",
    "make lab-down": "tests/lab/test_walkthrough.py::test_down_leaves_nothing",
    "ansible-playbook -i YOUR-INVENTORY playbooks/plan.yml": "tests/lab/test_inventories.py::test_missing_credentials",
    "ansible-playbook -i INVENTORY playbooks/plan.yml": "tests/lab/test_inventories.py::test_missing_credentials",
    "ansible-playbook -i FOLDER oneflower.federation.plan": "tests/lab/test_inventories.py::test_reference_plans",
    "ansible-playbook -i YOUR-INVENTORY playbooks/deploy.yml": "tests/lab/test_walkthrough.py::test_a_healthy_run_warns_of_nothing",
    "ansible-playbook -i INVENTORY playbooks/deploy.yml --check --diff": (
        "tests/lab/test_follow.py::test_check_mode_announces_all_of_a_federation_that_does_not_exist"
    ),
    "ansible-playbook -i INVENTORY playbooks/plan.yml -e federation_fail_on_change=true": (
        "tests/lab/test_follow.py::test_the_exit_status_tells_drift"
    ),
    "ansible-playbook -i INVENTORY playbooks/deploy.yml -e federation_plan_file=changes.json": (
        "tests/lab/test_follow.py::test_a_saved_plan_builds_two_zones"
    ),
    "ansible-playbook -i INVENTORY playbooks/remove_site.yml -e site=zone-c": (
        "tests/lab/test_follow.py::test_a_site_is_removed_and_the_others_streams_run_on"
    ),
    "ansible-playbook -i INVENTORY playbooks/teardown.yml -e federation_confirm=demo": (
        "tests/lab/test_follow.py::test_teardown_leaves_what_was_found"
    ),
    "make help": "tests/unit/docs/test_commands.py::test_help_lists_the_targets",
    "make lint": 'tests/run.py::"lint"',
    "python docs/update.py": "tests/unit/docs/test_commands.py::test_update_writes_the_tables",
}


def commands() -> list[tuple[str, str]]:
    """(page, command) of every fenced or inline command."""
    found = []
    for page in PAGES:
        text = page.read_text()
        fenced = "\n".join(re.findall(r"^```(?:console|sh|bash|shell)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))
        spans = [line.removeprefix("$ ").strip() for line in fenced.splitlines()] + re.findall(r"`([^`\n]+)`", text)
        found += [(str(page.relative_to(ROOT)), span) for span in spans if CALL.fullmatch(span)]
    return found


def test_there_are_commands():
    assert len(commands()) >= len(RUN_BY)


@pytest.mark.parametrize(("page", "command"), commands())
def test_is_run_by_a_test(page, command):
    assert command in RUN_BY, f"{page} tells a reader to run `{command}`; run it in a test and name the test here"
    file, _colons, what = RUN_BY[command].partition("::")
    assert what in (ROOT / file).read_text()


def test_no_entry_is_stale():
    assert set(RUN_BY) <= {command for _page, command in commands()}


def test_update_writes_the_tables(tmp_path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / ".build").symlink_to(ROOT / ".build")
    page = tmp_path / "docs" / "context.md"
    right = page.read_text()
    page.write_text(right.replace("| `FL_LOG_LEVEL` |", "| `FL_LOUDNESS` |").replace("| `FL_TLS` |", "| `FL_TLZ` |"))
    subprocess.run([sys.executable, "docs/update.py"], cwd=tmp_path, check=True, timeout=30)
    assert page.read_text() == right


def test_the_tables_are_current():
    for name in update.TABLES:
        page = (ROOT / "docs" / name).read_text()
        assert update.updated(name, page) == page, "run python docs/update.py"


def test_help_lists_the_targets():
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout
    assert all(re.search(rf"^{target} ", told, flags=re.MULTILINE) for target in ("walkthrough", "test", "lint", "lab-down"))
