"""What guests of one architecture and of another differ in. The environment's ARCH says which it is, nothing means x86-64."""

import os
import pathlib

ARCH = os.environ.get("ARCH") or "x86_64"
# The tree's own architecture.
NATIVE = ARCH == "x86_64"

if NATIVE:
    QEMU = "qemu-system-x86_64"
    # What hardware hangs on: with PCI, with virtio-mmio instead. Without the PIT: it ticks from the start, and the PIC, which a kernel
    # that finds no such thing in a microvm's ACPI doesn't set up, hands that on as interrupt 0, a division by zero.
    PCI, MMIO = "q35", "microvm,acpi=on,pit=off"
    # Not "max": a plain CPU model boots 2 s faster, as there is less state to emulate.
    CPU = "qemu64,+rdrand,+x2apic"
    CONSOLE = "ttyS0"
    # The early console: a kernel that dies before it has another would say nothing.
    KERNEL = "earlyprintk=ttyS0 no_timer_check tsc=reliable"
    # What the names of the programs begin with that are for its files.
    CROSS = ""
    TRIPLET = "x86_64-linux-gnu"
else:
    # virtio-mmio is always there.
    QEMU = "qemu-system-aarch64"
    PCI = MMIO = "virt"
    CPU = "neoverse-n1"
    CONSOLE = "ttyAMA0"
    KERNEL = ""
    CROSS = "aarch64-linux-gnu-"
    TRIPLET = "aarch64-linux-gnu"


def gcc():
    """The compiler for its programs; without a number it isn't there for another architecture."""
    return CROSS + ("gcc" if NATIVE else max(p.name for p in pathlib.Path("/usr/bin").glob(f"{CROSS}gcc-[1-9][0-9]")).removeprefix(CROSS))
