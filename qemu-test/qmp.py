"""QEMU's machine protocol, as much of it as the tests need."""

import json
import socket
import threading
import time


# Seconds that a QEMU may take to open its socket, and to answer, on a machine that does much else.
OPEN, ANSWER = 60, 60


def opened(proc):
    """Comes back while a starting process may still open a socket; ends if it won't."""
    end = time.monotonic() + OPEN
    while time.monotonic() < end and proc.poll() is None:
        yield
        time.sleep(0.05)


class Qmp:
    """A connection; commands may come from several threads, events are kept for wait_event()."""

    def __init__(self, path, proc):
        self.lock = threading.Lock()
        self.cond = threading.Condition()
        self.number = 0
        self.gone = False
        self.replies = {}
        self.events = []
        self.sock = socket.socket(socket.AF_UNIX)
        for _ in opened(proc):
            try:
                self.sock.connect(str(path))
                break
            except OSError:
                pass
        else:
            raise ConnectionError("QEMU ended at once" if proc.poll() is not None else f"QEMU doesn't open {path}")
        threading.Thread(target=self._read, daemon=True).start()
        if not self.command("qmp_capabilities", {})[0]:
            raise ConnectionError("QEMU ended at once")

    def _read(self):
        try:
            for line in self.sock.makefile("r"):
                msg = json.loads(line)
                with self.cond:
                    if "event" in msg:
                        self.events.append(msg)
                    elif "QMP" not in msg:
                        self.replies[msg.get("id")] = msg
                    self.cond.notify_all()
        except (OSError, ValueError):
            pass  # QEMU went away, perhaps in the middle of a line.
        with self.cond:
            self.gone = True
            self.cond.notify_all()

    def command(self, name, arguments, timeout=ANSWER):
        """(ok, result or error text)."""
        with self.lock:
            # A number, so that an answer that comes too late isn't taken for the next one's.
            self.number += 1
            try:
                self.sock.sendall(json.dumps({"execute": name, "arguments": arguments, "id": self.number}).encode() + b"\n")
            except OSError:
                return False, "QEMU is gone"
            with self.cond:
                if not self.cond.wait_for(lambda: self.gone or self.number in self.replies, timeout):
                    return False, f"QEMU doesn't answer {name}"
                msg = self.replies.get(self.number)
                self.replies.clear()
        if msg is None:
            return False, "QEMU is gone"
        if "error" in msg:
            return False, msg["error"]["desc"]
        return True, msg["return"]

    def wait_event(self, name, match, timeout):
        def found():
            return any(e["event"] == name and match(e.get("data", {})) for e in self.events)
        with self.cond:
            return self.cond.wait_for(found, timeout)
