"""Guests whose /init is one shell script, for what isn't a test of an interface.

The script finds commands for it in PRELUDE: `tell NAME VALUE` reports something, `reach` tries the network.
"""

import pathlib
import re
import shutil
import subprocess
import time

import accel
import initramfs
import vm

# Not busybox, whose shell takes its own commands first: its modprobe doesn't know `install`.
PRELUDE = r"""#!/usr/bin/bash
export PATH=/usr/bin HOME=/root LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs run /run
mount -t securityfs securityfs /sys/kernel/security 2>/dev/null
dmesg -n 8
stty -F /dev/ttyS1 raw -echo
exec 3>/dev/ttyS1
# One NAME=VALUE on a line.
tell() { printf '%s=%s\n' "$1" "$(printf '%s' "$2" | tr '\n' ' ')" >&3; }
# Gives the card its address: driver=NAME, and reach=yes if the host answers.
reach() {
	local d if i
	for d in /sys/class/net/*; do
		[ -e "$d/device" ] || continue
		if=${d##*/}
		tell "${1}driver" "$(basename "$(readlink -f "$d/device/driver")")"
		ip addr add 192.0.2.2/24 dev "$if"
		ip link set "$if" up
		for i in 1 2 3 4 5 6 7 8 9 10; do
			ping -q -c 1 -W 2 192.0.2.1 >/dev/null && tell "${1}reach" yes && break
		done
	done
}
finish() {
	tell end yes
	sync
	poweroff -f
	sleep 100
}
"""


def say(text):
    print(text, flush=True)


def initrd(out, script, files):
    """What such a guest boots from, in directory `out`."""
    job = initramfs.job_archive(out / "job.cpio", {"init": (PRELUDE + script).encode(), **files})
    path = out / "initrd"
    with open(path, "wb") as whole:
        for part in (initramfs.ensure("base"), job):
            with open(part, "rb") as f:
                shutil.copyfileobj(f, whole, 1 << 20)
    return path


def command_line(more=""):
    """What the guest's kernel is told."""
    return f"console=ttyS0 loglevel=5 panic=-1 rdinit=/init no_timer_check random.trust_cpu=on {accel.kernel()} {more}"


def run(out, name, limit, *arguments):
    """Runs QEMU with a card on tapA; what the guest told, as a dictionary. Its output goes to NAME.console in `out`."""
    report, console = out / f"{name}.report", out / f"{name}.console"
    cmd = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", *accel.arguments(), "-smp", "2",
           "-chardev", f"file,id=con,path={console}", "-serial", "chardev:con",
           "-chardev", f"file,id=out,path={report}", "-serial", "chardev:out",
           "-netdev", "tap,id=net0,ifname=tapA,script=no,downscript=no,queues=2",
           "-device", f"virtio-net-pci,netdev=net0,mq=on,vectors=6,romfile=,mac={vm.DUT_MAC}", *map(str, arguments)]
    t0 = time.monotonic()
    with open(out / f"{name}.qemu", "wb") as log, subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT) as proc:
        try:
            proc.wait(limit)
        except subprocess.TimeoutExpired:
            say(f"# {name}: timed out after {limit} s")
        finally:
            proc.kill()
    say(f"# {name}: {time.monotonic() - t0:.0f} s")
    lines = report.read_text(errors="replace").replace("\r", "").splitlines() if report.exists() else []
    # Firmware writes there, too.
    found = dict(m.groups() for m in (re.match(r"([\w-]+)=(.*)", line) for line in lines) if m)
    for key, value in found.items():
        say(f"# {name}: {key}: {value}")
    return found


def fresh(path):
    """An empty directory for what guests leave."""
    shutil.rmtree(path, ignore_errors=True)
    pathlib.Path(path).mkdir(parents=True)
