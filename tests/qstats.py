#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Statistics of an interface's queues over netlink (family "netdev", qstats-get), a line each.

Usage: qstats.py INTERFACE [queue]     with "queue": "rx 0 packets 12"; without: "- - rx-packets 12"
"""

import socket
import struct
import sys

NAMES = {8 + i: n for i, n in enumerate(
    "rx-packets rx-bytes tx-packets tx-bytes rx-alloc-fail rx-hw-drops rx-hw-drop-overruns rx-csum-complete "
    "rx-csum-unnecessary rx-csum-none rx-csum-bad rx-hw-gro-packets rx-hw-gro-bytes rx-hw-gro-wire-packets "
    "rx-hw-gro-wire-bytes rx-hw-drop-ratelimits tx-hw-drops tx-hw-drop-errors tx-csum-none tx-needs-csum "
    "tx-hw-gso-packets tx-hw-gso-bytes tx-hw-gso-wire-packets tx-hw-gso-wire-bytes tx-hw-drop-ratelimits "
    "tx-stop tx-wake".split())}
IFINDEX, QUEUE_TYPE, QUEUE_ID, SCOPE = 1, 2, 3, 4
NETLINK_GENERIC, NLM_F_REQUEST, NLM_F_DUMP, NLMSG_ERROR, NLMSG_DONE = 16, 1, 0x300, 2, 3
GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 16, 3, 1, 2
QSTATS_GET = 12


def attribute(kind, data):
    return struct.pack("HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def attributes(data):
    at = 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("HH", data, at)
        if size < 4:
            break
        yield kind & 0x3fff, data[at + 4:at + size]
        at += (size + 3) & ~3


def ask(sock, family, command, flags, data):
    """The messages of the answer, without their headers."""
    body = struct.pack("BBH", command, 1, 0) + data
    sock.send(struct.pack("IHHII", 16 + len(body), family, NLM_F_REQUEST | flags, 1, 0) + body)
    while True:
        got = sock.recv(1 << 16)
        while len(got) >= 16:
            size, kind = struct.unpack_from("IH", got)
            if kind == NLMSG_ERROR:
                error = struct.unpack_from("i", got, 16)[0]
                if error:
                    raise OSError(-error, "netlink")
                return
            if kind == NLMSG_DONE:
                return
            yield got[20:size]
            got = got[(size + 3) & ~3:]
        if not flags & NLM_F_DUMP:
            return


def main():
    interface, queue = sys.argv[1], "queue" in sys.argv[2:]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as sock:
        sock.settimeout(20)
        sock.bind((0, 0))
        name = attribute(CTRL_ATTR_FAMILY_NAME, b"netdev\0")
        family = next(struct.unpack("H", v)[0] for m in ask(sock, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0, name)
                      for k, v in attributes(m) if k == CTRL_ATTR_FAMILY_ID)
        data = attribute(IFINDEX, struct.pack("I", socket.if_nametoindex(interface)))
        if queue:
            data += attribute(SCOPE, struct.pack("I", 1))
        for message in ask(sock, family, QSTATS_GET, NLM_F_DUMP, data):
            found = dict(attributes(message))
            side, number = "-", "-"
            if queue:
                side = ("rx", "tx")[struct.unpack("I", found[QUEUE_TYPE])[0]]
                number = struct.unpack("I", found[QUEUE_ID])[0]
            for kind, value in sorted(found.items()):
                if kind in NAMES:
                    value = int.from_bytes(value, sys.byteorder)
                    short = NAMES[kind].removeprefix(side + "-")
                    print(side, number, short, value)


if __name__ == "__main__":
    main()
