#!/usr/bin/env python3
"""Tables, the plot and the closing line of a native measurement, from its samples.

Usage: report.py FILE.json                      writes FILE.md and FILE.svg anew, of results that are there
       report.py FILE.json FILE.json… --to OUT.json    several runs of the same drivers as one: where a run brings too few samples
                                                       with the CPUs far apart, or near each other, several may bring enough
"""

import argparse
import json
import pathlib
import statistics
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import stats        # noqa: E402

COUNTED = HERE.parent / "results/results.json"


def counted():
    """{VARIANT/CELL: instructions ours/C} of the committed results of make bench."""
    try:
        results = json.loads(COUNTED.read_text())
    except OSError:
        return {}
    def kernel(cell, *sides):
        return stats.median(x for side in sides for x in cell[side]["kernel"])
    return {f"{name}/{c['name']}": kernel(c, "r") / kernel(c, "c", "c2") for name, v in results["variants"].items() for c in v["cells"]}


def as_json(data):
    """JSON with a line for each sample."""
    rest = {k: v for k, v in data.items() if k != "samples"}
    lines = [json.dumps(rounded(s), ensure_ascii=False) for s in data["samples"]]
    return json.dumps(rest, indent=1, ensure_ascii=False)[:-2] + ',\n "samples": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def rounded(x):
    """Numbers with the digits that mean something."""
    if isinstance(x, float):
        return round(x, 4)
    if isinstance(x, dict):
        return {k: rounded(v) for k, v in x.items()}
    return [rounded(v) for v in x] if isinstance(x, list) else x


# --- the table --------------------------------------------------------------------------------------------------------


def ns(x):
    return f"{x:.1f}" if x < 100 else f"{x:.0f}"


def ratio(x):
    return "–" if x is None else f"{x:.3f}"


def percent(x):
    return f"{100 * x:.1f}%"


def side(s):
    low, high = s["quartiles"]
    return f"{ns(s['ns'])} ({ns(low)}–{ns(high)})"


def pair(row):
    """Events for a packet, where there are any; those of one driver beside those of the other."""
    a, b = row["a"]["more"], row["b"]["more"]
    return ", ".join(f"{k} {a[k]:.2f}/{b.get(k, 0):.2f}" for k in a if k != "batch" and max(a[k], b.get(k, 0)) >= 0.005)


def head(titles):
    a, b = titles
    return ["load", "CPUs", "n", f"{a} ns (quartiles)", f"{b} ns (quartiles)", "ratio", "noise", "CPU time", "instructions", f"events {a}/{b}"]


def rows(data, s, insns):
    """The cells of the table, a list for each line."""
    out = []
    for name, load in data["loads"].items():
        for cls in stats.CLASSES:
            r = s["rows"][cls].get(name)
            if not r or not r["ratio"]:
                continue
            out.append([name, cls, f"{r['a']['n']}, {r['b']['n']}", side(r["a"]), side(r["b"]), ratio(r["ratio"]), percent(r["noise"]),
                        ratio(r["cpu"]), ratio(insns.get(load.get("insns"))), pair(r)])
    return out


def columns(lines):
    width = [max(map(len, column)) for column in zip(*lines)]
    return ["  ".join(x.ljust(w) if i < 2 else x.rjust(w) for i, (x, w) in enumerate(zip(line[:-1], width))) + "  " + line[-1]
            for line in lines]


# --- in words ---------------------------------------------------------------------------------------------------------


def closing(data, s):
    """The line that everything ends with, and the exit status."""
    a, b = data["titles"]
    if not s["classes"]:
        return ("native: this machine is too busy to tell: no load has enough samples that count (see the reasons above); once more on a "
                "quiet one, or with more --seconds", 1)
    parts = []
    for name, c in s["classes"].items():
        w = s["rows"][name][c["worst"]]
        parts.append(f"{name} {c['geomean']:.3f} over {c['n']} load{'s' * (c['n'] != 1)}, worst {w['ratio']:.3f} ({c['worst']}), "
                     f"noise {percent(c['noise'])}, at most {percent(s['rows'][name][c['noisiest']]['noise'])} ({c['noisiest']})")
    few = f"; no ratio for {len(s['lacking'])} of {len(data['loads'])} loads" if s["lacking"] else ""
    return f"nanoseconds per packet {b}/{a}: geometric mean " + "; ".join(parts) + few, 0


def reasons(s):
    if not s["refused"]:
        return "all samples count"
    return f"{sum(s['refused'].values())} of {s['samples']} samples don't count: " + ", ".join(
        f"{s['refused'][w]} because {why}" for w, why in stats.REASONS.items() if w in s["refused"])


def machine(data, s):
    """Lines on what it was measured on."""
    m, alus = data["machine"], sorted(a for x in data["samples"] for a in x["alus"])
    lines = [f"{m['model']}, {m['cpus']} CPUs; Linux {m['host']}; kernel on CPU {m['kernel_cpu']}, device on CPU {m['device_cpu']}"
             + ("" if m["realtime"] else "; without real-time priority"),
             f"load average {m['load'][0]} before, {m['load'][1]} after; stolen by the host: {percent(m['steal'])}"]
    pings = [p for x in data["samples"] for p in x["pings"]]
    lines.append("a cache line's round trip, in ns: " + ", ".join(f"up to {k}: {v}" for k, v in stats.histogram(pings).items())
                 + f"; near is below {s['near']:.0f}")
    if alus:
        q = statistics.quantiles(alus, n=20, method="inclusive") if len(alus) > 1 else alus * 19
        lines.append(f"a fixed computation: {s['alu'] / 1e6:.3f} ms at best, median {stats.median(alus) / 1e6:.3f}, 95% within {q[18] / 1e6:.3f}; "
                     f"up to {percent(stats.ALU - 1)} more than at best counts")
    lines.append(reasons(s))
    return lines + [f"started anew after: {what}" for what in data.get("failures", [])]


