# SPDX-License-Identifier: GPL-3.0-or-later
"""one.vm.* and one.vmpool.* of the lab zone (recordings: xmlrpc 001-015, 084-097, 106-108, 125-127).

What happens to a VM after it was made is in lab.zone.vm_lifecycle.
"""

from __future__ import annotations

import uuid

from ..store import Entity
from ..template_text import Template, cdata
from . import context, vnets
from .core import ACTION, INTERNAL, Oned, OneError, check_name, method, now, parse_template
from .vm_states import ACTIVE, BOOT_FAILURE, DONE, HOLD, LCM_INIT, PENDING

# Attributes of a VM template that describe the machine; what is left becomes the VM's user template.
_MACHINE = (
    "CPU",
    "CPU_COST",
    "CPU_MODEL",
    "DISK_COST",
    "EMULATOR",
    "FEATURES",
    "GRAPHICS",
    "HYPERV_OPTIONS",
    "INPUT",
    "MEMORY_COST",
    "MEMORY_MAX",
    "MEMORY_SLOTS",
    "NIC_DEFAULT",
    "NUMA_NODE",
    "PCI",
    "RAW",
    "TEMPLATE_ID",
    "TOPOLOGY",
    "VCPU_MAX",
    "VIDEO",
)
_RULES = tuple(
    {"PROTOCOL": "ALL", "RULE_TYPE": way, "SECURITY_GROUP_ID": "0", "SECURITY_GROUP_NAME": "default"}
    for way in ("OUTBOUND", "INBOUND")
)


# -- allocation ---------------------------------------------------------------------------------------------------
def create_vm(one: Oned, user: Entity, template: Template, name: str, source_name: str, hold: bool) -> int:
    """Make a VM from a merged template, in PENDING or HOLD. A VM that cannot be made uses up no id."""
    number = one.store.value("next:vm", 0)
    vm = Entity("vm", number, name or f"{source_name}-{number}", user.id, user.gid)
    vm.data = {
        "state": HOLD if hold else PENDING,
        "lcm": LCM_INIT,
        "prev_state": PENDING,
        "prev_lcm": LCM_INIT,
        "stime": now(),
        "etime": 0,
        "last_poll": 0,
        "deploy_id": "",
        "history": [],
    }
    vm.user_template = template.copy()
    try:
        check_name(vm.name)
        _insert(one, user, vm)
    except OneError as error:
        release_leases(one, vm)
        release_images(one, vm)
        raise OneError(f"Error allocating a new virtual machine template. {error.text}", INTERNAL) from None
    one.store.set_value("next:vm", number + 1)
    vm.data["prev_state"] = vm.data["state"]
    one.store.put(vm)
    one.vms.allocated(vm)
    return number


def _insert(one: Oned, user: Entity, vm: Entity) -> None:
    own, rest = vm.template, vm.user_template
    rest.erase("VMID")
    own.add("VMID", str(vm.id))
    for name in _MACHINE:
        for value in rest.erase(name):
            own.add(name, value)
    cpu, memory, vcpu = own.get("CPU"), rest.get("MEMORY"), rest.get("VCPU")
    if not memory.isdigit() or int(memory) <= 0:
        raise OneError("MEMORY attribute must be a positive integer value.")
    if not _is_number(cpu) or float(cpu) <= 0:
        raise OneError("CPU attribute must be a positive float or integer value.")
    own.replace("CPU", f"{float(cpu):g}")
    for name, value in (("MEMORY", memory), ("VCPU", vcpu)):
        if value:
            rest.erase(name)
            own.replace(name, value)
    os_vectors = rest.erase("OS")
    os_vector = next((dict(value) for value in os_vectors if isinstance(value, dict)), {})
    own.add("OS", {**os_vector, "UUID": str(uuid.uuid4())})
    _network(one, user, vm)
    _disks(one, vm)
    context.resolve(one, vm)
    cluster = "(CLUSTER_ID = 0) & " if own.has("NIC") or own.has("DISK") else ""
    own.replace("AUTOMATIC_REQUIREMENTS", f"{cluster}!(PIN_POLICY = PINNED)")


