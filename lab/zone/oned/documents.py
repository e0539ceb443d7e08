# SPDX-License-Identifier: GPL-3.0-or-later
"""one.document.* of the lab zone: where OneFlow keeps services (type 100) and service templates (type 101).

The document's BODY attribute is JSON text inside CDATA: a ``]]>`` in it, or a ``<`` or ``&`` in the name (which is put
into the XML as it is), makes the XML malformed (recording: oneflow 030).
"""

from __future__ import annotations

from ..store import Entity
from .core import INTERNAL, Oned, check_length, method, parse_template


def document_xml(one: Oned, document: Entity) -> str:
    return (
        f"<DOCUMENT>{one.head_xml(document)}<TYPE>{document.data['type']}</TYPE>{one.permissions_xml(document)}"
        f"{document.template.xml()}</DOCUMENT>"
    )


@method("one.document.allocate", "string", "int", write=True)
def allocate(one: Oned, user: Entity, text: str, kind: int) -> int:
    template = parse_template(text, INTERNAL)
    name = template.get("NAME")
    check_length(name)
    template.erase("NAME")
    number = one.store.next_id("document")
    document = Entity("document", number, name or f"document-{number}", user.id, user.gid, template=template)
    document.data = {"type": kind}
    return one.store.put(document).id


@method("one.document.info", "int", ("bool", False))
def info(one: Oned, user: Entity, number: int, decrypt: bool) -> str:
    return document_xml(one, one.get(user, "document", number))


@method("one.documentpool.info", "int", "int", "int", ("int", 0))
def pool(one: Oned, user: Entity, filter_flag: int, start: int, end: int, kind: int) -> str:
    found = [d for d in one.visible(user, "document", filter_flag, start, end) if d.data["type"] == kind]
    return f"<DOCUMENT_POOL>{''.join(document_xml(one, document) for document in found)}</DOCUMENT_POOL>"


@method("one.document.update", "int", "string", ("int", 0), write=True)
def update(one: Oned, user: Entity, number: int, text: str, append: int) -> int:
    return one.update_template(user, "document", number, text, append)


@method("one.document.rename", "int", "string", write=True)
def rename(one: Oned, user: Entity, number: int, name: str) -> int:
    return one.rename(user, "document", number, name)


@method("one.document.chmod", "int", *["int"] * 9, write=True)
def chmod(one: Oned, user: Entity, number: int, *bits: int) -> int:
    return one.chmod(user, "document", number, list(bits))


@method("one.document.chown", "int", "int", "int", write=True)
def chown(one: Oned, user: Entity, number: int, uid: int, gid: int) -> int:
    return one.chown(user, "document", number, uid, gid)


@method("one.document.clone", "int", "string", write=True)
def clone(one: Oned, user: Entity, number: int, name: str) -> int:
    source = one.get(user, "document", number)
    copy = Entity("document", one.store.next_id("document"), name, user.id, user.gid, template=source.template.copy())
    copy.data = dict(source.data)
    return one.store.put(copy).id


@method("one.document.delete", "int", write=True)
def delete(one: Oned, user: Entity, number: int) -> int:
    one.get(user, "document", number, "MANAGE")
    one.store.delete("document", number)
    return number
