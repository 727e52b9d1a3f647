"""A guest that libvirt starts: a domain made of a guest's settings, defined and started by virsh, whose process vm.py takes for its own.

The daemon has a mount namespace of its own, where what it keeps (/run, its state, its configuration) is memory, so that guests
don't meet there, and no systemd."""

import os
import pathlib
import signal
import subprocess
import time
from xml.sax.saxutils import escape, quoteattr

# Seconds: until the daemon answers.
START = 60
# Of qemu.conf: as who, and in what, it runs QEMU here.
SETTINGS = """
security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""
DAEMON = """
for d in /run /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /etc/libvirt; do mkdir -p $d && mount -t tmpfs tmpfs $d || exit; done
cp "$1/qemu.conf" /etc/libvirt/
exec libvirtd -f "$1/libvirtd.conf"
"""


def domain(name, settings):
    """The domain as XML. What libvirt doesn't know of (the test program's own socket) is QEMU's argument."""
    s = settings
    vectors = "" if s["vectors"] is None else (
        "<qemu:override><qemu:device alias='ua-nic0'><qemu:frontend>"
        f"<qemu:property name='vectors' type='unsigned' value='{s['vectors']}'/></qemu:frontend></qemu:device></qemu:override>")
    return f"""<domain type='{s['type']}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <memory unit='MiB'>{s['memory']}</memory>
  <vcpu>{s['vcpus']}</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{s['kernel']}</kernel>
    <initrd>{s['initrd']}</initrd>
    <cmdline>{escape(s['cmdline'])}</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='custom' match='exact' check='none'><model fallback='allow'>qemu64</model>
    <feature policy='require' name='rdrand'/><feature policy='require' name='x2apic'/></cpu>
  <on_reboot>destroy</on_reboot>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <interface type='ethernet'>
      <mac address='{s['mac']}'/>
      <target dev='{s['tap']}' managed='no'/>
      <model type='virtio'/>
      <driver name='{s['driver']}' queues='{s['queues']}'/>
      <alias name='ua-nic0'/>
    </interface>
    <serial type='file'><source path={quoteattr(str(s['console']))}/><target port='0'/></serial>
    <serial type='unix'><source mode='bind' path={quoteattr(str(s['ctl']))}/><target port='1'/></serial>
    <memballoon model='none'/>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-qmp'/><qemu:arg value={quoteattr(f"unix:{s['qmp']},server=on,wait=off")}/>
  </qemu:commandline>
  {vectors}
</domain>
"""


class Domain:
    """A started domain, as much like subprocess.Popen as vm.py needs it."""

    def __init__(self, name, settings, run_dir, log):
        self.name, self.run_dir, self.log = name, pathlib.Path(run_dir), log
        self.returncode = None
        self.pid = 0
        (self.run_dir / "qemu.conf").write_text(SETTINGS)
        (self.run_dir / "libvirtd.conf").write_text(f'unix_sock_dir = "{self.run_dir}"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n')
        (self.run_dir / "domain.xml").write_text(domain(name, settings))
        (self.run_dir / "libvirt-sock").unlink(missing_ok=True)
        self.daemon = subprocess.Popen(["unshare", "-m", "sh", "-c", DAEMON, "libvirtd", str(self.run_dir)], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log)
        end = time.monotonic() + START
        while self.virsh("uri"):
            if self.daemon.poll() is not None or time.monotonic() > end:
                self.fail("libvirtd doesn't answer")
            time.sleep(0.2)
        for words in (("define", str(self.run_dir / "domain.xml")), ("start", name)):
            if self.virsh(*words):
                self.fail(f"virsh {words[0]} failed")
        self.pid = self.find()

    def fail(self, why):
        self.daemon.kill()
        self.daemon.wait()
        raise ConnectionError(f"{why}, see {self.log.name}")

    def virsh(self, *words):
        return subprocess.run(["virsh", "-c", f"qemu+unix:///system?socket={self.run_dir}/libvirt-sock", *words], stdin=subprocess.DEVNULL,
                              stdout=self.log, stderr=self.log, check=False).returncode

    def find(self):
        """The process of QEMU: it isn't ours but the daemon's."""
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue  # It ended meanwhile.
            if b"qemu" in words[0] and any(w.startswith(b"guest=%s," % self.name.encode()) for w in words):
                return int(path.parent.name)
        return 0

    def poll(self):
        if self.returncode is None and (not self.pid or not self.alive()):
            self.returncode = 0
            self.daemon.terminate()
            self.daemon.wait()
        return self.returncode

    def alive(self):
        try:
            return pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False

    def wait(self, timeout=None):
        end = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("virsh start", timeout)
            time.sleep(0.2)
        return self.returncode

    def kill(self):
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
