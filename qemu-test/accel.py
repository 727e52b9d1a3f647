#!/usr/bin/env python3
"""Decides between KVM and emulation for the guests, by trying. Run by itself it prints the decision.

/dev/kvm may exist, open, and still be of no use (in a cloud machine it may emulate every instruction), so what counts
is whether a guest boots to its first program in a few seconds. The answer is kept until the machine boots again.
"""

import os
import pathlib
import subprocess
import tempfile
import time

import clock
import initramfs
import machine

CACHE = pathlib.Path(os.environ.get("VNM_CACHE", "/cache"))
# A guest on working KVM is there in about 2 s; under emulation it takes about 4.
LIMIT = 30 if initramfs.KERNEL == "debug" else 8
TCG = ["-accel", "tcg,thread={}", "-cpu", machine.CPU]
KVM = ["-accel", "kvm", "-cpu", "host"]


def probe():
    """(True, why) if KVM can be used."""
    if not machine.NATIVE:
        return False, f"this machine isn't {machine.ARCH}"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False, "there is no /dev/kvm that may be opened"
    init = b"#!/usr/bin/busybox sh\n/usr/bin/busybox echo vnm-probe-ok >/dev/console\n/usr/bin/busybox poweroff -f\n"
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        with open(tmp / "initrd", "wb") as f:
            cpio = initramfs.Cpio(f)
            cpio.node("dev/console", 5, 1)
            cpio.file("usr/bin/busybox", pathlib.Path("/usr/bin/busybox").read_bytes(), 0o755)
            cpio.file("init", init, 0o755)
            cpio.end()
        cmd = [machine.QEMU, "-nodefaults", "-no-reboot", "-display", "none", "-machine", machine.PCI, *KVM, "-m", "512",
               "-kernel", str(initramfs.vmlinux()), "-initrd", str(tmp / "initrd"),
               "-append", "console=ttyS0 panic=-1 loglevel=5 rdinit=/init",
               "-chardev", f"file,id=con,path={tmp}/con", "-serial", "chardev:con"]
        t0 = time.monotonic()
        try:
            subprocess.run(cmd, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False)
        except subprocess.TimeoutExpired:
            return False, f"/dev/kvm is there, but a guest on it doesn't boot within {LIMIT} s"
        con = (tmp / "con").read_bytes() if (tmp / "con").exists() else b""
        if b"vnm-probe-ok" in con:
            return True, f"a guest on KVM boots in {time.monotonic() - t0:.1f} s"
        return False, "/dev/kvm is there, but a guest on it doesn't boot"


_known = None


def decide():
    global _known
    if _known is None:
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        mark = CACHE / "accel"
        force = os.environ.get("VNM_ACCEL")
        if not machine.NATIVE:
            _known = probe()
        elif force in ("kvm", "tcg"):
            _known = (force == "kvm", "VNM_ACCEL says so")
        else:
            old = mark.read_text().split("\n") if mark.exists() else []
            if len(old) >= 3 and old[0] == boot:
                _known = (old[1] == "kvm", old[2])
            else:
                _known = probe()
                mark.write_text(f"{boot}\n{'kvm' if _known[0] else 'tcg'}\n{_known[1]}\n")
    return _known


def arguments(one_thread=False):
    """QEMU's. With one_thread all emulated CPUs take turns in one."""
    return KVM if decide()[0] else [a.format("single" if one_thread else "multi") for a in TCG]


def kernel(emulated=None):
    """What a guest's kernel is told of its CPU. KVM tells by itself how fast the clock is."""
    khz = clock.host_khz() if machine.NATIVE and (emulated or not decide()[0]) else None
    return f"tsc_early_khz={khz}" if khz else ""


def describe():
    kvm, why = decide()
    return f"guests run on {'KVM' if kvm else 'an emulated CPU (TCG)'}: {why}"


if __name__ == "__main__":
    print(describe())
