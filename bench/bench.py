#!/usr/bin/env python3
"""The driver measured side by side with the in-tree C driver: what `make bench` runs.

Usage: bench.py [--quick] [--repeats N] [--list] [--results FILE [--add]] [NAME…]

Without names: all cells of cells.toml on each variant of the device, cost against queues, memory, truesize. A name (shell
patterns may be used) picks variants, cells, VARIANT/CELL, or one of: scaling, memory, truesize, times, grid. The grid of the
2012 multiqueue series takes hours and runs only when named; times, which are throughput and latency by the clock, when named
or where KVM works. --quick: the cells marked so, on the default device.

Each guest gives its NICs to C, ours and C again, round by round, after a round that doesn't count. Two guests run at a
time, each on one core. Results go to bench/results/ (JSON, report.md, plots); runs inside the toolchain tree, in a network
namespace of its own (make bench sees to both).
"""

import argparse
import base64
import concurrent.futures
import fnmatch
import gzip
import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import guest_run                    # noqa: E402
import report                       # noqa: E402
import symbols                      # noqa: E402
import times                        # noqa: E402
from guest_run import CACHE, TOOLS  # noqa: E402

REPO = HERE.parent
COUNTERS = ("kernel", "driver", "virtio", "rest", "user", "generator", "kicks", "interrupts", "polls", "allocs")
PASSES = ("c", "r", "c2")
# Loads of bench/guest/main whose N is split into runs shorter than the ring where guests aren't pinned.
SPLIT = 40
# Queue pairs of the device of which the memory is measured: many more than a guest uses as a rule.
MEMORY_PAIRS = 32


def say(text):
    print(text, flush=True)


# --- what is to be run ------------------------------------------------------------------------------------------------


def pick(conf, args):
    """A list of jobs, one guest each."""
    def wanted(*names):
        return not args.names or any(fnmatch.fnmatch(n, p) for n in names for p in args.names)

    jobs = []
    for name, variant in conf["variant"].items():
        if args.quick and name != "default":
            continue
        cells = [c for c in conf["cell"] if (c.get("quick") or not args.quick)
                 and (name in c["on"] if "on" in c else c["name"] in variant.get("cells", [c["name"]]))
                 and wanted(name, c["name"], f"{name}/{c['name']}")]
        # A cell that is asked for by its bare name is measured on the default device, or those that it is for.
        if args.names and name != "default":
            cells = [c for c in cells if "default" not in c.get("on", ["default"]) or wanted(name, f"{name}/{c['name']}")]
        if cells:
            jobs.append({"name": name, "kind": "cells", "device": variant["device"], "cells": cells,
                         "vcpus": variant.get("vcpus", 1)})
    if wanted("scaling") and not args.quick:
        jobs += [{"name": f"scaling-{s['name']}", "kind": "scaling", "cells": [s]} for s in conf["scaling"]]
    if wanted("memory"):
        jobs.append({"name": "memory", "kind": "memory", "cells": []})
    if wanted("truesize") and not args.quick:
        jobs.append({"name": "truesize", "kind": "truesize", "cells": [c for c in conf["cell"] if c.get("rx")]})
    if wanted("times") and (args.names or not args.quick and times.on_kvm()):
        jobs.append({"name": "times", "kind": "times", "cells": [], "loads": conf["times"]})
    if args.names and wanted("grid", "grid-small"):
        grid = conf["grid"] | ({} if wanted("grid") else conf["grid"]["small"])
        jobs += [{"name": f"grid-{t['name'].replace(' ', '-')}-{q}", "kind": "grid", "test": t, "queues": q, "cells": [],
                  "sizes": grid["sizes"], "sessions": grid["sessions"]}
                 for t in grid["test"] for q in grid["queues"]]
    if not jobs:
        sys.exit(f"bench: nothing is called {' or '.join(args.names)}; --list shows the names")
    return jobs


def cells_file(job, conf):
    """The shell lines that a guest runs in each round."""
    if job["kind"] == "times":
        return times.cells(job["loads"])
    out = []
    for c in job["cells"]:
        if job["kind"] == "scaling":
            out += [f"cell {c['name']}:{q} scaled {q} {c['load'].replace('QUEUES', str(q))} {c['n']}" for q in (1, 2, 4, 8)]
        else:
            out.append(f"cell {c['name']} {c['load']} {c['n']}")
    if job["kind"] == "grid":
        test = job["test"]
        for size in job["sizes"]:
            n = test["work"]
            if "max_bytes" in test:
                n = min(n * size, test["max_bytes"])
            netperf = test["netperf"].replace("SIZE", str(size))
            out += [f"cell {size}:{s} sessions {s} '{netperf}' {max(n, s)}" for s in job["sessions"]]
    return "\n".join(out) + "\n"


