# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to do about an answer of OpenNebula, without I/O: its own words to a sentence.

OpenNebula says what it did not like, seldom what would help; some of its answers are a Ruby exception. The first pattern
that is found in the text decides.
"""

from __future__ import annotations

import re

_HINTS: tuple[tuple[str, str], ...] = (
    # rights and credentials
    (
        r"Not authorized to perform",
        "The user lacks that right: let its owner or oneadmin grant it (owner, group, mode), or use another user.",
    ),
    (r"couldn't be authenticated|Invalid credentials|username and password must be", "Check username and password, or auth_file."),
    # zones
    (r"zone disabled", "Enable the zone with onezone, at that zone's own endpoint."),
    (r"federation master", "Writes to users and zones need the master zone's oned: is it running, and reachable from this zone?"),
    (r"through the target zone", "Send this call to the zone's own endpoint; is the ENDPOINT of the zone in the pool right?"),
    (r"System Zones", "Zones with an id below 100 are part of the installation and stay."),
    (r"collides with", "Names of zones are unique in the federation: choose another."),
    (r"is already taken", "Choose another name, or change the object that has it."),
    (r"ENDPOINT not present", "Give zone_endpoint."),
    # what has to be in a request
    (r"Invalid NAME", "Choose a name without & | : \\ \" ; / ' # { } $ < > and tabs, of at most 128 bytes."),
    (r"max length is|You have to specify a name|'name' must be a String", "Give a name of 1 to 128 bytes."),
    (
        r"XML Template malformed",
        "Something in the request breaks OpenNebula's XML: take '<', '&' and ']]>' out of names and values.",
    ),
    (r"Parse error", "The attributes cannot be written that way: check quotes and brackets of the values."),
    (r"must match regexp", "Names of roles have letters, digits and underscores only."),
    (r"is repeated", "Every role needs a name of its own."),
    (r"'cardinality' must be|(Minimum|Maximum) cardinality", "Keep cardinality within min_vms and max_vms, or say force_scale."),
    (
        r"Mandatory document key|must be an? (Object|Array|String|Integer)|must be one of|is not allowed in|greater than or equal",
        "Correct that field of the body.",
    ),
    (
        r"unexpected token|undefined method|no implicit conversion|can't convert",
        "OneFlow failed over the request itself: is its version one that this collection knows (6.10, 7.x)?",
    ),
    (r"User Inputs? |user inputs|custom attribute", "Give a value for every input that the template declares."),
    (r"networks?_values?|networks format", "Give a value for every network that the template declares (networks_values)."),
    (r"You have to specify|Missing template", "The request lacks that parameter."),
    # states
    (r"cannot be undeployed in state: (FAILED_\w+)", "Recover with delete removes it (state=absent of oneflow_service does that)."),
    (r"cannot be (scaled|undeployed|updated) in state", "Wait until the service is RUNNING, or recover it."),
    (r"cannot be recovered in state", "There is nothing to recover; look at the state first."),
    (r"no roles in HOLD", "Nothing is on hold; there is nothing to release."),
    (r"Role '?[\w-]+'? not found", "Check the name of the role."),
    (r"Error undeploying", "A VM or network refuses to go: look at its own log, then remove it there or try again."),
    (r"Immutable value|use rename operation", "OpenNebula fixes this when the object is made; make a new one, or rename it."),
    (r"not supported by the SQL backend", "This search needs MySQL behind OpenNebula."),
    (
        r"is not supported|Action \S+ not supported|not defined|Not enough parameters|Parameter that is supposed",
        "This OpenNebula does not know the call: is its version one that this collection knows (6.10, 7.x)?",
    ),
    (r"belongs to another kind|\[DocumentInfo\] Error getting", "The id exists but belongs to another kind of document."),
    (
        r"Error getting (virtual network template|virtual machine template|image|virtual network)",
        "Check that id; one_resource_info finds templates and networks by name.",
    ),
    (r"Error getting", "It is gone, was never there, or is in another zone: check the id and the endpoint."),
)
_PATTERNS = tuple((re.compile(pattern), hint) for pattern, hint in _HINTS)


def hint_for(text: str) -> str | None:
    """Return what to do about the server's text, None when it is unknown."""
    return next((hint for pattern, hint in _PATTERNS if pattern.search(text)), None)
