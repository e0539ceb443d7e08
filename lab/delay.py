# SPDX-License-Identifier: GPL-3.0-or-later
"""Join two network interfaces and hold every frame for some time: what netem does, for kernels without it.

Usage: python delay.py INTERFACE INTERFACE MILLISECONDS, in the namespace of the interfaces. Prints `ready`. Frames go over
packet sockets together with their offload header, so large segments and unfinished checksums pass as they came.
"""

from __future__ import annotations

import collections
import select
import socket
import sys
import time

SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING, ETH_P_ALL = 263, 15, 23, 3
FRAME_BYTES = 1 << 17
# What is more than this is dropped, as a line with a full buffer does.
FRAMES_IN_FLIGHT = 20_000
BATCH = 64


def open_interface(name: str) -> socket.socket:
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    packets.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    packets.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        packets.setsockopt(socket.SOL_SOCKET, buffer, 4 << 20)
    packets.bind((name, ETH_P_ALL))
    packets.setblocking(False)
    return packets


def main(first: str, second: str, milliseconds: float) -> None:
    one, other = open_interface(first), open_interface(second)
    opposite = {one: other, other: one}
    held: collections.deque[tuple[float, socket.socket, bytes]] = collections.deque()
    print("ready", flush=True)
    while True:
        wait = max(0.0, held[0][0] - time.monotonic()) if held else None
        for source in select.select((one, other), (), (), wait)[0]:
            for _frame in range(BATCH):
                try:
                    frame = source.recv(FRAME_BYTES)
                except OSError:  # nothing more now, or the interface is down
                    break
                if len(held) < FRAMES_IN_FLIGHT:
                    held.append((time.monotonic() + milliseconds / 1000, opposite[source], frame))
        now = time.monotonic()
        while held and held[0][0] <= now:
            _due, target, frame = held.popleft()
            try:
                target.send(frame)
            except OSError:  # a full buffer or an interface that is down loses frames
                continue


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
