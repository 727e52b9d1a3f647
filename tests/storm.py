#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Has the driver send one command after the other, by chance, until a file is there.

Usage: storm.py DIRECTORY FILE

DIRECTORY is where the device's interface is found (/sys/bus/virtio/devices/…/net), which may go and come again. All by ioctl(), as
a message of netlink for each, and the notifications that are made for it, cost more than a command. What the device refuses is
refused; how often each was tried and how often it worked is printed at the end.
"""

import collections
import ctypes
import fcntl
import os
import random
import socket
import struct
import sys
import time

ETHTOOL, FLAGS, SET_FLAGS, SET_ADDRESS, ADD_GROUP, DEL_GROUP = 0x8946, 0x8913, 0x8914, 0x8924, 0x8931, 0x8932
# Commands of SIOCETHTOOL.
COALESCE, SET_COALESCE, STATISTICS, TABLE, SET_TABLE, PAIRS, SET_PAIRS = 0xE, 0xF, 0x1D, 0x38, 0x39, 0x3C, 0x3D
PROMISC = 0x100
# Groups that are joined at a time: another set each time that the driver looks.
GROUPS = 20


class Interface:
    def __init__(self, directory):
        self.directory = directory
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.buffer = ctypes.create_string_buffer(1 << 16)
        self.group = 0
        self.name = b""

    def find(self):
        self.name = os.listdir(self.directory)[0].encode()

    def ioctl(self, number, format_="", *values):
        return fcntl.ioctl(self.socket, number, struct.pack("16s" + format_, self.name, *values).ljust(40, b"\0"))

    def ethtool(self, words):
        """Words of 32 bits, there and back."""
        struct.pack_into(f"{len(words)}I", self.buffer, 0, *words)
        self.ioctl(ETHTOOL, "P", ctypes.addressof(self.buffer))
        return list(struct.unpack_from(f"{len(words)}I", self.buffer))

    def moderation(self):
        words = self.ethtool([COALESCE] + [0] * 22)
        words[0], words[1], words[2], words[5], words[6] = SET_COALESCE, *(random.randrange(100) for _ in range(4))
        self.ethtool(words)

    def statistics(self):
        self.ethtool([STATISTICS, 0])

    def table(self):
        size = self.ethtool([TABLE, 0])[1]
        self.ethtool([SET_TABLE, size] + [random.randrange(2) for _ in range(size)])

    def address(self):
        self.ioctl(SET_ADDRESS, "H6s", 1, bytes([0x52, 0x54, 0, 0, random.randrange(256), 1]))

    def groups(self):
        # Also if one of the two fails, as the latter does for those that were joined before the interface came again.
        self.group += 1
        for number, n in (ADD_GROUP, self.group), (DEL_GROUP, self.group - GROUPS):
            self.ioctl(number, "H6s", 0, struct.pack(">HI", 0x3333, 0x1000000 + n))

    def promiscuous(self):
        flags = struct.unpack_from("16xH", self.ioctl(FLAGS))[0]
        self.ioctl(SET_FLAGS, "H", flags ^ PROMISC)

    def pairs(self):
        words = self.ethtool([PAIRS] + [0] * 8)
        self.ethtool([SET_PAIRS] + words[1:8] + [random.randint(1, max(words[4], 1))])


def main():
    if len(sys.argv) != 3 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if len(sys.argv) == 2 else 2
    _, directory, enough = sys.argv
    tried, worked = collections.Counter(), collections.Counter()
    # The last one resets rings: many of these, and nothing else would get on.
    what = "moderation statistics table address groups promiscuous".split() * 20 + ["pairs"]
    interface = Interface(directory)
    while not os.path.exists(enough):
        name = random.choice(what)
        tried[name] += 1
        try:
            getattr(interface, name)()
            worked[name] += 1
        except OSError:
            # Refused; or gone, and to come again.
            try:
                interface.find()
            except (OSError, IndexError):
                time.sleep(0.1)
    print(", ".join(f"{name} {worked[name]} of {n}" for name, n in sorted(tried.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
