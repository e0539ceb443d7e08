# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oneflow_template_info: read service templates."""

from __future__ import annotations

import typing as t

from ..documents import body_of
from ..errors import NotFound
from ..secrets import secret_values
from ..session import Session
from .oneflow_template import describe

ARGUMENTS: dict[str, t.Any] = {
    "name": {"type": "str"},
    "id": {"type": "int"},
}
RULES: dict[str, t.Any] = {"mutually_exclusive": [("name", "id")]}


def run(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Return {changed, templates}, ordered by id; an empty list when there is none."""
    if params["id"] is not None:
        try:
            documents = [session.flow.template(params["id"])]
        except NotFound:
            documents = []
    else:
        documents = [d for d in session.flow.templates() if params["name"] in (None, d.get("NAME"))]
    for document in documents:
        session.secrets |= secret_values(body_of(document))
    templates = sorted((describe(document) for document in documents), key=lambda entry: entry["id"])
    return {"changed": False, "templates": templates}
