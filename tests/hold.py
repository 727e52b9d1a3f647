#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Has the datagrams that come to a UDP port wait in its socket until told, by a line of input, to read all of them at once.

Usage: hold.py PORT     prints "ready", and at the end how many there were
"""

import socket
import sys

SO_RCVBUFFORCE = 33
# Bytes, with all that the kernel counts for a packet.
ROOM = 64 << 20


def main():
    if len(sys.argv) != 2 or not sys.argv[1].isdigit():
        print(__doc__.strip())
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
        s.bind(("", int(sys.argv[1])))
        print("ready", flush=True)
        sys.stdin.readline()
        s.setblocking(False)
        n = 0
        try:
            while s.recv(1):
                n += 1
        except BlockingIOError:
            pass
        print(n)
    return 0


if __name__ == "__main__":
    sys.exit(main())
