#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Page pools of this network namespace over netlink (family "netdev", page-pool-get), a line each:

    ID INTERFACE-INDEX IN-FLIGHT detached|-

An index of 0 is that of a pool whose interface is gone. "Detached" is a pool that its driver has given up and that waits
for pages which somebody still has.

Usage: pools.py [stats]     with "stats": ID INTERFACE-INDEX SLOW-ALLOCATIONS RING-FULL (page-pool-stats-get)
"""

import socket
import struct
import sys

import qstats

ID, IFINDEX, INFLIGHT, DETACH_TIME = 1, 2, 4, 6
INFO, ALLOC_SLOW, RING_FULL = 1, 9, 17
PAGE_POOL_GET, PAGE_POOL_STATS_GET = 5, 9


def number(data):
    return int.from_bytes(data, sys.byteorder)


def main():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, qstats.NETLINK_GENERIC) as sock:
        sock.settimeout(20)
        sock.bind((0, 0))
        name = qstats.attribute(qstats.CTRL_ATTR_FAMILY_NAME, b"netdev\0")
        family = next(struct.unpack("H", v)[0] for m in qstats.ask(sock, qstats.GENL_ID_CTRL, qstats.CTRL_CMD_GETFAMILY, 0, name)
                      for k, v in qstats.attributes(m) if k == qstats.CTRL_ATTR_FAMILY_ID)
        if sys.argv[1:] == ["stats"]:
            for message in qstats.ask(sock, family, PAGE_POOL_STATS_GET, qstats.NLM_F_DUMP, b""):
                found = dict(qstats.attributes(message))
                pool = dict(qstats.attributes(found[INFO]))
                print(number(pool[ID]), number(pool.get(IFINDEX, b"")), number(found[ALLOC_SLOW]), number(found[RING_FULL]))
            return
        for message in qstats.ask(sock, family, PAGE_POOL_GET, qstats.NLM_F_DUMP, b""):
            found = dict(qstats.attributes(message))
            print(number(found[ID]), number(found.get(IFINDEX, b"")), number(found.get(INFLIGHT, b"")),
                  "detached" if DETACH_TIME in found else "-")


if __name__ == "__main__":
    main()
