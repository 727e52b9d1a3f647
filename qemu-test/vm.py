#!/usr/bin/env python3
"""Runs a test guest: QEMU with the tree's stock kernel, our initramfs, and a network to talk to.

Usage: vm.py [--shell [--run COMMAND]] [--driver rust|c] [--queues N] [--vcpus N] [--device OPTIONS] [--peer] [TEST…]

Runs inside the tree, in a network namespace of its own: qemu-test/tree run --net -- python3 qemu-test/vm.py …
As a library: HostNet (bridge, services), Guest (one guest from start to end).
"""

import argparse
import json
import os
import pathlib
import platform
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import accel                       # noqa: E402
import backend                     # noqa: E402
import clock                       # noqa: E402
import cover                       # noqa: E402
import initramfs                   # noqa: E402
import machine                     # noqa: E402
import migrate                     # noqa: E402
import testdev                     # noqa: E402
import upstream                    # noqa: E402
import virsh                       # noqa: E402
from qmp import Qmp, opened        # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parent
DUT_MAC = "52:54:00:12:34:56"
PEER_MAC = "52:54:00:12:34:57"
HOST4, HOST6 = "192.0.2.1", "2001:db8::1"

DEFAULTS = {
    "queues": 4, "vcpus": 4, "device": "", "params": "", "driver": "rust", "peer": False, "tests": [],
    "timeout": 600, "test_timeout": 240,
    # KASAN keeps what is freed for a while, and needs an eighth for itself.
    "memory": 2048 if initramfs.KERNEL == "debug" else 1024, "python": False, "append": "", "qemu": "", "job": "tests",
    "files": {}, "allow_log": [], "allow_reports": [], "vectors": None, "peer_device": "", "s3": False, "one_thread": False, "failpoints": False,
    "samples": False, "programs": [], "testdev": None, "backend": "", "partner": False, "primary": False, "env": {}, "migrate": False,
    "vhost": False, "heap": False, "bound": False, "wrong_clock": 0, "mmio": "", "vdpa": None, "libvirt": False,
}
# How often a guest is started at most if its kernel dies as it boots.
BOOTS = 3


def sh(*args, check=True):
    return subprocess.run(args, check=check, capture_output=True, text=True)


def have_vhost():
    """Whether the machine's kernel has vhost_net, and lets us."""
    try:
        os.close(os.open("/dev/vhost-net", os.O_RDWR))
        return True
    except OSError:
        return False


def options(text):
    """'a=1,b=2' as a dict, so that a guest's options replace the defaults instead of coming twice."""
    out = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        key, _, val = part.partition("=")
        out[key] = val or "on"
    return out


def joined(settings):
    """The opposite."""
    return ",".join(f"{k}={v}" for k, v in settings.items())


def bpf_object(path):
    """A program for the kernel, compiled; None where the tree's compiler can't."""
    made = subprocess.run(["clang", "-target", "bpf", "-O2", "-g", "-Wall", f"-I/usr/include/{platform.machine()}-linux-gnu", "-c", path,
                           "-o", "-"], capture_output=True, check=False)
    return made.stdout if made.returncode == 0 else None


def c_program(directory):
    """What the C in a directory makes, as bytes."""
    with tempfile.TemporaryDirectory() as tmp:
        made = subprocess.run([machine.gcc(), "-O2", "-Wall", "-Werror", "-static", "-o", f"{tmp}/program", *sorted(directory.glob("*.c"))],
                              capture_output=True, text=True, check=False)
        if made.returncode:
            sys.exit(f"vm: {directory} doesn't compile: {made.stderr}")
        return pathlib.Path(tmp, "program").read_bytes()


