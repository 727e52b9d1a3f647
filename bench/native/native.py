#!/usr/bin/env python3
"""Nanoseconds per packet of two drivers, side by side: what `make bench-native` runs.

Usage: native.py --ko FILE [--ko2 FILE] [--device FILE] [--seconds S] [--repeats N] [--results FILE] [--list] [LOAD…]

The kernel is user-mode Linux, a program that runs natively on one CPU; its device is another on a second CPU, which polls the
rings. --ko names our module; it is compared with C's virtio_net or, with --ko2, with an older build of ours. Without names: all
loads of loads.toml (--list), with them (shell patterns may be used) those.

Round by round, the two drivers have each load in turn, until there are N samples a side (default 10) of each load in one of two
classes: CPUs near each other and far apart, which is for the machine to say and may change at any time. What is disturbed
doesn't count. After S seconds (default 540) it ends with what there is, and with exit status 1 if that says nothing.

Results go to bench/results/: native.json (raw), native.md, native.svg; with names or --ko2, and where the machine was too busy to
tell anything, to qemu-test/out/ instead. Runs inside the toolchain tree, in a network namespace of its own (make bench-native
sees to both); --device is built by bench/native/device/build.
"""

import argparse
import dataclasses
import fcntl
import fnmatch
import itertools
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import machine      # noqa: E402
import report       # noqa: E402
import stats        # noqa: E402

REPO = HERE.parent.parent
OUT = REPO / "qemu-test/out/native"
# How often kernel and device may be started anew.
MOST = 5


def say(text):
    print(text, flush=True)


def arguments(argv):
    p = argparse.ArgumentParser(usage=__doc__.split("Usage: ")[1].split("\n")[0], description=__doc__.split("\n\n")[2],
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="*", metavar="LOAD", help="loads to measure, shell patterns (default: all)")
    p.add_argument("--ko", type=pathlib.Path, default=OUT / "virtio_net_mq.ko", help="our module (default: %(default)s)")
    p.add_argument("--ko2", type=pathlib.Path, help="an older build of our module, to compare with instead of C")
    p.add_argument("--device", type=pathlib.Path, default=OUT / "nativedev", help="the device's program (default: %(default)s)")
    p.add_argument("--seconds", type=float, default=540, help="how long at most, in seconds (default: %(default)s)")
    p.add_argument("--repeats", type=int, default=stats.ENOUGH, help="samples a side that a ratio takes (default and least: %(default)s)")
    p.add_argument("--results", type=pathlib.Path, help="where to, a file ending in .json")
    p.add_argument("--list", action="store_true", help="show the loads and end")
    args = p.parse_args(argv)
    if args.repeats < stats.ENOUGH:
        p.error(f"fewer than {stats.ENOUGH} repeats say nothing")
    return args


def pick(loads, names):
    chosen = {n: load for n, load in loads.items() if not names or any(fnmatch.fnmatch(n, p) for p in names)}
    for p in names:
        if not any(fnmatch.fnmatch(n, p) for n in loads):
            sys.exit(f"native: nothing is called {p}; --list shows the names")
    return chosen


def alone():
    """Two measurements at a time would measure each other: waits until no other has the lock, which this then has."""
    f = open(machine.CACHE / "measure.lock", "w")     # pylint: disable=consider-using-with
    try:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("native: another measurement is running; waiting for its end")
        fcntl.flock(f, fcntl.LOCK_EX)
    return f


# --- measuring --------------------------------------------------------------------------------------------------------


def groups(loads):
    """Lists of loads that follow each other and that a driver has one after the other: of one device, and few enough that the two
    drivers' samples aren't far apart."""
    def key(load):
        return load["device"], load["does"] if load["device"] == "split" else ""
    return [list(g) for _, g in itertools.groupby(loads, key)]


