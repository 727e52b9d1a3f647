"""Which code of the module a guest has executed, as bench/plugin/cover.rs records it.

With VNM_COVER in the environment each emulated guest writes a record. Records are kept by the build of the module that they are
about, so that several runs add up, and none is taken for another build's.
"""

import collections
import os
import pathlib
import re
import struct
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
RECORDS = HERE / "out/coverage/records"
PLUGIN = pathlib.Path(os.environ.get("VNM_CACHE", "/cache")) / "bench/libcover.so"
PAGE = 4096


def build_id(ko):
    notes = subprocess.run(["readelf", "-n", str(ko)], check=True, capture_output=True, text=True).stdout
    return re.search(r"Build ID: (\w+)", notes)[1]


def arguments(ko, guest):
    """What has QEMU record what a guest with this module executes; nothing unless that is asked for."""
    if not os.environ.get("VNM_COVER"):
        return []
    build = RECORDS / build_id(ko)
    build.mkdir(parents=True, exist_ok=True)
    return ["-plugin", f"{PLUGIN},out={build}/{guest}"]


def blocks(path):
    """The blocks of a record: (address, length, the first bytes of its code). One that was being written last may be cut off."""
    data = path.read_bytes()
    at = 0
    while at + 12 <= len(data):
        addr, size, kept = struct.unpack_from("<QHH", data, at)
        at += 12 + kept
        if at <= len(data):
            yield addr, size, data[at - kept:at]


class Section:
    """Code of the module: its bytes, what may stand in their place once it is loaded, and which of them were executed."""

    def __init__(self, name, addr, code):
        self.name, self.addr = name, addr
        self.set_code(code)

    def set_code(self, code):
        self.code, self.run = code, bytearray(len(code))
        # By their offset: None is any byte (an address), else the others that it may be (the kernel patches them).
        self.loaded = {}
        # Places of blocks by their code, as guests have many in common.
        self.found = {}

    def counts(self, at, code):
        """How many bytes of a block are those that stand there, and how many could be others."""
        same = told = 0
        for i, (byte, own) in enumerate(zip(code, self.code[at:]), at):
            others = self.loaded.get(i, b"")
            if others is not None:
                told += 1
                same += byte == own or byte in others
        return same, told

    def is_here(self, at, code):
        """Whether a block's code is what stands there. What differs in less than half was patched, by what isn't known here."""
        same, told = self.counts(at, code)
        return 0 < told == same or same * 2 >= len(code)

    def places(self, code):
        """The places that the code of a block is found in. With addresses in it, only a small section is searched."""
        at = self.code.find(code)
        if at >= 0:
            return [at] if self.code.find(code, at + 1) < 0 else []
        if len(self.code) > PAGE:
            return []
        found = []
        for at in range(len(self.code) - len(code) + 1):
            if code[0] == self.code[at] or at in self.loaded:
                same, told = self.counts(at, code)
                if same == told >= 8:
                    found.append(at)
        return found if len(found) == 1 else []

    def votes(self, found):
        """Where it may have been loaded, by the blocks whose code is found in one place of it."""
        out = collections.Counter()
        for addr, _, code in found:
            if len(code) >= 8:
                if code not in self.found:
                    self.found[code] = self.places(code)
                for at in self.found[code]:
                    if (addr - at) % 16 == 0:
                        out[addr - at] += 1
        return out

    def bases(self, found):
        """Where it was loaded. Small sections have few blocks, so what is rare beside others is left out, and nothing else."""
        votes = self.votes(found)
        most = max(votes.values(), default=0)
        return [base for base, n in votes.items() if n >= max(most / 10, 2 if len(self.code) > PAGE else 1)]

    def note(self, base, addr, size, code):
        """Marks a block as executed, if its code is about what stands there."""
        at = addr - base
        if not 0 <= at < len(self.code) or not self.is_here(at, code):
            return False
        for i in range(at, min(at + size, len(self.run))):
            self.run[i] = 1
        return True


def mark(sections, record):
    """Marks what a record says was executed. Returns how many of its blocks are the module's."""
    found = list(blocks(record))
    n = 0
    for s in sections:
        for base in s.bases(found):
            n += sum(s.note(base, *block) for block in found)
    return n
