"""The two programs of a native measurement: the kernel on one CPU, the device that it speaks with on another.

What others need (native.py, profile.py):

    loads, devices = loads_and_devices()        loads.toml: {name: load}, {name: pair of devices}
    drivers = both(ko, ko2)                     the two Drivers that are compared: .name (as in /proc/modules), .title, .ko
    with Machine(devices, drivers, device_program) as m:
        m.pid                                   of the kernel
        m.kallsyms()                            the kernel's symbols, with those of the two modules
        m.give(driver, load)                    the devices of the load go to the driver, and what it needs is set up
        s = m.measure(load, n)                  a Sample, see there; its class is for stats.py to say
        m.packets(load)                         n for a sample of about `m.seconds`
"""

import ctypes
import dataclasses
import hashlib
import os
import pathlib
import platform
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("VNM_CACHE", "/cache")) / "native"
# Modules have to be below 2 GiB, as they are with the code model they are compiled for.
MEMORY = "256M"
# Longer than anything that is asked takes, on a machine that does other things as well.
LIMIT = 20
# Priorities: the two programs have their CPUs to themselves, and the runner can still stop them.
PROGRAM, RUNNER = 10, 20
# Iterations of the loop that shows what a CPU is worth at the moment, about a millisecond.
ALU = 2500


class Failure(Exception):
    """Why there is no measurement, with the cure if there is one."""


class Refusal(Failure):
    """The device can't do what it is asked for."""


@dataclasses.dataclass
class Driver:
    """A module whose driver is measured."""
    name: str
    title: str
    ko: pathlib.Path


@dataclasses.dataclass
class Sample:
    """One run of a load. Times are of CLOCK_MONOTONIC, in seconds."""
    ns: float           # for a packet
    packets: int
    cpu: float          # the kernel's CPU time for a packet, in ns
    begin: float        # around the packets, without what prepares them
    end: float
    pings: list         # ns of a cache line's round trip between the CPUs, before and after
    alus: list          # ns of a fixed computation on the kernel's CPU, before and after
    waited: float       # part of the time that one of the two programs was kept from its CPU
    lost: float         # part of the packets that didn't arrive
    more: dict          # kicks, interrupts, … for a packet


def loads_and_devices():
    with open(HERE / "loads.toml", "rb") as f:
        conf = tomllib.load(f)
    return {load["name"]: load for load in conf["load"]}, conf["device"]


# --- two modules of one name ------------------------------------------------------------------------------------------


def renamed(ko, out):
    """A copy of one of our modules that can be loaded beside another. Module, driver and symbols have the name, at the same
    length, so that nothing moves."""
    data = pathlib.Path(ko).read_bytes()
    if b"name=virtio_net_mq\0" not in data:
        raise Failure(f"{ko} is not a module called virtio_net_mq")
    out.write_bytes(data.replace(b"virtio_net_mq", b"virtio_net_m2"))
    return out


def both(ko, ko2, out):
    """The reference and the driver it is compared with: C and ours, or ours before and after."""
    for path in filter(None, (ko, ko2)):
        if not pathlib.Path(path).exists():
            raise Failure(f"there is no module {path}; make bench-native builds one")
    ours = Driver("virtio_net_mq", "new" if ko2 else "ours", pathlib.Path(ko).resolve())
    if ko2:
        return Driver("virtio_net_m2", "old", renamed(ko2, out / "virtio_net_m2.ko")), ours
    return Driver("virtio_net", "C", CACHE / "modules/virtio_net.ko"), ours


# --- processes --------------------------------------------------------------------------------------------------------


def two_cpus():
    """(CPU of the kernel, CPU of the device): not the two threads of one core, if that can be had."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise Failure("two CPUs are needed, one for the kernel and one for the device; this process may use one only")

    def siblings(cpu):
        try:
            return pathlib.Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text().strip()
        except OSError:
            return cpu
    other = [c for c in cpus[1:] if siblings(c) != siblings(cpus[0])]
    return cpus[0], (other or cpus[1:])[0]


def child():
    """In a child, before its program: it doesn't outlive this process, whatever ends that."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)      # PR_SET_PDEATHSIG