def _network(one: Oned, user: Entity, vm: Entity) -> None:
    for nic in vm.user_template.erase("NIC"):
        if not isinstance(nic, dict):
            raise OneError("Internal error parsing NIC attribute")
        number = len(vm.template.vectors("NIC"))
        if identity := nic.get("NETWORK_ID"):
            vnet = one.store.get("vnet", int(identity)) if identity.isdigit() else None
            if vnet is None:
                raise OneError(f"Virtual network with ID: {identity} does not exist")
        elif name := nic.get("NETWORK"):
            vnet = vnets.find_by_name(one, user, name, nic.get("NETWORK_UNAME", ""))
        else:
            vm.template.add("NIC", {"NAME": f"NIC{number}", **nic, "NIC_ID": str(number)})  # a card without a network
            continue
        one.authorize(user, (vnet, "USE"))
        area, address = vnets.lease(one, vnet, ["VM", vm.id], nic.get("IP", ""))
        inherited = {a: vnet.template.get(a) for a in vnets.INHERITED if vnet.template.get(a)}
        full = {**inherited, "NAME": f"NIC{number}", **nic}
        full |= {
            "AR_ID": str(area),
            "BRIDGE": vnet.data["bridge"],
            "BRIDGE_TYPE": "linux",
            "CLUSTER_ID": "0",
            "IP": address,
            "MAC": nic.get("MAC") or vnets.mac_of(address),
            "NETWORK": vnet.name,
            "NETWORK_ID": str(vnet.id),
            "NIC_ID": str(number),
            "TARGET": f"one-{vm.id}-{number}",
            "SECURITY_GROUPS": nic.get("SECURITY_GROUPS", "0"),
            "VN_MAD": vnet.template.get("VN_MAD", "dummy"),
        }
        vm.template.add("NIC", full)
    if vm.template.has("NIC"):
        for rule in _RULES:
            vm.template.add("SECURITY_GROUP_RULE", dict(rule))
        vm.template.add("AUTOMATIC_NIC_REQUIREMENTS", '("CLUSTERS/ID" @> 0)')


def _disks(one: Oned, vm: Entity) -> None:
    disks = vm.user_template.erase("DISK")
    for number, disk in enumerate(disks):
        if not isinstance(disk, dict):
            raise OneError("Internal error parsing DISK attribute")
        found = next((image for image in one.store.all("image") if image.name == disk.get("IMAGE")), None)
        if found is None:
            raise OneError(f"User {vm.uid} does not own an image with name: {disk.get('IMAGE', '')} .")
        persistent = _acquire(one, vm, found)
        vm.template.add(
            "DISK",
            {
                "ALLOW_ORPHANS": "NO",
                "CLONE": "YES",
                "CLONE_TARGET": "SYSTEM",
                "CLUSTER_ID": "0",
                "DATASTORE": "dummy_img",
                "DATASTORE_ID": "101",
                "DEV_PREFIX": "sd",
                "DISK_SNAPSHOT_TOTAL_SIZE": "0",
                "DISK_TYPE": "FILE",
                "DRIVER": "dummy_format",
                "FORMAT": "dummy_format",
                "IMAGE_ID": str(found.id),
                "IMAGE_STATE": "2",
                "IMAGE_UNAME": one.user_name(found.uid),
                "LN_TARGET": "NONE",
                "ORIGINAL_SIZE": str(found.data.get("size", 1024)),
                "PERSISTENT_SNAPSHOTS": "YES",
                "READONLY": "NO",
                "SAVE": "NO",
                "SIZE": str(found.data.get("size", 1024)),
                "SOURCE": "dummy_path",
                "TARGET": f"sd{chr(97 + number)}",
                "TM_MAD": "dummy",
                "TYPE": "FILE",
                **disk,
                **persistent,
                "DISK_ID": str(number),
            },
        )
    for value in vm.user_template.erase("CONTEXT"):
        if isinstance(value, dict):
            vm.template.replace("CONTEXT", {**value, "DISK_ID": str(len(disks)), "TARGET": "hda"})
    if disks:
        vm.template.add("AUTOMATIC_DS_REQUIREMENTS", '("CLUSTERS/ID" @> 0)')
        vm.template.add("TM_MAD_SYSTEM", "dummy")


