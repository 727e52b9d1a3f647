"""Throughput and latency by the clock: the loads under [[times]] in cells.toml, with each driver in turn in one guest with 4
CPUs and 4 queue pairs, on KVM (and vhost_net) where they work. On an emulated CPU the figures are the emulator's.
"""

import os
import pathlib
import statistics
import sys

import guest_run

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "qemu-test"))
import accel    # noqa: E402

PAIRS = 4


def on_kvm():
    return accel.decide()[0]


def vhost():
    return on_kvm() and os.access("/dev/vhost-net", os.R_OK | os.W_OK)


def cells(loads):
    """The shell lines that the guest runs in each round."""
    seconds = 3 if on_kvm() else 1
    return "".join(f"timed {t['name']} {seconds} {t['sessions']} '{t['netperf']}'\n" for t in loads)


class TimesGuest(guest_run.BenchGuest):
    """A benchmark guest without the plugin, with the accelerator that all other tests have."""

    def __init__(self, name, out_dir, on_event, **kw):
        super().__init__(name, out_dir, on_event, nics=("tap",), pairs=PAIRS, vcpus=PAIRS, **kw)

    def command(self):
        cmd = super().command()
        at = cmd.index("-accel")
        cmd[at:at + 4] = accel.arguments()
        at = cmd.index("-plugin")
        del cmd[at:at + 2]
        return [x + ",vhost=on" if vhost() and x.startswith("tap,id=n-tap,") else x for x in cmd]

    def start(self):
        # Nothing of BenchGuest's own: there are no records, and no frames are sent to it.
        super(guest_run.BenchGuest, self).start()


def work(spec, out_dir, progress):
    """Runs the guest; {"accel", "vhost", "loads": {name: {driver: [value, …]}}}. A first round doesn't count."""
    job, seen = spec["job"], []
    state = {"round": 0, "driver": None, "error": None, "done": False}

    def event(kind, data):
        text = data.get("text", "")
        if kind == "round":
            state["round"], state["driver"] = int(text.split()[0]), text.split()[1]
            progress(f"round {state['round']} of {len(spec['kw']['env']['ROUNDS'].split())}")
        elif kind == "timed":
            name, value = text.split()
            if state["round"] > 2:
                seen.append((name, state["driver"], float(value)))
        elif kind == "failed":
            state["error"] = text
        elif kind == "done":
            state["done"] = True

    guest = TimesGuest(job["name"], out_dir, event, cells=spec["cells"], timeout=spec["timeout"], env=spec["kw"]["env"])
    try:
        guest.start()
        guest.wait()
    finally:
        guest.stop()
    if state["error"] or not state["done"]:
        sys.exit(f"bench: guest {job['name']}: {state['error'] or 'ended early'}; see {guest.console}")
    loads = {t["name"]: {"what": t["what"], "unit": t["unit"], "sessions": t["sessions"], "c": [], "r": []} for t in job["loads"]}
    for name, driver, value in seen:
        loads[name][driver].append(value)
    return {"accel": accel.describe(), "kvm": on_kvm(), "vhost": vhost(), "loads": loads}


def summary(results):
    """Rows for a table: medians, their quotient, its spread over pairs of rounds, and for transactions the time of one."""
    rows = []
    for name, load in (results.get("times") or {"loads": {}})["loads"].items():
        c, r = load["c"], load["r"]
        if not c or not r or not min(c):
            continue
        pairs = [b / a for a, b in zip(c, r)]
        mc, mr = statistics.median(c), statistics.median(r)
        row = [name, load["what"], load["unit"], f"{mc:.0f}", f"{mr:.0f}", f"{mr / mc:.3f}", f"{min(pairs):.3f}–{max(pairs):.3f}"]
        rows.append(row + [f"{1e6 * load['sessions'] / x:.0f}" if load["unit"] == "transactions/s" and x else "–" for x in (mc, mr)])
    return rows


HEAD = ["load", "what", "unit", "C", "ours", "ours/C (more is better)", "spread", "µs each, C", "µs each, ours"]


def note(results):
    t = results["times"]
    text = t["accel"][0].upper() + t["accel"][1:] + (", with vhost_net." if t["vhost"] else ".")
    return text if t["kvm"] else text + " **These figures are the emulator's and say little about a driver.**"
