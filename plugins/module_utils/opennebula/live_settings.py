# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live settings of the Flower appliance in the VMs of a service: what differs, what is in force, what is shown of it."""

from __future__ import annotations

import base64
import hashlib
import re
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes, settings

from .answers import as_dict
from .errors import InvalidRequest, NotFound
from .services import Service
from .session import Session
from .template_text import equal
from .vms import Vm

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class FlowerVm:
    """One VM of the appliance. role is the appliance's; context is what OpenNebula handed it at its boot."""

    vm: Vm
    role: str
    context: Mapping[str, t.Any]

    def value(self, name: str) -> str:
        """Return the setting that it was given last: the user attribute, else CONTEXT, else the default."""
        for given in (self.vm.attributes, self.context):
            if name in given:
                return filled(name, given[name])
        return filled(name, "")

    @property
    def digest(self) -> str:
        """Digest of the settings that are in force, "" while they are being put in force."""
        return str(self.vm.attributes.get(attributes.SETTINGS_DIGEST) or "")

    @property
    def ready(self) -> bool:
        """Whether it does its work."""
        return self.vm.attributes.get(attributes.READY) == attributes.YES

    @property
    def partition(self) -> str:
        """The partition that it holds, "" while it holds none."""
        return str(self.vm.attributes.get(attributes.PARTITION) or "")

    def in_force(self, values: Mapping[str, str]) -> bool:
        """Tell whether it works, and with these settings."""
        return self.ready and not self.vm.down and self.digest == settings.digest(self.role, values)

    def differing(self, values: Mapping[str, str], partitions: str | None) -> dict[str, tuple[str, str]]:
        """Return (as it is, as it is to be) by name, for all live settings: one that is not in values has its default.

        partitions is for a SuperNode that holds none yet.
        """
        wanted = {
            entry.name: filled(entry.name, values.get(entry.name))
            for entry in settings.of_role(self.role)
            if entry.live and entry.name != settings.PARTITIONS
        }
        if partitions is not None and self.role == settings.SUPERNODE and not self.partition:
            wanted[settings.PARTITIONS] = partitions
        return {name: (self.value(name), want) for name, want in wanted.items() if not equal(self.value(name), want)}


def filled(name: str, value: t.Any) -> str:
    """Return a setting's value as text, the default for none."""
    return str("" if value is None else value).strip() or settings.BY_NAME[name].default


def check(values: Mapping[str, t.Any], partitions: str | None) -> dict[str, str]:
    """Return the values as text. Raises InvalidRequest that names all that cannot be."""
    given = {name: str("" if value is None else value).strip() for name, value in values.items()}
    faults = []
    for name, value in given.items():
        setting = settings.BY_NAME.get(name)
        if setting is None or not setting.live:
            faults.append(f"{name}: is no live setting; there is {', '.join(settings.LIVE)}")
        elif name == settings.PARTITIONS:
            faults.append(f"{name}: goes into the option partitions")
        elif fault := setting.fault(value):
            faults.append(f"{name}: {fault}")
    fault = settings.BY_NAME[settings.PARTITIONS].fault(partitions) if partitions is not None else None
    if fault:
        faults.append(f"partitions: {fault}")
    if faults:
        raise InvalidRequest("; ".join(faults))
    return given


def check_role(role: str, values: Mapping[str, str]) -> None:
    """Raise InvalidRequest for values that the role does not have, or that contradict each other."""
    own = {entry.name: entry.default for entry in settings.of_role(role)}
    faults = [f"{name}: {role} has no such setting" for name in values if name not in own]
    needed = [
        entry.name for entry in settings.of_role(role) if entry.live and entry.mandatory and entry.name != settings.PARTITIONS
    ]
    faults += [f"{name}: is mandatory and has no value" for name in needed if not values.get(name)]
    whole = {**own, **{name: filled(name, value) for name, value in values.items()}}
    faults += [f"{name}: {fault}" for name, fault in settings.contradictions(whole).items()]
    if faults:
        raise InvalidRequest("; ".join(faults))


def read(session: Session, service: Service) -> list[FlowerVm]:
    """Return the VMs of the appliance, by id. The roles of the service are called as the appliance's are. Raises NotFound."""
    roles = [role for role in service.roles if role.name in settings.ROLES]
    if not roles:
        raise NotFound(f"{service.title} has no role {' or '.join(settings.ROLES)}", endpoint=session.flow.endpoint)
    role_of = {node.vm_id: role.name for role in roles for node in role.nodes if node.vm_id >= 0}
    documents = session.vms_by_id(list(role_of))
    found = []
    for number, role in sorted(role_of.items()):
        if number in documents:
            context = as_dict(as_dict(documents[number].get("TEMPLATE")).get("CONTEXT"))
            found.append(FlowerVm(Vm.from_document(documents[number]), role, context))
    return found


def shown(name: str, value: str) -> str:
    """Return a value for people: certificates by their fingerprints."""
    setting = settings.BY_NAME.get(name)
    return fingerprints(value) if value and setting is not None and setting.type == "text64" else value


def fingerprints(value: str) -> str:
    """Return the SHA-256 of every certificate in a text of appliance.settings.format_pem, of the text where there is none."""
    try:
        bodies = _CERTIFICATE.findall(settings.parse_pem(value).decode("ascii"))
        ders = [base64.b64decode("".join(body.split()), validate=True) for body in bodies]
    except ValueError:
        ders = []
    return ", ".join(f"sha256:{hashlib.sha256(der).hexdigest()}" for der in ders or [value.encode()])


def shown_differences(differing: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, str]]:
    """Return {name: {before, after}} for people."""
    return {name: {"before": shown(name, old), "after": shown(name, new)} for name, (old, new) in differing.items()}


def shown_settings(machine: FlowerVm) -> dict[str, str]:
    """Return the live settings that a VM was given last, for people."""
    return {entry.name: shown(entry.name, machine.value(entry.name)) for entry in settings.of_role(machine.role) if entry.live}