def settings(job, args, pinned):
    """Keyword arguments of BenchGuest."""
    rounds = "c r " + "c r c " * args.repeats
    env = {"ROUNDS": rounds.strip(), "RUNS": 1 if pinned else SPLIT, "SYMBOLS": "" if symbol_cache().exists() else "all"}
    kw = {"env": env, "device": job.get("device", ""), "vcpus": job.get("vcpus", 1)}
    if job["kind"] == "scaling":
        kw.update(nics=("sink",), pairs=8, vcpus=job["cells"][0]["vcpus"])
        env["ROUNDS"] = ("c r " + "c r " * args.repeats).strip()
    elif job["kind"] == "memory":
        kw.update(nics=("sink",), pairs=MEMORY_PAIRS)
        # Once for warming up, and three times at least: the kernel's own caches come and go.
        env.update(ROUNDS=("c r " * max(args.repeats + 1, 4)).strip(), MEMORY=f"1 {MEMORY_PAIRS} 1")
    elif job["kind"] == "truesize":
        env.update(ROUNDS="", TRUESIZE="*")
    elif job["kind"] == "times":
        env.update(ROUNDS=("c r " * (args.repeats + 1)).strip(), PAIRS=times.PAIRS)
    elif job["kind"] == "grid":
        kw.update(nics=("tap",), pairs=4, vcpus=4)
        env.update(ROUNDS="c r", PAIRS=job["queues"])
    return kw


def symbol_cache():
    return TOOLS / f"symbols-{guest_run.initramfs.kernel_version()}.gz"


# --- one guest: a process of its own, in a network namespace of its own ---------------------------------------------


class Worker:
    """Collects what a guest reports."""

    def __init__(self, job, progress):
        self.job, self.progress = job, progress
        self.syms = None
        self.text = []
        self.rounds, self.round, self.driver = 0, 0, None
        self.records = []
        self.other = []
        self.error = None

    def event(self, kind, data):
        text = data.get("text", "")
        if kind == "line":
            self.text.append(text)
        elif kind == "symbols":
            self._symbols(text)
        elif kind == "round":
            self.round, self.driver = int(text.split()[0]), text.split()[1]
            self.progress(f"round {self.round} of {self.rounds}")
        elif kind == "record":
            new = self.guest.records.new()
            label, n, share, took = text.split()
            acc = None
            if len(new) == 1:
                acc = symbols.account(new[0], self.syms)
                acc["kernel"] = acc["driver"] + acc["virtio"] + acc["rest"]
            else:
                # Seen once in some thousand: a mark that the plugin wasn't told of. Other rounds have the cell as well.
                self.lost += 1
                if self.lost > 3:
                    self.error = f"{self.lost} measurements without exactly one record, the last one of {label}"
            self.records.append({"round": self.round, "driver": self.driver, "label": label, "n": int(n), "acc": acc,
                                 "share": [int(x) for x in share.split(",") if x.isdigit()], "took": float(took)})
        elif kind in ("truesize", "memory"):
            self.guest.records.new()
            self.other.append(text)
            self.progress(f"{kind} {text.split()[0]} {text.split()[1]}")
        elif kind == "failed":
            self.error = text
        elif kind == "done":
            self.finished = True

    finished = False
    lost = 0

    def _symbols(self, text):
        if text == "begin":
            self.text = []
            return
        data = base64.b64decode("".join(self.text))
        cache = symbol_cache()
        if not cache.exists():
            # What belongs to modules is different in the next guest.
            lines = gzip.decompress(data).decode().splitlines()
            cache.write_bytes(gzip.compress("\n".join(x for x in lines if len(x.split()) == 2).encode()))
        lines = gzip.decompress(cache.read_bytes()).decode().splitlines() + gzip.decompress(data).decode().splitlines()
        self.syms = symbols.Symbols(set(lines))


