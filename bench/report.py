#!/usr/bin/env python3
"""The report of a benchmark: tables from the raw repeats of a results file, as Markdown with plots and for the terminal.

Run by itself it writes report.md and the plots (plots.py). bench.py takes table() and closing_line() from here.
"""

import argparse
import json
import math
import pathlib
import statistics
import sys

import times

# Events rarer than this for each unit are taken as none.
RARE = 0.005
# A cell that costs more than this, in terms of the in-tree driver, is named in the report.
LIMIT = 1.03
EVENTS = {"kicks": "kicks", "interrupts": "irqs", "polls": "polls", "allocs": "allocs"}
PARTS = {"driver": "driver", "virtio": "virtio core", "rest": "rest"}
PAGE = 4096
# The repeating line below each table of costs.
CAUTION = "*Instructions of the guest's kernel, not cycles: they say nothing about cache misses or what a trap costs.*"


class ReportError(Exception):
    """The results are not what this can report on; the text says what is wrong."""


# --- statistics -------------------------------------------------------------------------------------------------------

def geomean(values):
    values = list(values)
    return math.exp(statistics.fmean(math.log(v) for v in values)) if values else None


def jain(share, queues):
    """Jain's index of fairness: 1 if all queues carry the same, 1/queues if one carries all."""
    squares = sum(x * x for x in share)
    return sum(share) ** 2 / (queues * squares) if squares else None


def quotient(a, b):
    return a / b if a and b else None


def costs(where, side, name):
    """The repeats of "kernel" of a side, which must be there and make sense."""
    kernel = side.get("kernel") if isinstance(side, dict) else None
    if not kernel or not all(isinstance(x, (int, float)) and x > 0 for x in kernel):
        raise ReportError(f"{where}: '{name}' has no repeats of 'kernel', or one that isn't above 0")
    return kernel


def event(c, r):
    """How often something happens for each unit. Shortfall: the in-tree driver has none of it, ours has."""
    if c is None or r is None:
        return {"c": c, "r": r, "ratio": None, "shortfall": False}
    return {"c": c, "r": r, "ratio": r / c if c >= RARE else None, "shortfall": c < RARE <= r}


def cell_summary(variant, cell):
    label = cell["name"] if variant == "default" else f"{variant}/{cell['name']}"
    c, r = (costs(label, cell.get(side), side) for side in ("c", "r"))
    c2 = costs(label, cell["c2"], "c2") if cell.get("c2") else []
    if len(c) != len(r):
        raise ReportError(f"{label}: {len(c)} repeats of 'c', but {len(r)} of 'r', which are compared in pairs")

    def middle(key):
        both = cell["c"].get(key, []) + (cell["c2"].get(key, []) if c2 else [])
        ours = cell["r"].get(key, [])
        return statistics.median(both) if both else None, statistics.median(ours) if ours else None

    mc, mr = statistics.median(c + c2), statistics.median(r)
    pairs = [b / a for a, b in zip(c, r)]
    tc, tr = cell["c"].get("truesize"), cell["r"].get("truesize")
    return {
        "name": cell["name"], "label": label, "what": cell.get("what", ""), "unit": cell.get("unit", "packet"),
        "bulk": bool(cell.get("bulk")), "c": mc, "r": mr, "ratio": mr / mc, "low": min(pairs), "high": max(pairs),
        "noise": abs(statistics.median(c2) / statistics.median(c) - 1) if c2 else None,
        "parts": {p: dict(zip("cr", middle(p))) for p in PARTS},
        "events": {e: event(*middle(e)) for e in EVENTS},
        "truesize": {"c": tc, "r": tr} if tc and tr else None,
    }


def scaling_summary(results):
    """{load: {"rows": one for each number of queues, "flatness": cost with most queues against cost with fewest}}."""
    loads = {}
    for row in sorted(results.get("scaling") or [], key=lambda x: x["queues"]):
        out = {"queues": row["queues"]}
        for side in "cr":
            kernel = costs(f"scaling, {row['queues']} queues", row.get(side), side)
            out[side] = {"cost": statistics.median(kernel), "low": min(kernel), "high": max(kernel),
                         "jain": jain(row[side].get("share") or [], row["queues"])}
        out["ratio"] = out["r"]["cost"] / out["c"]["cost"]
        loads.setdefault(row.get("load", ""), {"rows": []})["rows"].append(out)
    for load in loads.values():
        first, last = load["rows"][0], load["rows"][-1]
        load["flatness"] = {s: last[s]["cost"] / first[s]["cost"] for s in "cr"} if first is not last else None
    return loads


