"""The test device (qemu-test/device) as a process beside QEMU: starts it, talks to it, ends it."""

import pathlib
import socket
import subprocess
import threading

from qmp import opened

HERE = pathlib.Path(__file__).resolve().parent
# Built by `qemu-test/tree device`.
PROGRAM = HERE / "out/testdev"


class TestDevice:
    """One process, for one guest. `options` are the program's (see its --help)."""

    def __init__(self, run_dir, log, options):
        self.socket = pathlib.Path(run_dir) / "testdev"
        self.control = pathlib.Path(run_dir) / "testdev.ctl"
        self.lock = threading.Lock()
        self.log, self.options = log, options
        # What those before broke that were killed.
        self.broken = []
        self.start()

    def start(self):
        for path in (self.socket, self.control):
            path.unlink(missing_ok=True)
        with open(self.log, "ab") as out:
            self.proc = subprocess.Popen([PROGRAM, "--socket", self.socket, "--control", self.control, *self.options],
                                         stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.sock = self.file = None
        for _ in opened(self.proc):
            if self.socket.exists():
                break
        else:
            self.stop()
        if self.proc.poll() is not None:
            text = pathlib.Path(self.log).read_text(errors="replace").strip()
            raise ConnectionError(f"the test device ended at once: {text}")
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(self.control))
        self.file = self.sock.makefile("r", encoding="utf-8", errors="replace")

    def command(self, line):
        """(ok, answer); see `help`."""
        with self.lock:
            if not self.sock:
                return False, "there is no test device for now"
            try:
                self.sock.sendall(line.encode() + b"\n")
                answer = self.file.readline()
            except OSError as e:
                return False, f"the test device doesn't answer: {e}"
        if not answer:
            return False, "the test device is gone"
        word, _, text = answer.rstrip("\n").partition(" ")
        return word == "ok", text.replace("\\n", "\n").replace("\\\\", "\\")

    def violations(self):
        """Rules that the driver has broken, a line each; None if the device can't be asked."""
        ok, text = self.command("violations")
        return self.broken + text.split("\n")[1:] if ok else None

    def kill(self):
        """The process ends without a word; start() brings another one."""
        self.broken = self.violations() or self.broken
        self.stop()

    def stop(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()
        if self.sock:
            self.file.close()
            self.sock.close()
            self.sock = None
