"""The plots of the report, as SVG with text as text, the same bytes for the same figures."""

import math

import matplotlib
matplotlib.use("svg")
from matplotlib import pyplot as plt      # noqa: E402

plt.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "virtio_net_mq", "font.size": 9, "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10, "legend.frameon": False,
    "figure.facecolor": "white", "savefig.facecolor": "white",
})
# Colours that can also be told apart without red and green, after Okabe and Ito.
C, OURS = "#0072b2", "#d55e00"
PARTS = [("driver", "driver", "#d55e00"), ("virtio", "virtio core", "#56b4e9"), ("rest", "rest of the kernel", "#cccccc")]
UNIT = {"packet": "pkt", "transaction": "trans"}


def save(fig, out, name):
    fig.savefig(out / name, metadata={"Date": None, "Creator": None}, bbox_inches="tight", pad_inches=0.15)
    plt.close(fig)
    return name


def ratio(s, out):
    """A panel for each variant: the ratio of each cell with its spread."""
    if not s["cells"]:
        return None
    names = list(dict.fromkeys(c["name"] for v in s["variants"].values() for c in v["cells"]))
    cells = [c for v in s["variants"].values() for c in v["cells"]]
    low, high = min(0.98, *(c["low"] for c in cells)), max(1.05, *(c["high"] for c in cells))
    fig, axes = plt.subplots(1, len(s["variants"]), sharey=True, squeeze=False, layout="constrained",
                             figsize=(1.6 + 2.6 * len(s["variants"]), 1.4 + 0.26 * len(names)))
    for ax, (name, v) in zip(axes[0], s["variants"].items()):
        ax.axvline(1, color="#444444", lw=1.2)
        ax.axvline(1.03, color="#999999", lw=0.7, ls="--")
        for c in v["cells"]:
            y, colour = names.index(c["name"]), OURS if c["ratio"] > 1.03 else C
            ax.plot([c["low"], c["high"]], [y, y], "|-", color=colour, lw=1.2, ms=8)
            ax.plot(c["ratio"], y, "o", color=colour, ms=4)
        ax.set_title(f"{name}\ngeometric mean {v['geomean']:.3f}")
        ax.set_xlim(low - 0.01, high + 0.01)
        ax.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.grid(axis="both", color="#eeeeee")
        ax.set_axisbelow(True)
    axes[0][0].set_yticks(range(len(names)), names)
    axes[0][0].set_ylim(len(names) - 0.4, -0.6)
    fig.supxlabel("guest kernel instructions, ours/C\n"
                  "bars: lowest to highest of the paired repeats; dashed line, orange above: 1.03", fontsize=9)
    return save(fig, out, "ratio.svg")


def parts(s, out):
    """Where the instructions go in the default variant, as fractions of what C's need: cells differ by orders."""
    if not s["cells"]:
        return None
    name = "default" if "default" in s["variants"] else next(iter(s["variants"]))
    cells = [c for c in s["variants"][name]["cells"] if all(None not in p.values() for p in c["parts"].values())]
    if not cells:
        return None
    fig, ax = plt.subplots(figsize=(9, 1.3 + 0.5 * len(cells)), layout="constrained")
    ticks, labels, top = [], [], max(1, *(c["ratio"] for c in cells))
    for i, c in enumerate(cells):
        for side, y in (("c", i - 0.19), ("r", i + 0.19)):
            left = 0
            for part, label, colour in PARTS:
                width = c["parts"][part][side] / c["c"]
                ax.barh(y, width, 0.34, left=left, color=colour, edgecolor="white", lw=0.5,
                        label=label if not i and side == "c" else None)
                left += width
            ax.text(top + 0.015, y, f"{c[side]:.0f} /{UNIT.get(c['unit'], c['unit'])}", va="center", fontsize=8)
            ticks.append(y)
            labels.append(f"{c['name']}   C" if side == "c" else "ours")
    ax.axvline(1, color="#444444", lw=0.8)
    ax.set_yticks(ticks, labels, fontsize=8)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(cells) - 0.4, -0.6)
    ax.set_xlim(0, top + 0.17)
    ax.set_xlabel("guest kernel instructions, C = 1")
    fig.legend(loc="outside upper center", ncols=len(PARTS), title=f"Device variant: {name}")
    return save(fig, out, "parts.svg")