class Run:
    """The rounds, and what they bring."""

    def __init__(self, m, drivers, loads, args):
        self.m, self.drivers, self.loads, self.args = m, drivers, loads, args
        self.samples = []
        self.features = {}
        self.failures = []
        self.began = time.monotonic()
        self.good = {}

    def late(self):
        return time.monotonic() - self.began > self.args.seconds

    def lacking(self):
        return stats.lacking(self.good, self.loads, self.args.repeats)

    def warm_up(self):
        """Once round the loads with few packets, to learn what each costs; nothing of it counts."""
        for group in groups(self.loads.values()):
            for driver in self.drivers:
                for load in group:
                    self.m.give(driver, load)
                    self.m.measure(load, 2048)
                    self.m.measure(load, 32768)
                    self.features.setdefault(load["device"], {})[driver.title] = self.m.features(load)

    def sample(self, driver, load):
        """A run of a load as a dictionary; None if one of the programs hung or ended."""
        try:
            self.m.give(driver, load)
            return dataclasses.asdict(self.m.measure(load))
        except machine.Failure as e:
            self.failures.append(f"{load['name']}, {driver.title}: {str(e).splitlines()[0]}")
            say(f"{self.failures[-1]}; kernel and device are started anew")
            if len(self.failures) > MOST:
                raise
            self.m.restart()
            return None

    def round(self, number, names):
        """A round over some loads; False if it wasn't completed."""
        for group in groups(load for name, load in self.loads.items() if name in names):
            for side, driver in zip(stats.SIDES, self.drivers):
                for load in group:
                    if self.late():
                        return False
                    sample = self.sample(driver, load)
                    if not sample:
                        continue
                    begin, end = sample.pop("begin"), sample.pop("end")
                    sample |= {"load": load["name"], "side": side, "round": number, "at": begin - self.began, "took": end - begin}
                    self.samples.append(sample)
        return True

    def all(self):
        number, names = 0, list(self.loads)
        while names:
            number += 1
            whole = self.round(number, names)
            gates = stats.Gates(self.samples)
            self.good, refused = stats.sort(self.samples, gates)
            names = self.lacking()
            counts = {cls: [stats.count(self.good, load, cls) for load in self.loads] for cls in stats.CLASSES}
            say(f"round {number}, {time.monotonic() - self.began:.0f} s: {len(self.loads) - len(names)} of {len(self.loads)} loads have "
                f"{self.args.repeats} samples a side; " + ", ".join(f"{cls} {min(c)} to {max(c)}" for cls, c in counts.items())
                + (f"; {sum(refused.values())} of {len(self.samples)} don't count" if refused else ""))
            if not whole:
                break


# --- what the machine was like ----------------------------------------------------------------------------------------


def ticks():
    """(steal, all) of the machine's CPUs, in ticks of the clock."""
    words = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    return int(words[7]), sum(int(w) for w in words)


class State:
    """What else went on while it was measured."""

    def __init__(self):
        self.load, self.ticks = os.getloadavg()[0], ticks()

    def result(self, m):
        model = "unknown"
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
        steal, whole = (b - a for a, b in zip(self.ticks, ticks()))
        return {"model": model, "cpus": os.cpu_count(), "kernel_cpu": m.cpu, "device_cpu": m.device_cpu, "realtime": m.rt,
                "host": os.uname().release, "load": [round(self.load, 2), round(os.getloadavg()[0], 2)],
                "steal": steal / max(whole, 1)}


def versions(m):
    def first(*cmd):
        try:
            return subprocess.run(cmd, capture_output=True, text=True, check=True).stdout.split("\n", 1)[0]
        except (OSError, subprocess.CalledProcessError):
            return "unknown"
    return {"driver": os.environ.get("VNM_COMMIT", "unknown"), "kernel": m.kernel.sh("uname -rm"), "rustc": first("rustc", "--version"),
            "gcc": first("x86_64-linux-gnu-gcc-16", "--version")}


def place(data, of_some):
    """Where results go. What tells nothing doesn't take the place of what a better hour has told."""
    return OUT.with_suffix(".json") if of_some or not report.tells(data) else REPO / "bench/results/native.json"


def main(argv):
    args = arguments(argv)
    loads, devices = machine.loads_and_devices()
    if args.list:
        for name, load in loads.items():
            print(f"{name:18} {load['what']}")
        return 0
    loads = pick(loads, args.names)
    used = {name: pair for name, pair in devices.items() if any(load["device"] == name for load in loads.values())}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("native: ended by a signal"))
    try:
        with tempfile.TemporaryDirectory(prefix="native.") as tmp, alone():
            drivers = machine.both(args.ko, args.ko2, pathlib.Path(tmp))
            state = State()
            with machine.Machine(used, drivers, args.device) as m:
                say(f"{len(loads)} loads, {drivers[0].title} and {drivers[1].title}: kernel on CPU {m.cpu}, device on CPU {m.device_cpu}"
                    + ("" if m.rt else "; without real-time priority, which isn't permitted here: much won't count"))
                run = Run(m, drivers, loads, args)
                run.warm_up()
                run.all()
                data = {"versions": versions(m), "machine": state.result(m), "titles": [d.title for d in drivers],
                        "repeats": args.repeats, "seconds": round(time.monotonic() - run.began), "features": run.features, "failures": run.failures,
                        "loads": loads, "samples": run.samples}
    except machine.Failure as e:
        sys.exit(f"native: {e}")
    results = args.results or place(data, args.names or args.ko2)
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(report.as_json(data))
    # Before the report, whose last line says what came of it.
    say(f"written to {results.relative_to(REPO) if results.is_relative_to(REPO) else results}")
    return report.write(results, data, say)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
