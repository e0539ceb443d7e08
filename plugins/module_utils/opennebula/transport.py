# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP with one deadline per call, TLS settings that are obeyed, and errors that say what happened.

Neither pyone's nor urllib's time-out stops a server that accepts and stays silent or sends a byte a second;
here every read is limited by what is left of the whole call. Redirects are never followed: the credentials
would go along. The environment's proxy variables are not used. Resolving a host name is not covered by the
deadline (the system's resolver has its own).
"""

from __future__ import annotations

import functools
import http.client
import io
import os
import socket
import ssl
import time
import typing as t
from dataclasses import dataclass
from urllib.parse import urlsplit

from .errors import BadAnswer, InvalidRequest, OpenNebulaError, Unreachable, Untrusted

MAX_BODY = 64 * 1024 * 1024
ATTEMPTS = 3
PAUSE = 0.2  # seconds before the second attempt, twice that before the third


@dataclass(frozen=True)
class Answer:
    """Status, headers (lower case) and body of an HTTP answer."""

    status: int
    headers: t.Mapping[str, str]
    body: bytes


class _DeadlineReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)  # keeps the socket open until the body is read
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int | None:
        self._sock.settimeout(_left(self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Readable:
    """What HTTPResponse wants of a socket: makefile()."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._sock, self._deadline))


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _response(sock: socket.socket, *args: t.Any, deadline: float, **kwargs: t.Any) -> http.client.HTTPResponse:
    return http.client.HTTPResponse(t.cast(socket.socket, _Readable(sock, deadline)), *args, **kwargs)


def tls_context(validate_certs: bool, ca_path: str | None) -> ssl.SSLContext:
    """Return the TLS settings. ca_path is a file or a directory of PEM certificates and replaces the system's.

    Reading the system's takes about 20 ms, so settings are kept, and a worker that is forked later has them already.
    """
    return _tls_context(validate_certs, ca_path, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.lru_cache(maxsize=8)
def _tls_context(validate_certs: bool, ca_path: str | None, *_environment: str | None) -> ssl.SSLContext:
    if not validate_certs:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if ca_path is None:
        return ssl.create_default_context()
    if os.path.isdir(ca_path):
        return ssl.create_default_context(capath=ca_path)
    return ssl.create_default_context(cafile=ca_path)


class HttpClient:
    """Calls to one base URL. timeout: seconds for a whole call, repetitions included."""

    def __init__(self, url: str, *, validate_certs: bool = True, ca_path: str | None = None, timeout: float = 30) -> None:
        self.url = url.rstrip("/")
        try:
            parts = urlsplit(self.url)
            self._port = parts.port
        except ValueError as error:
            raise InvalidRequest(f"{url!r} is no URL: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidRequest(f"{url!r} is not an http:// or https:// URL")
        if parts.username is not None:
            raise InvalidRequest("an endpoint must not carry credentials", hint="Use username and password, or auth_file.")
        self._host = parts.hostname
        self._path = parts.path
        self._tls = parts.scheme == "https"
        self._validate_certs = validate_certs
        self._ca_path = ca_path
        self.timeout = timeout

    def request(
        self,
        verb: str,
        path: str = "",
        body: bytes | None = None,
        headers: t.Mapping[str, str] | None = None,
        *,
        method: str,
        repeatable: bool = False,
    ) -> Answer:
        """Return the answer, whatever its status. method names the call in errors.

        Raises Unreachable, Untrusted or BadAnswer. Only a repeatable call is sent again, after a refused or cut
        connection and after 502, 503 and 504.
        """
        deadline = time.monotonic() + self.timeout
        for attempt in range(1, ATTEMPTS + 1):
            pause = PAUSE * attempt
            last = attempt == ATTEMPTS or not repeatable
            try:
                answer = self._once(verb, path, body, headers or {}, method, deadline)
                if last or answer.status not in (502, 503, 504) or time.monotonic() + pause >= deadline:
                    return answer
            except Unreachable:
                # Without time for another attempt this reason is worth more than "too late".
                if last or time.monotonic() + pause >= deadline:
                    raise
            time.sleep(pause)
        raise AssertionError("unreachable")

    def _once(self, verb: str, path: str, body: bytes | None, headers: t.Mapping[str, str], method: str, deadline: float) -> Answer:
        sent = False
        connection = http.client.HTTPConnection(self._host, self._port or (443 if self._tls else 80))
        connection.response_class = functools.partial(_response, deadline=deadline)  # type: ignore[assignment]
        try:
            connection.sock = self._connect(deadline)
            connection.sock.settimeout(_left(deadline))
            sent = True
            connection.request(verb, self._path + path or "/", body=body, headers={**headers, "Connection": "close"})
            response = connection.getresponse()
            content = response.read(MAX_BODY + 1)
            if len(content) > MAX_BODY:
                raise self._error(BadAnswer, f"the answer is larger than {MAX_BODY} bytes", method)
            if response.length:  # read(n) takes a short body without complaint
                raise http.client.IncompleteRead(content, response.length)
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, content)
        except TimeoutError:
            error = self._error(
                Unreachable,
                f"no complete answer within {self.timeout:g} s",
                method,
                "Is the service alive? See timeout.",
            )
            error.sent = sent
            raise error from None
        except ssl.SSLCertVerificationError as failure:
            raise self._error(
                Untrusted,
                f"the server's certificate was refused: {failure.verify_message or failure}",
                method,
                "Set ca_path to the authority that signed it.",
            ) from None
        except ssl.SSLError as failure:
            if sent:
                raise self._cut(failure, method) from None
            raise self._error(
                Untrusted, f"TLS handshake failed: {failure.reason or failure}", method, "Does this port speak TLS?"
            ) from None
        except (
            http.client.IncompleteRead,
            http.client.RemoteDisconnected,
            ConnectionResetError,
            BrokenPipeError,
        ) as failure:
            raise self._cut(failure, method) from None
        except http.client.HTTPException as failure:
            raise self._error(
                BadAnswer,
                f"the answer is not HTTP: {type(failure).__name__}",
                method,
                "Is this the API's port, and is it http or https?",
            ) from None
        except socket.gaierror as failure:
            raise self._error(
                Unreachable,
                f"host {self._host!r} cannot be resolved: {failure.strerror}",
                method,
                "Check the endpoint.",
            ) from None
        except OSError as failure:
            raise self._error(
                Unreachable,
                f"cannot connect: {failure.strerror or failure}",
                method,
                "Is the service running, and does the endpoint name its port?",
            ) from None
        finally:
            connection.close()

    def _connect(self, deadline: float) -> socket.socket:
        failure: OSError = OSError("no address")
        port = self._port or (443 if self._tls else 80)
        for family, kind, protocol, _name, address in socket.getaddrinfo(self._host, port, type=socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(_left(deadline))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if not self._tls:
                    return sock
                sock.settimeout(_left(deadline))
                return self._context().wrap_socket(sock, server_hostname=self._host)
            except (ssl.SSLError, TimeoutError):
                sock.close()
                raise
            except OSError as error:
                sock.close()
                failure = error
        raise failure

    def _context(self) -> ssl.SSLContext:
        try:
            return tls_context(self._validate_certs, self._ca_path)
        except (OSError, ssl.SSLError) as error:
            raise InvalidRequest(f"ca_path {self._ca_path!r} cannot be used: {error}") from None

    def _cut(self, failure: Exception, method: str) -> Unreachable:
        error = self._error(
            Unreachable,
            f"the connection was cut before the answer was complete ({type(failure).__name__})",
            method,
            "The service or a proxy before it broke off: look at its log, then at what the call has done.",
        )
        error.sent = True
        return error

    def _error(self, cls: type[_E], text: str, method: str, hint: str | None = None) -> _E:
        return cls(text, endpoint=self.url, method=method, hint=hint)


_E = t.TypeVar("_E", bound=OpenNebulaError)


def check_status(answer: Answer, url: str, method: str) -> None:
    """Raise for what no OpenNebula API answers: redirects, and gateways' and web servers' pages."""
    if 300 <= answer.status < 400:
        raise BadAnswer(
            f"redirected to {answer.headers.get('location', 'an unnamed place')}",
            code=answer.status,
            endpoint=url,
            method=method,
            hint="Redirects are not followed, as the credentials would go along; set the endpoint to the final address.",
        )
    if answer.status in (502, 503, 504):
        error = Unreachable(
            f"a gateway answers in its place: {excerpt(answer.body)}",
            code=answer.status,
            endpoint=url,
            method=method,
            hint="The service behind the gateway is down or overloaded.",
        )
        error.sent = True
        raise error


def is_html(answer: Answer) -> bool:
    """Tell whether the body is a web page (OneFlow calls its JSON text/html, so the type says nothing)."""
    return answer.body.lstrip()[:15].lower().startswith((b"<!doctype", b"<html"))


def excerpt(body: bytes, limit: int = 120) -> str:
    """Return the start of a body on one line, for an error message."""
    text = " ".join(body[: limit * 4].decode("utf-8", "replace").split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    return (text[:limit] + "...") if len(text) > limit else (text or "(empty)")
