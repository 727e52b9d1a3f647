"""One benchmark guest: QEMU with instruction counting and the plugin, its NICs, the frames that the host sends it."""

import array
import fcntl
import os
import pathlib
import socket
import struct
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "qemu-test"))
import accel          # noqa: E402
import initramfs      # noqa: E402
import vm             # noqa: E402

# <linux/sockios.h>, <asm/socket.h>
SIOCOUTQ = 0x5411
SO_SNDBUFFORCE = 32

CACHE = pathlib.Path(os.environ.get("VNM_CACHE", "/cache"))
TOOLS = CACHE / "bench"
MACS = {"sink": "52:54:00:62:00:04", "tap": "52:54:00:62:00:05", "rx": "52:54:00:62:00:06", "out": "52:54:00:62:00:07"}


def ip_sum(data):
    s = sum(struct.unpack(f">{len(data) // 2}H", data))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff


def udp_frame(size, dst):
    """An Ethernet frame of `size` bytes: UDP to port 9000, without a UDP checksum."""
    size = max(size, 60)
    udp = struct.pack(">HHHH", 5000, 9000, size - 34, 0) + bytes(size - 42)
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, size - 14, 0, 0x4000, 64, 17, 0,
                       socket.inet_aton("198.18.2.2"), socket.inet_aton(dst))
    head = head[:10] + struct.pack(">H", ip_sum(head)) + head[12:]
    mac = bytes.fromhex(MACS["rx"].replace(":", ""))
    return mac + bytes.fromhex("525400990002") + b"\x08\x00" + head + udp


class Records:
    """The plugin's file, read as it grows."""

    def __init__(self, path):
        self.file = open(path, "rb")

    def new(self):
        """What was added since: a list of [(address, instructions, entries), …]."""
        out = []
        while True:
            at = self.file.tell()
            head = self.file.read(8)
            if len(head) < 8:
                self.file.seek(at)
                return out
            n = struct.unpack("<Q", head)[0]
            body = self.file.read(24 * n)
            if len(body) < 24 * n:
                self.file.seek(at)
                return out
            words = array.array("Q", body)
            out.append(list(zip(words[0::3], words[1::3], words[2::3])))


