#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: tls_probe
short_description: Make one verified TLS handshake from a host
version_added: "0.1.0"
description:
  - Connects from the managed host to an address, makes a TLS handshake and verifies the certificate against the given CA
    certificates and the name or address dialled. Nothing is sent over the connection.
  - The CA certificates are handed over in memory; nothing is written on the host.
author:
  - oneflower.federation contributors (@oneflower)
requirements:
  - Python 3.9 or newer on the host
attributes:
  check_mode:
    description: Can run in check mode; it changes nothing.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
options:
  host:
    description: Name or address to dial, which the certificate must name.
    type: str
    required: true
  port:
    description: TCP port.
    type: int
    required: true
  ca_certificates:
    description: One or more CA certificates in PEM format. No other CA is trusted.
    type: str
    required: true
  timeout:
    description: Seconds for the connection and for the handshake.
    type: float
    default: 5
  fail:
    description: Whether the task fails when the handshake does. Otherwise read RV(verified).
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Prove that the SuperLink can be reached and trusted from this gateway
  oneflower.federation.tls_probe:
    host: 10.10.10.5
    port: 9092
    ca_certificates: "{{ lookup('ansible.builtin.file', 'ca.pem') }}"
"""

RETURN = r"""
verified:
  description: Whether the certificate was verified.
  returned: always
  type: bool
fingerprint:
  description: SHA-256 fingerprint of the server's certificate in lower-case hexadecimal digits.
  returned: when verified
  type: str
subject_alt_names:
  description: Names in the certificate, as C(DNS:name) or C(IP:address).
  returned: when verified
  type: list
  elements: str
not_after:
  description: End of the certificate's validity, as the certificate states it.
  returned: when verified
  type: str
seconds:
  description: Time from the first packet to the verified handshake.
  returned: when verified
  type: float
error:
  description: Why there was no verified handshake.
  returned: when not verified
  type: str
"""

import hashlib
import socket
import ssl
import time

from ansible.module_utils.basic import AnsibleModule


def probe(host, port, ca_certificates, timeout):
    """Make one handshake with `host`:`port`; raise OSError (which ssl.SSLError is) with the reason."""
    context = ssl.create_default_context(cadata=ca_certificates)
    context.set_alpn_protocols(["h2"])
    started = time.monotonic()
    with socket.create_connection((host, port), timeout=timeout) as tcp, context.wrap_socket(tcp, server_hostname=host) as tls:
        seconds = time.monotonic() - started
        certificate = tls.getpeercert()
        leaf = tls.getpeercert(binary_form=True)
    return {
        "verified": True,
        "fingerprint": hashlib.sha256(leaf).hexdigest(),
        "subject_alt_names": [
            f"{'IP' if kind == 'IP Address' else kind}:{name}" for kind, name in certificate.get("subjectAltName", ())
        ],
        "not_after": certificate.get("notAfter"),
        "seconds": round(seconds, 3),
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "ca_certificates": {"type": "str", "required": True},
            "timeout": {"type": "float", "default": 5},
            "fail": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    where = f"{module.params['host']}:{module.params['port']}"
    try:
        found = probe(*(module.params[name] for name in ("host", "port", "ca_certificates", "timeout")))
    except OSError as error:
        reason = getattr(error, "verify_message", "") or str(error)
        if module.params["fail"]:
            module.fail_json(msg=f"No verified TLS handshake with {where}: {reason}", verified=False, error=reason)
        module.exit_json(changed=False, verified=False, error=reason)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
