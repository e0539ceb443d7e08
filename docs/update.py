# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the generated tables of the pages in docs/. Usage: python docs/update.py, after `make collection`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "ansible_collections.oneflower.federation.plugins"
# Page -> name of a table in it -> the module whose reference() writes it.
TABLES = {
    "context.md": {
        "settings": "module_utils.appliance.settings",
        "attributes": "module_utils.appliance.attributes",
    },
    "inventory.md": {"variables": "plugin_utils.federation.variables"},
    "findings.md": {"findings": "plugin_utils.federation.findings"},
    "changes.md": {"effects": "plugin_utils.federation.changes"},
}


def updated(name: str, page: str) -> str:
    """Return the page with its tables as the code of this checkout has them, each between its two marks.

    Raises ValueError where a mark is missing.
    """
    sys.path.insert(0, str(ROOT / ".build" / "collections"))
    for table, module in TABLES[name].items():
        begin, end = f"<!-- begin of {table} -->\n", f"<!-- end of {table} -->\n"
        before, rest = page.split(begin)
        _old, after = rest.split(end)
        page = f"{before}{begin}{importlib.import_module(f'{PACKAGE}.{module}').reference()}{end}{after}"
    return page


if __name__ == "__main__":
    for page in TABLES:
        path = ROOT / "docs" / page
        path.write_text(updated(page, path.read_text()))
