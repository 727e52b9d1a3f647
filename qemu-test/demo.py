#!/usr/bin/env python3
"""The guest of `make demo`: shows what it reports, and a verdict. Run by qemu-test/demo inside the tree."""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import accel    # noqa: E402
import klog     # noqa: E402
import machine  # noqa: E402
import vm       # noqa: E402


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--driver", choices=["rust", "c"], default="rust", help="c: the in-tree driver, for comparison")
    args = ap.parse_args()
    out = vm.HERE / "out"
    out.mkdir(exist_ok=True)
    verdict = {}

    def event(kind, data):
        if kind == "line":
            print(data["text"], flush=True)
        elif kind == "up":
            print(f"      the guest's user space started after {data['time']:.1f} s", flush=True)
        elif kind == "demo":
            verdict.update(data)

    print(f"      {accel.describe()}", flush=True)
    net = vm.HostNet(out)
    net.serve()
    # An arm64 is emulated wherever this runs.
    slow = 1 if machine.NATIVE else 2
    guest = vm.Guest("demo", {"job": "demo", "driver": args.driver, "timeout": 180 * slow, "env": {"SLOW": str(slow)}}, out / "demo", net, event)
    try:
        guest.start()
        in_time = guest.wait()
    finally:
        guest.stop()
        net.close()
    bad = [line for _, line in klog.bad_lines(guest.console)]
    print()
    if bad:
        print("The kernel complained:")
        for line in bad[:20]:
            print(f"  {line}")
    log = guest.console.relative_to(vm.REPO)
    if not in_time:
        print(f"FAILED: the guest timed out; its console is in {log}")
    elif verdict.get("status") == 0 and not bad:
        print(f"OK: {verdict['text']}, the kernel log is clean.")
        return 0
    else:
        print(f"FAILED: {verdict.get('text') or 'the guest ended early'}{'; the kernel complained' if bad else ''}; "
              f"its console is in {log}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
