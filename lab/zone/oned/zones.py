# SPDX-License-Identifier: GPL-3.0-or-later
"""one.zone.*, one.zonepool.info and one.system.version of the lab zone (recordings: xmlrpc 016-082, 111-124).

Zones belong to the federation: their writes are marked `federated`, a slave passes them on to its master.
"""

from __future__ import annotations

from ..store import Entity
from ..template_text import Template
from .core import ACTION, INTERNAL, Oned, OneError, check_characters, check_name, method, parse_template


def zone_xml(zone: Entity) -> str:
    servers = Template([("SERVER", server) for server in zone.data.get("servers", [])])
    return (
        f"<ZONE><ID>{zone.id}</ID><NAME>{zone.name}</NAME><STATE>{zone.data['state']}</STATE>"
        f"{zone.template.xml()}{servers.xml('SERVER_POOL')}</ZONE>"
    )


def make_zone(number: int, name: str, template: Template) -> Entity:
    return Entity("zone", number, name, template=template, data={"state": 0})


@method("one.system.version")
def version(one: Oned, user: Entity) -> str:
    return one.config.version


@method("one.zone.info", "int", ("bool", False))
def info(one: Oned, user: Entity, number: int, decrypt: bool) -> str:
    return zone_xml(one.get(user, "zone", number))


@method("one.zonepool.info")
def pool(one: Oned, user: Entity) -> str:
    return f"<ZONE_POOL>{''.join(zone_xml(zone) for zone in one.visible(user, 'zone'))}</ZONE_POOL>"


@method("one.zone.raftstatus")
def raftstatus(one: Oned, user: Entity) -> str:
    """Solo mode: it speaks for HA inside a zone, which a lab zone has not."""
    own = one.store.get("zone", one.config.zone_id) or Entity("zone", one.config.zone_id, one.config.name)
    one.authorize(user, (Entity("zone", 0, ""), "ADMIN") if own.id else (own, "ADMIN"))
    return (
        "<RAFT><SERVER_ID>-1</SERVER_ID><STATE>0</STATE><TERM>0</TERM><VOTEDFOR>-1</VOTEDFOR><COMMIT>0</COMMIT>"
        f"<LOG_INDEX>-1</LOG_INDEX><LOG_TERM>-1</LOG_TERM><FEDLOG_INDEX>{one.store.value('fedlog', 0)}</FEDLOG_INDEX></RAFT>"
    )


@method("one.zone.allocate", "string", ("int", -1), federated=True)
def allocate(one: Oned, user: Entity, text: str, cluster: int) -> int:
    template = parse_template(text, INTERNAL)
    one.authorize_create(user, "zone")
    name = check_name(template.get("NAME"))
    check_characters(name, INTERNAL)
    template.erase("NAME")
    one.unique_name("zone", name, None, "Zone")
    if not template.get("ENDPOINT"):
        raise OneError("ENDPOINT not present in template.")
    return one.store.put(make_zone(one.store.next_id("zone"), name, template)).id


@method("one.zone.update", "int", "string", ("int", 0), federated=True)
def update(one: Oned, user: Entity, number: int, text: str, append: int) -> int:
    """Without ENDPOINT after the update the server writes ``ENDPOINT="-"``: the zone is lost for the federation."""
    one.update_template(user, "zone", number, text, append)
    zone = one.find("zone", number)
    if not zone.template.get("ENDPOINT"):
        zone.template.replace("ENDPOINT", "-")
        one.store.put(zone)
    return number


@method("one.zone.rename", "int", "string", federated=True)
def rename(one: Oned, user: Entity, number: int, name: str) -> int:
    zone = one.get(user, "zone", number, "MANAGE")
    check_name(name, ACTION)
    check_characters(name)
    for other in one.store.all("zone"):
        if other.name == name and other.id != number:
            raise OneError(f"zone cannot be renamed to {name} because it collides with zone {other.id}", ACTION)
    zone.name = name
    one.store.put(zone)
    return number


@method("one.zone.delete", "int", federated=True)
def delete(one: Oned, user: Entity, number: int) -> int:
    one.get(user, "zone", number, "ADMIN")
    if number < 100:
        raise OneError("Cannot delete zone. System Zones (ID < 100) cannot be deleted.", ACTION)
    one.store.delete("zone", number)
    return number


# What a zone changes in its own record, and nobody else may; a slave then hands the record to its master.
OWN = ("one.zone.enable", "one.zone.addserver", "one.zone.delserver")


def _own(one: Oned, user: Entity, number: int, refusal: str) -> Entity:
    if number != one.config.zone_id:
        raise OneError(f"{refusal} the target zone endpoints", ACTION)
    return one.get(user, "zone", number, "ADMIN")


@method("one.zone.enable", "int", "bool")
def enable(one: Oned, user: Entity, number: int, on: bool) -> int:
    zone = _own(one, user, number, "Enable/disable mode have to be set through")
    zone.data["state"] = 0 if on else 1
    one.store.put(zone)
    return number


@method("one.zone.addserver", "int", "string", write=True)
def add_server(one: Oned, user: Entity, number: int, text: str) -> int:
    """Keep and show a server of the zone's HA cluster, nothing more (not recorded)."""
    zone = _own(one, user, number, "Servers have to be added through")
    server = parse_template(text, ACTION).vector("SERVER")
    if server is None:
        raise OneError("SERVER not found in template", ACTION)
    if not server.get("ENDPOINT") and not server.get("ENDPOINT_GRPC"):
        raise OneError("Missing ENDPOINT or ENDPOINT_GRPC in SERVER", ACTION)
    servers = zone.data.setdefault("servers", [])
    servers.append({**server, "ID": str(max((int(known["ID"]) for known in servers), default=-1) + 1)})
    one.store.put(zone)
    return number


@method("one.zone.delserver", "int", "int", write=True)
def del_server(one: Oned, user: Entity, number: int, server: int) -> int:
    zone = _own(one, user, number, "Servers have to be deleted through")
    servers = zone.data.get("servers", [])
    if str(server) not in [known["ID"] for known in servers]:
        raise OneError("SERVER not found in zone", ACTION)
    zone.data["servers"] = [known for known in servers if known["ID"] != str(server)]
    one.store.put(zone)
    return number