def differences(worker, unit_of):
    """{label: {pass: {counter: [per unit, …], "functions": {...}}}} from the runs of N and 2N.

    A point of the grid runs once and on several CPUs, whose idle ticks count as well: there it is the sum of both runs,
    set-up included, for 3N.
    """
    grid = worker.job["kind"] == "grid"
    sign = 1 if grid else -1
    out = {}
    seen = {}
    recs = worker.records
    for a, b in zip(recs[::2], recs[1::2]):
        assert a["label"] == b["label"] and b["n"] == 2 * a["n"], (a["label"], b["label"])
        # The first round of each driver is for warming up.
        key = (a["label"], a["driver"])
        seen[key] = seen.get(key, 0) + 1
        if seen[key] == 1 and not grid:
            continue
        # A lost record, or a run whose wait for the guest to be idle ended too early.
        if not a["acc"] or not b["acc"] or b["acc"]["kernel"] <= a["acc"]["kernel"] and not grid:
            continue
        name = a["driver"]
        if name == "c" and worker.job["kind"] == "cells" and seen[key] % 2:
            name = "c2"
        units = (b["n"] + sign * a["n"]) / unit_of(a["label"])
        row = out.setdefault(a["label"], {}).setdefault(name, {c: [] for c in COUNTERS} | {"functions": [], "seconds": []})
        for c in COUNTERS:
            row[c].append((b["acc"][c] + sign * a["acc"][c]) / units)
        fa, fb = a["acc"]["functions"], b["acc"]["functions"]
        row["functions"].append({} if grid else {f: (fb.get(f, 0) - fa.get(f, 0)) / units for f in set(fa) | set(fb)})
        if b["share"]:
            row["share"] = b["share"]
        row["seconds"].append(b["took"])
    for rows in out.values():
        # Repeats are compared in pairs: one that is missing counts as the median of the others.
        most = max(len(row["kernel"]) for row in rows.values())
        for row in rows.values():
            for c in COUNTERS:
                row[c] += [statistics.median(row[c])] * (most - len(row[c]))
    return out


def work(job_path):
    """The process for one guest: reads its job, writes what came of it, tells its progress on standard output."""
    spec = json.loads(pathlib.Path(job_path).read_text())
    job = spec["job"]

    def progress(text):
        print(text, flush=True)

    if job["kind"] == "times":
        data = times.work(spec, CACHE / "bench/out" / job["name"], progress)
        pathlib.Path(spec["result"]).write_text(json.dumps(data))
        return
    worker = Worker(job, progress)
    worker.rounds = len(spec["kw"]["env"]["ROUNDS"].split())
    out_dir = CACHE / "bench/out" / job["name"]
    guest = guest_run.BenchGuest(job["name"], out_dir, worker.event, cells=spec["cells"], core=spec["core"],
                                 timeout=spec["timeout"], **spec["kw"])
    worker.guest = guest
    try:
        guest.start()
        guest.wait()
    finally:
        guest.stop()
    if worker.error or not worker.finished:
        sys.exit(f"bench: guest {job['name']}: {worker.error or 'ended early'}; see {guest.console}")
    units = {c["name"]: c.get("per", 1) for c in job["cells"]}
    data = differences(worker, lambda label: units.get(label, 1))
    for rows in data.values():
        for row in rows.values():
            # The median over the repeats of each function, the greatest first.
            names = set().union(*row["functions"])
            med = {f: statistics.median(r.get(f, 0.0) for r in row["functions"]) for f in names}
            row["functions"] = {f: round(v, 2) for f, v in sorted(med.items(), key=lambda x: -x[1]) if v >= 0.5}
    pathlib.Path(spec["result"]).write_text(json.dumps({"data": data, "other": worker.other}))


class Board:
    """Progress of all guests in one line on a terminal, now and then a line elsewhere."""

    def __init__(self, total):
        self.total, self.done, self.state = total, 0, {}
        self.lock = threading.Lock()
        self.t0 = time.monotonic()
        self.last = 0

    def show(self, job=None, text=None):
        with self.lock:
            if job:
                self.state[job] = text
            now = time.monotonic() - self.t0
            line = f"[{self.done}/{self.total} {now:4.0f} s] " + ", ".join(f"{j}: {t}" for j, t in self.state.items())
            if sys.stdout.isatty():
                print(f"\r\x1b[K{line[:118]}", end="", flush=True)
            elif now - self.last > 30:
                self.last = now
                print(line, flush=True)

    def finish(self, job):
        with self.lock:
            self.state.pop(job, None)
            self.done += 1
        self.show()