def realtime(pids, priority):
    """Gives threads a real-time priority or, with 0, the highest that is none. False if that isn't permitted."""
    policy = os.SCHED_FIFO if priority else os.SCHED_OTHER
    try:
        for pid in pids:
            os.sched_setscheduler(pid, policy, os.sched_param(priority))
            if not priority:
                os.setpriority(os.PRIO_PROCESS, pid, -20)
    except PermissionError:
        return False
    except ProcessLookupError:
        pass
    return True


def tasks(pid):
    """The threads of a process and of its children."""
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        yield int(task.name)
        try:
            for c in (task / "children").read_text().split():
                yield from tasks(int(c))
        except OSError:
            pass


def schedstat(pid):
    """(ns on a CPU, ns of waiting for one) of a program's first thread."""
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/schedstat").read_text()
    return [int(w) for w in text.split()[:2]]


class Program:
    """A child that is killed with all that it started, and that answers lines."""

    def __init__(self, cmd, cpu, **kw):
        self.proc = subprocess.Popen(["taskset", "-c", str(cpu), *cmd], start_new_session=True, preexec_fn=child, **kw)
        self.pid = self.proc.pid
        self.buffer = b""

    def line(self, fd, what):
        """The next line of a file. `what` is waited for."""
        end = time.monotonic() + LIMIT
        while b"\n" not in self.buffer:
            if not select.select([fd], [], [], max(end - time.monotonic(), 0))[0]:
                raise Failure(f"no answer to '{what}' within {LIMIT} s: {self.said()}")
            data = os.read(fd.fileno(), 65536)
            if not data:
                raise Failure(f"it ended at '{what}': {self.said()}")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode(errors="replace").rstrip("\r")

    def said(self):
        """What there is to show if it fails."""
        raise NotImplementedError

    def kill(self):
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.proc.wait()


class Device(Program):
    """nativedev. The control socket answers each line with one."""

    def __init__(self, program, devices, cpu, where):
        control = where / "control"
        self.log = where / "device.log"
        with open(self.log, "wb") as log:
            super().__init__([program, "--control", control, "--cpu", str(cpu), *devices], cpu, stdin=subprocess.DEVNULL,
                             stdout=log, stderr=log)
        end = time.monotonic() + LIMIT
        while not control.exists():
            if self.proc.poll() is not None or time.monotonic() > end:
                raise Failure(f"the device doesn't start; {self.said()}")
            time.sleep(0.02)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(control))

    def said(self):
        return "the device says: " + (self.log.read_text(errors="replace").strip()[-2000:] or "nothing")

    def cmd(self, line):
        try:
            self.sock.sendall(line.encode() + b"\n")
        except OSError as e:
            raise Failure(f"the device ended ({e}): {self.said()}") from None
        answer = self.line(self.sock, line)
        if answer.startswith("error"):
            raise Refusal(f"the device answers to '{line}': {answer}")
        return answer

    def stat(self, d):
        out = {}
        for word in self.cmd(f"stat {d}").split():
            key, value = word.split("=")
            try:
                out[key] = int(value, 0)
            except ValueError:
                out[key] = value
        return out


