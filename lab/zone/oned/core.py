# SPDX-License-Identifier: GPL-3.0-or-later
"""The core of the lab zone's oned: methods, sessions, permissions, errors.

The methods themselves are in the modules beside this one; each registers with :func:`method`.
OneFlow and OneGate of the zone call them through :meth:`Oned.call`, clients through the XML-RPC server; both get the same errors.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import re
import secrets
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

from ..config import ZoneConfig
from ..store import Entity, Store
from ..template_text import Template, TemplateError

log = logging.getLogger("lab.zone.oned")

AUTHENTICATION, AUTHORIZATION, NO_EXISTS, ACTION, INTERNAL = 256, 512, 1024, 2048, 8192

# kind in the store -> (name in "Error getting ...", name in "Not authorized to perform ...")
KINDS = {
    "vm": ("virtual machine", "VM"),
    "template": ("virtual machine template", "TEMPLATE"),
    "vnet": ("virtual network", "NET"),
    "vntemplate": ("virtual network template", "VNTEMPLATE"),
    "image": ("image", "IMAGE"),
    "document": ("document", "DOCUMENT"),
    "user": ("user", "USER"),
    "group": ("group", "GROUP"),
    "zone": ("zone", "ZONE"),
}
_ADMIN_KINDS = ("zone", "user", "group")  # not owned by anyone: only oneadmin changes them
_OPERATIONS = ("USE", "MANAGE", "ADMIN")


class OneError(Exception):
    """An error as oned answers it. `object_id` is the fourth element of the answer."""

    def __init__(self, text: str, code: int = INTERNAL, object_id: int = -1) -> None:
        super().__init__(text)
        self.text, self.code, self.object_id = text, code, object_id


class Fault(Exception):
    """An XML-RPC fault: the call did not reach a method."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


@dataclasses.dataclass(frozen=True)
class Method:
    name: str
    function: Callable[..., t.Any]
    parameters: tuple[t.Any, ...]  # "int", or ("int", default)
    write: bool  # refused while the zone is disabled
    federated: bool  # done by the federation master; a slave passes the call on


METHODS: dict[str, Method] = {}
_TYPES = {
    "int": (int, "integer"),
    "bool": (bool, "boolean"),
    "string": (str, "string"),
    "ints": (list, "array"),
}


def method(name: str, *parameters: t.Any, write: bool = False, federated: bool = False) -> Callable:
    """Register `function(one, user, *arguments)` as an XML-RPC method."""

    def register(function: Callable) -> Callable:
        METHODS[name] = Method(name, function, parameters, write or federated, federated)
        return function

    return register


def bind(spec: Method, arguments: tuple[t.Any, ...]) -> list[t.Any]:
    """Check number and types as xmlrpc-c does; surplus arguments are ignored. Raises Fault -501."""
    bound = []
    for index, parameter in enumerate(spec.parameters):
        kind, optional = (parameter[0], True) if isinstance(parameter, tuple) else (parameter, False)
        if index >= len(arguments):
            if not optional:
                raise Fault(-501, "Not enough parameters")
            bound.append(parameter[1])
            continue
        value = arguments[index]
        wanted, word = _TYPES[kind]
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise Fault(-501, f"Parameter that is supposed to be {word} is not")
        bound.append(value)
    return bound