def _acquire(one: Oned, vm: Entity, image: Entity) -> dict[str, str]:
    """Take a persistent image for this VM alone; return what its DISK says of it, nothing of any other image.

    No recording has one: the words and the attributes are those of OpenNebula's ImageManager::acquire_image and
    Image::disk_attribute (src/image, 6.10 and 7.0).
    """
    if not image.data.get("persistent"):
        return {}
    if image.data.get("used_by") is not None:
        raise OneError(f"Cannot acquire image {image.id}, it is persistent and already in use")
    image.data["used_by"] = vm.id
    one.store.put(image)
    return {"PERSISTENT": "YES", "CLONE": "NO", "SAVE": "YES", "IMAGE_STATE": "8"}


def release_images(one: Oned, vm: Entity) -> None:
    """Give the persistent images of a VM back."""
    for image in list(one.store.all("image")):
        if image.data.get("used_by") == vm.id:
            image.data["used_by"] = None
            one.store.put(image)


def release_leases(one: Oned, vm: Entity) -> None:
    for vnet in list(one.store.all("vnet")):
        if any(owner == ["VM", vm.id] for span in vnet.data["ranges"] for owner in span["leases"].values()):
            vnets.release(one, vnet, ["VM", vm.id])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# -- XML ----------------------------------------------------------------------------------------------------------
def vm_xml(one: Oned, vm: Entity, *, whole: bool = True) -> str:
    """Return a VM as one.vm.info answers it.

    With `whole` false it is as in one.vmpool.infoextended: without the monitoring and with the last history record only.
    """
    d = vm.data
    poll = d["last_poll"] if whole else 0
    monitoring = ""
    if whole and d["last_poll"]:
        values = {
            "CPU": 0,
            "DISKRDBYTES": 0,
            "DISKRDIOPS": 0,
            "DISKWRBYTES": 0,
            "DISKWRIOPS": 0,
            "ID": vm.id,
            "MEMORY": 0,
            "NETRX": 0,
            "NETTX": 0,
            "TIMESTAMP": d["last_poll"],
        }
        monitoring = "".join(f"<{name}>{cdata(str(value))}</{name}>" for name, value in values.items())
    history = d["history"] if whole else d["history"][-1:]
    records = "".join(_history_xml(vm, record) for record in history)
    return (
        f"<VM>{one.head_xml(vm)}{one.permissions_xml(vm)}<LAST_POLL>{poll}</LAST_POLL><STATE>{d['state']}</STATE>"
        f"<LCM_STATE>{d['lcm']}</LCM_STATE><PREV_STATE>{d['prev_state']}</PREV_STATE>"
        f"<PREV_LCM_STATE>{d['prev_lcm']}</PREV_LCM_STATE><RESCHED>0</RESCHED><STIME>{d['stime']}</STIME>"
        f"<ETIME>{d['etime']}</ETIME><DEPLOY_ID>{d['deploy_id']}</DEPLOY_ID><MONITORING>{monitoring}</MONITORING>"
        f"<SCHED_ACTIONS></SCHED_ACTIONS>{vm.template.xml()}{vm.user_template.xml('USER_TEMPLATE')}"
        + (f"<HISTORY_RECORDS>{records}</HISTORY_RECORDS>" if records else "<HISTORY_RECORDS/>")
        + "<BACKUPS><BACKUP_CONFIG/><BACKUP_IDS></BACKUP_IDS></BACKUPS></VM>"
    )


