"""The plot of a native measurement: nanoseconds ours/C by load, near and far, with instructions beside them."""

import importlib.util
import pathlib

import stats

HERE = pathlib.Path(__file__).resolve().parent
# The style of the other plots, whose module has the name of this one.
spec = importlib.util.spec_from_file_location("counted_plots", HERE.parent / "plots.py")
style = importlib.util.module_from_spec(spec)
spec.loader.exec_module(style)
plt = style.plt

COLOURS = {"near": style.OURS, "far": style.C}
INSTRUCTIONS = "#666666"


def ratio(data, s, insns, path):
    """A line for each load: the ratio in each class, from the lower to the upper quartile of the second driver, and a mark for
    instructions. The file."""
    a, b = data["titles"]
    names = [n for n in data["loads"] if any(r and r["ratio"] for r in (s["rows"][cls].get(n) for cls in stats.CLASSES))]
    fig, ax = plt.subplots(figsize=(7.5, 1.6 + 0.28 * len(names)), layout="constrained")
    ax.axvline(1, color="#444444", lw=1.2)
    for cls, shift, mark in (("near", -0.16, "o"), ("far", 0.16, "s")):
        label = f"nanoseconds, {cls}" + (f": {s['classes'][cls]['geomean']:.3f} over {s['classes'][cls]['n']} loads" if cls in s["classes"] else "")
        for y, name in enumerate(names):
            r = s["rows"][cls].get(name)
            if not r or not r["ratio"]:
                continue
            ax.plot([r["low"], r["high"]], [y + shift] * 2, "|-", color=COLOURS[cls], lw=1.2, ms=6)
            ax.plot(r["ratio"], y + shift, mark, color=COLOURS[cls], ms=4, label=label)
            label = None
    label = "instructions, nearest cell"
    for y, name in enumerate(names):
        value = insns.get(data["loads"][name].get("insns"))
        if value is not None:
            ax.plot(value, y, "x", color=INSTRUCTIONS, ms=5, label=label)
            label = None
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(axis="both", color="#eeeeee")
    ax.set_axisbelow(True)
    ax.set_xlabel(f"{b}/{a}; bars: quartiles of {b} over the median of {a}")
    fig.legend(loc="outside upper center", ncols=3, fontsize=8)
    style.save(fig, path.parent, path.name)
    return path
