"""The test device (qemu-test/device) as a process beside QEMU: starts it, talks to it, ends it."""

import pathlib
import socket
import subprocess
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
# Built by `qemu-test/tree device`.
PROGRAM = HERE / "out/testdev"


class TestDevice:
    """One process, for one guest. `options` are the program's (see its --help)."""

    def __init__(self, run_dir, log, options):
        self.socket = pathlib.Path(run_dir) / "testdev"
        self.control = pathlib.Path(run_dir) / "testdev.ctl"
        self.lock = threading.Lock()
        for path in (self.socket, self.control):
            path.unlink(missing_ok=True)
        self.log = open(log, "ab")
        self.proc = subprocess.Popen([PROGRAM, "--socket", self.socket, "--control", self.control, *options],
                                     stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.sock = self.file = None
        for _ in range(100):
            if self.socket.exists() or self.proc.poll() is not None:
                break
            time.sleep(0.05)
        else:
            self.stop()
        if self.proc.poll() is not None:
            raise ConnectionError(f"the test device ended at once: {pathlib.Path(log).read_text(errors='replace').strip()}")
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self.control))
        self.file = self.sock.makefile("r", encoding="utf-8", errors="replace")

    def command(self, line):
        """(ok, answer); see `help`."""
        with self.lock:
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
        return text.split("\n")[1:] if ok else None

    def stop(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()
        if self.sock:
            self.file.close()
            self.sock.close()
            self.sock = None
        self.log.close()
