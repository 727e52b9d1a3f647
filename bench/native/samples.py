"""Where the program was when perf's clock ticked: addresses of the kernel to functions, and to instructions of a module."""

import bisect
import collections
import os
import pathlib
import re
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import symbols      # noqa: E402

# The program and its modules are linked below 2 GiB; what is above belongs to libc or to the machine's own kernel.
END = 1 << 31
HOST = (0, "libc and the machine's kernel", "")


class Perf:
    """perf, while a block of code runs. `samples` is then a list of (time by CLOCK_MONOTONIC, address)."""

    def __init__(self, pid, data, hz=3000):
        self.pid, self.data, self.hz = pid, str(data), hz
        self.samples = []

    def __enter__(self):
        # CLOCK_MONOTONIC, to know which samples are of which run of a load.
        self.proc = subprocess.Popen(["perf", "record", "-q", "-k", "mono", "-e", "cpu-clock", "-F", str(self.hz), "-o", self.data,
                                      "-p", str(self.pid), "--no-inherit"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(self, kind, *_):
        self.proc.send_signal(signal.SIGINT)
        err = self.proc.communicate()[1]
        if kind:
            return
        if not os.path.exists(self.data):
            raise SystemExit(f"profile: perf record recorded nothing: {err.strip() or 'no reason given'}")
        out = subprocess.run(["perf", "script", "-i", self.data, "-F", "time,ip"], capture_output=True, text=True, check=False)
        for line in out.stdout.splitlines():
            m = re.match(r"\s*([\d.]+):\s+([0-9a-f]+)$", line)
            if m:
                self.samples.append((float(m[1]), int(m[2], 16)))
        os.unlink(self.data)


class Symbols:
    """Functions of the kernel and its modules, from /proc/kallsyms."""

    def __init__(self, text):
        rows = []
        for line in text.splitlines():
            addr, kind, name, *module = line.split()
            if kind in "tTwW":
                rows.append((int(addr, 16), name, module[0].strip("[]") if module else ""))
        self.rows = sorted(rows)
        self.addr = [r[0] for r in self.rows]

    def find(self, addr):
        """(address of the function, its name, its module)."""
        if addr >= END:
            return HOST
        i = bisect.bisect_right(self.addr, addr) - 1
        return self.rows[i] if i >= 0 else HOST


def part(name, module):
    """driver, virtio, generator, host or kernel."""
    if name == HOST[1]:
        return "host"
    if module in ("virtio_net", "virtio_net_mq"):
        return "driver"
    if symbols.VIRTIO.match(name) or name.startswith("vu_"):
        return "virtio"
    if name.startswith("pktgen"):
        return "generator"
    return "kernel"


def by_function(addresses, syms):
    """Counter of (name, module)."""
    n = collections.Counter()
    for a in addresses:
        n[syms.find(a)[1:]] += 1
    return n


def readable(lines):
    """The lines, with the names of Rust functions in them as they are in the source."""
    out = subprocess.run(["c++filt", "-s", "rust"], input="\n".join(lines), capture_output=True, text=True, check=True).stdout
    return re.sub(r"\[[0-9a-f]{16}\]|virtio_net_mq::", "", out).splitlines()


class Code:
    """The instructions of a module: {function: [(offset, text)]}."""

    def __init__(self, path):
        out = subprocess.run(["objdump", "-dr", "--no-show-raw-insn", str(path)], capture_output=True, text=True, check=True).stdout
        self.functions = {}
        insns = None
        for line in out.splitlines():
            m = re.match(r"([0-9a-f]+) <(.*)>:", line)
            if m:
                start, insns = int(m[1], 16), self.functions.setdefault(m[2], [])
                continue
            m = re.match(r"\s+([0-9a-f]+):\s+(.*)", line)
            if not m or insns is None:
                continue
            if m[2].startswith("R_X86_64"):
                # What a call or an address is linked to comes on a line of its own.
                offset, text = insns[-1]
                target = re.sub(r"-0x[0-9a-f]+$", "", m[2].split()[-1])
                insns[-1] = (offset, re.sub(r"\s*(# )?\b[0-9a-f]+ <.*>$", "", text) + f" -> {target}")
            else:
                insns.append((int(m[1], 16) - start, re.sub(r"\s+", " ", m[2]).strip()))

    def before(self, name, offset, n=2):
        """The instruction at `offset` of a function and the n before it, as text."""
        insns = self.functions.get(name, [])
        at = [i for i, (o, _) in enumerate(insns) if o == offset]
        if not at:
            return "?"
        return "; ".join(text for _, text in insns[max(0, at[0] - n):at[0] + 1])


def by_instruction(addresses, syms, module):
    """Counter of (function, offset) in a module."""
    n = collections.Counter()
    for a in addresses:
        start, name, mod = syms.find(a)
        if mod == module:
            n[name, a - start] += 1
    return n