def features(data):
    """Lines on devices of which the two drivers took different features; others' figures aren't of the same thing."""
    out = []
    for device, taken in data["features"].items():
        a, b = (taken.get(t) for t in data["titles"])
        if a != b:
            out.append(f"device {device}: the drivers took different features: {data['titles'][0]} {shown(a)}, {data['titles'][1]} {shown(b)}")
    return out


def shown(values):
    return " ".join(f"{v:#x}" if isinstance(v, int) else str(v) for v in values or [])


def over(s):
    return [f"{cls}: above 1 by more than the noise: " + (", ".join(f"{load} {s['rows'][cls][load]['ratio']:.3f}" for load in c["over"]) or "none")
            for cls, c in s["classes"].items()]


# --- files ------------------------------------------------------------------------------------------------------------


def markdown(data, s, insns, plot):
    a, b = data["titles"]
    out = [f"# Nanoseconds per packet: {b} against {a}", "", f"`{closing(data, s)[0]}`", ""]
    out += [f"- {line}" for line in over(s) + features(data)]
    if s["lacking"]:
        out.append("- too few samples for a ratio: " + ", ".join(s["lacking"]))
    out += ["", f"![ratio]({plot})", ""] if plot else [""]
    out += ["Each ratio is of medians, from samples that were taken in turn while the CPUs of kernel and device were near each other or far "
            "apart. Noise: even samples of the first driver against its odd ones. CPU time: the ratio by what the kernel's thread was "
            "charged with. Instructions: the committed ratio of the nearest cell of `make bench`. `Documentation/benchmark.rst` explains "
            "both.", ""]
    lines = [head(data["titles"]), *rows(data, s, insns)]
    out.append("| " + " | ".join(lines[0]) + " |")
    out.append("| :-- | :-- |" + " --: |" * (len(lines[0]) - 3) + " :-- |")
    out += ["| " + " | ".join(line) + " |" for line in lines[1:]]
    out += ["", "## Loads", ""] + [f"- {name}: {load['what']}" for name, load in data["loads"].items()]
    out += ["", "## The machine meanwhile", ""] + [f"- {line}" for line in machine(data, s)]
    out += ["", "## Versions", ""] + [f"- {k}: {v}" for k, v in data["versions"].items()]
    return "\n".join(out) + "\n"


def tells(data):
    """Whether any load has a ratio."""
    return bool(stats.summary(data["samples"], list(data["loads"]), data["repeats"])["classes"])


def write(path, data, say=print):
    """Shows it, writes report and plot beside path. The exit status."""
    path = pathlib.Path(path)
    s = stats.summary(data["samples"], list(data["loads"]), data["repeats"])
    insns = counted() if data["titles"][0] == "C" else {}
    lines = rows(data, s, insns)
    plot = None
    if lines:
        say("\n" + "\n".join(columns([head(data["titles"]), *lines])))
        try:
            import plots    # pylint: disable=import-outside-toplevel
            plot = plots.ratio(data, s, insns, path.with_suffix(".svg")).name
        except ImportError:
            say("\nno plot: there is no matplotlib (qemu-test/tree add python3-matplotlib)")
    path.with_suffix(".md").write_text(markdown(data, s, insns, plot))
    say("\n" + "\n".join(machine(data, s) + features(data) + over(s)))
    if s["lacking"] and s["classes"]:
        say("too few samples for a ratio: " + ", ".join(s["lacking"]))
    text, status = closing(data, s)
    say(f"\n{text}")
    return status


def together(runs):
    """Several results as one. ValueError if they aren't of the same thing."""
    first = runs[0]
    for other in runs[1:]:
        for key in ("versions", "titles", "loads", "features"):
            if other[key] != first[key]:
                raise ValueError(f"the runs differ in their {key}: {first[key]} and {other[key]}")
    # What tells samples of different runs apart: rounds go on counting.
    samples, rounds = [], 0
    for run in runs:
        samples += [x | {"round": x["round"] + rounds} for x in run["samples"]]
        rounds = max((x["round"] for x in samples), default=0)
    machines = [run["machine"] for run in runs]
    return first | {
        "samples": samples, "seconds": sum(run["seconds"] for run in runs), "repeats": max(run["repeats"] for run in runs),
        "failures": [f for run in runs for f in run["failures"]],
        "machine": machines[0] | {"load": [machines[0]["load"][0], machines[-1]["load"][1]], "realtime": all(m["realtime"] for m in machines),
                                  "steal": max(m["steal"] for m in machines)}}


def main(argv):
    p = argparse.ArgumentParser(usage=__doc__.split("Usage: ")[1], description=__doc__.split("\n\n")[0])
    p.add_argument("files", nargs="+", metavar="FILE.json")
    p.add_argument("--to", metavar="OUT.json")
    args = p.parse_args(argv)
    if (len(args.files) > 1) != bool(args.to):
        p.error("several files, and they alone, want --to: where the results of all are to go")
    try:
        runs = [json.loads(pathlib.Path(name).read_text()) for name in args.files]
        data = together(runs)
    except (OSError, ValueError) as e:
        sys.exit(f"report: {e}")
    if args.to:
        pathlib.Path(args.to).write_text(as_json(data))
    return write(args.to or args.files[0], data)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