class Oned:
    """State and rules of one zone."""

    def __init__(self, config: ZoneConfig, store: Store) -> None:
        self.config, self.store = config, store
        self.down = False  # a test stopped this component
        self.listeners: list[Callable[[tuple], None]] = []  # life-cycle events, see publish()
        self.vms: t.Any = None  # the VM life cycle, set by the server
        self.federation: t.Any = None
        if store.value("secret") is None:
            store.set_value("secret", secrets.token_hex(32))

    # -- calls --------------------------------------------------------------------------------------------------
    def call(self, user: Entity, name: str, *arguments: t.Any) -> t.Any:
        """Run a method of this zone as `user`. Raises OneError with the method's name in front of the text."""
        spec = METHODS[name]
        try:
            if self.down:
                raise OneError("Failed to open TCP connection", 0)
            if spec.write and self.disabled():
                raise OneError("Cannot process request, zone disabled")
            return spec.function(self, user, *bind(spec, arguments))
        except OneError as error:
            raise OneError(f"[{name}] {error.text}", error.code, error.object_id) from None

    def disabled(self) -> bool:
        zone = self.store.get("zone", self.config.zone_id)
        return bool(zone and zone.data.get("state"))

    def publish(self, *event: t.Any) -> None:
        """("state", vm id, state name, LCM state name) or ("update", vm id, raw text)."""
        for listener in list(self.listeners):
            listener(event)

    # -- users --------------------------------------------------------------------------------------------------
    def authenticate(self, session: str) -> Entity | None:
        name, _, password = session.partition(":")
        for user in self.store.all("user"):
            if user.name == name and user.data["enabled"]:
                return user if secrets.compare_digest(user.data["password"], digest(password)) else None
        return None

    def user(self, number: int) -> Entity:
        return self.store.get("user", number) or Entity("user", number, "")

    def user_name(self, number: int) -> str:
        return self.user(number).name

    def group_name(self, number: int) -> str:
        group = self.store.get("group", number)
        return group.name if group else ""

    # -- objects and permissions --------------------------------------------------------------------------------
    def find(self, kind: str, number: int) -> Entity:
        entity = self.store.get(kind, number)
        if entity is None:
            raise OneError(f"Error getting {KINDS[kind][0]} [{number}].", NO_EXISTS, number)
        return entity

    def allowed(self, user: Entity, entity: Entity, operation: str) -> bool:
        if user.id == 0 or 0 in user.data.get("groups", []):
            return True
        if entity.kind == "user":
            return entity.id == user.id
        if entity.kind in _ADMIN_KINDS:
            return operation == "USE"
        bit = 4 >> _OPERATIONS.index(operation)
        owner, group, other = (int(digit) for digit in entity.mode)
        return bool(
            (entity.uid == user.id and owner & bit) or (entity.gid in user.data.get("groups", []) and group & bit) or other & bit
        )

    def authorize(self, user: Entity, *wanted: tuple[Entity, str]) -> None:
        """Raise OneError unless each (entity, operation) is allowed; it names all that are not."""
        refused = [
            f"Not authorized to perform {operation} {KINDS[entity.kind][1]} [{entity.id}]"
            for entity, operation in wanted
            if not self.allowed(user, entity, operation)
        ]
        if refused:
            raise OneError(f"User [{user.id}] : {'; '.join(refused)}.", AUTHORIZATION)

    def authorize_create(self, user: Entity, kind: str) -> None:
        if kind in _ADMIN_KINDS and user.id != 0 and 0 not in user.data.get("groups", []):
            raise OneError(f"User [{user.id}] : Not authorized to perform CREATE {KINDS[kind][1]}.", AUTHORIZATION)

    def get(self, user: Entity, kind: str, number: int, operation: str = "USE") -> Entity:
        entity = self.find(kind, number)
        self.authorize(user, (entity, operation))
        return entity

    def visible(self, user: Entity, kind: str, filter_flag: int = -2, start: int = -1, end: int = -1) -> list[Entity]:
        """Return a pool as oned lists it: descending ids. Filter: -4 group, -3 own, -2 all, -1 own and groups', >=0 that user."""
        groups = user.data.get("groups", [])
        chosen = []
        for entity in reversed(list(self.store.all(kind))):
            if filter_flag == -3 and entity.uid != user.id or filter_flag >= 0 and entity.uid != filter_flag:
                continue
            if filter_flag == -4 and entity.gid not in groups:
                continue
            if filter_flag == -1 and entity.uid != user.id and entity.gid not in groups:
                continue
            if start >= 0 and (entity.id < start or 0 <= end < entity.id):
                continue
            if self.allowed(user, entity, "USE"):
                chosen.append(entity)
        if start < -1:  # a page: -offset, -size
            return chosen[-start:][:-end]
        return chosen

    # -- shared pieces of answers -------------------------------------------------------------------------------
    def head_xml(self, entity: Entity) -> str:
        return (
            f"<ID>{entity.id}</ID><UID>{entity.uid}</UID><GID>{entity.gid}</GID>"
            f"<UNAME>{self.user_name(entity.uid)}</UNAME><GNAME>{self.group_name(entity.gid)}</GNAME>"
            f"<NAME>{entity.name}</NAME>"
        )

    @staticmethod
    def permissions(entity: Entity) -> dict[str, str]:
        bits = {}
        for who, digit in zip(("OWNER", "GROUP", "OTHER"), entity.mode, strict=True):
            for letter, bit in (("U", 4), ("M", 2), ("A", 1)):
                bits[f"{who}_{letter}"] = "1" if int(digit) & bit else "0"
        return bits

    def permissions_xml(self, entity: Entity) -> str:
        inner = "".join(f"<{name}>{bit}</{name}>" for name, bit in self.permissions(entity).items())
        return f"<PERMISSIONS>{inner}</PERMISSIONS>"

    # -- operations that all owned objects share ----------------------------------------------------------------
    def rename(self, user: Entity, kind: str, number: int, name: str) -> int:
        entity = self.get(user, kind, number, "MANAGE")
        check_characters(name)
        entity.name = check_name(name, ACTION)
        self.store.put(entity)
        return number

    def chmod(self, user: Entity, kind: str, number: int, bits: list[int]) -> int:
        """`bits` are the nine flags owner/group/other use/manage/admin; -1 leaves one as it is."""
        entity = self.get(user, kind, number, "MANAGE")
        current = [int(bit) for bit in self.permissions(entity).values()]
        wanted = [old if new < 0 else int(bool(new)) for old, new in zip(current, bits, strict=True)]
        entity.mode = "".join(str(4 * u + 2 * m + a) for u, m, a in zip(*[iter(wanted)] * 3, strict=True))
        self.store.put(entity)
        return number

    def chown(self, user: Entity, kind: str, number: int, uid: int, gid: int) -> int:
        entity = self.find(kind, number)
        self.authorize(user, (entity, "ADMIN" if uid >= 0 and uid != entity.uid else "MANAGE"))
        for wanted, other in ((uid, "user"), (gid, "group")):
            if wanted >= 0:
                self.find(other, wanted)
        entity.uid, entity.gid = uid if uid >= 0 else entity.uid, gid if gid >= 0 else entity.gid
        self.store.put(entity)
        return number

    def update_template(self, user: Entity, kind: str, number: int, text: str, append: int) -> int:
        entity = self.get(user, kind, number, "MANAGE")
        new = parse_template(text, ACTION)
        if append == 1:
            entity.template.merge(new)
        else:
            entity.template = new
        self.store.put(entity)
        return number

    def unique_name(self, kind: str, name: str, uid: int | None, label: str, code: int = INTERNAL) -> None:
        for other in self.store.all(kind):
            if other.name == name and (uid is None or other.uid == uid):
                raise OneError(f"NAME is already taken by {label} {other.id}.", code)


