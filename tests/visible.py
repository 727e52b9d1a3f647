#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What a driver shows of its interface to users, and how two drivers differ in it.

Usage: visible.py collect INTERFACE MODULE      lines of "SECTION<tab>what is shown", sorted; MODULE is a name or a file
       visible.py compare THEIRS OURS EXPECTED FEATURES
                                                differences of two such files against those that are meant; FEATURES:
                                                the device's bits as in sysfs. Prints what is wrong, a line each, and ends
                                                with 1 if there is any

Values that differ by themselves (counters, times, numbers of interfaces and interrupts) are left out or masked.
visible.expected says how differences that are meant are written down.
"""

import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys

import qstats

FLOWS = "tcp4 udp4 sctp4 ah4 esp4 tcp6 udp6 sctp6 ah6 esp6".split()
ETHTOOL = {
    "": "", "-i": "", "-k": "", "-l": "", "-g": "", "-c": "", "-S": "counters", "-n": "", "-x": "", "-T": "", "-a": "",
    "-P": "", "-m": "", "-d": "", "-u": "", "--show-priv-flags": "", "--show-eee": "", "--show-fec": "",
    "--show-tunnels": "", "--show-module": "", "--phy-statistics": "", "-w": "", "--show-mm": "", "--show-plca": "",
}
# Of /sys/class/net/INTERFACE: what is a number of the moment, or another section's.
SYSFS_VALUE_MASKED = re.compile(r"ifindex|iflink|carrier.*_count|carrier_changes|statistics/.*|queues/.*/byte_queue_limits/.*|"
                                r"queues/.*/traffic_class|queues/.*/mergeable_rx_buffer_size|operstate")
DEVICE_FILES = ("device", "vendor", "modalias", "features")


def run(*command):
    """What it prints, without the interface's name, and how it ends."""
    p = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=60)
    lines = [" ".join(line.split()) for line in (p.stdout + p.stderr).splitlines()]
    return [line for line in lines if line] + ([f"exit {p.returncode}"] if p.returncode else [])


def flat(value, at=""):
    """A tree of JSON, a line for each leaf."""
    if isinstance(value, dict):
        for k, v in value.items():
            yield from flat(v, f"{at}.{k}" if at else k)
    elif isinstance(value, list):
        for i, v in enumerate(value):
            yield from flat(v, f"{at}[{i}]" if isinstance(v, (dict, list)) else f"{at}[]")
    else:
        yield f"{at}={value}"


def ethtool(interface):
    for option, how in ETHTOOL.items():
        lines = run("ethtool", *option.split(), interface)
        if how == "counters":
            lines = [line.rsplit(":", 1)[0] for line in lines]
        elif option == "-k":
            lines = [line for line in lines if not line.startswith("Features for")]
        yield f"ethtool{option}", lines
    for flow in FLOWS:
        yield "ethtool-n-rx-flow-hash", [f"{flow}: {line}" for line in run("ethtool", "-n", interface, "rx-flow-hash", flow)
                                         if flow not in line and not line.endswith("hash flow key:")]
    yield "ethtool--per-queue-c", run("ethtool", "--per-queue", interface, "queue_mask", "0x1", "--show-coalesce")


def rtnetlink(interface):
    p = subprocess.run(["ip", "-d", "-j", "link", "show", "dev", interface], capture_output=True, text=True, timeout=60,
                       check=True)
    yield "ip-link", [line for line in flat(json.loads(p.stdout)[0]) if not re.match(r"(ifindex|ifname|qdisc|operstate)=", line)]
    yield "tc-qdisc", [re.sub(r"qdisc (\S+) [0-9a-f]+:", r"qdisc \1 N:", line)
                       for line in run("tc", "qdisc", "show", "dev", interface)]


def files(top, inner=()):
    """Files below a directory with their modes; links aren't followed."""
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if name.split("/")[0] in ("device", "power", "subsystem") + tuple(inner) or path.is_dir() or path.is_symlink():
            continue
        yield name, path, f"{path.stat().st_mode & 0o777:o}"


