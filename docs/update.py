# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the generated part of docs/context.md. Usage: python docs/update.py"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "context.md"
BEGIN, END = "<!-- begin of the vocabulary -->\n", "<!-- end of the vocabulary -->\n"


def updated(page: str) -> str:
    """The page with the vocabulary of this checkout between its two marks."""
    location = ROOT / "plugins" / "module_utils" / "vocabulary.py"
    spec = importlib.util.spec_from_file_location("vocabulary", location)
    assert spec and spec.loader
    vocabulary = sys.modules["vocabulary"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(vocabulary)
    before, _begin, rest = page.partition(BEGIN)
    _old, _end, after = rest.partition(END)
    return f"{before}{BEGIN}{vocabulary.reference()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text()))