def grid_summary(results):
    """Each point with its changes against the same load on 1 queue, in percent: of throughput, and of work per cost."""
    points = results.get("grid") or []
    base = {(p["test"], p["size"], p["sessions"]): p for p in points if p["queues"] == 1}
    rows = []
    for p in points:
        one = base.get((p["test"], p["size"], p["sessions"]))
        row = {k: p[k] for k in ("test", "queues", "size", "sessions")}
        row["ratio"] = quotient(p["r"]["cost"], p["c"]["cost"])
        for side in "cr":
            a, b = one and one[side], p[side]
            thu = quotient(a["seconds"], b["seconds"]) if one else None
            norm = quotient(a["cost"], b["cost"]) if one else None
            row[side] = {"thu": thu and 100 * (thu - 1), "norm": norm and 100 * (norm - 1)}
        rows.append(row)
    return rows


def truesize_summary(results, cells):
    """{cell: {"c", "r", "ratio"}}; of a variant only where it differs from what the cell has without one."""
    rows = {name: v for name, v in (results.get("truesize") or {}).items() if v.get("c") and v.get("r")}
    for c in cells:
        if c["truesize"] and c["truesize"] != rows.get(c["name"]):
            rows[c["label"]] = c["truesize"]
    return {name: {"c": v["c"], "r": v["r"], "ratio": v["r"] / v["c"]} for name, v in rows.items()}


def memory_summary(results):
    """Bytes of the interface as its number of active queue pairs changes: [("step:active", C's, ours), ...]."""
    memory = results.get("memory") or {}
    if "c" not in memory or "r" not in memory:
        return []
    return [(n, memory["c"][n] * PAGE, memory["r"][n] * PAGE) for n in memory["c"] if n in memory["r"]]


def summary(results):
    """All figures of the report, computed from the raw repeats. What there are no results for is None or empty."""
    if not isinstance(results, dict) or not isinstance(results.get("variants"), dict):
        raise ReportError("no 'variants': this is no results file of the benchmark")
    try:
        variants = {}
        for name, v in results["variants"].items():
            cells = [cell_summary(name, cell) for cell in v["cells"]]
            if cells:
                variants[name] = {"what": v.get("what", ""), "device": v.get("device", ""), "cells": cells,
                                  "geomean": geomean(c["ratio"] for c in cells),
                                  "worst": max(cells, key=lambda c: c["ratio"])["label"]}
        scaling, grid, memory = scaling_summary(results), grid_summary(results), memory_summary(results)
    except KeyError as e:
        raise ReportError(f"the results lack the key {e}") from e
    cells = [c for v in variants.values() for c in v["cells"]]
    truesize = truesize_summary(results, cells)

    def often(pairs):
        return geomean(r / c for c, r in pairs if c is not None and r is not None and c >= RARE and r >= RARE)

    def both(e, side):
        return None if None in (e["kicks"][side], e["interrupts"][side]) else e["kicks"][side] + e["interrupts"][side]

    def greatest(key):
        have = [{key: c[key], "label": c["label"]} for c in cells if c[key] is not None]
        return max(have, key=lambda x: x[key], default=None)

    return {
        "variants": variants, "cells": len(cells), "geomean": geomean(c["ratio"] for c in cells),
        "worst": greatest("ratio"), "noise": greatest("noise"),
        "over": [c["label"] for c in cells if c["ratio"] > LIMIT],
        "kicks": often((c["events"]["kicks"]["c"], c["events"]["kicks"]["r"]) for c in cells),
        "interrupts": often((c["events"]["interrupts"]["c"], c["events"]["interrupts"]["r"]) for c in cells),
        "bulk": often((both(c["events"], "c"), both(c["events"], "r")) for c in cells if c["bulk"]),
        "shortfalls": [{"label": c["label"], "event": e, "value": c["events"][e]["r"]}
                       for c in cells for e in EVENTS if c["events"][e]["shortfall"]],
        "truesize": {"cells": truesize, "geomean": geomean(t["ratio"] for t in truesize.values())},
        "scaling": scaling, "grid": grid, "memory": memory,
    }


# --- text -------------------------------------------------------------------------------------------------------------

def number(x):
    return "–" if x is None else f"{x:.0f}" if x >= 100 else f"{x:.1f}"


def rate(x):
    return "–" if x is None else "0" if x == 0 else f"{x:.3f}" if x < 0.1 else f"{x:.2f}" if x < 100 else f"{x:.0f}"


def ratio(x, digits=3):
    return "–" if x is None else f"{x:.{digits}f}"


def percent(x):
    return "–" if x is None else f"{100 * x:.1f}%"