def value_of(path):
    try:
        return " ".join(path.read_text(errors="replace").split())
    except OSError as e:
        return e.strerror


def sysfs(interface):
    top = pathlib.Path("/sys/class/net") / interface
    lines = []
    for name, path, mode in files(top):
        value = "N" if SYSFS_VALUE_MASKED.fullmatch(name) else value_of(path)
        lines.append(re.sub(r"IFINDEX=\d+", "IFINDEX=N", f"{name} {mode} {value}"))
    yield "sysfs", lines
    device = (top / "device").resolve()
    lines = [f"{name} {value_of(device / name)}" for name in DEVICE_FILES if name != "features"]
    bits = value_of(device / "features")
    lines += [f"feature {i}" for i, bit in enumerate(bits) if bit == "1"]
    lines += [f"{p.name} {p.stat().st_mode & 0o777:o}" for p in sorted(device.iterdir()) if p.is_file()]
    yield "sysfs-device", lines
    own = f"{device.name}-"
    names = [line.split()[-1] for line in pathlib.Path("/proc/interrupts").read_text().splitlines() if own in line]
    yield "interrupts", names


def netdev_family(interface):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, qstats.NETLINK_GENERIC) as sock:
        sock.settimeout(20)
        sock.bind((0, 0))
        name = qstats.attribute(qstats.CTRL_ATTR_FAMILY_NAME, b"netdev\0")
        family = next(struct.unpack("H", v)[0]
                      for m in qstats.ask(sock, qstats.GENL_ID_CTRL, qstats.CTRL_CMD_GETFAMILY, 0, name)
                      for k, v in qstats.attributes(m) if k == qstats.CTRL_ATTR_FAMILY_ID)
        index = struct.pack("I", socket.if_nametoindex(interface))

        def ask(command, index_at, flags=qstats.NLM_F_DUMP):
            return [dict(qstats.attributes(m)) for m in qstats.ask(sock, family, command, flags,
                                                                   qstats.attribute(index_at, index))]

        def number(data):
            return int.from_bytes(data, sys.byteorder)

        names = {3: "xdp-features", 4: "xdp-zc-max-segs", 5: "xdp-rx-metadata-features", 6: "xsk-features"}
        lines = [f"{names.get(k, k)}={number(v)}" for found in ask(1, 1, 0)
                 for k, v in sorted(found.items()) if k > 2]
        yield "netdev-dev", lines
        lines = []
        for found in ask(10, 2):
            side = ("rx", "tx")[number(found[3])]
            names = {4: "napi-id", 5: "dmabuf", 6: "io-uring", 7: "xsk"}
            lines += [f"{side} {number(found[1])}"] + [f"{side} {number(found[1])} {names.get(k, k)}" for k in found if k > 3]
        yield "netdev-queue", lines
        lines = []
        for found in ask(11, 1):
            names = {3: "irq", 4: "pid", 5: "defer-hard-irqs", 6: "gro-flush-timeout", 7: "irq-suspend-timeout", 8: "threaded"}
            lines += ["napi"] + [f"napi {names.get(k, k)}" + ("" if k in (3, 4) else f"={number(v)}")
                                 for k, v in found.items() if k > 2]
        yield "netdev-napi", lines
        data = qstats.attribute(qstats.IFINDEX, index)
        for scope in ("", "-queue"):
            lines = []
            if scope:
                data += qstats.attribute(qstats.SCOPE, struct.pack("I", 1))
            for message in qstats.ask(sock, family, qstats.QSTATS_GET, qstats.NLM_F_DUMP, data):
                found = dict(qstats.attributes(message))
                queue = f"{('rx', 'tx')[number(found[qstats.QUEUE_TYPE])]} {number(found[qstats.QUEUE_ID])} " if scope else ""
                lines += [f"{queue}{qstats.NAMES[k]}" for k in found if k in qstats.NAMES]
            yield f"netdev-qstats{scope}", lines