class Kernel(Program):
    """User-mode Linux, whose console carries out shell lines."""

    def __init__(self, sockets, cpu, where):
        program = CACHE / "linux"
        if not program.exists():
            raise Failure(f"there is no kernel {program}: qemu-test/tree run -- bench/native/kernel makes it")
        cmd = [program, f"mem={MEMORY}", "root=none", "rootfstype=hostfs", "rootflags=/", "ro", f"init={HERE}/guest/init",
               "con0=fd:0,fd:1", "con=null", "ssl=null", "panic=-1", "loglevel=4", "ncpus=1", f"uml_dir={where}/uml/",
               *(f"virtio_uml.device={path}:1:{i}" for i, path in enumerate(sockets))]
        self.tail = []
        super().__init__(cmd, cpu, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
        _, ready = self.until("READY", "start")
        if ready != "READY 0":
            raise Failure(f"the kernel starts, but not its network: {self.said()}")

    def said(self):
        return "the kernel says:\n" + "\n".join(self.tail)

    def until(self, word, what):
        """The lines up to one that begins with a word, and that."""
        out = []
        while True:
            line = self.line(self.proc.stdout, what)
            self.tail = self.tail[-30:] + [line]
            if line.startswith(word):
                return out, line
            out.append(line)

    def sh(self, line):
        """What a shell line says; it has to succeed."""
        try:
            self.proc.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            raise Failure(f"the kernel ended: {self.said()}") from None
        out, done = self.until("DONE", line)
        if done != "DONE 0":
            raise Failure(f"in the kernel, '{line}' failed:\n" + "\n".join(out))
        return "\n".join(out)


# --- both -------------------------------------------------------------------------------------------------------------


class Machine:
    """The two programs, from the start to the end of a `with` block."""

    def __init__(self, devices, drivers, program, seconds=0.2):
        """seconds: how long a sample is to take."""
        self.devices, self.drivers, self.program, self.seconds = devices, drivers, program, seconds
        self.kernel = self.device = self.mine = None
        self.cost = {}      # {load: ns for a packet, when it was last seen}
        self.given = None   # (driver, device, drop) that is set up

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def start(self):
        # The path of a socket is 108 bytes at most.
        self.where = pathlib.Path(tempfile.mkdtemp(prefix="native."))
        self.xdp = self.where / "xdp.o"
        if shutil.which("clang"):
            subprocess.run(["clang", "-O2", "-target", "bpf", f"-I/usr/include/{platform.machine()}-linux-gnu", "-c",
                            HERE / "guest/xdp.c", "-o", self.xdp], check=True)
        self.cpu, self.device_cpu = two_cpus()
        self.numbers, options = {}, []
        for name, pair in self.devices.items():
            for side in ("rx", "out"):
                if side in pair:
                    self.numbers[name, side] = len(options)
                    options.append(",".join(filter(None, (f"{self.where}/d{len(options)}", pair[side]))))
        self.device = Device(self.program, options, self.device_cpu, self.where)
        self.kernel = Kernel([o.split(",")[0] for o in options], self.cpu, self.where)
        self.pid = self.kernel.pid
        for d in self.drivers:
            self.kernel.sh(f"insmod {d.ko}")
        self.rt = realtime(tasks(self.pid), PROGRAM)
        # The runner waits while packets pass. What it does between, it does where the kernel would.
        self.mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {self.cpu})
        realtime([0], RUNNER)

    def __exit__(self, *_):
        self.stop()

    def restart(self):
        """Both programs anew, after a Failure."""
        self.stop()
        self.kernel = self.device = self.mine = self.given = None
        self.start()

    def stop(self):
        for p in (self.kernel, self.device):
            if p:
                p.kill()
        if self.mine:
            os.sched_setaffinity(0, self.mine)
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        shutil.rmtree(self.where, ignore_errors=True)

    def kallsyms(self):
        return self.kernel.sh("cat /proc/kallsyms")

    def number(self, load, side):
        return self.numbers.get((load["device"], side), "-")

    def give(self, driver, load):
        """The devices of a load to a driver, without delay if it has them."""
        want = (driver.name, load["device"], load.get("drop", ""))
        if self.given == want:
            return
        if self.given and self.given[2]:
            self.kernel.sh(drop_line("undo", self.given[2], self.xdp))
        if not self.given or self.given[:2] != want[:2]:
            pairs = self.devices[load["device"]].get("pairs", 1)
            self.given = None
            self.kernel.sh(f"give {driver.name} {self.number(load, 'rx')} {self.number(load, 'out')} {pairs}")
        if want[2]:
            self.kernel.sh(drop_line("drop", want[2], self.xdp))
        self.given = want
        # Work that a new interface leaves to be done later.
        time.sleep(0.05)

    def features(self, load):
        """What the driver has accepted of the devices of a load."""
        return [self.device.stat(n)["acked"] for side in ("rx", "out") if (n := self.number(load, side)) != "-"]

    def ping(self):
        """Nanoseconds of a cache line's round trip between the two CPUs; None if the kernel's has something more urgent to do."""
        try:
            return int(self.device.cmd(f"ping {self.cpu}"))
        except Refusal:
            return None

    @staticmethod
    def alu():
        """Nanoseconds of a computation in registers, the best of three."""
        best = []
        for _ in range(3):
            t0 = time.perf_counter_ns()
            hashlib.pbkdf2_hmac("sha512", b"native", b"bench", ALU)
            best.append(time.perf_counter_ns() - t0)
        return min(best)

    def packets(self, load):
        """How many make a sample, by what one cost last time."""
        return max(int(self.seconds * 1e9 / self.cost.get(load["name"], 20000)), 1000) // 32 * 32

    def measure(self, load, n=None):
        """Runs a load. The device, which never sleeps, has real-time priority only meanwhile: Linux takes a CPU away from real-time
        programs that have it for most of a second, and that would be in the middle of a sample."""
        realtime(tasks(self.device.pid), PROGRAM)
        try:
            return self.guarded(load, n or self.packets(load))
        finally:
            realtime(tasks(self.device.pid), 0)

    def guarded(self, load, n):
        for side in ("rx", "out"):
            if (d := self.number(load, side)) != "-":
                self.device.cmd(f"mode {d} {load.get('mode', 'poll')}")
                self.device.cmd(f"lazy {d} {load.get('lazy', 0)}")
        run = self.send if load["does"] == "send" else self.receive
        pings, alus = [self.ping()], [self.alu()]
        s = run(load, n)
        alus.append(self.alu())
        pings.append(self.ping())
        s.pings, s.alus = pings, alus
        self.cost[load["name"]] = s.ns
        return s

    def watch(self, run):
        """(what run() says, begin, end, CPU time, part of the time that one of them waited for a CPU)"""
        before = schedstat(self.pid), schedstat(self.device.pid)
        begin = time.monotonic()
        out = run()
        end = time.monotonic()
        after = schedstat(self.pid), schedstat(self.device.pid)
        waited = max(a[1] - b[1] for a, b in zip(after, before)) / (1e9 * (end - begin))
        return out, begin, end, after[0][0] - before[0][0], waited

    def send(self, load, n):
        out = self.number(load, "out")
        self.kernel.sh(f"pktgen {load['size']} {load['burst']} {n} {0 if load.get('fresh') else 100000000}")
        a = self.device.stat(out)
        _, begin, end, cpu, waited = self.watch(lambda: self.kernel.sh("start"))
        text = self.kernel.sh("result")
        b = self.device.stat(out)
        m = re.search(r"Result: OK: (\d+)\(c\d+\+d\d+\) usec, (\d+)", text)
        if not m or not int(m[2]):
            raise Failure(f"pktgen says of {load['name']}: {text or 'nothing'}")
        sent = int(m[2])
        return Sample(1000 * int(m[1]) / sent, sent, cpu / sent, begin, end, [], [], waited, max(0, 1 - (b["tx"] - a["tx"]) / sent), {
            "kicks": (b["kicks"] - a["kicks"]) / sent, "interrupts": (b["calls"] - a["calls"]) / sent,
            "batch": (b["tx"] - a["tx"]) / max(1, b["batches"] - a["batches"])})

    def receive(self, load, n):
        rx, out = self.number(load, "rx"), self.number(load, "out")
        forward = load["does"] == "forward"
        a, oa = self.device.stat(rx), self.device.stat(out) if forward else None
        came = int(self.kernel.sh("received"))
        answer, begin, end, cpu, waited = self.watch(
            lambda: self.device.cmd(f"rx {rx} {n} {load['size']} 0 {'fwd' if forward else 'socket'}"))
        # What is in the ring is still to be dealt with; the kernel is idle when it is, and answers.
        came = int(self.kernel.sh("received")) - came
        b, ob = self.device.stat(rx), self.device.stat(out) if forward else None
        done = {k: int(v) for k, v in (w.split("=") for w in answer.split()[1:])}
        more = {"interrupts": (b["rxcalls"] - a["rxcalls"]) / n, "refill kicks": (b["rxkicks"] - a["rxkicks"]) / n}
        if forward:
            more["kicks"] = (ob["kicks"] - oa["kicks"]) / n
            more["interrupts"] += (ob["calls"] - oa["calls"]) / n
            came = min(came, ob["tx"] - oa["tx"])
        elif load.get("drop") == "xdptx":
            more["kicks"] = (b["kicks"] - a["kicks"]) / n
            more["interrupts"] += (b["calls"] - a["calls"]) / n
            came = min(came, b["tx"] - a["tx"])
        return Sample(done["ns"] / done["packets"], done["packets"], cpu / n, begin, end, [], [], waited, max(0, 1 - came / n), more)


def drop_line(what, drop, program):
    """The shell line that sets up, or ends, what becomes of received frames."""
    kind = "xdp" if drop.startswith("xdp") else drop
    args = [str(program)] if kind == "xdp" and what == "drop" else []
    return " ".join([f"{what}_{kind}", *args, drop.removeprefix("xdp") if kind == "xdp" else ""])