def run_job(job, conf, args, cores, board):
    core = cores.pop() if cores else None
    path = TOOLS / f"job-{job['name']}"
    pinned = core is not None
    spec = {"job": job, "cells": cells_file(job, conf), "kw": settings(job, args, pinned), "core": core,
            "timeout": 20000 if job["kind"] == "grid" else 3600, "result": f"{path}.result"}
    try:
        for attempt in (1, 2):
            pathlib.Path(f"{path}.json").write_text(json.dumps(spec))
            proc = subprocess.Popen(["unshare", "--net", sys.executable, str(HERE / "bench.py"), "--worker", f"{path}.json"],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for line in proc.stdout:
                board.show(job["name"], line.strip())
            err = proc.stderr.read().strip()
            if proc.wait() == 0:
                return json.loads(pathlib.Path(spec["result"]).read_text())
            say(f"\nbench: {err}" + ("; once more" if attempt == 1 else ""))
        return None
    finally:
        if pinned:
            cores.append(core)
        board.finish(job["name"])


# --- results --------------------------------------------------------------------------------------------------------


def versions():
    def first(*cmd):
        r = subprocess.run(cmd, capture_output=True, text=True)
        return r.stdout.splitlines()[0].strip() if r.returncode == 0 and r.stdout else "?"
    version = next((x.split('"')[1] for x in (REPO / "params.c").read_text().splitlines() if x.startswith("MODULE_VERSION")),
                   "?")
    return {"driver": f"{version} ({os.environ.get('VNM_COMMIT', 'unknown commit')})",
            "kernel": guest_run.initramfs.kernel_version(), "qemu": first("qemu-system-x86_64", "--version"),
            "rustc": first("rustc", "--version"), "gcc": first("x86_64-linux-gnu-gcc-16", "--version")}


def collect(conf, jobs, results, args, pinned):
    kernel = guest_run.initramfs.kernel_version()
    base = f"/lib/modules/{kernel}/kernel/drivers/net/virtio_net.ko"
    c_ko = next((p for p in (base, base + ".xz", base + ".zst") if pathlib.Path(p).exists()), None)
    note = ("Guest instructions, counted by a TCG plugin; N against 2N packets, so that set-up cancels. "
            + ("The device's thread goes before the CPU's on one core: each kick is dealt with at once."
               if pinned else "Real-time scheduling isn't permitted here, so the device runs beside the CPU: expect spread."))
    out = {"versions": versions(), "method": {"repeats": args.repeats, "note": note, "quick": args.quick},
           "text": {"r": symbols.text_size(REPO / "virtio_net_mq.ko")}, "variants": {}}
    if c_ko and not c_ko.endswith(".zst"):
        out["text"]["c"] = symbols.text_size(c_ko)
    cells = {c["name"]: c for c in conf["cell"]}
    truesize = {}
    for job, res in zip(jobs, results):
        if res is None:
            continue
        if job["kind"] == "cells":
            rows = []
            for name, data in res["data"].items():
                c = cells[name]
                # The most expensive functions are enough to keep, and once for C.
                data.get("c2", {}).pop("functions", None)
                for p in ("c", "r"):
                    data[p]["functions"] = dict(list(data[p]["functions"].items())[:60])
                rows.append({"name": name, "what": c["what"], "unit": c.get("unit", "packet"), "bulk": c.get("bulk", False),
                             **{p: data[p] for p in PASSES if p in data}})
            out["variants"][job["name"]] = {"what": conf["variant"][job["name"]]["what"],
                                            "device": job["device"], "cells": rows}
        elif job["kind"] == "scaling":
            for label, data in res["data"].items():
                name, q = label.split(":")
                out.setdefault("scaling", []).append({"load": name, "queues": int(q), **{
                    p: {"kernel": data[p]["kernel"], "share": data[p].get("share", [])} for p in ("c", "r")}})
        elif job["kind"] == "memory":
            pages = {}
            # The first time of each driver is for warming up.
            for line in res["other"][6:]:
                d, p, n = line.split()
                pages.setdefault(d, {}).setdefault(p, []).append(int(n))
            out["memory_pairs"] = MEMORY_PAIRS
            out["memory"] = {d: {p: statistics.median(v) for p, v in x.items()} for d, x in pages.items()}
        elif job["kind"] == "truesize":
            for line in res["other"]:
                d, name, *v = line.split()
                if len(v) == 3 and int(v[2]):
                    truesize.setdefault(name, {}).setdefault(d, []).append(int(v[1]) / int(v[2]))
        elif job["kind"] == "times":
            out["times"] = res
        elif job["kind"] == "grid":
            for label, data in res["data"].items():
                size, sessions = label.split(":")
                if not {"c", "r"} <= set(data):
                    say(f"bench: {job['name']}: no measurement of {size} bytes, {sessions} sessions with each driver")
                    continue
                out.setdefault("grid", []).append({"test": job["test"]["name"], "queues": job["queues"], "size": int(size),
                                                   "sessions": int(sessions), **{
                    p: {"cost": statistics.median(data[p]["kernel"]), "seconds": statistics.median(data[p]["seconds"] or [0])}
                    for p in ("c", "r")}})
    truesize = {name: {d: statistics.median(v) for d, v in x.items()} for name, x in truesize.items()}
    for variant in out["variants"].values():
        for c in variant["cells"]:
            for p in ("c", "r"):
                c[p]["truesize"] = truesize.get(c["name"], {}).get(p)
    out["truesize"] = truesize
    return out


def added(old, new):
    """Results with those of `new` in the place of the same ones of `old`."""
    for name, variant in old["variants"].items():
        cells = {c["name"]: c for c in new["variants"].get(name, {"cells": []})["cells"]}
        for i, c in enumerate(variant["cells"]):
            if fresh := cells.pop(c["name"], None):
                for side in ("c", "r"):
                    fresh[side]["truesize"] = fresh[side]["truesize"] or c[side]["truesize"]
                variant["cells"][i] = fresh
        variant["cells"] += cells.values()
    return old | {k: v for k, v in new.items() if v and k not in ("variants", "method")} | {
        "variants": new["variants"] | old["variants"], "method": old["method"]}


def pinnable():
    """Two cores and the right to real-time scheduling."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except PermissionError:
        return False
    return True


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--quick", action="store_true", help="only the cells marked quick, on the default device")
    ap.add_argument("--repeats", type=int, default=5, help="rounds of C, ours, C (default 5)")
    ap.add_argument("--list", action="store_true", help="show the names")
    ap.add_argument("--results", help="JSON file for the results (default: bench/results/…)")
    ap.add_argument("--add", action="store_true", help="keep what that file has of parts that aren't measured now")
    ap.add_argument("--functions", action="store_true", help="show each cell's instructions function by function, C and ours")
    ap.add_argument("--worker", help=argparse.SUPPRESS)
    ap.add_argument("names", nargs="*")
    args = ap.parse_args()
    if args.worker:
        return work(args.worker)
    conf = tomllib.loads((HERE / "cells.toml").read_text())
    if args.list:
        for c in conf["cell"]:
            print(f"{c['name']:<20}{c['what']}")
        for name, v in conf["variant"].items():
            print(f"{name:<20}device: {v['what']}")
        print("scaling, memory, truesize, times, grid, grid-small")
        return 0
    if args.add and not args.results:
        ap.error("--add: to which --results?")
    if args.repeats < 1:
        ap.error("--repeats: at least 1")
    jobs = pick(conf, args)
    pinned = pinnable()
    cores = sorted(os.sched_getaffinity(0))[:2]
    at_once = len(cores)
    if not pinned:
        say("bench: no right to real-time scheduling; measuring without it, with more spread")
        cores = []
    (CACHE / "bench/out").mkdir(parents=True, exist_ok=True)
    guest_run.initramfs.ensure("base")
    guest_run.initramfs.vmlinux()
    if not symbol_cache().exists():
        # The first guest fetches the kernel's symbols for all.
        at_once = 1
    say(f"bench: {len(jobs)} guests, {at_once} at a time, {args.repeats} repeats")
    board = Board(len(jobs))
    # What is measured by the clock has the machine for itself.
    alone = [j for j in jobs if j["kind"] == "times"]
    jobs = [j for j in jobs if j not in alone]
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        results = list(pool.map(lambda j: run_job(j, conf, args, cores, board), jobs))
    results += [run_job(j, conf, args, None, board) for j in alone]
    jobs += alone
    if sys.stdout.isatty():
        print()
    if all(r is None for r in results):
        return 1
    data = collect(conf, jobs, results, args, pinned)
    default = "quick.json" if args.quick else "partial.json" if args.names else "results.json"
    path = pathlib.Path(args.results) if args.results else HERE / "results" / default
    path.parent.mkdir(parents=True, exist_ok=True)
    if args.add and path.exists():
        data = added(json.loads(path.read_text()), data)
    path.write_text(json.dumps(data, separators=(",", ":")) + "\n")
    if args.functions:
        functions(data)
    say(report.table(data))
    if not args.names and not args.quick or args.results:
        subprocess.run([sys.executable, str(HERE / "report.py"), str(path)], check=False)
    say(f"results: {path.relative_to(REPO) if path.is_relative_to(REPO) else path}")
    if data["variants"]:
        say(report.closing_line(data))
    return 0 if all(r is not None for r in results) else 1


def functions(data):
    for vname, variant in data["variants"].items():
        for c in variant["cells"]:
            say(f"\n{vname}/{c['name']}: instructions per {c['unit']}: C, ours, difference")
            fc, fr = c["c"]["functions"], c["r"]["functions"]
            for f in sorted(set(fc) | set(fr), key=lambda f: -max(fc.get(f, 0), fr.get(f, 0)))[:70]:
                x, y = fc.get(f, 0), fr.get(f, 0)
                say(f"{x:9.1f} {y:9.1f} {y - x:+9.1f}  {f}")


if __name__ == "__main__":
    sys.exit(main())
