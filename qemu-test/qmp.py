"""QEMU's machine protocol, as much of it as the tests need."""

import json
import socket
import threading
import time


class Qmp:
    """A connection; commands may come from several threads, events are kept for wait_event()."""

    def __init__(self, path, proc):
        self.lock = threading.Lock()
        self.cond = threading.Condition()
        self.replies = []
        self.events = []
        self.sock = socket.socket(socket.AF_UNIX)
        for _ in range(200):
            try:
                self.sock.connect(str(path))
                break
            except OSError:
                if proc.poll() is not None:
                    raise ConnectionError("QEMU ended at once") from None
                time.sleep(0.05)
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
                        self.replies.append(msg)
                    self.cond.notify_all()
        except (OSError, ValueError):
            pass  # QEMU went away, perhaps in the middle of a line.

    def command(self, name, arguments, timeout=15):
        """(ok, result or error text)."""
        with self.lock:
            try:
                self.sock.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
            except OSError:
                return False, "QEMU is gone"
            with self.cond:
                if not self.cond.wait_for(lambda: self.replies, timeout):
                    return False, f"QEMU doesn't answer {name}"
                msg = self.replies.pop(0)
        if "error" in msg:
            return False, msg["error"]["desc"]
        return True, msg["return"]

    def wait_event(self, name, match, timeout):
        def found():
            return any(e["event"] == name and match(e.get("data", {})) for e in self.events)
        with self.cond:
            return self.cond.wait_for(found, timeout)
