# SPDX-License-Identifier: GPL-3.0-or-later
"""A server on loopback that answers every request the same way, and remembers the requests."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable


class Stub:
    """answer: what is sent, or a function that is handed the connection after the request was read.

    at_once: answer to the first bytes, whatever they are.
    """

    def __init__(
        self, answer: bytes | Callable[[socket.socket], None], tls: ssl.SSLContext | None = None, *, at_once: bool = False
    ) -> None:
        self.requests: list[bytes] = []
        self._answer, self._tls, self._at_once = answer, tls, at_once
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Stub:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def url(self, path: str = "", scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def _accept(self) -> None:
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                self.requests.append(connection.recv(65536) if self._at_once else _request(connection))
                if callable(self._answer):
                    self._answer(connection)
                else:
                    connection.sendall(self._answer)
        except OSError:
            pass


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (part := connection.recv(65536)):
            return data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length and (part := connection.recv(65536)):
        body += part
    return head + b"\r\n\r\n" + body


def http(status: int | str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """An HTTP answer; the length is the body's."""
    lines = [f"HTTP/1.1 {status if isinstance(status, str) else f'{status} Whatever'}"]
    own = ("content-length", "connection", "transfer-encoding")
    given = headers or {"Content-Type": "text/html;charset=utf-8"}
    lines += [f"{name}: {value}" for name, value in given.items() if name.lower() not in own]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "Connection: close", "", ""]).encode() + body


def slowly(answer: bytes, pause: float) -> Callable[[socket.socket], None]:
    """Sends an answer byte by byte."""

    def send(connection: socket.socket) -> None:
        for position in range(len(answer)):
            connection.sendall(answer[position : position + 1])
            time.sleep(pause)

    return send
