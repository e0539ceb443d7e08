# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates for the tests of the federation: real ones, made once."""

from __future__ import annotations

import base64
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOW = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)
_NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Flower CA")])


def _made(name: x509.Name, key: ec.EllipticCurvePrivateKey, issuer_key: ec.EllipticCurvePrivateKey, days: int, *, ca: bool):
    begin = NOW - datetime.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(_NAME)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )


def authority(*, days: int = 365, ca: bool = True) -> str:
    """Return base64 of PEM of a certificate that is valid from the day before NOW."""
    key = ec.generate_private_key(ec.SECP256R1())
    return base64.b64encode(_made(_NAME, key, key, days, ca=ca).public_bytes(serialization.Encoding.PEM)).decode()


def pair() -> tuple[str, bytes]:
    """Return a CA, base64 of PEM, and a server certificate of it, DER."""
    key, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    leaf = _made(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "SuperLink")]), own, key, 90, ca=False)
    pem = _made(_NAME, key, key, 365, ca=True).public_bytes(serialization.Encoding.PEM)
    return base64.b64encode(pem).decode(), leaf.public_bytes(serialization.Encoding.DER)


CA, LEAF = pair()
OTHER_CA, OTHER_LEAF = pair()
