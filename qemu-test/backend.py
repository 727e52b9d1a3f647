"""What serves the queues of QEMU's own card in place of QEMU (vhost-user): programs that others have written, as users run them.

A guest says in `backend` which, with options: "testpmd queues=2 tso". Tests speak to it by `hostctl backend run=…`.
"""

import os
import pathlib
import signal
import subprocess
import time

# Seconds: until it is ready, until it has carried out a command, until it has ended.
START, ANSWER, END = 120, 50, 30


class Failed(OSError):
    """It doesn't do what it was told to."""


class Backend:
    """A program with a port for each of `cards` cards of QEMU, at the socket `RUN_DIR/portN`. Options of all: queues=N, of each
    port; client, the program connects to QEMU, which lets others connect; without, the other way round."""

    # Packages of the tree that it is in.
    packages = ()

    def __init__(self, run_dir, log, options, cards):
        self.run_dir, self.log, self.cards = pathlib.Path(run_dir), pathlib.Path(log), cards
        words = dict(o.partition("=")[::2] for o in options)
        self.queues = words.pop("queues", "1")
        self.client = words.pop("client", None) is not None
        self.take(words)
        if words:
            raise Failed(f"{type(self).__name__.lower()} has no option {' '.join(words)}")
        self.proc = None

    def take(self, words):
        """Options of its own: takes those away that it knows."""

    def port(self, number):
        return self.run_dir / f"port{number}"

    def netdev(self, number, queues):
        """Arguments of QEMU: a card's other side."""
        ends = "server=on,wait=off" if self.client else "reconnect-ms=100"
        return ["-chardev", f"socket,id=dev0,path={self.port(number)},{ends}",
                "-netdev", f"vhost-user,id=net0,chardev=dev0,queues={queues}"]

    def command(self, line):
        """(whether, what it says): up (it is started), quit (it ends as its users end it), kill (it has no time to say a word), or what the program
        itself understands."""
        word, _, rest = line.partition(" ")
        if word == "up":
            if not self.running():
                self.start()
            return True, ""
        if not self.running():
            return False, "it doesn't run"
        if word == "quit":
            self.quit()
            return True, ""
        if word == "kill":
            self.kill()
            return True, ""
        return self.say(line)

    def running(self):
        return self.proc is not None and self.proc.poll() is None

    def ended(self, seconds):
        try:
            self.proc.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"it doesn't end within {seconds} s") from None

    def kill(self):
        if self.running():
            self.proc.send_signal(signal.SIGKILL)
            self.proc.wait()

    def stop(self):
        """With all that belongs to it."""
        self.kill()