class HostNet:
    """The host's side: bridge br0 with the addresses that guests know as PEER, and servers on them."""

    def __init__(self, out_dir):
        self.procs = []
        self.out = pathlib.Path(out_dir)
        # In the machine's own namespace this would put a bridge into its network; so refuse there.
        links = [link["ifname"] for link in json.loads(sh("ip", "-j", "link").stdout)]
        if set(links) - {"lo", "br0", "tapA", "tapB", "tapM"}:
            sys.exit("vm: this must run in a network namespace of its own: qemu-test/tree run --net -- …")
        # For what a test has the host say to its own services.
        sh("ip", "link", "set", "lo", "up")
        if "br0" not in links:
            sh("ip", "link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0")
            pathlib.Path("/proc/sys/net/ipv6/conf/br0/accept_dad").write_text("0")
            sh("ip", "addr", "add", f"{HOST4}/24", "dev", "br0")
            sh("ip", "-6", "addr", "add", f"{HOST6}/64", "dev", "br0", "nodad")
            sh("ip", "link", "set", "br0", "up")
        # What one NIC sends the other one gets: where the machine has br_netfilter it would put fragments together on the way
        # and drop wrong checksums.
        for knob in pathlib.Path("/proc/sys/net/bridge").glob("bridge-nf-call-*"):
            knob.write_text("0")

    def serve(self):
        log = open(self.out / "services.log", "ab")
        cmds = [["iperf3", "-s", "-p", str(5201 + i)] for i in range(4)]
        cmds += [["netserver", "-D", "-4"], [sys.executable, str(HERE / "peer.py")]]
        for cmd in cmds:
            self.procs.append(subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def tap(self, name, queues, mtu):
        sh("ip", "link", "del", name, check=False)
        sh("ip", "tuntap", "add", name, "mode", "tap", "vnet_hdr", *(["multi_queue"] if queues > 1 else []))
        pathlib.Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
        sh("ip", "link", "set", name, "mtu", str(mtu), "master", "br0", "up")

    def close(self):
        for p in self.procs:
            p.kill()
            p.wait()
        self.procs = []


class Guest:
    """One guest. `on_event(kind, dict)` is called for what it reports: up, setup, begin, line, end, unload; and with "again" where
    it is started once more and nothing of what it has reported counts."""

    # Whether its clock is the host's, and whether who made it knows "again"; else that comes before the first test only.
    keeps_time, knows_again = True, False
    mac, card = DUT_MAC, 0

    def __init__(self, name, spec, out_dir, net, on_event=lambda kind, data: None, ko=None):
        unknown = set(spec) - set(DEFAULTS) - {"name"}
        if unknown:
            sys.exit(f"vm: guest {name}: unknown setting {', '.join(sorted(unknown))}")
        self.name = name
        self.spec = {**DEFAULTS, **spec}
        self.out = pathlib.Path(out_dir)
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)
        self.net = net
        self.on_event = on_event
        self.ko = pathlib.Path(ko or REPO / "virtio_net_mq.ko")
        self.qmp = None
        self.proc = None
        self.testdev = None
        self.violations = None
        # The other process that serves its card, and the other guest there.
        self.backend = None
        self.partner = None
        # Why it was started again, each with the console of that time; and whether that is all over.
        self.retries = []
        self.over = False
        # Who is about to wake it up, if somebody is.
        self.waking = None
        self._fresh()
        self.console = self.out / "console.log"
        self.kernel = initramfs.kernel_version()
        # Sockets in /tmp: their names have a length limit.
        self.run_dir = pathlib.Path("/tmp/vm") / name
        self.run_dir.mkdir(parents=True, exist_ok=True)

    def _fresh(self):
        """As before its first start."""
        self.test = None
        self.timed_out = False
        # Migration: the process it goes to, how often and where to it went, what went wrong.
        self.other = None
        self.moves = 0
        self.moved = self.trouble = ""
        self.heard = 0
        self.buf = b""
        self.watch = clock.Watch()
        # What is wrong with its clock.
        self.wrong = ""

    def netdev(self):
        """The test device is but the other side of QEMU's own card (vhost-user)."""
        return "net" in (self.spec["testdev"] or "").split()

    # --- what the guest gets ----------------------------------------------------------------------------------------

    def dut_options(self):
        s = self.spec
        if s["vdpa"] is not None:
            # It makes its card itself.
            return {"driver": "vduse", "mac": DUT_MAC, **options(s["device"])}
        if s["testdev"] is not None and not self.netdev():
            # It has one interrupt vector, which makes the driver use the interrupt line.
            return {"driver": "vhost-user-test-device-pci", "id": "nic0", "bus": "rp0", "chardev": "dev0", "virtio-id": "1",
                    "num_vqs": str(2 * s["queues"] + 1), "config_size": "24", "vq_size": "256", **options(s["device"])}
        opts = {"driver": "virtio-net-pci", "id": "nic0", "bus": "rp0", "netdev": "net0", "mac": self.mac}
        if s["mmio"]:
            # On the first free of the machine's virtio buses. All queues share its one interrupt.
            opts["driver"] = "virtio-net-device"
            del opts["bus"]
        if s["queues"] > 1:
            opts["mq"] = "on"
        if s["mmio"]:
            return {**opts, **options(s["device"])}
        # One vector each for configuration changes and the control queue, two for each pair.
        opts["vectors"] = str(2 * s["queues"] + 2 if s["vectors"] is None else s["vectors"])
        opts.update(options(s["device"]))
        return opts

    def env(self):
        s = self.spec
        e = {
            "JOB": s["job"], "DRIVER": s["driver"], "KO": "/job/virtio_net_mq.ko", "PARAMS": s["params"],
            "TESTS": " ".join(s["tests"]), "TESTDIR": "/job/tests", "TEST_TIMEOUT": s["test_timeout"],
            "PEER": HOST4, "PEER6": HOST6, "DUT_IP": "192.0.2.2", "DUT_IP6": "2001:db8::2",
            "PEER_NS": "peer" if s["peer"] else "", "PEER_NS_IP": "192.0.2.3", "PEER_NS_IP6": "2001:db8::3",
            "QUEUES": s["queues"], "VCPUS": s["vcpus"], "DEVICE": s["device"], "GUEST": self.name,
            "FEATURES": ",".join(f"{k}={v}" for k, v in self.dut_options().items()),
            "S3": "yes" if s["s3"] else "", "MIGRATE": "yes" if s["migrate"] else "", "BOUND": "yes" if s["bound"] else "",
            "VHOST": "yes" if s["vhost"] else "", "MMIO": s["mmio"],
            "VDPA": "" if s["vdpa"] is None else s["vdpa"] or "pairs=1", "SAMPLES": "/job/samples" if s["samples"] else "",
            "KSFT_MACHINE_SLOW": "yes",
            "TESTDEV": "" if s["testdev"] is None else s["testdev"] or "yes", "BACKEND": s["backend"], **s["env"],
        }
        return "".join(f"{k}='{v}'\n" for k, v in e.items())

    def files(self):
        f = {"init": HERE / "guest/init"}
        for p in (HERE / "guest").iterdir():
            if p.name != "init":
                f[f"job/{p.name}"] = p
        f["job/env"] = self.env().encode()
        image = initramfs.Image()
        if self.spec["driver"] != "c":
            if not self.ko.exists():
                sys.exit(f"vm: {self.ko} is missing; build it first: make demo, make check or make shell do")
            f["job/virtio_net_mq.ko"] = self.ko
        if self.spec["samples"]:
            for p in sorted((HERE / "out/samples-build").glob("*.ko")):
                f[f"job/samples/{p.name}"] = p
        tests = REPO / "tests"
        for p in sorted(tests.rglob("*")) if tests.is_dir() else []:
            if p.is_file():
                f[f"job/tests/{p.relative_to(tests)}"] = p
        for name in ("top", "report"):
            f[f"job/packaging/{name}"] = REPO / "packaging" / name
        if self.spec["vdpa"] is not None:
            for program in ("peer.py", "frames.py"):
                f[f"job/{program}"] = HERE / program
            image.add(str(testdev.PROGRAM), "usr/bin/testdev")
            image.program("vdpa")
        if self.spec["testdev"] is not None:
            f["job/testdev-cases"] = subprocess.run([testdev.PROGRAM, "--cases"], capture_output=True, check=True).stdout
        # Programs for the kernel, where the tree's compiler can make them; tests that want one skip without.
        for p in sorted(tests.rglob("*.bpf.c")):
            if (made := bpf_object(p)) is not None:
                f[f"job/tests/{p.relative_to(tests)}".removesuffix(".c") + ".o"] = made
        for name in self.spec["programs"]:
            if name.startswith("tests/"):
                f[f"job/{name}/{pathlib.Path(name).name}"] = c_program(REPO / name)
            elif "/" in name:
                for path in initramfs.find(name):
                    image.add(path)
            elif name == "xskxceiver" and machine.NATIVE:
                image.own(str(upstream.xskxceiver()), f"usr/bin/{name}")
            elif not image.program(name):
                print(f"guest {self.name}: there is no {name} for it in the tree", file=sys.stderr)
        f.update(image.files)
        for name, content in self.spec["files"].items():
            f[name] = content
        return f

    def initrd(self):
        base = initramfs.ensure("python" if self.spec["python"] else "base")
        job = initramfs.job_archive(self.run_dir / "job.cpio", self.files())
        path = self.run_dir / "initrd"
        with open(path, "wb") as out:
            for part in (base, job):
                with open(part, "rb") as f:
                    shutil.copyfileobj(f, out, 1 << 20)
        return path

    def testdev_options(self):
        """What the test device is started with; the word "tap" stands for the tap that other guests have, "net" see netdev()."""
        words = {"tap": "tap=tapA", "net": "role=net"}
        return [f"pairs={self.spec['queues']}"] + [words.get(w, w) for w in self.spec["testdev"].split()]

    def dut_arguments(self):
        """The card under test, as arguments of QEMU."""
        s = self.spec
        if s["vdpa"] is not None:
            return []
        device = ["-device", ",".join(v if k == "driver" else f"{k}={v}" for k, v in self.dut_options().items())]
        shared = ["-object", f"memory-backend-memfd,id=mem,size={s['memory']}M,share=on", "-machine", "memory-backend=mem"]
        if self.backend:
            return [*shared, *self.backend.netdev(self.card, s["queues"]), *device]
        if s["testdev"] is not None:
            path = f"{self.run_dir}/testdev"
            if self.netdev():
                return [*shared, "-chardev", f"socket,id=dev0,path={path},reconnect-ms=100",
                        "-netdev", f"vhost-user,id=net0,chardev=dev0,queues={s['queues']}", *device]
            return [*shared, "-chardev", f"socket,id=dev0,path={path}", *device]
        return ["-netdev", "tap,id=net0,ifname=tapA,script=no,downscript=no"
                + (f",queues={s['queues']}" if s["queues"] > 1 else "") + (",vhost=on" if s["vhost"] else ""), *device]

    def clock_rate(self):
        """What its kernel is told of its clock; a guest with `wrong_clock` is told something else at its first start."""
        told = accel.kernel()
        if told and self.spec["wrong_clock"] and not self.retries:
            name, _, khz = told.partition("=")
            told = f"{name}={round(int(khz) / self.spec['wrong_clock'])}"
        return told

    def hardware(self):
        """What the guest's hardware hangs on, as arguments of QEMU."""
        mmio = self.spec["mmio"]
        if not mmio:
            return ["-machine", machine.PCI, "-device", "pcie-root-port,id=rp0,chassis=1,slot=1"]
        if mmio not in ("modern", "legacy"):
            sys.exit(f"vm: guest {self.name}: mmio is modern or legacy, not {mmio}")
        # Debian's kernel takes such devices from ACPI or a device tree only, not from its command line.
        return ["-machine", machine.MMIO, "-global", f"virtio-mmio.force-legacy={'on' if mmio == 'legacy' else 'off'}"]

    def command(self):
        s = self.spec
        mtu = int(options(s["device"]).get("host_mtu", 1500))
        if not self.backend and s["vdpa"] is None and (s["testdev"] is None or "tap" in s["testdev"].split()):
            sh("ip", "link", "set", "br0", "mtu", str(mtu), check=False)
            for tap in migrate.TAPS if s["migrate"] else migrate.TAPS[:1]:
                self.net.tap(tap, s["queues"], mtu)
        # Few messages while booting: each character on the console costs an exit. /init turns them on.
        cmdline = (f"console={machine.CONSOLE} panic=-1 loglevel=5 printk.time=1 net.ifnames=0 kfence.sample_interval=100 "
                   f"rdinit=/init random.trust_cpu=on lpj=10000000 {machine.KERNEL} {self.clock_rate()} {s['append']}")
        if s["heap"] and initramfs.KERNEL != "debug":
            cmdline += " slab_debug=FP,kmalloc-*"
        # A kernel started without its own boot code doesn't come back from suspend to memory.
        kernel = initramfs.vmlinuz() if s["s3"] else initramfs.vmlinux()
        console = "stdio,id=con,signal=off" if s["job"] == "shell" else f"file,id=con,path={self.console}"
        cmd = [
            machine.QEMU, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
            *self.hardware(), *accel.arguments(s["one_thread"]), "-smp", str(s["vcpus"]), "-m", str(s["memory"]),
            "-kernel", str(kernel), "-initrd", str(self.initrd()), "-append", cmdline,
            "-chardev", console, "-serial", "chardev:con",
            "-chardev", f"socket,id=ctl,path={self.run_dir}/ctl,server=on,wait=off",
            # A microvm makes no second one by itself.
            *(["-device", "isa-serial,index=1,chardev=ctl"] if s["mmio"] and machine.NATIVE else ["-serial", "chardev:ctl"]),
            "-qmp", f"unix:{self.run_dir}/qmp,server=on,wait=off",
            *self.dut_arguments(),
        ]
        if s["peer"]:
            q = int(options(s["peer_device"]).pop("queues", 1))
            self.net.tap("tapB", q, mtu)
            extra = options(s["peer_device"])
            extra.pop("queues", None)
            if q > 1:
                extra.update({"mq": "on", "vectors": str(2 * q + 2)})
            if mtu != 1500:
                extra.setdefault("host_mtu", str(mtu))
            more = "".join(f",{k}={v}" for k, v in extra.items())
            cmd += ["-netdev", "tap,id=net1,ifname=tapB,script=no,downscript=no" + (f",queues={q}" if q > 1 else ""),
                    "-device", f"virtio-net-pci,id=nic1,netdev=net1,mac={PEER_MAC}{more}"]
        if s["primary"]:
            # What the device under test is the standby of: the same address, shown to a guest that knows of both.
            self.net.tap("tapB", 1, mtu)
            cmd += ["-device", "pcie-root-port,id=rp1,chassis=2,slot=2",
                    "-netdev", "tap,id=net1,ifname=tapB,script=no,downscript=no",
                    "-device", f"e1000e,id=nic1,netdev=net1,bus=rp1,mac={DUT_MAC},failover_pair_id=nic0"]
        if s["driver"] != "c":
            cmd += cover.arguments(self.ko, self.name)
        return cmd + s["qemu"].split()

    # --- its life -----------------------------------------------------------------------------------------------------

    def start(self):
        for name in ("ctl", "qmp"):
            (self.run_dir / name).unlink(missing_ok=True)
        if (self.spec["testdev"], self.spec["vdpa"]) != (None, None) and not testdev.PROGRAM.exists():
            sys.exit(f"vm: {testdev.PROGRAM} is missing; qemu-test/tree device builds it")
        self.start_backend()
        self.cmd = cmd = self.command()
        (self.out / "command").write_text(" \\\n  ".join(cmd) + "\n")
        if self.spec["testdev"] is not None:
            try:
                self.testdev = testdev.TestDevice(self.run_dir, self.out / "testdev.log", self.testdev_options())
            except OSError as e:
                sys.exit(f"vm: guest {self.name}: {e}")
        self._fresh()
        self.started = time.monotonic()
        interactive = self.spec["job"] == "shell"
        err = open(self.out / "qemu.log", "wb")
        try:
            self.proc = virsh.Domain(self.name, self.domain(), self.run_dir, err) if self.spec["libvirt"] else subprocess.Popen(
                cmd, stdin=None if interactive else subprocess.DEVNULL, stdout=None if interactive else err, stderr=err)
            self.qmp = Qmp(self.run_dir / "qmp", self.proc)
            self.ctl = self.connect(self.run_dir / "ctl", self.proc)
        except ConnectionError:
            self._no_start()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def domain(self):
        """What libvirt is told of it; the rest is libvirt's own."""
        s = self.spec
        value = {name: self.cmd[self.cmd.index(f"-{name}") + 1] for name in ("kernel", "initrd", "append")}
        return {"type": "kvm" if accel.decide()[0] else "qemu", "kernel": value["kernel"], "initrd": value["initrd"],
                "cmdline": value["append"], "memory": s["memory"], "vcpus": s["vcpus"], "mac": DUT_MAC, "tap": migrate.TAPS[0],
                "driver": "vhost" if s["vhost"] else "qemu", "queues": s["queues"], "vectors": s["vectors"],
                "console": self.console, "ctl": self.run_dir / "ctl", "qmp": self.run_dir / "qmp"}

    def start_backend(self):
        """Starts what serves its card, if that isn't QEMU, and the guest that it finds there."""
        if not self.spec["backend"]:
            return
        try:
            self.backend = backend.made(self.spec["backend"], self.run_dir, self.out / "backend.log", 2 if self.spec["partner"] else 1)
            self.backend.start()
            if self.spec["partner"]:
                self.partner = Partner(self)
                self.partner.come_up()
        except OSError as e:
            self.kill()
            sys.exit(f"vm: guest {self.name}: {e}")

    @staticmethod
    def connect(path, proc):
        """A socket of a QEMU that is starting."""
        for _ in opened(proc):
            try:
                s = socket.socket(socket.AF_UNIX)
                s.connect(str(path))
                return s
            except OSError:
                s.close()
        raise ConnectionError("QEMU ended at once" if proc.poll() is not None else f"QEMU doesn't open {path}")

    def _no_start(self):
        self.kill()
        sys.exit(f"vm: QEMU didn't start guest {self.name}: {(self.out / 'qemu.log').read_text(errors='replace').strip()}")

    def died_booting(self):
        """The kernel died before our /init said a word, of code that it had just patched: an emulated CPU ran a breakpoint that was
        there for a moment only, and nobody knew of it any more. That is QEMU's, and rare."""
        return not self.heard and self.console.exists() and "Oops: int3" in self.console.read_text(errors="replace")

    def stopped_and_told(self):
        """QEMU ended by a fault that it has where the test device tells of a change just as it is stopped (testing.rst): what the
        device has written can't be called back."""
        return self.knows_again and self.testdev is not None and self.proc.returncode == -signal.SIGSEGV

    def why_again(self):
        """Why it has to be started once more, if it has."""
        if self.stopped_and_told() and not any("SIGSEGV" in why for _, why in self.retries):
            return "QEMU ended by SIGSEGV, as it does if the device tells of a change while it is stopped"
        if self.died_booting() and len(self.retries) < BOOTS - 1:
            return "the kernel died as it booted (Oops: int3, the emulator's fault)"
        self.look_at_console()
        if self.wrong and (self.knows_again or self.test is None) and not any("clock" in why for _, why in self.retries):
            return self.wrong
        return None

    @staticmethod
    def wrong_by(factor):
        return f"its clock ran at {f'least {factor:.1f}' if factor > 1 else f'most {factor:.3f}'} times as fast as the host's"

    def look_at_console(self):
        """Whether the time of its last message is still to come."""
        if not self.wrong and self.keeps_time and self.console.exists():
            with open(self.console, "rb") as f:
                f.seek(max(0, f.seek(0, os.SEEK_END) - 8192))
                factor = clock.of_console(f.read().decode(errors="replace"), time.monotonic() - self.started)
            self.wrong = self.wrong_by(factor) if factor else ""
        return self.wrong

    def gone(self, proc):
        """Waits for the process; False if the time is up. One that drowns in timer interrupts may never get to be asked for its clock."""
        end = self.started + self.spec["timeout"] if self.spec["job"] != "shell" else float("inf")
        while True:
            left = end - time.monotonic()
            try:
                proc.wait(max(min(left, 10), 1))
                return True
            except subprocess.TimeoutExpired:
                if self.look_at_console():
                    self.proc.kill()
                elif left < 10:
                    return False

    def wait(self):
        """Until the guest is gone; True if it ended by itself in time."""
        while True:
            proc = self.proc
            if not self.gone(proc):
                self.timed_out = True
                self.registers()
                self.kill()
            # Else the guest has moved to another process.
            if proc is self.proc or self.timed_out:
                why = self.why_again()
                if not why:
                    break
                print(f"guest {self.name}: {why}; once more", flush=True)
                self.thread.join(5)
                self.kill()
                kept = f"console.{len(self.retries) + 1}.log"
                self.console.rename(self.out / kept)
                self.retries.append((kept, why))
                self.on_event("again", {"text": why})
                self.start()
        self.over = True
        self.trouble = self.trouble or self.wrong
        if not self.timed_out and not self.trouble and self.proc.returncode:
            said = (self.out / (f"qemu.{self.moves}.log" if self.moves else "qemu.log")).read_text(errors="replace").split("\n")
            self.trouble = f"QEMU ended with status {self.proc.returncode}: {' '.join(said[-2:]).strip()}"
        self.thread.join(5)
        if self.testdev:
            self.violations = self.testdev.violations()
            self.testdev.stop()
        if self.partner:
            self.partner.leave()
        if self.backend:
            self.backend.stop()
        self.seconds = time.monotonic() - self.started
        return not self.timed_out

    def kill(self):
        """Ends it and what serves it, now; it can be started again."""
        for proc in (self.proc, self.other and self.other.proc):
            if proc and proc.poll() is None:
                proc.kill()
                proc.wait()
        self.stop_others()

    def stop_others(self):
        for other in (self.testdev, self.partner, self.backend):
            if other:
                other.stop()

    def stop(self):
        """The end of it: what it was started from goes as well, as that of all guests together is more than /tmp holds."""
        self.kill()
        shutil.rmtree(self.run_dir, ignore_errors=True)

    def registers(self):
        """Where each CPU is, for a guest that seems to hang; kept beside its console."""
        out = []
        for _ in range(2):
            ok, text = self.qmp.command("human-monitor-command", {"command-line": "info registers -a"})
            out.append(text if ok else f"QEMU: {text}")
            time.sleep(0.5)
        (self.out / "registers").write_text("\n----\n".join(out).replace("\r", ""))

    def silent(self, heard, since):
        """A while after a migration: a guest that has said nothing since then hangs."""
        if self.heard == heard and self.proc.poll() is None:
            self.trouble = f"nothing was heard of the guest for {migrate.SILENCE} s after {since}"
            self.registers()
            self.kill()

    # --- the control channel ------------------------------------------------------------------------------------------

    def _serve(self):
        while True:
            # A migration puts another socket in its place, and the rest of the old one in the buffer.
            try:
                data = self.ctl.recv(65536)
            except OSError:
                data = b""
            if not data:
                return
            self.heard += len(data)
            self.buf += data
            while b"\n" in self.buf:
                raw, self.buf = self.buf.split(b"\n", 1)
                self._line(raw.decode(errors="replace").rstrip("\r"))

    def _line(self, line):
        # Noise may stand before a line (a terminal's first characters); what counts is the marker.
        if line.startswith("O "):
            self.on_event("line", {"test": self.test, "text": line[2:]})
        elif line == "O":
            self.on_event("line", {"test": self.test, "text": ""})
        elif line.startswith("E "):
            try:
                data = json.loads(line[2:])
            except ValueError:
                data = {"what": "noise", "text": line}
            kind = data.pop("what")
            if kind == "begin":
                self.test = data["text"]
            data["time"] = time.monotonic() - self.started
            if kind == "clock":
                self._clock(data["text"])
            else:
                self.on_event(kind, data)
        elif line.startswith("Q "):
            _, rid, text = line.split(" ", 2)
            pause = 0
            try:
                req = json.loads(text)
                pause = float(req.get("pause", 0))
                ok, reply = self._request(req)
            except (ValueError, KeyError, OSError, subprocess.SubprocessError, TimeoutError) as e:
                ok, reply = False, f"{type(e).__name__}: {e}"
            # One line back; line ends inside travel escaped.
            reply = reply if isinstance(reply, str) else json.dumps(reply)
            reply = reply.replace("\\", "\\\\").replace("\n", "\\n")
            try:
                answer = f"{rid} {'ok' if ok else 'error'} {reply}\n".encode()
                if pause:
                    self.ctl.sendall(answer[:-2])
                    time.sleep(pause)
                    answer = answer[-2:]
                self.ctl.sendall(answer)
            except OSError:
                pass  # It ended meanwhile.

    def _clock(self, text):
        """The guest has read its clock, asked for the host's, and read its own again."""
        factor = self.watch.reading(*map(float, text.split())) if self.keeps_time else None
        if factor and not self.wrong:
            self.wrong = self.wrong_by(factor)
            self.proc.kill()

    def _wake(self, after):
        """Wakes the guest up so many seconds from now, or when it sleeps at last: QEMU refuses to wake one that doesn't, and a busy
        machine may take longer to send it to sleep."""
        self.waking = mine = object()
        time.sleep(after)
        end = time.monotonic() + 120
        while self.waking is mine and not self.over and time.monotonic() < end:
            if self.qmp.command("system_wakeup", {})[0]:
                return
            time.sleep(0.5)

    def _request(self, req):
        if "qmp" in req:
            if req["qmp"] in ("stop", "cont", "system_reset", "system_wakeup"):
                self.watch.forget()
            return self.qmp.command(req["qmp"], req.get("arguments", {}))
        cmd = req.pop("cmd")
        if cmd == "clock":
            return True, f"{time.monotonic():.3f}"
        if cmd in ("migrate", "wake"):
            self.watch.forget()
        if cmd == "unplug":
            self.qmp.events.clear()
            ok, reply = self.qmp.command("device_del", {"id": req["id"]})
            if ok and not self.qmp.wait_event("DEVICE_DELETED", lambda d: d.get("device") == req["id"], 35):
                return False, "the guest doesn't let go of the device"
            return ok, reply
        if cmd == "plug":
            opts = self.dut_options()
            for k, v in opts.items():
                if v in ("on", "off") and k != "driver":
                    opts[k] = v == "on"
                elif k in ("vectors", "host_mtu", "rx_queue_size", "tx_queue_size", "speed", "virtio-id", "num_vqs",
                           "config_size", "vq_size"):
                    opts[k] = int(v)
            return self.qmp.command("device_add", opts)
        if cmd == "device":
            if not self.testdev:
                return False, "this guest has no test device"
            return self.testdev.command(req["run"])
        if cmd == "testdev":
            if not self.testdev:
                return False, "this guest has no test device"
            if req["run"] == "kill":
                self.testdev.kill()
            elif self.testdev.proc.poll() is not None:
                self.testdev.start()
            return True, ""
        if cmd == "backend":
            return self.backend.command(req["run"]) if self.backend else (False, "QEMU serves this guest's card")
        if cmd == "partner":
            return self.partner.tell(req["run"]) if self.partner else (False, "this guest has no partner")
        if cmd == "migrate":
            if not self.spec["migrate"]:
                return False, "this guest has nowhere to go"
            try:
                return True, migrate.move(self, req["how"])
            except migrate.Failed as e:
                return False, str(e)
        if cmd == "wake":
            threading.Thread(target=self._wake, args=(float(req.get("after", 2)),), daemon=True).start()
            return True, ""
        if cmd == "link":
            r = sh("ip", "link", "set", req["if"], "up" if req["up"] else "down", check=False)
            return r.returncode == 0, r.stderr
        if cmd == "host":
            # In the network namespace that was made for this, with the tree as its file system.
            # $QEMU_LOG: what QEMU prints, traces for example (hostctl qmp human-monitor-command command-line="log trace:…").
            r = subprocess.run(["sh", "-c", req["run"]], capture_output=True, text=True,
                               timeout=60, env={**os.environ, "QEMU_LOG": str(self.out / "qemu.log")})
            return r.returncode == 0, (r.stdout + r.stderr).rstrip("\n")
        return False, f"unknown command {cmd}"


