# SPDX-License-Identifier: GPL-3.0-or-later
"""one.vn.*, one.vnpool.info and the leases of the lab zone's virtual networks.

No virtual network was recorded; the XML follows the published schema of OpenNebula 7.4 and what pyone reads.
A network has address ranges; a lease is given round robin from the first range that has room, or the address that was
asked for. A reservation is a network of its own whose addresses are leased from the parent.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ..store import Entity
from ..template_text import Template, cdata
from .core import ACTION, NO_EXISTS, Oned, OneError, check_name, method, parse_template

READY = 1
# Attributes that a NIC takes over from its network when it does not set them itself (oned.conf, INHERIT_VNET_ATTR).
INHERITED = (
    "BANDWIDTH_THROTTLING",
    "CONF",
    "DNS",
    "FILTER",
    "GATEWAY",
    "IP6_METHOD",
    "IP6_METRIC",
    "METHOD",
    "METRIC",
    "MTU",
    "VLAN_TAGGED_ID",
)


def make_vnet(one: Oned, seed: dict[str, t.Any]) -> Entity:
    """Make a network from the configuration's seed, see lab.zone.config."""
    ranges = [(seed["first_ip"], int(seed["size"]))]
    fixed = seed.get("fixed")
    if fixed is None and seed.get("network"):
        # .1 and .2 are the zone's gateway and front-end; what lies between them and the range can be asked for by IP.
        low, first = ipaddress.ip_address(seed["network"]) + 3, ipaddress.ip_address(seed["first_ip"])
        fixed = [(str(low), int(first) - int(low))] if int(first) > int(low) else []
    ranges += [(str(ip), int(size)) for ip, size in fixed or []]
    template = Template([("BRIDGE", seed["bridge"]), ("BRIDGE_TYPE", "linux"), ("SECURITY_GROUPS", "0")])
    template.add("VN_MAD", seed.get("vn_mad", "dummy"))
    for key, name in (("network", "NETWORK_ADDRESS"), ("mask", "NETWORK_MASK"), ("gateway", "GATEWAY"), ("dns", "DNS")):
        if seed.get(key):
            template.replace(name, str(seed[key]))
    for name, value in seed.get("attributes", {}).items():
        template.replace(name.upper(), value if isinstance(value, dict) else str(value))
    data = {"bridge": seed["bridge"], "parent": -1, "ranges": [_range(ip, size) for ip, size in ranges]}
    return one.store.put(Entity("vnet", one.store.next_id("vnet"), seed["name"], template=template, data=data))


def _range(first: str, size: int) -> dict[str, t.Any]:
    return {"first": first, "size": size, "next": 0, "leases": {}}


def mac_of(address: str) -> str:
    return ":".join(["02", "00", *(f"{byte:02x}" for byte in ipaddress.ip_address(address).packed)])


def lease(one: Oned, vnet: Entity, owner: list, wanted_ip: str = "") -> tuple[int, str]:
    """Lease an address to `owner` (["VM", id] or ["VNET", id]); return (address range id, address)."""
    for number, span in enumerate(vnet.data["ranges"]):
        first, size = ipaddress.ip_address(span["first"]), span["size"]
        if wanted_ip:
            try:
                offset = int(ipaddress.ip_address(wanted_ip)) - int(first)
            except ValueError:
                break
            offsets = [offset] if 0 <= offset < size else []
        else:
            offsets = [(span["next"] + step) % size for step in range(size)]
        for offset in offsets:
            if str(offset) not in span["leases"]:
                span["leases"][str(offset)] = list(owner)
                if not wanted_ip:
                    span["next"] = (offset + 1) % size
                one.store.put(vnet)
                return number, str(first + offset)
    raise OneError(f"Cannot get IP/MAC lease from virtual network {vnet.id}.")


def release(one: Oned, vnet: Entity, owner: list) -> None:
    for span in vnet.data["ranges"]:
        span["leases"] = {offset: who for offset, who in span["leases"].items() if who != list(owner)}
    one.store.put(vnet)


def find_by_name(one: Oned, user: Entity, name: str, owner: str) -> Entity:
    for vnet in one.store.all("vnet"):
        if vnet.name == name and (not owner or one.user_name(vnet.uid) == owner):
            return vnet
    text = f"User {user.id} does not own a network with name: {name} . Set NETWORK_UNAME or NETWORK_UID of owner in NIC."
    raise OneError(text)