class Testpmd(Backend):
    """DPDK's testpmd with its vhost driver, without huge pages: a packet generator, echo, or a wire between two cards. What it is
    told, it is told as at its prompt. Options: tso, segmentation by the card; fwd=MODE, what it does with packets at first (of two
    cards each gets the other's, one card gets answers to pings)."""

    packages = ("dpdk-dev",)
    PROMPT = "testpmd> "

    def take(self, words):
        self.tso = words.pop("tso", None) is not None
        self.mode = words.pop("fwd", "icmpecho" if self.cards == 1 else "io")

    def start(self):
        for n in range(0 if self.client else self.cards):
            self.port(n).unlink(missing_ok=True)
        cpus = f"@({','.join(map(str, sorted(os.sched_getaffinity(0))))})"
        # Segmentation is announced for packets that another port gets as they are.
        more = (",client=1" if self.client else "") + (",tso=1,legacy-ol-flags=1" if self.tso else "")
        cmd = ["stdbuf", "-oL", "dpdk-testpmd", "--no-huge", "-m", "512", "--no-pci", "--no-telemetry", f"--file-prefix={self.run_dir.name}",
               f"--lcores=0{cpus},1{cpus}"]
        for n in range(self.cards):
            cmd += ["--vdev", f"eth_vhost{n},iface={self.port(n)},queues={self.queues}{more}"]
        cmd += ["--", "-i", f"--rxq={self.queues}", f"--txq={self.queues}", "--nb-cores=1", "--total-num-mbufs=16384",
                f"--port-topology={'loop' if self.cards == 1 else 'paired'}"]
        self.out = open(self.log, "ab")
        self.out.write(f"$ {' '.join(cmd)}\n".encode())
        self.out.flush()
        self.read = self.log.stat().st_size
        # It polls without a pause: the guests come first.
        self.proc = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=self.out, stderr=self.out, preexec_fn=lambda: os.nice(5))
        self.answer(START)
        for line in (f"set fwd {self.mode}", "start"):
            good, text = self.say(line)
            if not good:
                raise Failed(f"testpmd doesn't take '{line}': {text}")

    def answer(self, seconds):
        """What it has printed until it asks for the next command."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with open(self.log, "rb") as f:
                f.seek(self.read)
                text = f.read().decode(errors="replace")
            # What the driver says meanwhile comes behind it.
            at = text.rfind(self.PROMPT)
            if at >= 0:
                self.read += len(text[:at + len(self.PROMPT)].encode())
                return text[:at].rstrip()
            if self.proc.poll() is not None:
                raise Failed(f"testpmd ended with status {self.proc.returncode}: {' '.join(text.split()[-40:])}")
            time.sleep(0.05)
        raise Failed(f"testpmd says nothing more for {seconds} s: {' '.join(text.split()[-40:])}")

    def say(self, line):
        self.proc.stdin.write(line.encode() + b"\n")
        self.proc.stdin.flush()
        text = self.answer(ANSWER)
        return not any(word in text for word in ("Bad arguments", "Command not found", "Ambiguous")), text

    def quit(self):
        self.proc.stdin.write(b"quit\n")
        self.proc.stdin.flush()
        self.ended(END)


class Passt(Backend):
    """passt: the guest's connections are made by a process of the host, as its own. It gives the guest its address by DHCP, and
    what the guest says to its gateway comes to the host itself. It has one queue pair, and listens for QEMU."""

    packages = ("passt",)
    INTERFACE = "tapA"

    def take(self, words):
        if self.client or self.queues != "1":
            raise Failed("passt has one queue pair, and waits for QEMU")

    def start(self):
        port = self.port(0)
        port.unlink(missing_ok=True)
        # It wants to see an interface with a default route. All users may send pings, as which it does.
        for cmd in (f"tuntap add {self.INTERFACE} mode tap", f"link set {self.INTERFACE} up", f"route add default dev {self.INTERFACE}"):
            subprocess.run(["ip", *cmd.split()], stderr=subprocess.DEVNULL, check=False)
        pathlib.Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 65535")
        host = ["-a", "192.0.2.2", "-n", "24", "-g", "192.0.2.1", "--map-host-loopback", "192.0.2.1"]
        cmd = ["passt", "-f", "--vhost-user", "-s", str(port), "-4", "-i", self.INTERFACE, *host]
        with open(self.log, "ab") as out:
            out.write(f"$ {' '.join(cmd)}\n".encode())
            out.flush()
            self.proc = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        end = time.monotonic() + START
        while not port.exists():
            if self.proc.poll() is not None or time.monotonic() > end:
                self.stop()
                raise Failed(f"passt doesn't start: {self.log.read_text(errors='replace')[-400:]}")
            time.sleep(0.05)

    def say(self, line):
        return False, f"passt can't be told anything: {line}"

    def quit(self):
        self.proc.terminate()
        self.ended(END)


class Ovs(Backend):
    """Open vSwitch with DPDK, without huge pages: a bridge between the cards. It is always the client, and finds its queues by itself.
    It understands vsctl and appctl with their arguments. Options: tso, segmentation by the card."""

    DAEMON = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
    # MiB for DPDK; less holds no second port's packets.
    MEMORY = 4096

    def take(self, words):
        self.tso = words.pop("tso", None) is not None
        self.client = True
        self.db = None
        self.env = {**os.environ, "OVS_RUNDIR": str(self.run_dir), "OVS_LOGDIR": str(self.run_dir), "OVS_DBDIR": str(self.run_dir)}

    def run(self, *cmd):
        try:
            done = subprocess.run(cmd, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=START, check=False)
        except subprocess.TimeoutExpired:
            return False, f"{cmd[0]} doesn't end within {START} s"
        return done.returncode == 0, (done.stdout + done.stderr).rstrip()

    def vsctl(self, *words):
        good, text = self.run("ovs-vsctl", f"--db=unix:{self.run_dir}/db.sock", "--timeout=100", *words)
        if not good:
            raise Failed(f"ovs-vsctl {' '.join(words)}: {text}; {self.said()}")
        return text

    def daemon(self, *cmd):
        with open(self.log, "ab") as out:
            return subprocess.Popen(cmd, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def said(self):
        return " ".join(self.log.read_text(errors="replace").split()[-40:])

    def make_db(self):
        """The database, which stays, with the bridge and its ports."""
        made, text = self.run("ovsdb-tool", "create", str(self.run_dir / "ovs.db"), "/usr/share/openvswitch/vswitch.ovsschema")
        if not made:
            raise Failed(f"ovsdb-tool: {text}")
        self.db = self.daemon("ovsdb-server", str(self.run_dir / "ovs.db"), f"--remote=punix:{self.run_dir}/db.sock")
        end = time.monotonic() + START
        while not (self.run_dir / "db.sock").exists():
            if self.db.poll() is not None or time.monotonic() > end:
                raise Failed(f"ovsdb-server doesn't start: {self.said()}")
            time.sleep(0.05)
        cpus = sorted(os.sched_getaffinity(0))
        self.vsctl("--no-wait", "init")
        # It sleeps up to 200 µs where nothing comes, so that the guests' CPUs get on.
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                   f'other_config:dpdk-extra="--no-huge -m {self.MEMORY} --no-pci --no-telemetry --file-prefix={self.run_dir.name}"',
                   f"other_config:pmd-cpu-mask={1 << cpus[-1]:#x}", f"other_config:dpdk-lcore-mask={1 << cpus[0]:#x}",
                   "other_config:pmd-sleep-max=200", f"other_config:userspace-tso-enable={'true' if self.tso else 'false'}")
        ports = []
        for n in range(self.cards):
            ports += ["--", "add-port", "ovs0", f"vhost{n}", "--", "set", "Interface", f"vhost{n}", "type=dpdkvhostuserclient",
                      f"options:vhost-server-path={self.port(n)}"]
        self.vsctl("--no-wait", "add-br", "ovs0", "--", "set", "Bridge", "ovs0", "datapath_type=netdev", *ports)

    def start(self):
        if self.db is None:
            self.make_db()
        self.proc = self.daemon(self.DAEMON, f"unix:{self.run_dir}/db.sock", f"--unixctl={self.run_dir}/vs.ctl", "--pidfile")
        # Answered when all that is said there is done.
        end = time.monotonic() + START
        while "true" not in self.vsctl("get", "Open_vSwitch", ".", "dpdk_initialized"):
            if not self.running() or time.monotonic() > end:
                raise Failed(f"Open vSwitch doesn't start with DPDK: {self.said()}")
            time.sleep(0.2)
        for n in range(self.cards):
            error = self.vsctl("get", "Interface", f"vhost{n}", "error").strip('[]"')
            if error:
                raise Failed(f"Open vSwitch has no port {n}: {error}")

    def say(self, line):
        word, *rest = line.split()
        if word == "vsctl":
            return True, self.vsctl(*rest)
        if word == "appctl":
            return self.run("ovs-appctl", "-t", f"{self.run_dir}/vs.ctl", *rest)
        return False, f"it understands up, quit, kill, vsctl and appctl, not {word}"

    def quit(self):
        good, text = self.say("appctl exit --cleanup")
        if not good:
            raise Failed(f"ovs-appctl: {text}")
        self.ended(END)

    def stop(self):
        super().stop()
        if self.db:
            self.db.kill()
            self.db.wait()
            self.db = None


KINDS = {"testpmd": Testpmd, "ovs": Ovs, "passt": Passt}


def made(text, run_dir, log, cards):
    """The backend that a guest asks for."""
    kind, *options = text.split()
    if kind not in KINDS:
        raise Failed(f"there is no backend called {kind}: {', '.join(KINDS)}")
    return KINDS[kind](run_dir, log, options, cards)
