# SPDX-License-Identifier: GPL-3.0-or-later
"""one.template.* and one.image.* of the lab zone (recordings: xmlrpc 086, 098-110)."""

from __future__ import annotations

from ..store import Entity
from .core import INTERNAL, Oned, check_name, method, now, parse_template
from .vms import create_vm


def make_template(one: Oned, user: Entity, name: str, template) -> Entity:
    number = one.store.next_id("template")
    entity = Entity("template", number, name, user.id, user.gid, template=template, data={"regtime": now()})
    return one.store.put(entity)


def template_xml(one: Oned, entity: Entity) -> str:
    return (
        f"<VMTEMPLATE>{one.head_xml(entity)}{one.permissions_xml(entity)}<REGTIME>{entity.data['regtime']}</REGTIME>"
        f"{entity.template.xml()}</VMTEMPLATE>"
    )


@method("one.template.allocate", "string", write=True)
def allocate(one: Oned, user: Entity, text: str) -> int:
    template = parse_template(text, INTERNAL)
    name = check_name(template.get("NAME"))
    template.erase("NAME")
    one.unique_name("template", name, user.id, "TEMPLATE")
    return make_template(one, user, name, template).id


@method("one.template.info", "int", ("bool", False), ("bool", False))
def info(one: Oned, user: Entity, number: int, extended: bool, decrypt: bool) -> str:
    return template_xml(one, one.get(user, "template", number))


@method("one.templatepool.info", "int", "int", "int")
def pool(one: Oned, user: Entity, filter_flag: int, start: int, end: int) -> str:
    found = one.visible(user, "template", filter_flag, start, end)
    return f"<VMTEMPLATE_POOL>{''.join(template_xml(one, entity) for entity in found)}</VMTEMPLATE_POOL>"


@method("one.template.clone", "int", "string", ("bool", False), write=True)
def clone(one: Oned, user: Entity, number: int, name: str, recursive: bool) -> int:
    source = one.get(user, "template", number)
    one.unique_name("template", check_name(name), user.id, "TEMPLATE")
    return make_template(one, user, name, source.template.copy()).id


@method("one.template.delete", "int", ("bool", False), write=True)
def delete(one: Oned, user: Entity, number: int, recursive: bool) -> int:
    entity = one.get(user, "template", number, "MANAGE")
    if recursive:
        for disk in entity.template.vectors("DISK"):
            for image in list(one.store.all("image")):
                if image.name == disk.get("IMAGE"):
                    one.store.delete("image", image.id)
    one.store.delete("template", number)
    return number


@method("one.template.instantiate", "int", ("string", ""), ("bool", False), ("string", ""), ("bool", False), write=True)
def instantiate(one: Oned, user: Entity, number: int, name: str, hold: bool, text: str, persistent: bool) -> int:
    """Let the extra template replace attributes of the VM template, name by name."""
    source = one.find("template", number)
    extra = parse_template(text, INTERNAL)
    template = source.template.copy()
    template.merge(extra)
    wanted = [(source, "USE")]
    for disk in template.vectors("DISK"):
        wanted += [(image, "USE") for image in one.store.all("image") if image.name == disk.get("IMAGE")]
    one.authorize(user, *wanted)
    for attribute in ("NAME", "TEMPLATE_ID", "TEMPLATE_NAME"):
        template.erase(attribute)
    template.add("TEMPLATE_ID", str(number))
    return create_vm(one, user, template, name, source.name, hold)


def make_image(one: Oned, user: Entity, name: str, **data: object) -> Entity:
    """Make an image; `data` may say `persistent` and its `size` in MiB."""
    image = Entity("image", one.store.next_id("image"), name, user.id, user.gid, data={"regtime": now(), **data})
    return one.store.put(image)