def vnet_xml(one: Oned, vnet: Entity) -> str:
    data, ranges = vnet.data, []
    for number, span in enumerate(data["ranges"]):
        last = str(ipaddress.ip_address(span["first"]) + span["size"] - 1)
        attributes = {
            "AR_ID": str(number),
            "IP": span["first"],
            "MAC": mac_of(span["first"]),
            "SIZE": str(span["size"]),
            "TYPE": "IP4",
            "MAC_END": mac_of(last),
            "IP_END": last,
        }
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in attributes.items())
        used = f"<USED_LEASES>{len(span['leases'])}</USED_LEASES>"
        ranges.append(f"<AR>{inner}{used}</AR>")
    parent = f"<PARENT_NETWORK_ID>{data['parent']}</PARENT_NETWORK_ID>" if data["parent"] >= 0 else "<PARENT_NETWORK_ID/>"
    leased = sum(len(span["leases"]) for span in data["ranges"])
    return (
        f"<VNET>{one.head_xml(vnet)}{one.permissions_xml(vnet)}<CLUSTERS><ID>0</ID></CLUSTERS>"
        f"<BRIDGE>{cdata(data['bridge'])}</BRIDGE><BRIDGE_TYPE>{cdata('linux')}</BRIDGE_TYPE>"
        f"<STATE>{READY}</STATE><PREV_STATE>{READY}</PREV_STATE>{parent}<TEMPLATE_ID/>"
        f"<VN_MAD>{cdata(vnet.template.get('VN_MAD', 'dummy'))}</VN_MAD><PHYDEV/><VLAN_ID/><OUTER_VLAN_ID/>"
        "<VLAN_ID_AUTOMATIC>0</VLAN_ID_AUTOMATIC><OUTER_VLAN_ID_AUTOMATIC>0</OUTER_VLAN_ID_AUTOMATIC>"
        f"<USED_LEASES>{leased}</USED_LEASES><VROUTERS></VROUTERS><UPDATED_VMS></UPDATED_VMS><OUTDATED_VMS></OUTDATED_VMS>"
        f"<UPDATING_VMS></UPDATING_VMS><ERROR_VMS></ERROR_VMS>{vnet.template.xml()}"
        f"<AR_POOL>{''.join(ranges)}</AR_POOL></VNET>"
    )


@method("one.vnpool.info", "int", "int", "int")
def pool(one: Oned, user: Entity, filter_flag: int, start: int, end: int) -> str:
    found = one.visible(user, "vnet", filter_flag, start, end)
    return f"<VNET_POOL>{''.join(vnet_xml(one, vnet) for vnet in found)}</VNET_POOL>"


@method("one.vn.reserve", "int", "string", write=True)
def reserve(one: Oned, user: Entity, number: int, text: str) -> int:
    parent = one.get(user, "vnet", number)
    template = parse_template(text, ACTION)
    size = template.get("SIZE")
    if not size.isdigit() or int(size) < 1:
        raise OneError("Reservation SIZE must be greater than 0", ACTION)
    name = check_name(template.get("NAME"), ACTION)
    child = Entity("vnet", one.store.next_id("vnet"), name, user.id, user.gid, template=parent.template.copy())
    addresses: list[str] = []
    try:
        for _ in range(int(size)):
            addresses.append(lease(one, parent, ["VNET", child.id])[1])
    except OneError:
        release(one, parent, ["VNET", child.id])
        raise OneError("Not enough free addresses in an address range", ACTION) from None
    # Round robin may tear a reservation apart; each piece becomes an address range of its own.
    spans: list[dict[str, t.Any]] = []
    for address in sorted(addresses, key=ipaddress.ip_address):
        end = spans and int(ipaddress.ip_address(spans[-1]["first"])) + spans[-1]["size"]
        if spans and int(ipaddress.ip_address(address)) == end:
            spans[-1]["size"] += 1
        else:
            spans.append(_range(address, 1))
    child.data = {"bridge": parent.data["bridge"], "parent": parent.id, "ranges": spans}
    return one.store.put(child).id


@method("one.vn.delete", "int", write=True)
def delete(one: Oned, user: Entity, number: int) -> int:
    vnet = one.get(user, "vnet", number, "MANAGE")
    if any(span["leases"] for span in vnet.data["ranges"]):
        raise OneError("Cannot remove Virtual Network, it has addresses in use", ACTION)
    if parent := one.store.get("vnet", vnet.data["parent"]):
        release(one, parent, ["VNET", number])
    one.store.delete("vnet", number)
    return number


@method("one.vntemplatepool.info", "int", "int", "int")
def template_pool(one: Oned, user: Entity, filter_flag: int, start: int, end: int) -> str:
    """Return an empty pool: a lab zone has no virtual network templates."""
    return "<VNTEMPLATE_POOL></VNTEMPLATE_POOL>"


@method("one.vntemplate.instantiate", "int", ("string", ""), ("string", ""), write=True)
def instantiate_template(one: Oned, user: Entity, number: int, name: str, text: str) -> int:
    """Refuse: a lab zone has no virtual network templates."""
    raise OneError(f"Error getting virtual network template [{number}].", NO_EXISTS, number)
