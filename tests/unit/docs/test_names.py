# SPDX-License-Identifier: GPL-3.0-or-later
"""A name that several places must agree on is written in its table and nowhere else.

Settings and attributes of the appliance: module_utils/appliance/. Inventory variables: plugin_utils/federation/variables.py.
"""

from __future__ import annotations

import re
import tokenize
from pathlib import Path

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes, settings
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import findings, variables

ROOT = Path(__file__).resolve().parents[3]
TABLES = ("plugins/module_utils/appliance/settings.py", "plugins/module_utils/appliance/attributes.py")
VARIABLES = "plugins/plugin_utils/federation/variables.py"

# What speaks of settings, attributes and variables to people, with the names of those tables; a test below holds it to them.
FINDINGS = "plugins/plugin_utils/federation/findings.py"
# A Python name such as FLOWER_VERSION is no setting, a string is.
APPLIANCE_NAME = {".py": re.compile(r"\bFL_[A-Z]|[\"'`]FLOWER_VERSION\b"), ".yml": re.compile(r"\bFL_[A-Z]|\bFLOWER_VERSION\b")}
APPLIANCE_NAME[".j2"] = APPLIANCE_NAME[".yml"]

FEDERATION_NAME = re.compile(r"\bfederation_[a-z_]+")


def files(*folders: str) -> list[Path]:
    """Return the source files below folders of the repository; what a link leads to is found where it is."""
    found = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in APPLIANCE_NAME and path.is_file() and not path.is_symlink()
    ]
    assert found
    return sorted(found)


def lines_with(path: Path, pattern: re.Pattern[str]) -> list[str]:
    """Return the lines of a file that hold a pattern, each with its place."""
    name = path.relative_to(ROOT)
    return [
        f"{name}:{number}: {line.strip()}" for number, line in enumerate(path.read_text().splitlines(), 1) if pattern.search(line)
    ]


def with_names_of_the_appliance() -> dict[str, list[str]]:
    found = {}
    for path in files("plugins", "roles", "playbooks", "lab"):
        name = str(path.relative_to(ROOT))
        if name not in (*TABLES, FINDINGS) and (lines := lines_with(path, APPLIANCE_NAME[path.suffix])):
            found[name] = lines
    return found


@pytest.mark.parametrize(
    ("suffix", "line", "is_name"),
    [
        (".py", 'values.get("FL_ROLE")', True),
        (".py", '"""What FL_ERROR says."""', True),
        (".py", 'values["FLOWER_VERSION"]', True),
        (".py", 'FLOWER_VERSION = "1.39.0"', False),
        (".yml", "FLOWER_VERSION: 1.39.0", True),
        (".yml", "SELF_LINK: 1", False),
    ],
)
def test_a_name_of_the_appliance_is_recognised(suffix, line, is_name):
    assert bool(APPLIANCE_NAME[suffix].search(line)) is is_name


def test_names_of_settings_and_attributes_stand_in_their_tables_only():
    assert not with_names_of_the_appliance(), "take the constant from settings or attributes instead"


KNOWN = {variable.name for variable in variables.VARIABLES} | set(variables.FACTS)


def names_in_strings(path: Path) -> set[str]:
    """Return what looks like an inventory variable in the strings of a Python file; its own identifiers do not count."""
    with tokenize.open(path) as handle:
        tokens = [token.string for token in tokenize.generate_tokens(handle.readline)]
    return {name for token in tokens if not token.isidentifier() for name in FEDERATION_NAME.findall(token)}


def modules() -> set[str]:
    """Return the names of modules, which begin as variables do."""
    return {path.stem for path in (ROOT / "plugins/modules").glob("federation_*.py")}


def test_names_of_inventory_variables_stand_in_their_table_only_in_python():
    outside = {}
    for path in files("plugins"):
        name = str(path.relative_to(ROOT))
        if (
            path.suffix == ".py"
            and name not in (VARIABLES, FINDINGS)
            and (names := names_in_strings(path) - modules() - set(variables.FACTS))
        ):
            outside[name] = names
    assert not outside, "take the constant from variables instead"


def test_yaml_uses_inventory_variables_that_are_in_the_table():
    """Beside them it may use what it defines itself, as a fact, a registered result or a variable of a task."""
    text = "\n".join(path.read_text() for path in files("playbooks", "roles") if path.suffix != ".py")
    defined = set(re.findall(r"^\s*(federation_[a-z_]+):", text, flags=re.MULTILINE))
    defined |= set(re.findall(r"register: (federation_[a-z_]+)", text))
    assert set(FEDERATION_NAME.findall(text)) - KNOWN - modules() - defined == set()


def test_findings_name_what_is_in_the_tables():
    text = findings.reference()
    assert set(FEDERATION_NAME.findall(text)) <= KNOWN
    in_tables = {setting.name for setting in settings.SETTINGS} | {attribute.name for attribute in attributes.ATTRIBUTES}
    assert set(re.findall(r"\bFL_[A-Z_]+", text)) <= in_tables
    for code in findings.CODES.values():
        assert code.mend in ("", *KNOWN) or (ROOT / "playbooks" / code.mend).exists()


def test_inventories_use_inventory_variables_that_are_in_the_table():
    text = "\n".join(path.read_text() for path in files("inventories"))
    assert set(FEDERATION_NAME.findall(text)) <= KNOWN


def test_every_finding_is_spoken():
    """A code that nothing uses promises what never comes."""
    spoken = "\n".join(path.read_text() for path in files("plugins", "playbooks", "roles") if path != ROOT / FINDINGS)
    spoken += "".join(findings.KINDS.values()) + findings.of_failure("zone-a", "a step", {}).code
    assert [code for code in findings.CODES if code not in spoken] == []