def scaling(s, out):
    """Instructions for a packet against the number of queues, a panel for each load."""
    if not s["scaling"]:
        return None
    fig, axes = plt.subplots(1, len(s["scaling"]), squeeze=False, layout="constrained",
                             figsize=(1.5 + 4 * len(s["scaling"]), 3.6))
    for ax, (name, load) in zip(axes[0], s["scaling"].items()):
        x, top = [row["queues"] for row in load["rows"]], 0
        for side, label, colour, mark in (("c", "virtio_net (C)", C, "s"), ("r", "virtio_net_mq (ours)", OURS, "o")):
            rows = [row[side] for row in load["rows"]]
            bars = [[r["cost"] - r["low"] for r in rows], [r["high"] - r["cost"] for r in rows]]
            ax.errorbar(x, [r["cost"] for r in rows], bars, color=colour, marker=mark, ms=5, capsize=3, lw=1.5, label=label)
            top = max(top, *(r["high"] for r in rows))
        ax.set_xscale("log", base=2)
        ax.set_xticks(x, [str(n) for n in x])
        ax.minorticks_off()
        ax.set_ylim(0, top * 1.12)
        ax.set_title(name)
        ax.set_xlabel("active queue pairs")
        ax.grid(axis="y", color="#eeeeee")
        ax.set_axisbelow(True)
        ax.legend(loc="lower left")
    axes[0][0].set_ylabel("guest kernel instructions per packet")
    return save(fig, out, "scaling.svg")


def heat(fig, tests, columns, points, centre, least, text):
    """Heat maps, size against sessions: a row for each test, a column for each (title, queues, value of a point).
    The colours reach as far from `centre` as the values do, and at least `least`; purple is good."""
    axes = fig.subplots(len(tests), len(columns), squeeze=False,
                        gridspec_kw={"height_ratios": [len(sizes) for sizes, _ in tests.values()]})
    values = [value(p) for p in points for _, queues, value in columns if p["queues"] == queues]
    half = max([least, *(abs(v - centre) for v in values if v is not None)])
    for i, (test, (sizes, sessions)) in enumerate(tests.items()):
        for j, (title, queues, value) in enumerate(columns):
            ax, data = axes[i][j], [[math.nan] * len(sessions) for _ in sizes]
            for p in points:
                if (p["test"], p["queues"]) == (test, queues) and value(p) is not None:
                    x, y, v = sessions.index(p["sessions"]), sizes.index(p["size"]), value(p)
                    data[y][x] = v
                    ax.text(x, y, text(v), ha="center", va="center", fontsize=8,
                            color="white" if abs(v - centre) > 0.6 * half else "black")
            # A ratio of costs is good when low, a change of work when high.
            ax.imshow(data, cmap="PuOr_r" if centre else "PuOr", vmin=centre - half, vmax=centre + half, aspect="auto")
            ax.set_xticks(range(len(sessions)), sessions, fontsize=8)
            ax.set_yticks(range(len(sizes)), [""] * len(sizes) if j else sizes, fontsize=8)
            ax.tick_params(length=0)
            ax.spines[:].set_visible(False)
            if not i:
                ax.set_title(title, fontsize=9)
        axes[i][0].set_ylabel(f"{test}\nsize", fontsize=8)
    fig.supxlabel("sessions", fontsize=8)


def grid(s, out):
    """The cost ours/C for each number of queues, and below the change of work per instruction against 1 queue."""
    points = s["grid"]
    if not points:
        return None
    tests = {t: [sorted({p[k] for p in points if p["test"] == t}) for k in ("size", "sessions")]
             for t in dict.fromkeys(p["test"] for p in points)}
    queues = sorted({p["queues"] for p in points})
    many = [n for n in queues if n > 1]
    ratios = [(f"{n} queue{'s' * (n > 1)}", n, lambda p: p["ratio"]) for n in queues]
    changes = [(f"{who}, {n} queues", n, lambda p, side=side: p[side]["norm"])
               for n in many for side, who in (("c", "C"), ("r", "ours"))]
    high = 0.28 * sum(len(sizes) + 1 for sizes, _ in tests.values()) + 0.9
    fig = plt.figure(figsize=(9.5, high * (2 if many else 1)), layout="constrained")
    figs = fig.subfigures(2 if many else 1, 1, squeeze=False, hspace=0.04)[:, 0]
    figs[0].suptitle("Cost (guest kernel instructions), ours/C: purple is cheaper than C", fontsize=10)
    heat(figs[0], tests, ratios, points, 1, 0.1, lambda v: f"{v:.2f}")
    if many:
        figs[1].suptitle("Work per guest kernel instruction, change against 1 queue: purple is more work", fontsize=10)
        heat(figs[1], tests, changes, points, 0, 10, lambda v: f"{round(v):+d}%")
    return save(fig, out, "grid.svg")


def draw(s, out):
    """Draws what there are figures for; `s` is report.summary(). The names of the files."""
    return [name for name in (plot(s, out) for plot in (ratio, parts, scaling, grid)) if name]
