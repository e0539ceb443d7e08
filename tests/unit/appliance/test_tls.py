# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates: kept while they are good, replaced by the same CA when not, and verified by a real handshake."""

from __future__ import annotations

import base64
import datetime
import os
import socket
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from oneflower_appliance import tls

SANS = ["DNS:localhost", "IP:127.0.0.1", "IP:10.10.10.5"]
NOW = tls.utcnow()


@pytest.fixture
def make(tmp_path):
    def ensure(sans=SANS, now=NOW):
        return tls.ensure(tmp_path / "state", tmp_path / "tls", list(sans), "superlink", os.getgid(), now)

    return ensure


def leaf_of(tmp_path):
    return x509.load_pem_x509_certificate((tmp_path / "tls" / "server.crt").read_bytes())


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


def test_what_is_made(make, tmp_path):
    made = make()
    ca, leaf = x509.load_pem_x509_certificate(made.ca_pem), leaf_of(tmp_path)
    assert extension(ca, x509.BasicConstraints).value.ca and extension(ca, x509.BasicConstraints).critical
    assert extension(ca, x509.KeyUsage).value.key_cert_sign
    assert not extension(leaf, x509.BasicConstraints).value.ca
    assert list(extension(leaf, x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert isinstance(leaf.public_key().curve, ec.SECP256R1)
    assert leaf.not_valid_after_utc - NOW == datetime.timedelta(days=397)
    assert made.sans == "DNS:localhost,IP:127.0.0.1,IP:10.10.10.5"
    leaf.verify_directly_issued_by(ca)


def test_keys_are_not_for_everybody(make, tmp_path):
    make()
    assert (tmp_path / "state" / "ca.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "tls" / "server.key").stat().st_mode & 0o777 == 0o640
    assert not (tmp_path / "tls" / "ca.key").exists()


def test_a_reboot_keeps_everything(make):
    assert make() == make(now=NOW + datetime.timedelta(days=1)) == make(sans=reversed(SANS))


def test_new_names_mean_a_new_leaf_of_the_same_ca(make):
    first, second = make(), make(sans=[*SANS, "IP:10.10.10.6"])
    assert first.ca_pem == second.ca_pem
    assert first.fingerprint != second.fingerprint and second.sans.endswith("IP:10.10.10.6")


@pytest.mark.parametrize(("days", "kept"), [(366, True), (368, False)])
def test_renewed_with_less_than_thirty_days_left(make, days, kept):
    first, second = make(), make(now=NOW + datetime.timedelta(days=days))
    assert first.ca_pem == second.ca_pem
    assert (first.fingerprint == second.fingerprint) is kept


def test_a_lost_leaf_key_is_replaced(make, tmp_path):
    first = make()
    (tmp_path / "tls" / "server.key").unlink()
    assert make().fingerprint != first.fingerprint


def test_a_damaged_ca_is_left_to_the_operator(make, tmp_path):
    make()
    (tmp_path / "state" / "ca.key").write_text("rubbish")
    with pytest.raises(tls.Untrusted, match="cannot be used"):
        make()


def encoded(pem):
    return base64.b64encode(pem).decode()


def test_only_a_valid_ca_is_trusted(make, tmp_path):
    made = make()
    assert tls.ca_bundle(encoded(made.ca_pem), NOW) == made.ca_pem
    with pytest.raises(tls.Untrusted, match="not a CA"):
        tls.ca_bundle(encoded((tmp_path / "tls" / "server.crt").read_bytes()), NOW)
    with pytest.raises(tls.Untrusted, match="expired"):
        tls.ca_bundle(encoded(made.ca_pem), NOW + datetime.timedelta(days=4000))
    with pytest.raises(tls.Untrusted, match="clock"):
        tls.ca_bundle(encoded(made.ca_pem), NOW - datetime.timedelta(days=2))
    with pytest.raises(tls.Untrusted, match="base64"):
        tls.ca_bundle("%%%", NOW)


@pytest.fixture
def serve(tmp_path):
    """A TLS server with the certificate on disk, for any number of connections; returns its port."""
    sockets = []

    def start():
        settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        settings.load_cert_chain(tmp_path / "tls" / "server.crt", tmp_path / "tls" / "server.key")
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def loop():
            while True:
                try:
                    plain, _peer = listener.accept()
                except OSError:
                    return
                try:
                    settings.wrap_socket(plain, server_side=True).close()
                except OSError:
                    plain.close()

        threading.Thread(target=loop, daemon=True).start()
        return listener.getsockname()[1]

    yield start
    for listener in sockets:
        listener.close()


def test_a_handshake_returns_the_leaf(make, serve):
    made = make()
    assert tls.handshake("127.0.0.1", serve(), made.ca_pem) == made.fingerprint


def test_another_ca_is_refused_for_good(make, serve):
    make()
    _key, other = tls.make_ca(NOW)
    with pytest.raises(tls.Unreachable, match="not signed by the CA") as caught:
        tls.handshake("127.0.0.1", serve(), tls._pem(other))
    assert caught.value.final


def test_another_address_is_refused_for_good(make, serve):
    made = make(sans=["IP:10.10.10.5"])
    with pytest.raises(tls.Unreachable, match="not for this address") as caught:
        tls.handshake("127.0.0.1", serve(), made.ca_pem)
    assert caught.value.final


def test_nobody_there_may_pass(make):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(tls.Unreachable) as caught:
        tls.handshake("127.0.0.1", port, make().ca_pem)
    assert not caught.value.final
