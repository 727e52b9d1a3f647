"""Whose instructions they are: addresses of the guest's kernel to functions, functions to parts."""

import base64
import bisect
import gzip
import pathlib
import re
import subprocess

# Functions of the kernel that belong to the virtio core, wherever they are linked.
VIRTIO = re.compile(r"^(virtqueue_|vring_|virtio_|vp_|__virtio|__virtqueue|detach_buf|more_used|free_indirect|desc_extra)")
# Calls counted as allocations: the slab's and the page allocator's entry points.
ALLOC = re.compile(r"^(__kmalloc(_node)?(_noprof|_track_caller_noprof|_cache_noprof)?|__kmalloc_cache_node_noprof|"
                   r"__kmalloc_node_track_caller_noprof|__kvmalloc_node_noprof|kmem_cache_alloc(_node|_lru|_bulk)?_noprof|"
                   r"__alloc_pages_noprof|__alloc_frozen_pages_noprof|alloc_pages_bulk_noprof|__page_frag_alloc_align)$")
COUNTED = {"kicks": re.compile(r"^vp_notify(_with_data)?$"), "interrupts": re.compile(r"^vring_interrupt$"),
           "polls": re.compile(r"^__napi_poll$"), "allocs": ALLOC}


class Symbols:
    """Sorted addresses of functions, the module each is in, and what of it is counted."""

    def __init__(self, lines):
        rows = []
        for line in lines:
            addr, name, *mod = line.split()
            addr = int(addr, 16)
            if addr >> 63:
                rows.append((addr, name, mod[0].strip("[]") if mod else ""))
        rows.sort()
        # Several names may have one address; the first is as good as any.
        self.addr, self.rows = [], []
        for row in rows:
            if not self.addr or row[0] != self.addr[-1]:
                self.addr.append(row[0])
                self.rows.append(row)
            else:
                # A counted name wins over its aliases.
                if any(p.match(row[1]) for p in COUNTED.values()):
                    self.rows[-1] = row

    @classmethod
    def unpack(cls, text):
        return cls(gzip.decompress(base64.b64decode(text)).decode().splitlines())

    @classmethod
    def load(cls, path):
        return cls(gzip.decompress(pathlib.Path(path).read_bytes()).decode().splitlines())

    def find(self, addr):
        """(function's address, name, module)."""
        i = bisect.bisect_right(self.addr, addr) - 1
        return self.rows[i] if i >= 0 else (0, "?", "")

    def part(self, name, module):
        """user, driver, virtio, generator or rest."""
        if module in ("virtio_net", "virtio_net_mq"):
            return "driver"
        if module == "pktgen":
            return "generator"
        if VIRTIO.match(name):
            return "virtio"
        return "rest"


def account(record, symbols):
    """A record of the plugin as {"user": …, "driver": …, …, "kicks": …, "functions": {name: instructions}}."""
    out = {"user": 0, "driver": 0, "virtio": 0, "generator": 0, "rest": 0, "kicks": 0, "interrupts": 0, "polls": 0,
           "allocs": 0, "functions": {}}
    for addr, insns, entries in record:
        if not addr >> 63:
            out["user" if addr == 1 else "rest"] += insns
            continue
        start, name, module = symbols.find(addr)
        out[symbols.part(name, module)] += insns
        key = name if not module else f"{name} [{module}]"
        out["functions"][key] = out["functions"].get(key, 0) + insns
        if addr - start <= 4:
            for what, pattern in COUNTED.items():
                if pattern.match(name):
                    out[what] += entries
    return out


def text_size(path):
    """Bytes of a module's executable sections."""
    data = pathlib.Path(path).read_bytes()
    if str(path).endswith(".xz"):
        data = subprocess.run(["xz", "-dc", path], capture_output=True, check=True).stdout
        path = "/tmp/text-size.ko"
        pathlib.Path(path).write_bytes(data)
    out = subprocess.run(["readelf", "-SW", str(path)], capture_output=True, text=True, check=True).stdout
    total = 0
    for m in re.finditer(r"^\s*\[\s*\d+\]\s+(\S+)\s+PROGBITS\s+\S+\s+\S+\s+(\S+)\s+\S+\s+(\S+)", out, re.M):
        # Sections of initialisation and of unloading don't stay, or don't run.
        if "X" in m[3] and not re.match(r"\.(init|exit)", m[1]):
            total += int(m[2], 16)
    return total