def change(x):
    return "–" if x is None else f"{round(x, 1) + 0:+.1f}%"


SCALING = ["queues", "C instr", "ours instr", "ratio", "Jain's index, C", "Jain's index, ours"]


def scaling_rows(load):
    return [[str(x["queues"]), number(x["c"]["cost"]), number(x["r"]["cost"]), ratio(x["ratio"]), ratio(x["c"]["jain"]),
             ratio(x["r"]["jain"])] for x in load["rows"]]


def size_rows(results, s):
    rows, text = [], results.get("text") or {}
    for label, c, r in s["memory"]:
        step, active = label.split(":")
        again = " again" if step == "3" else ""
        rows.append([f"memory with {active} of {results.get('memory_pairs', 8)} pairs active{again}, bytes",
                     str(round(c)), str(round(r)), ratio(quotient(r, c), 2)])
    if text:
        c, r = text.get("c"), text.get("r")
        rows.append(["module text, bytes", str(c or "–"), str(r or "–"), ratio(quotient(r, c), 2)])
    return rows


def event_pair(e):
    if e["c"] is None or e["r"] is None or e["c"] < RARE and e["r"] < RARE:
        return "–"
    return f"{rate(e['c'])}/{rate(e['r'])}" + "!" * e["shortfall"]


def event_ratio(e):
    pair = event_pair(e)
    return pair if e["ratio"] is None or pair == "–" else f"{e['ratio']:.2f} ({pair})"


def cell_row(c):
    return [number(c["c"]), number(c["r"]), ratio(c["ratio"]), f"{c['low']:.3f}–{c['high']:.3f}", percent(c["noise"])]


def part_pair(p):
    return f"{number(p['c'])}/{number(p['r'])}"


def columns(head, groups):
    """Fixed-width lines: the first column left, the others right; groups are (title, rows)."""
    width = [max(map(len, column)) for column in zip(head, *(row for _, rows in groups for row in rows))]

    def line(row):
        return "  ".join([row[0].ljust(width[0]), *(x.rjust(w) for x, w in zip(row[1:], width[1:]))])

    out = [line(head)]
    for title, rows in groups:
        out += ["", title] if title else []
        out += map(line, rows)
    return out


def table(results):
    """The tables for the terminal, of what there are results for."""
    s, out = summary(results), []
    groups = []
    for name, v in s["variants"].items():
        rows = []
        for c in v["cells"]:
            unit = "" if c["unit"] == "packet" else f" /{c['unit']}"
            rows.append([c["name"] + unit, *cell_row(c), part_pair(c["parts"]["driver"]),
                         *(event_pair(c["events"][e]) for e in EVENTS)])
        groups.append((f"{name}: {v['what']}" if v["what"] else name, rows))
    if groups:
        out += columns(["cell", "C instr", "ours instr", "ratio", "spread", "noise", "driver C/ours",
                        *(f"{short} C/ours" for short in EVENTS.values())], groups)
    if s["shortfalls"]:
        out += ["", "!  the in-tree driver has none of these, ours has"]
    if s["scaling"]:
        out += ["", *columns(SCALING, [(load, scaling_rows(v)) for load, v in s["scaling"].items()])]
    rows = size_rows(results, s) + [[f"truesize, {n}", rate(t["c"]), rate(t["r"]), ratio(t["ratio"])]
                                    for n, t in s["truesize"]["cells"].items()]
    if rows:
        out += ["", *columns(["", "C", "ours", "ratio"], [("", rows)])]
    if rows := times.summary(results):
        out += ["", *columns(times.HEAD, [(times.note(results).replace("*", ""), rows)])]
    if s["grid"]:
        out += ["", *columns(["grid", "queues", "size", "sessions", "cost ours/C"], [("", [
            [p["test"], str(p["queues"]), str(p["size"]), str(p["sessions"]), ratio(p["ratio"])] for p in s["grid"]])])]
    return "\n".join(out).strip("\n")


def closing_line(results):
    """The result in one line."""
    s = summary(results)
    if not s["cells"]:
        raise ReportError("the results have no cells")
    return (f"instructions per packet ours/C: geometric mean {s['geomean']:.3f} over {s['cells']} cells, "
            f"worst {s['worst']['ratio']:.3f} ({s['worst']['label']}); kicks ours/C {ratio(s['kicks'], 2)}; "
            f"interrupts ours/C {ratio(s['interrupts'], 2)}")


# --- Markdown ---------------------------------------------------------------------------------------------------------