def module(what):
    yield "modinfo", [f"parm {line}" for line in run("modinfo", "-F", "parm", what)] + \
        [f"alias {line}" for line in run("modinfo", "-F", "alias", what)]
    name = pathlib.Path(what).stem.replace("-", "_")
    yield "parameters", [f"{name} {mode} {value_of(path)}"
                         for name, path, mode in files(pathlib.Path(f"/sys/module/{name}/parameters"))]


def until_error(name, part):
    """The sections of a part; one that can't be had is shown as such."""
    try:
        yield from part
    except (OSError, ValueError, KeyError, IndexError, subprocess.SubprocessError) as e:
        yield name, [f"failed: {e!r}"]


def collect(interface, what):
    seen = []
    parts = {f.__name__: f(of) for f, of in ((ethtool, interface), (rtnetlink, interface), (sysfs, interface),
                                             (netdev_family, interface), (module, what))}
    for name, part in parts.items():
        for section, lines in until_error(name, part):
            seen += [f"{section}\t{re.sub(rf'{re.escape(interface)}(?![a-z0-9])', 'IF', line)}" for line in lines]
    print("\n".join(sorted(seen)))


class Meant:
    """One entry of visible.expected."""

    def __init__(self, where, text, reason):
        self.where, self.reason, self.used = where, reason, False
        words = text.split(None, 2)
        if len(words) != 3 or words[1] not in "+-":
            raise SystemExit(f"{where}: not SECTION SIGN EXPRESSION: {text}")
        section, self.sign, expression = words
        self.section, _, condition = section.partition("?")
        self.conditions = [c for c in condition.split(",") if c]
        self.expression = re.compile(expression)

    def applies(self, bits, ours):
        def holds(condition):
            if condition == "vectors":
                return any(re.fullmatch(r"interrupts\t.*-input\.0", line) for line in ours)
            return bits[int(condition):][:1] == "1"
        return all(holds(c.lstrip("!")) != c.startswith("!") for c in self.conditions)

    def matches(self, section, sign, line):
        return (section, sign) == (self.section, self.sign) and self.expression.fullmatch(line) is not None


def read_expected(path):
    entries, reason, again = [], None, False
    for number, line in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
        if line.startswith("#"):
            reason = f"{reason} {line[1:].strip()}" if again else line[1:].strip()
            again = True
            continue
        again = False
        if not line.strip():
            reason = None
            continue
        if not reason:
            raise SystemExit(f"{path}:{number}: no reason above it")
        entries.append(Meant(f"{os.path.basename(path)}:{number}", line, reason))
    return entries


def counted(path):
    lines = {}
    for line in pathlib.Path(path).read_text().splitlines():
        lines[line] = lines.get(line, 0) + 1
    return lines


def compare(theirs, ours, expected, bits):
    theirs, ours = counted(theirs), counted(ours)
    entries = [e for e in read_expected(expected) if e.applies(bits, ours)]
    wrong = []
    for line in sorted(set(theirs) | set(ours)):
        more = ours.get(line, 0) - theirs.get(line, 0)
        if not more:
            continue
        sign = "+" if more > 0 else "-"
        section, _, text = line.partition("\t")
        found = [e for e in entries if e.matches(section, sign, text)]
        for e in found:
            e.used = True
        if not found:
            wrong.append(f"{section} {sign} {text}")
    wrong += [f"{e.where}: not seen: {e.section} {e.sign} {e.expression.pattern}" for e in entries if not e.used]
    print(f"# {sum(e.used for e in entries)} differences are meant, of {len(set(theirs) | set(ours))} lines")
    if wrong:
        print("\n".join(wrong))
    return bool(wrong)


def main():
    if sys.argv[1:2] == ["collect"] and len(sys.argv) == 4:
        collect(*sys.argv[2:])
    elif sys.argv[1:2] == ["compare"] and len(sys.argv) == 6:
        sys.exit(compare(*sys.argv[2:]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
