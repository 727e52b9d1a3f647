#!/usr/bin/env python3
"""Assembles the guest's initial file system from the toolchain tree; runs inside the tree.

Usage: initramfs.py [--flavour base|python] [--force]

The result, CACHE/initramfs-FLAVOUR-KERNEL.cpio, holds the tools the tests use, the modules they load and our /init. It is made
anew only if this program, /init's files or the tree changed. What differs from run to run (the driver, the tests, the
job) is a second, small archive made by job_archive() and appended to it: the kernel unpacks one after the other.

The archive isn't compressed: copying 60 MB is cheaper for an emulated CPU than decompressing 20.
"""

import argparse
import collections
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile

import machine

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("VNM_CACHE", "/cache"))
# Which kernel (qemu-test/tree --help). Those that qemu-test/compile-kernel compiles are in the cache, all others are where the guests'
# programs are: in the tree, and those of another architecture in a directory where they were unpacked.
KERNEL = os.environ.get("KERNEL", "forky")
TREE = pathlib.Path("/") if machine.NATIVE else CACHE / "root"
COMPILED = KERNEL in ("debug", "7.3", "intree")
ROOT = CACHE if COMPILED else TREE

# Programs of the guest, by name; the rest of the usual commands are taken from whole packages and from busybox.
PROGRAMS = """
bash dash ip tc ss bridge ethtool iperf3 netserver netperf bpftool tcpdump socat ping nstat
taskset chrt unshare nsenter dmesg flock setsid rtcwake lscpu mount umount lsirq prlimit
lsmod insmod rmmod modprobe modinfo depmod kmod
mawk sed grep find xargs diff cmp gzip nft brctl
ps pgrep pkill sysctl top free kill uptime w
""".split()
PACKAGES = ["coreutils"]
# Names that Debian makes through its alternatives system or that a package leaves to others.
LINKS = {"awk": "mawk", "sh": "dash"}

# Modules of the stock kernel that the tests may ask for; their dependencies come along.
MODULES = """
virtio_net net_failover 8021q bridge veth dummy tun macvlan vhost_net pktgen ifb vxlan geneve
sch_fq sch_netem sch_ingress sch_mqprio sch_htb sch_prio sch_tbf sch_multiq sch_etf sch_sfq sch_fq_codel
cls_matchall cls_flower cls_u32 cls_bpf cls_basic act_mirred act_gact act_skbedit act_bpf act_pedit act_csum
nf_tables nft_compat nft_ct nft_chain_nat nfnetlink xt_tcpudp
sit ip6_tunnel ipip ip_gre ip6_gre vrf macsec netconsole configfs xsk_diag inet_diag tcp_diag udp_diag packet_diag tcp_bbr bonding
failover kvm_amd kvm_intel configs e1000e pppoe uio_pci_generic
virtio_mmio vduse virtio_vdpa rng_core
""".split()

# Directories of the Python library that no test needs.
PY_DROP = {"test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "distutils", "pydoc_data", "__pycache__",
           "config-3", "venv", "unittest", "dist-packages"}


class Cpio:
    """A writer for the 'newc' format, so that device nodes and owners don't depend on who we are."""

    def __init__(self, out):
        self.out = out
        self.ino = 0
        self.dirs = set()

    def _entry(self, name, mode, data=b"", rdev=(0, 0), mtime=0):
        self.ino += 1
        raw = name.encode() + b"\0"
        fields = (self.ino, mode, 0, 0, 1, mtime, len(data), 0, 0, rdev[0], rdev[1], len(raw), 0)
        head = b"070701" + b"".join(b"%08x" % f for f in fields) + raw
        self.out.write(head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4))

    def parents(self, name):
        parts = name.split("/")[:-1]
        for i in range(1, len(parts) + 1):
            self.dir("/".join(parts[:i]))

    def dir(self, name, mode=0o755):
        if name and name not in self.dirs:
            self.parents(name)
            self.dirs.add(name)
            self._entry(name, stat.S_IFDIR | mode)

    def file(self, name, data, mode=0o644):
        self.parents(name)
        self._entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        self.parents(name)
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def node(self, name, major, minor, mode=0o600):
        self.parents(name)
        self._entry(name, stat.S_IFCHR | mode, rdev=(major, minor))

    def end(self):
        self._entry("TRAILER!!!", 0)
        # The kernel looks for the next archive at a multiple of four; a page looks tidier in a dump.
        self.out.write(b"\0" * (-self.out.tell() % 4096))