def md_table(head, rows, left=1):
    """The first `left` columns are text, the others numbers."""
    marks = [":--" if i < left else "--:" for i in range(len(head))]
    return ["| " + " | ".join(str(x).replace("|", "\\|") for x in row) + " |" for row in (head, marks, *rows)] + [""]


def md_summary(results, s):
    out = ["`" + closing_line(results) + "`", ""] if s["cells"] else []
    if s["bulk"]:
        out.append(f"- kicks and interrupts in the bulk cells, together, ours/C: {ratio(s['bulk'], 2)}")
    if s["truesize"]["geomean"]:
        out.append(f"- truesize of received packets, ours/C: {ratio(s['truesize']['geomean'], 2)}")
    if s["noise"]:
        out.append(f"- noise floor: two passes of the in-tree driver differ by at most {percent(s['noise']['noise'])} "
                   f"({s['noise']['label']})")
    if s["cells"]:
        out.append(f"- cells above {LIMIT}: " + (", ".join(s["over"]) or "none"))
    if s["shortfalls"]:
        out.append("- what the in-tree driver has none of and ours has, for each unit: " +
                   ", ".join(f"{x['label']} {x['event']} {rate(x['value'])}" for x in s["shortfalls"]))
    for name, load in s["scaling"].items():
        if load["flatness"]:
            out.append(f"- cost of a packet with {load['rows'][-1]['queues']} queues against {load['rows'][0]['queues']}"
                       f"{name and f' ({name})'}: C {ratio(load['flatness']['c'])}, ours {ratio(load['flatness']['r'])}")
    out.append("")
    rows = [[n, f"`{v['device']}`" if v["device"] else "", len(v["cells"]), ratio(v["geomean"]), v["worst"]]
            for n, v in s["variants"].items()]
    return out + (md_table(["variant", "device", "cells", "geometric mean", "worst cell"], rows, 2) if rows else [])


def md_cells(s):
    out = ["## Cells", "",
           f"Ratio: median of ours against the median of both passes of C. Spread: lowest and highest ratio of paired "
           f"repeats. Noise: C against C. Events below {RARE} for each unit count as none (–)" +
           ("; `!` marks events that the in-tree driver has none of." if s["shortfalls"] else "."), ""]
    for name, v in s["variants"].items():
        out += [f"### {name}" + (f": {v['what']}" if v["what"] else ""), ""]
        out += md_table(["cell", "what", "unit", "C", "ours", "ratio", "spread", "noise",
                         *(f"{p} C/ours" for p in PARTS.values())],
                        [[c["name"], c["what"], c["unit"], *cell_row(c), *(part_pair(c["parts"][p]) for p in PARTS)]
                         for c in v["cells"]], 3)
        out += [CAUTION, "", "For each unit, ours/C (C/ours):", ""]
        out += md_table(["cell", "kicks", "interrupts", "polls", "allocations"],
                        [[c["name"], *(event_ratio(c["events"][e]) for e in EVENTS)] for c in v["cells"]])
    return out


def md_scaling(s, plots):
    out = ["## Number of queues", "", *embed("scaling.svg", plots)]
    for name, load in s["scaling"].items():
        out += ([f"### {name}", ""] if name else []) + md_table(SCALING, scaling_rows(load), 0)
    return out + [CAUTION, "", "Jain's index of the packets that each queue carried: 1 if all carried the same.", ""]


def md_size(results, s):
    rows, true = size_rows(results, s), s["truesize"]["cells"]
    out = ["## Memory and size", ""] if rows or true else []
    if rows:
        out += md_table(["", "C", "ours", "ratio"], rows)
    if true:
        out += ["Truesize of received packets, as a multiple of their length:", "",
                *md_table(["cell", "C", "ours", "ratio"],
                          [[n, rate(t["c"]), rate(t["r"]), ratio(t["ratio"])] for n, t in true.items()])]
    return out


