# SPDX-License-Identifier: GPL-3.0-or-later
"""The built collection: what it holds, that it installs without a network, and that what it says of itself is true."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
DEVELOPMENT = ("lab/", "tests/", "benchmarks/", "molecule/", "requirements/", ".", "Makefile", "ansible.cfg", "pyproject.toml")


def call(program: str, *arguments: str, home: Path, **environment: str) -> str:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE")}
    done = subprocess.run(
        [str(BIN / program), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**clean, "ANSIBLE_HOME": str(home), "NO_COLOR": "1", "ANSIBLE_CONFIG": str(home / "none.cfg"), **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("artifact")
    call("ansible-galaxy", "collection", "build", "--output-path", str(place), ".", home=place / "home")
    return next(place.glob("oneflower-federation-*.tar.gz"))


@pytest.fixture(scope="module")
def installed(artifact: Path) -> Path:
    """Return a collections path that holds nothing but the artifact. Nothing could be downloaded: the server does not exist.

    What the collection depends on comes with the `ansible` package.
    """
    place = artifact.parent / "collections"
    call(
        "ansible-galaxy",
        "collection",
        "install",
        str(artifact),
        "--offline",
        "--collections-path",
        str(place),
        home=artifact.parent / "home",
        ANSIBLE_COLLECTIONS_PATH=str(place),
        ANSIBLE_GALAXY_SERVER="http://127.0.0.1:9",
    )
    return place


def test_holds_what_is_used_and_nothing_of_the_development(artifact: Path) -> None:
    with tarfile.open(artifact) as archive:
        names = {name.removeprefix("./") for name in archive.getnames()}
    assert not [name for name in names if name.startswith(DEVELOPMENT) and name != "."]
    assert not [name for name in names if re.search(r"(\.pyc|_cache|__pycache__)(/|$)", name)]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    wanted = {name for name in tracked if not name.startswith(DEVELOPMENT) and name != "galaxy.yml" and (ROOT / name).exists()}
    assert not wanted - names


def test_every_module_is_documented_by_its_full_name(installed: Path) -> None:
    home = installed.parent / "home"
    modules = sorted(f"oneflower.federation.{path.stem}" for path in (ROOT / "plugins" / "modules").glob("*.py"))
    text = call("ansible-doc", "-t", "module", "--json", *modules, home=home, ANSIBLE_COLLECTIONS_PATH=str(installed))
    documented = json.loads(text)
    assert sorted(documented) == modules
    assert all(Path(entry["doc"]["filename"]).is_relative_to(installed) for entry in documented.values())
    page = call("ansible-doc", "-t", "module", modules[0], home=home, ANSIBLE_COLLECTIONS_PATH=str(installed))
    assert modules[0] in page


def test_plays_of_the_collection_are_found_by_their_full_name(installed: Path) -> None:
    inventory = ROOT / "inventories" / "three-zones-wireguard"
    text = call(
        "ansible-playbook",
        "-i",
        str(inventory),
        "--list-tasks",
        "oneflower.federation.walkthrough",
        home=installed.parent / "home",
        ANSIBLE_COLLECTIONS_PATH=str(installed),
    )
    assert "Compute the plan" in text and "Write the report" in text


def test_every_api_module_belongs_to_the_action_group_and_runs_in_process() -> None:
    group = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]["opennebula"]
    api = {p.stem for p in (ROOT / "plugins" / "modules").glob("*.py") if "oneflower.federation.opennebula" in p.read_text()}
    assert api == set(group) and group == sorted(group)
    assert all((ROOT / "plugins" / "action" / f"{name}.py").exists() for name in group)


def test_other_collections_are_declared_and_used() -> None:
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    used = set()
    for folder in ("playbooks", "roles", "plugins", "inventories"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".yml", ".yaml", ".j2", ".py"):
                lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith(("import ", "from ", "#"))]
                used |= set(re.findall(r"\b((?:community|containers|awx|prometheus)\.[a-z_]+)\.[a-z_]+", "\n".join(lines)))
                used |= set(re.findall(r"\b(ansible\.(?:posix|utils|netcommon))\.[a-z_]+", "\n".join(lines)))
    assert used == set(galaxy.get("dependencies") or {})


def test_the_execution_environment_gets_what_the_plugins_import() -> None:
    meta = ROOT / "meta"
    described = yaml.safe_load((meta / "execution-environment.yml").read_text())
    assert set(described["dependencies"]) == {"python", "system"}
    files = {kind: ROOT / path for kind, path in described["dependencies"].items()}
    assert all(path.parent == meta for path in files.values())
    lines = [line for line in files["python"].read_text().splitlines() if line and not line.startswith("#")]
    named = {re.split(r"[<>=!~ ]", line)[0] for line in lines}
    imported = set()
    for path in (ROOT / "plugins").rglob("*.py"):
        imported |= set(re.findall(r"^ *(?:import|from) ([A-Za-z_]\w*)", path.read_text(), re.MULTILINE))
    others = {name for name in imported if name not in sys.stdlib_module_names} - {"ansible", "ansible_collections"}
    assert others == named
