"""What samples say: which count, in which class, and how two drivers compare. Nothing in here measures."""

import bisect
import collections
import math
import statistics

# Samples a side that a ratio takes.
ENOUGH = 10
# Where near ends, in nanoseconds of a round trip, if the measured ones don't say it themselves.
NEAR = 150
# Two groups of round trips are two places if there is such a factor between them, and such a part of all in the smaller group.
GAP, PART = 1.6, 0.03
# How much longer than at best the computation may take, how long a program may wait for its CPU, and how much may be lost.
ALU, WAITED, LOST = 1.05, 0.01, 0.02
CLASSES = ("near", "far")
SIDES = ("a", "b")
# Why a sample doesn't count, for the report.
REASONS = {
    "ping": "the CPUs weren't equally far apart before and after",
    "alu": "the kernel's CPU was slower than it can be",
    "waited": "one of the programs was kept from its CPU",
    "lost": "packets were lost",
}


def median(values):
    return statistics.median(values)


def quartiles(values):
    """(lower, upper), between samples where need be; of one sample that."""
    values = list(values)
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def geomean(values):
    return math.exp(statistics.fmean(math.log(v) for v in values))


def boundary(pings):
    """Where near ends: in the widest gap between the round trips that were measured, if there is one; otherwise at NEAR. A few that
    are far from all others (an interrupt, a move in the middle) are no group."""
    p = sorted(x for x in pings if x)
    least = max(2, math.ceil(PART * len(p)))
    gaps = [(p[i] / p[i - 1], i) for i in range(least, len(p) - least + 1)]
    ratio, i = max(gaps, default=(1, 0))
    return math.sqrt(p[i - 1] * p[i]) if ratio >= GAP else NEAR


def best(alus):
    """What the computation takes when nothing disturbs it: not the very shortest, which may be a clock that was set."""
    a = sorted(alus)
    return a[len(a) // 20]


class Gates:
    """Which samples count, and in which class. Made of all samples, as they say together where near ends and what is fast."""

    def __init__(self, samples):
        self.near = boundary([p for s in samples for p in s["pings"]])
        self.alu = best([a for s in samples for a in s["alus"]]) if samples else 0

    def place(self, ping):
        return None if not ping else "near" if ping < self.near else "far"

    def judge(self, s):
        """(class, None), or (None, the reason why it doesn't count)"""
        places = {self.place(p) for p in s["pings"]}
        if len(places) != 1 or None in places:
            return None, "ping"
        if max(s["alus"]) > ALU * self.alu:
            return None, "alu"
        if s["waited"] > WAITED:
            return None, "waited"
        if s["lost"] > LOST:
            return None, "lost"
        return places.pop(), None


def sort(samples, gates):
    """({load: {class: {side: [sample]}}}, how many were refused for which reason)"""
    good, refused = {}, collections.Counter()
    for s in samples:
        cls, why = gates.judge(s)
        if cls:
            good.setdefault(s["load"], {}).setdefault(cls, {}).setdefault(s["side"], []).append(s)
        else:
            refused[why] += 1
    return good, refused


def count(good, load, cls):
    """Samples of the side that has fewer."""
    sides = good.get(load, {}).get(cls, {})
    return min(len(sides.get(side, [])) for side in SIDES)


def lacking(good, loads, enough=ENOUGH):
    """The loads that have too few samples in either class, those that have fewest first."""
    most = {load: max(count(good, load, cls) for cls in CLASSES) for load in loads}
    return sorted((load for load in loads if most[load] < enough), key=lambda load: most[load])


def noise(values):
    """By how much the even samples of one driver differ from its odd ones: what a difference has to exceed to be one."""
    return abs(math.log(median(values[0::2]) / median(values[1::2])))


def compare(sides, enough=ENOUGH):
    """A row of the table: both sides of a load in a class; without a ratio if there are too few samples. None without any."""
    if not all(sides.get(side) for side in SIDES):
        return None
    row = {}
    for side in SIDES:
        ns = [s["ns"] for s in sides[side]]
        row[side] = {"n": len(ns), "ns": median(ns), "quartiles": quartiles(ns), "cpu": median(s["cpu"] for s in sides[side]),
                     "more": {k: median(s["more"].get(k, 0) for s in sides[side]) for k in sides[side][0]["more"]}}
    if min(row[side]["n"] for side in SIDES) < enough:
        return row | {"ratio": None}
    a, b = ([s["ns"] for s in sides[side]] for side in SIDES)
    return row | {"ratio": median(b) / median(a), "cpu": row["b"]["cpu"] / row["a"]["cpu"], "noise": noise(a),
                  "noises": (noise(a), noise(b)), "low": row["b"]["quartiles"][0] / median(a),
                  "high": row["b"]["quartiles"][1] / median(a)}


def summary(samples, loads, enough=ENOUGH):
    """Everything that report and plot show. `loads` are names, in their order."""
    gates = Gates(samples)
    good, refused = sort(samples, gates)
    out = {"near": gates.near, "alu": gates.alu, "refused": dict(refused), "samples": len(samples), "rows": {}, "classes": {}}
    for cls in CLASSES:
        rows = {load: row for load in loads if (row := compare(good.get(load, {}).get(cls, {}), enough))}
        out["rows"][cls] = rows
        told = {load: row for load, row in rows.items() if row["ratio"]}
        if told:
            worst = max(told, key=lambda load: told[load]["ratio"])
            noisy = max(told, key=lambda load: told[load]["noise"])
            out["classes"][cls] = {
                "n": len(told), "geomean": geomean(r["ratio"] for r in told.values()), "worst": worst,
                "noise": median(r["noise"] for r in told.values()), "noisiest": noisy,
                "over": [load for load, r in told.items() if math.log(r["ratio"]) > max(r["noises"])]}
    out["lacking"] = lacking(good, loads, enough)
    return out


def histogram(pings):
    """{upper end of a step: how many}, steps of a quarter from 40 ns on."""
    steps = [40]
    while steps[-1] < 2000:
        steps.append(round(steps[-1] * 1.25))
    out = collections.Counter(steps[min(bisect.bisect_left(steps, p), len(steps) - 1)] for p in pings if p)
    return dict(sorted(out.items()))