def _history_xml(vm: Entity, record: dict) -> str:
    r = record
    return (
        f"<HISTORY><OID>{vm.id}</OID><SEQ>{r['seq']}</SEQ><HOSTNAME>{r['host']}</HOSTNAME><HID>{r['hid']}</HID>"
        f"<CID>0</CID><STIME>{r['stime']}</STIME><ETIME>{r['etime']}</ETIME><VM_MAD>{cdata('dummy')}</VM_MAD>"
        f"<TM_MAD>{cdata('dummy')}</TM_MAD><DS_ID>100</DS_ID><PLAN_ID>-1</PLAN_ID><ACTION_ID>0</ACTION_ID>"
        f"<PSTIME>{r['pstime']}</PSTIME><PETIME>{r['petime']}</PETIME><RSTIME>{r['rstime']}</RSTIME>"
        f"<RETIME>{r['retime']}</RETIME><ESTIME>{r['estime']}</ESTIME><EETIME>{r['eetime']}</EETIME>"
        f"<ACTION>{r['action']}</ACTION><UID>{r['uid']}</UID><GID>{r['gid']}</GID><REQUEST_ID>{r['request']}</REQUEST_ID>"
        "</HISTORY>"
    )


# -- methods ------------------------------------------------------------------------------------------------------
@method("one.vm.info", "int", ("bool", False))
def info(one: Oned, user: Entity, number: int, decrypt: bool) -> str:
    return vm_xml(one, one.get(user, "vm", number))


def _pool(one: Oned, user: Entity, filter_flag: int, start: int, end: int, state: int, query: str) -> list[Entity]:
    if query:
        raise OneError("JSON query search is not supported by the SQL backend")
    chosen = []
    for vm in one.visible(user, "vm", filter_flag, start, end):
        current = vm.data["state"]
        if state == -2 or (state == -1 and current != DONE) or state == current:
            chosen.append(vm)
    return chosen


@method("one.vmpool.infoextended", "int", "int", "int", ("int", -1), ("string", ""))
def pool_extended(one: Oned, user: Entity, *arguments) -> str:
    return f"<VM_POOL>{''.join(vm_xml(one, vm, whole=False) for vm in _pool(one, user, *arguments))}</VM_POOL>"


@method("one.vm.update", "int", "string", ("int", 0), write=True)
def update(one: Oned, user: Entity, number: int, text: str, append: int) -> int:
    """Change the user template; OneFlow hears of the raw text (its ready gate matches in it)."""
    vm = one.get(user, "vm", number, "MANAGE")
    new = parse_template(text, ACTION)
    if append == 1:
        vm.user_template.merge(new)
    else:
        vm.user_template = new
    one.store.put(vm)
    one.publish("update", number, text)
    return number


@method("one.vm.action", "string", "int", write=True)
def action(one: Oned, user: Entity, name: str, number: int) -> int:
    vm = one.find("vm", number)
    one.authorize(user, (vm, "MANAGE"))
    if not one.vms.supports(name):
        raise OneError(f'Action "{name}" is not supported', ACTION)
    if error := one.vms.act(vm, name, user):
        raise OneError(f'Error performing action "{name}": {error}', ACTION)
    return number


@method("one.vm.recover", "int", "int", write=True)
def recover(one: Oned, user: Entity, number: int, operation: int) -> int:
    """0 failure, 1 success, 2 retry, 3 delete. Retry works on a VM that failed to boot."""
    vm = one.find("vm", number)
    one.authorize(user, (vm, "ADMIN" if operation in (3, 4, 5) else "MANAGE"))
    if operation in (3, 5):
        one.vms.delete(vm)
    elif operation in (1, 2) and (vm.data["state"], vm.data["lcm"]) == (ACTIVE, BOOT_FAILURE):
        one.vms.retry_boot(vm)
    else:
        raise OneError(f"Could not perform {'retry' if operation == 2 else 'recover'}, wrong state.", ACTION)
    return number


@method("one.vm.chown", "int", "int", "int", write=True)
def chown(one: Oned, user: Entity, number: int, uid: int, gid: int) -> int:
    return one.chown(user, "vm", number, uid, gid)
