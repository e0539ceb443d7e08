# SPDX-License-Identifier: GPL-3.0-or-later
import base64
import datetime
import os
import socket
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from oneflower_appliance import tls

NOW = tls.utcnow()
SANS = ["DNS:localhost", "IP:127.0.0.1", "IP:::1", "IP:10.10.10.5"]


def ensure(paths, sans=SANS, now=NOW):
    return tls.ensure(paths.state, paths.tls, sans, "superlink", os.getgid(), now)


def leaf(paths):
    return x509.load_pem_x509_certificate((paths.tls / "server.crt").read_bytes())


def test_ca_and_leaf(paths):
    made = ensure(paths)
    ca = x509.load_pem_x509_certificate(made.ca_pem)
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical and constraints.value.ca
    assert ca.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert ca.not_valid_after_utc - NOW > datetime.timedelta(days=3600)
    server = leaf(paths)
    server.verify_directly_issued_by(ca)
    assert datetime.timedelta(days=396) < server.not_valid_after_utc - NOW <= datetime.timedelta(days=397)
    assert list(server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert made.sans == ("DNS:localhost", "IP:127.0.0.1", "IP:::1", "IP:10.10.10.5")
    assert made.fingerprint == tls.fingerprint(server.public_bytes(serialization.Encoding.DER))
    assert (paths.state / "ca.key").stat().st_mode & 0o777 == 0o600
    assert (paths.tls / "server.key").stat().st_mode & 0o777 == 0o640
    assert not (paths.tls / "ca.key").exists()


def test_kept_across_boots(paths):
    first = ensure(paths)
    before = {path: path.stat().st_mtime_ns for path in paths.tls.iterdir()}
    assert ensure(paths) == first
    assert {path: path.stat().st_mtime_ns for path in paths.tls.iterdir()} == before


def test_new_names_new_leaf_same_ca(paths):
    first = ensure(paths)
    second = ensure(paths, [*SANS, "DNS:Fl.example.org", "IP:10.10.10.5"])
    assert second.ca_pem == first.ca_pem
    assert second.fingerprint != first.fingerprint
    assert second.sans == (*first.sans, "DNS:fl.example.org")
    assert ensure(paths).sans == first.sans


@pytest.mark.parametrize(("days", "renewed"), [(366, False), (368, True), (500, True)])
def test_renewed_a_month_before_it_ends(paths, days, renewed):
    first = ensure(paths)
    second = ensure(paths, now=NOW + datetime.timedelta(days=days))
    assert (second.fingerprint != first.fingerprint) is renewed
    assert second.ca_pem == first.ca_pem


def test_expired_or_damaged_ca_is_not_replaced_silently(paths):
    ensure(paths)
    with pytest.raises(tls.Untrusted, match="expired"):
        ensure(paths, now=NOW + datetime.timedelta(days=4000))
    (paths.state / "ca.key").write_text("rubbish")
    with pytest.raises(tls.Untrusted, match="cannot be used"):
        ensure(paths)


def test_interrupted_first_start(paths):
    (paths.state / "ca.key").write_text("half")
    assert ensure(paths).fingerprint


def bundle(*pems):
    return base64.b64encode(b"".join(pems)).decode()


def test_ca_bundle(paths, tmp_path):
    made = ensure(paths)
    _key, other = tls.make_ca(NOW)
    both = tls.ca_bundle(bundle(made.ca_pem, other.public_bytes(serialization.Encoding.PEM)), NOW)
    assert both.count(b"BEGIN CERTIFICATE") == 2
    with pytest.raises(tls.Untrusted, match="not a CA certificate"):
        tls.ca_bundle(bundle((paths.tls / "server.crt").read_bytes()), NOW)
    with pytest.raises(tls.Untrusted, match="expired"):
        tls.ca_bundle(bundle(made.ca_pem), NOW + datetime.timedelta(days=4000))
    with pytest.raises(tls.Untrusted, match="only from"):
        tls.ca_bundle(bundle(made.ca_pem), NOW - datetime.timedelta(days=1))
    with pytest.raises(tls.Untrusted, match="base64"):
        tls.ca_bundle("%%%", NOW)


@pytest.fixture
def server(paths, request):
    """Serve TLS on loopback; yield (port, what `ensure` made). The certificate's names are the fixture's parameter."""
    made = ensure(paths, getattr(request, "param", SANS))
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    settings.load_cert_chain(paths.tls / "server.crt", paths.tls / "server.key")
    settings.set_alpn_protocols(["h2"])
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _peer = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    settings.wrap_socket(connection, server_side=True).close()
                except OSError:
                    continue

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1], made
    listener.close()


def test_handshake(server, paths, tmp_path):
    port, made = server
    assert tls.handshake("127.0.0.1", port, made.ca_pem) == made.fingerprint
    assert tls.handshake("localhost", port, made.ca_pem) == made.fingerprint
    assert tls.handshake("127.0.0.1", port, None) == ""


@pytest.mark.parametrize("server", [["DNS:localhost", "IP:10.10.10.5"]], indirect=True)
def test_handshake_at_an_address_that_is_not_in_the_certificate(server):
    port, made = server
    assert tls.handshake("localhost", port, made.ca_pem)
    with pytest.raises(tls.Unreachable, match="not for this address") as caught:
        tls.handshake("127.0.0.1", port, made.ca_pem)
    assert caught.value.final


def test_handshake_says_why(server):
    port, made = server
    other = tls.make_ca(NOW)[1].public_bytes(serialization.Encoding.PEM)
    with pytest.raises(tls.Unreachable, match="not signed by the CA") as caught:
        tls.handshake("127.0.0.1", port, other)
    assert caught.value.final
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = closed.getsockname()[1]
    with pytest.raises(tls.Unreachable, match="refused") as caught:
        tls.handshake("127.0.0.1", gone, made.ca_pem)
    assert not caught.value.final
    with pytest.raises(tls.Unreachable, match="does not resolve"):
        tls.handshake("no-such-host.invalid", port, made.ca_pem)


def test_silent_server_is_not_waited_for(paths):
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(tls.Unreachable, match="no answer within"):
        tls.handshake("127.0.0.1", listener.getsockname()[1], ensure(paths).ca_pem, timeout_s=0.2)
