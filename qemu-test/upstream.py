"""Programs of the kernel's selftests that are built by themselves, because their whole directory takes more than this machine may have."""

import fcntl
import hashlib
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import initramfs

KDIR = initramfs.CACHE / "kdir"
BPF = KDIR / "tools/testing/selftests/bpf"
TESTS = "prog_tests/test_xsk.c"
SOURCES = ["xskxceiver.c", "xsk.c", "network_helpers.c", "../../../lib/find_bit.c"]
PROGRAM = "progs/xsk_xdp_progs.c"
# Seconds until a test gives up, which are too few for an emulated CPU.
PATCH = (r"#define THREAD_TMOUT\s+3\b", "#define THREAD_TMOUT 30")


def commands(out):
    """How xskxceiver is made, in the directory `out`."""
    (out / "test_xsk.c").write_text(re.sub(*PATCH, (BPF / TESTS).read_text()))
    include = [f"-I{p}" for p in (BPF, BPF / "prog_tests", BPF.parent, KDIR / "tools/include", KDIR / "tools/include/uapi", out)]
    return [["clang", "-target", "bpf", "-O2", "-g", "-mcpu=v3", "-w", "-I/usr/include/x86_64-linux-gnu", f"-I{BPF}", "-c", BPF / PROGRAM,
             "-o", "xsk_xdp_progs.bpf.o"],
            ["sh", "-c", "bpftool gen skeleton xsk_xdp_progs.bpf.o name xsk_xdp_progs >xsk_xdp_progs.skel.h"],
            ["gcc", "-O2", "-D_GNU_SOURCE", "-w", *include, "-o", "xskxceiver", "test_xsk.c", *(BPF / s for s in SOURCES),
             "-lbpf", "-lelf", "-lz", "-lpthread", "-lm"]]


def xskxceiver():
    """The path of the program that tests AF_XDP; made once for each source."""
    want = hashlib.sha256(b"".join((BPF / s).read_bytes() for s in [*SOURCES, TESTS, PROGRAM]) + PATCH[1].encode()).hexdigest()
    path = initramfs.CACHE / f"xskxceiver-{want[:16]}"
    with open(initramfs.CACHE / "xskxceiver.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path
        with tempfile.TemporaryDirectory() as tmp:
            for command in commands(pathlib.Path(tmp)):
                made = subprocess.run(command, cwd=tmp, capture_output=True, text=True, check=False)
                if made.returncode:
                    sys.exit(f"vm: xskxceiver doesn't build: {made.stderr[-2000:]}")
            shutil.copy(f"{tmp}/xskxceiver", path.with_suffix(".tmp"))
        path.with_suffix(".tmp").rename(path)
    return path
