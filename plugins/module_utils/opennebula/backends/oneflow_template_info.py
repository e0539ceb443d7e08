# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oneflow_template_info: read service templates."""

from __future__ import annotations

import typing as t

from ..documents import ServiceTemplate
from ..errors import NotFound
from ..session import Session

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
    templates = [ServiceTemplate.from_document(document) for document in documents]
    for template in templates:
        session.learn(template.body)
    results = sorted((template.to_result() for template in templates), key=lambda entry: entry["id"])
    return {"changed": False, "templates": results}