def say(text):
    print(f"initramfs: {text}", file=sys.stderr, flush=True)


def kernel_version():
    """The newest kernel of the tree (the one CACHE/kdir was made for)."""
    found = [p.name[len("vmlinuz-"):] for p in (ROOT / "boot").glob("vmlinuz-*")]
    if not found:
        sys.exit(f"initramfs: no kernel in {ROOT / 'boot'}; this program runs inside the tree: qemu-test/tree run -- …")
    return max(found, key=lambda v: [int(n) for n in re.findall(r"\d+", v)])


def vmlinuz():
    """The kernel as it is packed, with the code that a PC's firmware starts."""
    return ROOT / f"boot/vmlinuz-{kernel_version()}"


def vmlinux():
    """The stock kernel without its decompressor: QEMU starts it directly (PVH), which saves an emulated CPU 5 s. (arm64's has none.)"""
    if not machine.NATIVE:
        return vmlinuz()
    kernel = kernel_version()
    out = CACHE / f"vmlinux-{kernel}"
    packed = vmlinuz()
    if not out.exists() or out.stat().st_mtime < packed.stat().st_mtime:
        data = packed.read_bytes()
        for magic, tool in ((b"\x28\xb5\x2f\xfd", ["zstd", "-dc"]), (b"\xfd7zXZ\0", ["xz", "-dc", "--single-stream"]),
                            (b"\x1f\x8b\x08", ["gzip", "-dc"])):
            at = data.find(magic)
            # Behind the packed kernel follows more; the tools complain about it after having done their work.
            got = subprocess.run(tool, input=data[at:], capture_output=True, check=False).stdout if at >= 0 else b""
            if got.startswith(b"\x7fELF"):
                tmp = out.with_suffix(".tmp")
                tmp.write_bytes(got)
                tmp.replace(out)
                break
        else:
            return packed
    return out


def libraries(path):
    """The shared libraries that the dynamic linker would load for a program or library. Of another architecture's, which can't be
    asked, those that it names, and the linker."""
    if machine.NATIVE:
        text = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
        return re.findall(r"(?:=> |^\s+)(/\S+)", text, re.M)
    text = subprocess.run([f"{machine.CROSS}readelf", "-dlW", path], capture_output=True, text=True, check=True).stdout
    out = re.findall(r"program interpreter: (\S+)\]", text)
    dirs = ":".join(re.findall(r"\(RUNPATH\).*\[(.*)\]", text)).split(":") + [f"/usr/lib/{machine.TRIPLET}", "/usr/lib"]
    for name in re.findall(r"\(NEEDED\).*\[(.*)\]", text):
        out += [f"{d}/{name}" for d in dirs if d and exists(f"{d}/{name}")][:1]
    return out


def real(path):
    """Where a file of the guest is on this side, with links followed as they are followed there."""
    if machine.NATIVE:
        return os.path.realpath(path)
    at, todo, links = TREE, collections.deque(pathlib.PurePath(path).parts[1:]), 0
    while todo:
        part = todo.popleft()
        at = at.parent if part == ".." and at != TREE else at / part
        if at.is_symlink() and links < 40:
            links += 1
            target = pathlib.PurePath(os.readlink(at))
            at = TREE if target.is_absolute() else at.parent
            todo.extendleft(reversed([p for p in target.parts if p != "/"]))
    return str(at)


def exists(path):
    return os.path.exists(real(path))


def find(pattern):
    """The names of the guest's files that a shell pattern stands for."""
    return sorted(f"/{p.relative_to(TREE)}" for p in TREE.glob(pattern.lstrip("/")))


