# SPDX-License-Identifier: GPL-3.0-or-later
"""ssh's ProxyCommand (with ProxyUseFdpass) into a lab: connect from this namespace and hand the connection to ssh.

Usage: python dial.py ADDRESS PORT, in the lab's management namespace.
"""

from __future__ import annotations

import socket
import sys


def main(address: str, port: str) -> None:
    with (
        socket.create_connection((address, int(port)), timeout=10) as connection,
        socket.socket(fileno=sys.stdout.fileno()) as ssh,
    ):
        connection.settimeout(None)
        socket.send_fds(ssh, [b"\0"], [connection.fileno()])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