class Partner(Guest):
    """Another guest with the same driver and as many queue pairs, on the same backend: it is the PEER of the first, with the services
    that otherwise the host has. It does what it is told (guest/partner)."""

    mac, card = PEER_MAC, 1
    # What it is given of the first one's.
    SAME = ("queues", "driver", "device", "params", "vcpus", "memory", "timeout")

    def __init__(self, first):
        spec = {key: first.spec[key] for key in self.SAME}
        super().__init__(f"{first.name}-partner", {**spec, "job": "partner", "python": True, "files": {f"job/{name}": HERE / name for name in ("peer.py", "frames.py")}},
                         first.out / "partner", first.net, self._hear, first.ko)
        self.backend = first.backend
        self.told = queue.Queue()
        self.unloaded = None

    def start_backend(self):
        """It is there already."""

    def stop_others(self):
        """They are the first guest's."""

    def _hear(self, kind, data):
        if kind in ("setup", "ran"):
            self.told.put((data["status"] == 0, data["text"]))
        elif kind == "unload":
            self.unloaded = data["status"]

    def _answer(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                return self.told.get(timeout=0.5)
            except queue.Empty:
                if self.proc.poll() is not None:
                    return False, "the partner is gone"
        return False, f"the partner says nothing for {seconds} s"

    def come_up(self):
        for _ in range(BOOTS):
            self.start()
            good, text = self._answer(self.spec["timeout"])
            if good:
                return
            if not self.died_booting() and not self.wrong:
                break
            self.kill()
        raise ConnectionError(f"the partner doesn't come up: {text}; see {self.console}")

    def tell(self, line):
        """Has a command carried out there: (whether it did, what it printed)."""
        self.ctl.sendall(f"{line}\n".encode())
        return self._answer(50)

    def leave(self):
        """It is told to end; `trouble` says if it doesn't, or with the driver at work."""
        try:
            self.ctl.sendall(b"end\n")
            self.proc.wait(150)
        except (OSError, subprocess.TimeoutExpired):
            self.trouble = self.trouble or "the partner doesn't end"
        self.thread.join(5)
        if self.unloaded != 0 and self.spec["driver"] != "c":
            self.trouble = self.trouble or "the module doesn't unload in the partner"
        self.kill()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--shell", action="store_true", help="an interactive shell in the guest instead of tests")
    ap.add_argument("--run", default="", metavar="COMMAND", help="with --shell: this in the guest's terminal instead of a shell; the guest ends with it")
    for key in ("queues", "vcpus", "timeout", "memory", "vectors"):
        ap.add_argument(f"--{key}", type=int, default=DEFAULTS[key])
    for key in ("device", "params", "append", "qemu", "peer_device"):
        ap.add_argument(f"--{key.replace('_', '-')}", default="")
    ap.add_argument("--wrong-clock", type=float, default=0, metavar="N", help="at first its kernel takes its clock for N times as slow")
    ap.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for the tests' environment")
    ap.add_argument("--testdev", help="the test device with these options (perhaps none) instead of QEMU's")
    ap.add_argument("--vdpa", help="a test device of the guest's own with these options, on VDUSE (with --python)")
    ap.add_argument("--mmio", choices=["modern", "legacy"], default="", help="the device is on virtio-mmio, of a microvm, instead of PCI")
    ap.add_argument("--backend", default="", metavar="'NAME OPTION…'", help="another process that serves the card (qemu-test/backend.py)")
    ap.add_argument("--partner", action="store_true", help="a second guest there, which is the PEER")
    ap.add_argument("--driver", choices=["rust", "c"], default="rust", help="c: the in-tree driver")
    ap.add_argument("--primary", action="store_true", help="a second NIC that the first is the standby of")
    ap.add_argument("--migrate", action="store_true", help="with a second tap, so that it can be migrated")
    ap.add_argument("--peer", action="store_true", help="a second NIC, in the guest's namespace 'peer'")
    ap.add_argument("--python", action="store_true", help="a guest with Python in it")
    ap.add_argument("--out", default=str(HERE / "out"), help="directory for the logs")
    ap.add_argument("--ko", help="the module to load (default: the one in the repository)")
    ap.add_argument("tests", nargs="*", help="files below tests/, or paths with a / to files elsewhere")
    args = vars(ap.parse_args())
    out = pathlib.Path(args.pop("out"))
    ko = args.pop("ko")
    args["job"] = "shell" if args.pop("shell") else "tests"
    out.mkdir(parents=True, exist_ok=True)
    args["env"] = dict(e.split("=", 1) for e in args["env"])
    command = args.pop("run")
    if args["job"] == "shell":
        # Of a terminal on a serial line the guest doesn't know the size.
        size = shutil.get_terminal_size()
        args["env"].update(COMMAND=command, TERMINAL=f"rows {size.lines} cols {size.columns}")
    own = [pathlib.Path(t) for t in args["tests"] if "/" in t]
    args["files"] = {f"job/tests/{p.name}": p for p in own}
    args["tests"] = [pathlib.Path(t).name for t in args["tests"]]
    print(f"vm: {accel.describe()}", file=sys.stderr)
    net = HostNet(out)
    net.serve()

    def show(kind, data):
        print(data["text"] if kind == "line" else f"vm: {kind} {data}", file=sys.stdout, flush=True)

    guest = Guest("vm", args, out / "vm", net, show if args["job"] == "tests" else lambda kind, data: None, ko)
    try:
        guest.start()
        ok = guest.wait()
    finally:
        guest.stop()
        net.close()
    if guest.trouble or not ok:
        print(f"vm: {guest.trouble or 'timed out after %d s' % args['timeout']}, see {guest.console}", file=sys.stderr)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
