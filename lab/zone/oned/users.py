# SPDX-License-Identifier: GPL-3.0-or-later
"""one.user.* and one.group.* of the lab zone (recordings: xmlrpc 074, 075, 087). Users belong to the federation."""

from __future__ import annotations

import secrets

from ..store import Entity
from ..template_text import Template, cdata
from .core import INTERNAL, Oned, OneError, check_name, digest, method

_QUOTAS = "".join(f"<{name}_QUOTA></{name}_QUOTA>" for name in ("DATASTORE", "NETWORK", "VM", "IMAGE"))


def make_user(number: int, name: str, password: str, groups: list[int], driver: str = "core") -> Entity:
    """`password` in clear; only its digest is kept."""
    template = Template([("TOKEN_PASSWORD", secrets.token_hex(32))])
    data = {"password": digest(password), "driver": driver, "groups": groups, "enabled": True}
    return Entity("user", number, name, uid=number, gid=groups[0], template=template, data=data)


def _user_xml(one: Oned, user: Entity) -> str:
    groups = "".join(f"<ID>{number}</ID>" for number in sorted(user.data["groups"]))
    return (
        f"<ID>{user.id}</ID><GID>{user.gid}</GID><GROUPS>{groups}</GROUPS><GNAME>{one.group_name(user.gid)}</GNAME>"
        f"<NAME>{user.name}</NAME><PASSWORD>{cdata(user.data['password'])}</PASSWORD>"
        f"<AUTH_DRIVER>{cdata(user.data['driver'])}</AUTH_DRIVER><ENABLED>{int(user.data['enabled'])}</ENABLED>"
        f"{user.template.xml()}"
    )


@method("one.user.allocate", "string", "string", ("string", "core"), ("ints", ()), federated=True)
def allocate(one: Oned, user: Entity, name: str, password: str, driver: str, groups: list[int]) -> int:
    one.authorize_create(user, "user")
    check_name(name)
    one.unique_name("user", name, None, "USER")
    if not password:
        raise OneError("Invalid password, it cannot be empty")
    chosen = list(groups) or [1]
    for group in chosen:
        one.find("group", group)
    return one.store.put(make_user(one.store.next_id("user"), name, password, chosen, driver or "core")).id


@method("one.userpool.info")
def pool(one: Oned, user: Entity) -> str:
    users = "".join(f"<USER>{_user_xml(one, found)}</USER>" for found in one.visible(user, "user"))
    return f"<USER_POOL>{users}<DEFAULT_USER_QUOTAS>{_QUOTAS}</DEFAULT_USER_QUOTAS></USER_POOL>"


@method("one.user.delete", "int", federated=True)
def delete(one: Oned, user: Entity, number: int) -> int:
    one.authorize(user, (one.find("user", number), "ADMIN"))
    if number == 0:
        raise OneError("Cannot delete user. oneadmin cannot be deleted.", INTERNAL)
    one.store.delete("user", number)
    return number


def _group_xml(one: Oned, group: Entity) -> str:
    members = "".join(f"<ID>{u.id}</ID>" for u in one.store.all("user") if group.id in u.data["groups"])
    return f"<ID>{group.id}</ID><NAME>{group.name}</NAME>{group.template.xml()}<USERS>{members}</USERS><ADMINS></ADMINS>"


@method("one.grouppool.info")
def group_pool(one: Oned, user: Entity) -> str:
    groups = "".join(f"<GROUP>{_group_xml(one, group)}</GROUP>" for group in one.visible(user, "group"))
    return f"<GROUP_POOL>{groups}<DEFAULT_GROUP_QUOTAS>{_QUOTAS}</DEFAULT_GROUP_QUOTAS></GROUP_POOL>"
