#!/usr/bin/env python3
"""Where the nanoseconds go: the functions of a load with each driver, and the instructions of the driver that take longest.

Usage: profile.py --ko FILE --device FILE [--ko2 FILE] [--seconds S] [--rounds N] [LOAD…]

What `make bench-native CELL=profile` runs, for tx-60-b32, rx-tc-60 and fwd-60 if no load is named (make bench-native
CELL='profile LOAD…'). Each driver has the load for S seconds (default 5), N times in turn (default 3), while perf notes 3000 times a
second where the program is. Only what native.py would count counts, near and far apart. A function's share of
these samples is its share of the nanoseconds of a packet. There are no hardware counters in this: an instruction that waits shows
as the one after it.
"""

import argparse
import collections
import dataclasses
import fnmatch
import pathlib
import statistics
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import machine as mach   # noqa: E402
import native            # noqa: E402
import samples           # noqa: E402
import stats             # noqa: E402

LOADS = ("tx-60-b32", "rx-tc-60", "fwd-60")
# Fewer samples than these of a driver in a class say nothing.
ENOUGH = 1000
# Functions and instructions shown.
FUNCTIONS = 24
INSTRUCTIONS = 10


class Seen:
    """What was seen of one driver under one load, in one class."""

    def __init__(self, runs):
        self.ns = [s["ns"] for s, _ in runs]
        self.addresses = [a for _, addresses in runs for a in addresses]

    def by_function(self, syms):
        """{(function, module): nanoseconds per packet}"""
        n = samples.by_function(self.addresses, syms)
        ns = statistics.median(self.ns)
        return {key: ns * count / len(self.addresses) for key, count in n.items()}


def watch(machine, driver, load, seconds):
    """The load again and again for some seconds: [(its sample, as stats.py wants it, addresses)]."""
    machine.give(driver, load)
    machine.measure(load)
    runs = []
    with samples.Perf(machine.pid, machine.where / "perf.data") as perf:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            runs.append((dataclasses.asdict(machine.measure(load)), []))
    for when, address in perf.samples:
        for s, addresses in runs:
            if s["begin"] <= when <= s["end"]:
                addresses.append(address)
                break
    return runs


def sort(runs):
    """{class: [what was seen of each driver]}, of the runs of each."""
    gates = stats.Gates([s for mine in runs for s, _ in mine])
    out = {}
    for cls in stats.CLASSES:
        out[cls] = [Seen([run for run in mine if gates.judge(run[0])[0] == cls]) for mine in runs]
    return out


# --- the tables -------------------------------------------------------------------------------------------------------


def functions(both, syms, names):
    """Lines: nanoseconds by part and by function, both drivers side by side."""
    ns = [s.by_function(syms) for s in both]
    keys = sorted(set(ns[0]) | set(ns[1]), key=lambda k: -max(n.get(k, 0) for n in ns))
    parts = [collections.Counter() for _ in both]
    for n, p in zip(ns, parts):
        for key, v in n.items():
            p[samples.part(*key)] += v
    lines = [f"    {names[0]:>8} {names[1]:>8}  ns for a packet"]
    for p in ("driver", "virtio", "generator", "kernel", "host"):
        lines.append(f"    {parts[0][p]:8.1f} {parts[1][p]:8.1f}  {p}")
    lines.append("")
    for key in keys[:FUNCTIONS]:
        lines.append(f"    {ns[0].get(key, 0):8.1f} {ns[1].get(key, 0):8.1f}  {key[0]}" + (f" [{key[1]}]" if key[1] else ""))
    return lines


def instructions(one, syms, module, code):
    """Lines: where in the driver's module the samples are."""
    n = samples.by_instruction(one.addresses, syms, module)
    ns = statistics.median(one.ns)
    return [f"    {ns * count / len(one.addresses):6.1f} ns  {name}+{offset:#x}: {code.before(name, offset)}"
            for (name, offset), count in n.most_common(INSTRUCTIONS)]


def show(name, runs, syms, drivers, codes):
    """Prints what is known of a load, class by class. False if that is nothing."""
    said = False
    for cls, both in sort(runs).items():
        if any(len(s.addresses) < ENOUGH for s in both):
            continue
        said = True
        print(f"\n{name}, {cls}: " + ", ".join(
            f"{d.title} {statistics.median(s.ns):.1f} ns ({len(s.ns)} runs, {len(s.addresses)} samples)" for d, s in zip(drivers, both)))
        lines = functions(both, syms, [d.title for d in drivers])
        for d, s in zip(drivers, both):
            lines += ["", f"    {d.title}: the instructions of the driver that are met most, each after the two before it"]
            lines += instructions(s, syms, d.name, codes[d.name])
        print("\n".join(samples.readable(lines)))
    if not said:
        print(f"\n{name}: too few samples of either class for both drivers; more --rounds, or a quieter machine, are the cure")
    sys.stdout.flush()
    return said


def run(args):
    """True if something could be said of each load."""
    loads, devices = mach.loads_and_devices()
    picked = [load for name, load in loads.items() if any(fnmatch.fnmatch(name, p) for p in args.names)]
    if not picked:
        raise mach.Failure(f"no load is called {' or '.join(args.names)}; there are: {' '.join(loads)}")
    devices = {d: devices[d] for d in devices if any(load["device"] == d for load in picked)}
    good = True
    with tempfile.TemporaryDirectory(prefix="native.") as out, native.alone():
        drivers = mach.both(args.ko, args.ko2, pathlib.Path(out))
        codes = {d.name: samples.Code(d.ko) for d in drivers}
        with mach.Machine(devices, drivers, args.device) as machine:
            syms = samples.Symbols(machine.kernel.sh("cat /proc/kallsyms"))
            for load in picked:
                runs = [[] for _ in drivers]
                for n in range(args.rounds):
                    for d, mine in zip(drivers, runs):
                        print(f"profile: {load['name']}: round {n + 1} of {args.rounds}, {d.title}", file=sys.stderr, flush=True)
                        mine += watch(machine, d, load, args.seconds)
                good &= show(load["name"], runs, syms, drivers, codes)
    return good


def main():
    p = argparse.ArgumentParser(usage=__doc__.split("Usage: ")[1].split("\n")[0], description=__doc__.split("\n\n", 2)[2],
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ko", required=True, metavar="FILE", help="the module, compiled for the kernel of bench/native/kernel")
    p.add_argument("--ko2", metavar="FILE", help="another build of it, to compare with instead of C's driver")
    p.add_argument("--device", required=True, metavar="FILE", help="nativedev")
    p.add_argument("--seconds", type=float, default=5, metavar="S", help="for each load, driver and round (default 5)")
    p.add_argument("--rounds", "--repeats", type=int, default=3, metavar="N", help="default 3")
    p.add_argument("names", nargs="*", metavar="LOAD", help="default: " + " ".join(LOADS))
    args = p.parse_args()
    args.names = args.names or LOADS
    try:
        sys.exit(0 if run(args) else 1)
    except mach.Failure as e:
        sys.exit(f"profile: {e}")


if __name__ == "__main__":
    main()
