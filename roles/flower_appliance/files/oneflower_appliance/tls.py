# SPDX-License-Identifier: GPL-3.0-or-later
"""The SuperLink's certificates, and what a SuperNode checks before it trusts one.

ECDSA P-256: what both TLS libraries in use (BoringSSL in gRPC, OpenSSL in Python) accept.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .appliance import settings
from .paths import write_atomic

CA_DAYS, LEAF_DAYS, RENEW_DAYS = 3652, 397, 30
NEW_CA = "remove ca.key and ca.crt there to make a new one"
# Clocks of other sites may be behind.
BACKDATED = datetime.timedelta(hours=1)


class Untrusted(Exception):
    """A CA certificate that cannot be used, with the reason."""


def utcnow() -> datetime.datetime:
    """Return the time now, in UTC and whole seconds."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def fingerprint(certificate_der: bytes) -> str:
    """Return the SHA-256 of a certificate, lower-case hex."""
    return hashlib.sha256(certificate_der).hexdigest()


def parse_sans(entries: Iterable[str]) -> list[x509.GeneralName]:
    """Read "DNS:name" and "IP:address" entries, without repetitions. Raises ValueError."""
    names: dict[str, x509.GeneralName] = {}
    for entry in entries:
        kind, _colon, value = entry.strip().partition(":")
        if kind == "IP":
            address = ipaddress.ip_address(value)
            names.setdefault(f"IP:{address}", x509.IPAddress(address))
        elif kind == "DNS":
            names.setdefault(f"DNS:{value.lower()}", x509.DNSName(value.lower()))
        else:
            raise ValueError(f"subject alternative name {entry!r}")
    return list(names.values())


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the names in a certificate, such as ("DNS:localhost", "IP:127.0.0.1")."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(
        f"{'DNS' if isinstance(name, x509.DNSName) else 'IP'}:{name.value}"
        for name in names
        if isinstance(name, (x509.DNSName, x509.IPAddress))
    )


