# SPDX-License-Identifier: GPL-3.0-or-later
"""Every bad answer and non-answer becomes a clear error, in time."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import errors, transport
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.oned import Oned
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.oneflow import OneFlow
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.fixtures.stub import Stub, http

Serve = Callable[..., Stub]

EMPTY = b'{"DOCUMENT_POOL": {}}'


@pytest.fixture
def serve() -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:
        yield lambda answer, tls=None, **how: stack.enter_context(Stub(answer, tls, **how))


def flow(server: Stub, scheme: str = "http", **kwargs: object) -> OneFlow:
    return OneFlow(f"{scheme}://127.0.0.1:{server.port}", "u", "p", **{"timeout": 5.0, **kwargs})  # type: ignore[arg-type]


def oned(server: Stub, **kwargs: object) -> Oned:
    return Oned(f"http://127.0.0.1:{server.port}/RPC2", "u", "p", **{"timeout": 5.0, **kwargs})  # type: ignore[arg-type]


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _number in range(100):
        connection.sendall(b" ")
        time.sleep(0.05)


@pytest.mark.parametrize("answer", [lambda connection: time.sleep(5), drip], ids=["silent", "a byte now and then"])
def test_the_deadline_holds(serve: Serve, answer: Callable[[socket.socket], None]) -> None:
    for call in (lambda s: flow(s, timeout=0.4).services(), lambda s: oned(s, timeout=0.4).version()):
        begin = time.monotonic()
        with pytest.raises(errors.Unreachable, match=r"0\.4 s"):
            call(serve(answer))
        assert time.monotonic() - begin < 1.5


def test_a_deadline_leaves_other_sockets_alone(serve: Serve) -> None:
    oned(serve(http("200 OK", b"")), timeout=1.0)
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (http("500 Internal Server Error", b"[one.document.info] wrong"), errors.Refused, "one.document.info"),
        (http("500 Internal Server Error", b'{"message":"Internal","reason":"no conversion"}'), errors.Refused, "no conversion"),
        (http("401 Unauthorized", b"Invalid credentials"), errors.AuthenticationFailed, "oned is down"),
        (http("401 Unauthorized", b"[x] User [2] : Not authorized to perform USE"), errors.NotAllowed, "USE"),
        (http("404 Not Found", b"[one.document.info] Error getting document [9]."), errors.NotFound, r"document \[9\]"),
        (http("404 Not Found", b"File not found"), errors.BadAnswer, "File not found"),
        (http("404 Not Found", b"<!DOCTYPE html><h2>Sinatra doesn't know</h2>"), errors.BadAnswer, "Sinatra"),
        (http("200 OK", b"<html><title>Welcome to nginx</title></html>"), errors.BadAnswer, "Is this OneFlow"),
        (http("200 OK", b"\x00\xff garbage"), errors.BadAnswer, "not JSON"),
        (http("200 OK", b"[]"), errors.BadAnswer, "not a OneFlow"),
        (http("200 OK", b"null"), errors.BadAnswer, "not a OneFlow"),
        (http("302 Found", b"", {"Location": "https://elsewhere/"}), errors.BadAnswer, "https://elsewhere/"),
        (http("502 Bad Gateway", b"<html>bad gateway</html>"), errors.Unreachable, "gateway"),
        (http("200 OK", EMPTY)[:-5], errors.Unreachable, "cut"),
        (b"", errors.Unreachable, "cut"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", errors.BadAnswer, "not HTTP"),
    ],
)
def test_oneflow_answers(serve: Serve, answer: bytes, error: type[Exception], text: str) -> None:
    server = serve(answer)
    with pytest.raises(error, match=text) as caught:
        flow(server).services()
    assert caught.value.endpoint == f"http://127.0.0.1:{server.port}"  # type: ignore[attr-defined]
    assert caught.value.method == "GET /service"  # type: ignore[attr-defined]


FAULT = b"""<?xml version="1.0"?><methodResponse><fault><value><struct><member><name>faultCode</name><value><int>-506</int></value>
</member><member><name>faultString</name><value><string>Method not defined</string></value></member></struct></value></fault>
</methodResponse>"""


def rpc(*values: str) -> bytes:
    items = "".join(f"<value>{value}</value>" for value in values)
    params = f"<params><param><value><array><data>{items}</data></array></value></param></params>"
    return http("200 OK", f"<?xml version='1.0'?><methodResponse>{params}</methodResponse>".encode())


NO, YES = "<boolean>0</boolean>", "<boolean>1</boolean>"


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (http("200 OK", FAULT), errors.Refused, "Method not defined"),
        (http("200 OK", b"not xml"), errors.BadAnswer, "not an XML-RPC answer"),
        (http("200 OK", b"<html><body>nginx</body></html>"), errors.BadAnswer, "not an XML-RPC answer"),
        (http("404 Not Found", b""), errors.BadAnswer, "not an XML-RPC answer"),
        (http("200 OK", b"<a/>"), errors.BadAnswer, "not an XML-RPC answer"),
        (http("301 Moved", b"", {"Location": "https://elsewhere/"}), errors.BadAnswer, "elsewhere"),
        (rpc(NO, "<string>[one.system.version] no &amp;lt; way</string>", "<i4>256</i4>"), errors.AuthenticationFailed, "no <"),
        (rpc(NO, "<string>x</string>", "<i4>512</i4>"), errors.NotAllowed, "512"),
        (rpc(NO, "<string>zone disabled</string>", "<i4>8192</i4>"), errors.Refused, "Enable the zone"),
        (rpc(YES), errors.BadAnswer, "form"),
        (rpc(YES, "<string>&lt;VM&gt;&lt;ID&gt;</string>", "<i4>0</i4>"), errors.BadAnswer, "not XML"),
    ],
)
def test_oned_answers(serve: Serve, answer: bytes, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        oned(serve(answer)).version()


def test_an_empty_string_is_an_answer(serve: Serve) -> None:
    assert oned(serve(rpc(YES, "<string></string>", "<i4>0</i4>"))).version() == ""


def test_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(errors.Unreachable, match="Connection refused") as caught:
        OneFlow(f"http://127.0.0.1:{port}", "u", "p").services()
    assert not caught.value.sent


def test_only_reads_are_repeated(serve: Serve) -> None:
    server = serve(b"")
    with pytest.raises(errors.Unreachable):
        flow(server).services()
    assert len(server.requests) == transport.ATTEMPTS
    writes: list[int] = []
    with pytest.raises(errors.Unreachable):
        flow(server, on_write=lambda: writes.append(1)).delete_service(1)
    assert len(server.requests) == transport.ATTEMPTS + 1 and writes == [1]
    with pytest.raises(errors.Unreachable):
        oned(server).call("vm.update", 1, "A=1", 1)
    assert len(server.requests) == transport.ATTEMPTS + 2


def test_a_read_survives_a_cut(serve: Serve) -> None:
    answers = [b"", http("503 Busy", b"busy"), http("200 OK", EMPTY)]
    assert flow(serve(lambda connection: connection.sendall(answers.pop(0)))).services() == []


def test_huge_answers_are_refused(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_BODY", 10)
    with pytest.raises(errors.BadAnswer, match="larger"):
        flow(serve(http("200 OK", EMPTY))).services()


@pytest.mark.parametrize("url", ["ftp://x", "one.example.org", "http://", "http://u:p@host:2633/RPC2", "http://host:port/"])
def test_bad_urls(url: str) -> None:
    with pytest.raises(errors.InvalidRequest):
        OneFlow(url, "u", "p")


def test_no_credentials_in_errors(serve: Serve) -> None:
    with pytest.raises(errors.OpenNebulaError) as caught:
        OneFlow(f"http://127.0.0.1:{serve(b'').port}", "user", "s3cret", timeout=1).services()
    assert "s3cret" not in str(caught.value) + repr(caught.value.as_dict())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + built.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_tls(serve: Serve, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = serve(http("200 OK", EMPTY), context)
    with pytest.raises(errors.Untrusted, match="Set ca_path"):
        flow(server, "https").services()
    assert flow(server, "https", ca_path=str(certificate)).services() == []
    assert flow(server, "https", validate_certs=False).services() == []
    with pytest.raises(errors.InvalidRequest, match="ca_path"):
        flow(server, "https", ca_path="/nonexistent.pem").services()
    address = f"https://localhost:{server.port}"
    with pytest.raises(errors.Untrusted, match="refused"):  # the certificate names 127.0.0.1 only
        OneFlow(address, "u", "p", ca_path=str(certificate)).services()


def test_tls_against_plain_http(serve: Serve) -> None:
    with pytest.raises(errors.Untrusted, match="speak TLS"):
        flow(serve(http("400 Bad Request", b"plain"), at_once=True), "https").services()


def test_silent_tls_server(serve: Serve) -> None:
    with pytest.raises(errors.Unreachable, match=r"0\.4 s"):
        flow(serve(lambda connection: time.sleep(5)), "https", timeout=0.4).services()


def test_ids_are_numbers() -> None:
    client = OneFlow("http://127.0.0.1:1", "user", "secret")
    for bad in ("abc", True, -1, 2**31):  # "abc" would be document 0 to the server
        with pytest.raises(errors.InvalidRequest):
            client.template(bad)  # type: ignore[arg-type]