def md_grid(s, plots):
    out = ["## Grid", "", *embed("grid.svg", plots),
           "Change of N queues against 1, in percent: *thu* is throughput, *norm* is work per instruction. Throughput is "
           "from wall-clock time of an emulated guest and only indicative. *ours/C* compares the cost with that many "
           "queues. Each point is one run of each driver: single ones differ by as much as two runs of one driver do; the "
           "means say more.", ""]
    tests = list(dict.fromkeys(p["test"] for p in s["grid"]))
    means = {t: [p["ratio"] for p in s["grid"] if t in ("all", p["test"]) and p["ratio"]] for t in [*tests, "all"]}
    out += ["Geometric means of ours/C: " + ", ".join(
        f"{t} {ratio(geomean(v))} ({len(v)} points)" for t, v in means.items() if v) + ".", ""]
    many = sorted({p["queues"] for p in s["grid"]} - {1})
    at = {(p["test"], p["size"], p["sessions"], p["queues"]): p for p in s["grid"]}
    for test in tests:
        head = ["size", "sessions"]
        for n in many:
            head += [f"{n}q thu C", f"{n}q thu ours", f"{n}q norm C", f"{n}q norm ours", f"{n}q ours/C"]
        rows = []
        for size, sessions in sorted({(p["size"], p["sessions"]) for p in s["grid"] if p["test"] == test}):
            row = [size, sessions]
            for n in many:
                p = at.get((test, size, sessions, n))
                row += ["–"] * 5 if not p else [*(change(p[k]["thu"]) for k in "cr"),
                                                *(change(p[k]["norm"]) for k in "cr"), ratio(p["ratio"])]
            rows.append(row)
        out += [f"### {test}", "", *md_table(head, rows, 0), CAUTION, ""]
    hole = [p for p in s["grid"] if p["test"] == "TCP_STREAM out" and p["size"] == 512 and p["sessions"] > 1
            and p["queues"] > 1]
    if hole:
        out += ["The known hole, 512-byte TCP_STREAM out with several sessions (thu/norm): " + "; ".join(
            f"{p['sessions']} sessions on {p['queues']} queues C {change(p['c']['thu'])}/{change(p['c']['norm'])}, "
            f"ours {change(p['r']['thu'])}/{change(p['r']['norm'])}" for p in hole) + ".", ""]
    return out


def embed(name, plots):
    return [f"![{name.removesuffix('.svg')}]({name})", ""] if name in plots else []


def markdown(results, plots=()):
    """The report; `plots` are the files that are there to be shown."""
    s = summary(results)
    method = results.get("method", {})
    out = ["# Benchmark: virtio_net_mq (ours) against virtio_net (C)", ""]
    if method.get("quick"):
        out += ["**A quick run**: a part of the cells and few repeats. Not for quoting.", ""]
    out += md_summary(results, s) + embed("ratio.svg", plots)
    if results.get("versions"):
        out += ["## Versions", "", *(f"- {k}: {v}" for k, v in results["versions"].items()), ""]
    out += ["## Method", ""]
    if method.get("note"):
        out += [method["note"], ""]
    out += [(f"Repeats: {method['repeats']}. " if "repeats" in method else "") +
            "The figures count the instructions that the guest's kernel executes for one packet (or KiB, or transaction): "
            "driver, virtio core and the rest of the kernel, without user space and the packet generator. **Instruction "
            "counts aren't cycles.** Wall-clock figures are indicative only, as the guest's CPU is emulated (TCG).", ""]
    out += md_cells(s) + embed("parts.svg", plots) if s["cells"] else []
    out += md_scaling(s, plots) if s["scaling"] else []
    out += md_size(results, s)
    if rows := times.summary(results):
        out += ["## Throughput and latency", "", times.note(results), "", *md_table(times.HEAD, rows, 3)]
    out += md_grid(s, plots) if s["grid"] else []
    return "\n".join(out).rstrip() + "\n"


# --- the command line -------------------------------------------------------------------------------------------------

def draw(results, out):
    """Draws the plots into the directory; the names of those drawn, none where matplotlib is missing."""
    try:
        import plots      # pylint: disable=import-outside-toplevel
    except ImportError as e:
        print(f"report: no plots ({e}); to get them: qemu-test/tree add python3-matplotlib", file=sys.stderr)
        return []
    return plots.draw(summary(results), pathlib.Path(out))


def write(results, out):
    """Writes report.md and the plots into the directory `out`; returns the names of the files."""
    summary(results)      # stops before anything is written if they are of no use
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    plots = draw(results, out)
    (out / "report.md").write_text(markdown(results, plots))
    return ["report.md", *plots]


def main():
    parser = argparse.ArgumentParser(description="Writes report.md and plots from the results of a benchmark.")
    parser.add_argument("results", type=pathlib.Path, help="the results, JSON")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help="where to write (default: next to the results)")
    args = parser.parse_args()
    try:
        results = json.loads(args.results.read_text())
        names = write(results, args.out or args.results.parent)
        if any(v["cells"] for v in results["variants"].values()):
            print(closing_line(results))
    except OSError as e:
        sys.exit(f"report: {e}")
    except (ReportError, ValueError) as e:
        sys.exit(f"report: {args.results}: {e}")
    print(f"report: wrote {', '.join(names)}", file=sys.stderr)


if __name__ == "__main__":
    main()