class Image:
    """What goes in: name in the archive -> file of the tree, bytes or link target."""

    def __init__(self):
        self.files = {}
        self.links = {}
        self.done = set()

    def add(self, path, name=None):
        """A file of the tree; links on the way are followed, the content is stored under the name asked for."""
        name = (name or path).lstrip("/")
        # The tree has a merged /usr, the archive too: /bin, /lib and /sbin are links there.
        if not name.startswith("usr/") and name.split("/")[0] in ("bin", "sbin", "lib", "lib64"):
            name = "usr/" + name
        if name in self.files:
            return
        self.own(real(path), name)

    def own(self, file, name):
        """A file of this side."""
        self.files[name] = file
        if file in self.done:
            return
        self.done.add(file)
        with open(file, "rb") as f:
            magic = f.read(4)
        if magic == b"\x7fELF":
            for lib in libraries(file):
                self.add(lib)

    def program(self, name):
        for d in ("/usr/bin", "/usr/sbin"):
            path = f"{d}/{name}"
            if exists(path):
                program = os.path.basename(real(path))
                # kmod, dash and the like are one program with many names.
                if program in ("kmod", "dash", "nft") and program != name:
                    self.program(program)
                    self.links[f"usr/bin/{name}"] = program
                else:
                    self.add(path, f"usr/bin/{name}")
                return True
        return False


def add_modules(cpio, kernel):
    """The modules with their dependencies, decompressed, and an index made for just these."""
    src = f"{ROOT / 'lib/modules'}/{kernel}"
    names = {}
    deps = {}
    with open(f"{src}/modules.dep") as f:
        for line in f:
            path, _, rest = line.partition(":")
            names[re.sub(r"\.ko.*", "", os.path.basename(path)).replace("-", "_")] = path
            deps[path] = rest.split()
    wanted = []
    for name in MODULES:
        path = names.get(name)
        if path:
            wanted += [path] + deps[path]
    with tempfile.TemporaryDirectory() as tmp:
        base = f"{tmp}/lib/modules/{kernel}"
        for path in dict.fromkeys(wanted):
            out = f"{base}/{path}"
            os.makedirs(os.path.dirname(out), exist_ok=True)
            shutil.copy(f"{src}/{path}", out)
        subprocess.run(["find", base, "-name", "*.ko.xz", "-exec", "xz", "-d", "{}", "+"], check=True)
        subprocess.run(["find", base, "-name", "*.ko.zst", "-exec", "zstd", "-q", "-d", "--rm", "{}", "+"], check=True)
        for f in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            if os.path.exists(f"{src}/{f}"):
                shutil.copy(f"{src}/{f}", base)
        subprocess.run(["depmod", "-b", tmp, kernel], check=True)
        for root, _, files in os.walk(base):
            for f in sorted(files):
                path = os.path.join(root, f)
                cpio.file("usr/lib/modules" + path[len(f"{tmp}/lib/modules"):], pathlib.Path(path).read_bytes())


def add_python(image):
    image.add("/usr/bin/python3")
    image.links["usr/bin/python"] = "python3"
    lib = next(p for p in sorted((TREE / "usr/lib").glob("python3.*"), reverse=True) if (p / "os.py").exists())
    roots = [lib] + [p for p in (TREE / "usr/lib/python3/dist-packages").iterdir()
                     if re.match(r"(_?yaml|jsonschema|attr|referencing|rpds|typing_ext|jsonschema_spec)", p.name, re.I)]
    for top in roots:
        if top.is_file():
            image.own(str(top), str(top.relative_to(TREE)))
            continue
        for root, dirs, files in os.walk(top):
            dirs[:] = [d for d in dirs if d not in PY_DROP and not d.startswith("config-")]
            for f in files:
                image.add(f"/{pathlib.Path(root, f).relative_to(TREE)}")