def make_ca(now: datetime.datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Make a new CA that may sign end-entity certificates only."""
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = _name(f"Flower SuperLink CA {identifier.digest.hex()[:8]}")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def make_leaf(
    ca_key: ec.EllipticCurvePrivateKey, ca: x509.Certificate, sans: Iterable[str], name: str, now: datetime.datetime
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Make a new server certificate of the CA with the names `sans`."""
    key = ec.generate_private_key(ec.SECP256R1())
    ca_identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(min(now + datetime.timedelta(days=LEAF_DAYS), ca.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(parse_sans(sans)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_identifier), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return key, certificate


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def usable(
    leaf: x509.Certificate, key: ec.EllipticCurvePrivateKey, ca: x509.Certificate, sans: Iterable[str], now: datetime.datetime
) -> bool:
    """Tell whether a server certificate still is what would be made now: names, issuer, key, and 30 days left."""
    try:
        leaf.verify_directly_issued_by(ca)
        wanted = {(type(name), name.value) for name in parse_sans(sans)}
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return (
            {(type(name), name.value) for name in found} == wanted
            and leaf.public_key() == key.public_key()
            and leaf.not_valid_before_utc <= now
            and leaf.not_valid_after_utc - now >= datetime.timedelta(days=RENEW_DAYS)
        )
    except Exception:  # any fault in it means: make a new one
        return False


@dataclass(frozen=True)
class ServerCertificate:
    """What the SuperLink serves with."""

    ca_pem: bytes
    sans: tuple[str, ...]
    fingerprint: str


def ensure(state: Path, tls: Path, sans: list[str], name: str, group: int, now: datetime.datetime) -> ServerCertificate:
    """Ensure the SuperLink's CA and server certificate on disk; the server's is renewed where it is not `usable`.

    The CA's key stays in `state` (root only); in `tls` the service user may read the server's key through `group`.
    Raises Untrusted when the CA on disk is damaged or expired: a new one would lock out every site, so that is the
    operator's decision.
    """
    ca_key_path, ca_path = state / "ca.key", state / "ca.crt"
    if not ca_key_path.exists() and not ca_path.exists():
        key, made = make_ca(now)
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The certificate last: a key without one is a CA that was never used.
        write_atomic(ca_key_path, _key_pem(key), 0o600)
        write_atomic(ca_path, _pem(made), 0o644)
    elif not ca_path.exists():
        ca_key_path.unlink()
        return ensure(state, tls, sans, name, group, now)
    try:
        ca = x509.load_pem_x509_certificate(ca_path.read_bytes())
        ca_key = serialization.load_pem_private_key(ca_key_path.read_bytes(), None)
        if not isinstance(ca_key, ec.EllipticCurvePrivateKey) or ca_key.public_key() != ca.public_key():
            raise ValueError("key and certificate are not a pair")
    except (OSError, ValueError, TypeError) as error:
        raise Untrusted(f"the CA in {state} cannot be used: {error}; {NEW_CA}") from None
    if ca.not_valid_after_utc <= now:
        raise Untrusted(f"the CA in {state} expired on {ca.not_valid_after_utc:%Y-%m-%d}; {NEW_CA}")

    leaf_path, leaf_key_path = tls / "server.crt", tls / "server.key"
    try:
        leaf = x509.load_pem_x509_certificate(leaf_path.read_bytes())
        leaf_key = serialization.load_pem_private_key(leaf_key_path.read_bytes(), None)
        if not isinstance(leaf_key, ec.EllipticCurvePrivateKey) or not usable(leaf, leaf_key, ca, sans, now):
            raise ValueError("the server certificate cannot be used any more")
    except (OSError, ValueError, TypeError):
        leaf_key, leaf = make_leaf(ca_key, ca, sans, name, now)
    write_atomic(tls / "ca.crt", _pem(ca), 0o644)
    write_atomic(leaf_key_path, _key_pem(leaf_key), 0o640, (0, group))
    write_atomic(leaf_path, _pem(leaf), 0o644)
    return ServerCertificate(_pem(ca), names_of(leaf), fingerprint(leaf.public_bytes(serialization.Encoding.DER)))


def ca_bundle(text: str, now: datetime.datetime) -> bytes:
    """Return the CA setting as PEM: one or more CA certificates, each valid now. Raises Untrusted with the reason."""
    try:
        certificates = x509.load_pem_x509_certificates(settings.parse_pem(text))
    except ValueError as error:
        raise Untrusted(f"is not base64 of PEM certificates: {error}") from None
    for certificate in certificates:
        subject = certificate.subject.rfc4514_string()
        try:
            constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        except x509.ExtensionNotFound:
            constraints = None
        if constraints is None or not constraints.ca:
            raise Untrusted(f"holds {subject}, which is not a CA certificate")
        if certificate.not_valid_after_utc <= now:
            raise Untrusted(f"holds {subject}, which expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
        if certificate.not_valid_before_utc > now:
            raise Untrusted(
                f"holds {subject}, which is valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on"
                f" (this VM's clock says {now:%Y-%m-%d %H:%M})"
            )
    return b"".join(_pem(certificate) for certificate in certificates)


class Unreachable(Exception):
    """A handshake that failed. `final` is whether waiting cannot help: the certificate itself is at fault."""

    def __init__(self, reason: str, *, final: bool):
        super().__init__(reason)
        self.final = final


def handshake(host: str, port: int, ca_pem: bytes | None, timeout_s: float = 5.0) -> str:
    """Connect as Flower will, and return the fingerprint of the verified server certificate ("" without TLS).

    `ca_pem` None: TLS is off and only the connection is made. Raises Unreachable.
    """
    where = f"{host}:{port}"
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as plain:
            if ca_pem is None:
                return ""
            trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            trust.load_verify_locations(cadata=ca_pem.decode("ascii"))
            trust.set_alpn_protocols(["h2"])
            with trust.wrap_socket(plain, server_hostname=host) as secure:
                return fingerprint(secure.getpeercert(binary_form=True) or b"")
    except ssl.SSLCertVerificationError as error:
        reason = error.verify_message.rstrip(".")
        if "mismatch" in reason:
            reason = f"its certificate is not for this address ({reason})"
        elif "expired" in reason or "not yet valid" in reason:
            reason = f"its certificate is not valid now ({reason})"
        else:
            reason = f"its certificate was not signed by the CA in {settings.CA_CERTIFICATE} ({reason})"
        raise Unreachable(f"SuperLink {where} is not trusted: {reason}", final=True) from None
    except ssl.SSLError as error:
        raise Unreachable(f"SuperLink {where} makes no TLS handshake: {error.reason or error}", final=False) from None
    except socket.gaierror:
        raise Unreachable(f"SuperLink {where} cannot be reached: its name does not resolve", final=False) from None
    except TimeoutError:
        raise Unreachable(f"SuperLink {where} cannot be reached: no answer within {timeout_s:.0f} s", final=False) from None
    except OSError as error:
        raise Unreachable(f"SuperLink {where} cannot be reached: {error.strerror or error}", final=False) from None