def parse_template(text: str, code: int = INTERNAL) -> Template:
    try:
        return Template.parse(text)
    except TemplateError as error:
        raise OneError(f"Parse error: {error}" if str(error) else "Parse error.", code) from None


def check_name(name: str, code: int = INTERNAL) -> str:
    if not name:
        raise OneError("Invalid NAME, it cannot be empty", code)
    check_length(name, "Invalid NAME, max length is 128 chars." if code == ACTION else TOO_LONG, code)
    return name


TOO_LONG = "NAME is too long; max length is 128 chars."
_FORBIDDEN = re.compile("[&|:\\\\\";/'#{}$<>\t]")


def check_length(name: str, text: str = TOO_LONG, code: int = INTERNAL) -> None:
    """Raise OneError for a name of more than 128 bytes: the words say characters, oned counts bytes (measured on 7.4.0)."""
    if len(name.encode()) > 128:
        raise OneError(text, code)


def check_characters(name: str, code: int = ACTION) -> None:
    """Raise OneError for a character that renames and one.zone.allocate refuse (measured on 7.4.0; the words are the source's)."""
    if found := _FORBIDDEN.search(name):
        raise OneError(f"Invalid NAME, char '{found.group()}' is not allowed", code)


def digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def now() -> int:
    return int(time.time())


def read_auth_file(path: str) -> tuple[str, str]:
    name, separator, password = Path(path).read_text().strip().partition(":")
    if not separator:
        raise ValueError(f"{path}: not of the form user:password")
    return name, password