def build(out_path, flavour, kernel):
    image = Image()
    missing = [p for p in PROGRAMS if not image.program(p)]
    for pkg in PACKAGES:
        for path in subprocess.run(["dpkg", "-L", pkg], capture_output=True, text=True, check=True).stdout.split("\n"):
            if re.match(r"/(usr/)?s?bin/[^/]+$", path) and exists(path):
                image.program(os.path.basename(path))
    image.add("/usr/bin/busybox")
    # Loaded by name when a thread is cancelled (iperf3 at its end), so no dependency shows it.
    image.add(f"/usr/lib/{machine.TRIPLET}/libgcc_s.so.1")
    # iptables is a link farm onto one program; the tests that want it want the nftables flavour.
    for f in ("xtables-nft-multi",):
        if image.program(f):
            for name in ("iptables", "ip6tables"):
                image.links[f"usr/bin/{name}"] = f
    for f in ("/etc/protocols", "/etc/services", "/etc/ethertypes", "/usr/share/iproute2/rt_dsfield"):
        if exists(f):
            image.add(f)
    if flavour == "python":
        add_python(image)
    for name, target in LINKS.items():
        image.links[f"usr/bin/{name}"] = target
    have = {n[len("usr/bin/"):] for n in list(image.files) + list(image.links) if n.startswith("usr/bin/")}
    for applet in subprocess.run(["/usr/bin/busybox", "--list"], capture_output=True, text=True).stdout.split():
        if applet not in have:
            image.links[f"usr/bin/{applet}"] = "busybox"
    still = [p for p in missing if f"usr/bin/{p}" not in image.links]
    if still:
        say(f"not in the tree, so not in the guest: {' '.join(still)}")

    tmp = out_path.with_suffix(".tmp")
    with open(tmp, "wb") as f:
        cpio = Cpio(f)
        for d in "dev proc sys run tmp root etc usr/bin usr/lib usr/lib64 var/run job mnt".split():
            cpio.dir(d)
        cpio.link("bin", "usr/bin")
        cpio.link("sbin", "usr/bin")
        cpio.link("lib", "usr/lib")
        cpio.link("lib64", "usr/lib64")
        cpio.link("usr/sbin", "bin")
        cpio.node("dev/console", 5, 1)
        cpio.node("dev/null", 1, 3, 0o666)
        cpio.file("etc/passwd", b"root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/bin/sh\n")
        cpio.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
        cpio.file("etc/hosts", b"127.0.0.1 localhost guest\n::1 localhost\n192.0.2.1 peer\n")
        cpio.file("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n")
        for name in sorted(image.files):
            st = os.stat(image.files[name])
            cpio.file(name, pathlib.Path(image.files[name]).read_bytes(), st.st_mode & 0o755)
        for name, target in sorted(image.links.items()):
            if name not in image.files:
                cpio.link(name, target)
        add_modules(cpio, kernel)
        cpio.end()
    tmp.replace(out_path)


def stamp(flavour, kernel):
    """Changes when this program or the tree's packages do."""
    h = hashlib.sha256()
    h.update(pathlib.Path(__file__).read_bytes())
    h.update((pathlib.Path("/var/lib/dpkg/status") if machine.NATIVE else CACHE / "root.stamp").read_bytes())
    h.update(pathlib.Path(machine.__file__).read_bytes())
    if COMPILED:
        h.update((CACHE / "compile-kernel.stamp").read_bytes())
    h.update(f"{flavour} {kernel}".encode())
    return h.hexdigest()


def ensure(flavour="base", force=False):
    """The path of an up-to-date archive."""
    kernel = kernel_version()
    path = CACHE / f"initramfs-{flavour}-{kernel}.cpio"
    mark = path.with_suffix(".stamp")
    want = stamp(flavour, kernel)

    def current():
        return not force and path.exists() and mark.exists() and mark.read_text() == want

    # Without the lock first: in a guest (see kvm) the cache can't be written to.
    if current():
        return path
    # Guests start side by side; one of them makes it, the others wait.
    with open(CACHE / "initramfs.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if current():
            return path
        say(f"making the guest's file system ({flavour})")
        build(path, flavour, kernel)
        mark.write_text(want)
    return path


def job_archive(out_path, files):
    """The second archive: `files` maps names to bytes (stored executable) or to paths on this side."""
    with open(out_path, "wb") as f:
        cpio = Cpio(f)
        for name, content in files.items():
            data = content if isinstance(content, bytes) else pathlib.Path(content).read_bytes()
            cpio.file(name, data, 0o755)
        cpio.end()
    return out_path


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--flavour", choices=["base", "python"], default="base")
    ap.add_argument("--force", action="store_true", help="make it even if it is up to date")
    args = ap.parse_args()
    path = ensure(args.flavour, args.force)
    print(f"{path} {path.stat().st_size >> 20} MiB")


if __name__ == "__main__":
    main()