class BenchGuest(vm.Guest):
    """A guest whose job is bench/guest/main. `on_event` gets its events; `job` has the variables and cells for it."""

    # With -icount its clock counts instructions.
    keeps_time = False

    def __init__(self, name, out_dir, on_event, *, env, cells, device="", nics=("sink", "tap", "rx", "out"), pairs=1,
                 vcpus=1, core=None, timeout=3000):
        net = vm.HostNet(out_dir)
        super().__init__(name, {"vcpus": vcpus, "timeout": timeout}, out_dir, net, on_event)
        self.nics, self.pairs, self.device, self.core = nics, pairs, vm.options(device), core
        self.bench_env, self.cells = env, cells
        self.run_dir = pathlib.Path(f"/tmp/bench-{name}")
        self.run_dir.mkdir(exist_ok=True)
        self.record_file = self.run_dir / "records"
        net.serve()

    def env(self):
        return "".join(f"{k}='{v}'\n" for k, v in self.bench_env.items())

    def files(self):
        ko = vm.REPO / "virtio_net_mq.ko"
        return {"init": vm.HERE / "guest/init", "job/hostctl": vm.HERE / "guest/hostctl", "job/main": HERE / "guest/main",
                "job/load": TOOLS / "load", "job/env": self.env().encode(), "job/cells": self.cells.encode(),
                "job/virtio_net_mq.ko": ko, "job/xdp.bpf.o": vm.bpf_object(HERE / "guest/xdp.bpf.c") or b""}

    def nic(self, name, netdev):
        opts = {"driver": "virtio-net-pci", "id": name, "netdev": f"n-{name}", "mac": MACS[name], "disable-legacy": "on",
                "addr": f"{list(MACS).index(name) + 4:#x}", "vectors": str(2 * self.pairs + 2)}
        if self.pairs > 1:
            opts["mq"] = "on"
        opts.update(self.device)
        return ["-netdev", netdev, "-device", ",".join(v if k == "driver" else f"{k}={v}" for k, v in opts.items())]

    def command(self):
        append = ("console=ttyS0 panic=-1 loglevel=4 net.ifnames=0 rdinit=/init no_timer_check tsc=reliable "
                  "random.trust_cpu=on lpj=10000000 nokaslr audit=0 nowatchdog kfence.sample_interval=0 "
                  "transparent_hugepage=never")
        # With several CPUs QEMU ends with "Bad icount read" as soon as there is a plugin, and with all of them in one thread
        # the guest runs into breakpoints that it has long taken out of its code. What is counted is the same with a thread
        # for each and without -icount, only the clock's ticks come by the host's time.
        one = self.spec["vcpus"] == 1
        clock = ["-icount", "shift=0,sleep=on", "-rtc", "clock=vm,base=2026-01-01"] if one else []
        if not one:
            append += f" {accel.kernel(emulated=True)}"
        cmd = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-machine", "q35",
               "-accel", f"tcg,thread={'single' if one else 'multi'},tb-size=512", "-cpu", "qemu64,+rdrand,+x2apic", *clock,
               "-smp", str(self.spec["vcpus"]), "-m", "1024",
               "-plugin", f"{TOOLS}/libcount.so,out={self.record_file}",
               "-kernel", str(initramfs.vmlinux()), "-initrd", str(self.initrd()), "-append", append,
               "-chardev", f"file,id=con,path={self.console}", "-serial", "chardev:con",
               "-chardev", f"socket,id=ctl,path={self.run_dir}/ctl,server=on,wait=off", "-serial", "chardev:ctl",
               "-qmp", f"unix:{self.run_dir}/qmp,server=on,wait=off"]
        if "sink" in self.nics:
            cmd += self.nic("sink", self._swallow("sink", "tapS", self.pairs))
        if "tap" in self.nics:
            self.net.tap("tapA", self.pairs, 1500)
            self._acknowledge_each()
            more = f",queues={self.pairs}" if self.pairs > 1 else ""
            cmd += self.nic("tap", f"tap,id=n-tap,ifname=tapA,script=no,downscript=no{more}")
        if "rx" in self.nics:
            path = self.run_dir / "rx"
            path.unlink(missing_ok=True)
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(path))
            self.listener.listen(1)
            cmd += self.nic("rx", f"stream,id=n-rx,server=off,addr.type=unix,addr.path={path}")
            # Nobody reads what the guest sends there, and a socket that is full would stop its queue.
            cmd += ["-chardev", "null,id=nowhere", "-object", "filter-redirector,id=swallow,netdev=n-rx,queue=rx,outdev=nowhere"]
        if "out" in self.nics:
            cmd += self.nic("out", self._swallow("out", "tapO", 1))
        return cmd

    @staticmethod
    def _acknowledge_each():
        """An address of the host for connections on which it acknowledges each segment at once. How many it takes together
        otherwise hangs on when the receiver happens to run."""
        vm.sh("ip", "addr", "add", "198.18.4.1/24", "dev", "br0", check=False)
        vm.sh("ip", "route", "change", "198.18.4.0/24", "dev", "br0", "src", "198.18.4.1", "quickack", "1")

    def _swallow(self, nic, tap, queues):
        """A tap that belongs to no bridge: the host takes each frame and drops it."""
        self.net.tap(tap, queues, 1500)
        vm.sh("ip", "link", "set", tap, "nomaster")
        more = f",queues={queues}" if queues > 1 else ""
        return f"tap,id=n-{nic},ifname={tap},script=no,downscript=no{more}"

    def start(self):
        self.record_file.unlink(missing_ok=True)
        super().start()
        self.records = Records(self.record_file)
        if "rx" in self.nics:
            self.wire, _ = self.listener.accept()
            # A whole load is in the socket before QEMU reads the first frame.
            self.wire.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 256 << 20)
        self._pin()

    def _pin(self):
        """The device's thread goes before the CPU's, on one core: a kick is dealt with at once, as by an infinitely fast
        device, and the same in each run."""
        if self.core is None:
            return
        for tid in map(int, os.listdir(f"/proc/{self.proc.pid}/task")):
            os.sched_setaffinity(tid, {self.core})
        os.sched_setscheduler(self.proc.pid, os.SCHED_FIFO, os.sched_param(10))

    def _request(self, req):
        if req.get("cmd") == "blast":
            frame = udp_frame(req["size"], {"socket": "198.18.2.1", "forward": "198.18.3.2"}[req["to"]])
            data = (struct.pack(">I", len(frame)) + frame) * req["n"]
            self.wire.sendall(data)
            self._until_idle()
            return True, ""
        return super()._request(req)

    def _until_idle(self):
        """Until QEMU has read all frames (SIOCOUTQ is 0) and the guest's CPUs have nothing to do any more."""
        for _ in range(1200):
            if struct.unpack("i", fcntl.ioctl(self.wire, SIOCOUTQ, bytes(4)))[0] == 0:
                break
            time.sleep(0.025)
        before = self._cpu_time()
        for _ in range(1200):
            time.sleep(0.025)
            now = self._cpu_time()
            # A timer's tick in an idle guest takes some 100 us.
            if now - before < 2_000_000:
                break
            before = now

    def _cpu_time(self):
        """Nanoseconds that the guest's CPUs ran."""
        total = 0
        for task in pathlib.Path(f"/proc/{self.proc.pid}/task").iterdir():
            if "CPU" in (task / "comm").read_text():
                total += int((task / "schedstat").read_text().split()[0])
        return total

    def stop(self):
        super().stop()
        self.net.close()
