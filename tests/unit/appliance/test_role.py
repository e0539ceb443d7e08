# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role says about itself is what it does."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
ROLE = ROOT / "roles" / "flower_appliance"


def read(path):
    return yaml.safe_load(path.read_text())


def test_the_defaults_are_those_of_the_documentation():
    options = read(ROLE / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert {name: option["default"] for name, option in options.items()} == read(ROLE / "defaults/main.yml")


def test_it_needs_the_ansible_that_the_collection_needs():
    least = read(ROOT / "meta/runtime.yml")["requires_ansible"].removeprefix(">=")
    assert least.startswith(read(ROLE / "meta/main.yml")["galaxy_info"]["min_ansible_version"] + ".")


def test_every_folder_of_the_appliance_is_installed():
    """A package that the tasks forget is missing on the image only."""
    tasks = (ROLE / "tasks/appliance.yml").read_text()
    packages = [path.parent for path in (ROLE / "files").rglob("__init__.py")]
    assert len(packages) == 4
    for package in packages:
        relative = package.relative_to(ROLE / "files")
        assert f"/files/{relative}/*.py" in tasks, relative
        assert f"- path: /opt/oneflower/{relative if relative.parts[0] == 'smoke_app' else f'lib/{relative}'}\n" in tasks


def test_the_language_is_the_collections_own():
    """Links to files, not one to the folder: ansible-test refuses those."""
    shared = ROOT / "plugins/module_utils/appliance"
    linked = {path.name: path.resolve() for path in (ROLE / "files/oneflower_appliance/appliance").glob("*.py")}
    assert linked == {path.name: path for path in shared.glob("*.py")}
