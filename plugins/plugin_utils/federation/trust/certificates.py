# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates that a SuperLink publishes: may the sites trust them? Pure, over the library cryptography."""

from __future__ import annotations

import base64
import binascii
import datetime
from dataclasses import dataclass

# A CA certificate must be good for at least this many days more; renewing one takes an operator's time.
MINIMUM_VALIDITY_DAYS = 30


@dataclass(frozen=True)
class Authority:
    """A CA certificate that is fit to be trusted: PEM, subject (RFC 4514), end of validity, SHA-256 fingerprint in hexadecimal."""

    pem: str
    subject: str
    not_after: str
    fingerprint: str


def authority(encoded: str, now: datetime.datetime, minimum_days: int = MINIMUM_VALIDITY_DAYS) -> Authority:
    """Return the CA certificate in `encoded`, base64 of PEM. `now` is aware of its time zone.

    Raises ValueError with the reason why it is not fit: not one certificate, no CA, not valid now, or not for long enough.
    """
    # The controller imports this in every run; the library is needed only where there is a certificate.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    if not encoded:
        raise ValueError("the SuperLink published no CA certificate")
    try:
        pem = base64.b64decode(encoded, validate=True)
        (certificate,) = x509.load_pem_x509_certificates(pem)
    except (binascii.Error, ValueError):
        raise ValueError("what the SuperLink published is not base64 of one PEM certificate") from None
    try:
        is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        is_ca = False
    if not is_ca:
        raise ValueError("the certificate that the SuperLink published is not one of a CA")
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        raise ValueError(f"the CA certificate is not valid before {begin:%Y-%m-%d %H:%M} UTC")
    if end < now + datetime.timedelta(days=minimum_days):
        raise ValueError(f"the CA certificate is valid until {end:%Y-%m-%d %H:%M} UTC; {minimum_days} days more are needed")
    return Authority(
        pem.decode("ascii"),
        certificate.subject.rfc4514_string(),
        f"{end:%Y-%m-%dT%H:%M:%SZ}",
        certificate.fingerprint(hashes.SHA256()).hex(),
    )


def issued(leaf: str, authority_pem: str) -> str:
    """Return the SHA-256 fingerprint, in hexadecimal, of a server certificate that the CA issued.

    `leaf` is base64 of DER, `authority_pem` base64 of PEM. Raises ValueError with the reason why it is not proven.
    """
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes

    if not leaf:
        raise ValueError("not tried")
    try:
        found = x509.load_der_x509_certificate(base64.b64decode(leaf, validate=True))
        ca = x509.load_pem_x509_certificate(base64.b64decode(authority_pem, validate=True))
        found.verify_directly_issued_by(ca)
    except (InvalidSignature, TypeError):
        raise ValueError("a certificate that the SuperLink's CA did not sign") from None
    except (binascii.Error, ValueError):
        raise ValueError("a certificate that cannot be held against the SuperLink's CA") from None
    return found.fingerprint(hashes.SHA256()).hex()
