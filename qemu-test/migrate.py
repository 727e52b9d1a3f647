"""Moves a guest to a second QEMU process while its tests go on: live over a socket, or through a file.

The second process has the same arguments but for the tap, which is another one in the same bridge, and for the names of its
sockets. Nothing of the two lines to the host is lost: the console goes on in the same file, and what the guest wrote to the
control channel before it stopped is read from the old process before anything from the new one.
"""

import pathlib
import subprocess
import threading
import time

from qmp import Qmp

TAPS = ("tapA", "tapM")
# Limits, far above what a slow machine needs.
START, MOVE, RUN, SILENCE = 60, 240, 120, 120


class Failed(Exception):
    """The guest was not moved; `lost` says that it is gone, too."""

    def __init__(self, text, lost=False):
        super().__init__(text)
        self.lost = lost


class Second:
    """The process that the guest goes to: started, waiting, with both of its sockets connected."""

    def __init__(self, guest, number):
        run, self.tap = guest.run_dir, TAPS[number % 2]
        names = {name: run / f"{name}.{number}" for name in ("ctl", "qmp")}
        for path in names.values():
            path.unlink(missing_ok=True)
        swap = {f"path={run}/ctl,": f"path={names['ctl']},", f"unix:{run}/qmp,": f"unix:{names['qmp']},",
                f"ifname={TAPS[0]},": f"ifname={self.tap},", f"path={guest.console}": f"path={guest.console},append=on"}
        cmd = []
        for arg in guest.cmd:
            for old, new in swap.items():
                arg = arg.replace(old, new)
            cmd.append(arg)
        cmd += ["-incoming", "defer"]
        (guest.out / f"command.{number}").write_text(" \\\n  ".join(cmd) + "\n")
        self.log = guest.out / f"qemu.{number}.log"
        with open(self.log, "wb") as err:
            self.proc = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=err, stderr=err)
        try:
            self.qmp = Qmp(names["qmp"], self.proc)
            self.ctl = guest.connect(names["ctl"], self.proc)
        except OSError as e:
            self.kill()
            raise Failed(f"the second QEMU doesn't start: {e}; {self.said()}") from None

    def said(self):
        return self.log.read_text(errors="replace").strip() or "it said nothing"

    def kill(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()


def _poll(seconds, look):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = look()
        if answer is not None:
            return answer
        time.sleep(0.1)
    return None


def _ask(qmp, name, arguments=None, timeout=START):
    ok, answer = qmp.command(name, arguments or {}, timeout)
    if not ok:
        raise Failed(f"{name}: {answer}")
    return answer


def _leave(guest, second):
    """Waits until the first process has sent everything; what query-migrate said then."""
    def look():
        if guest.proc.poll() is not None:
            raise Failed(f"the guest ended in the middle, on its first QEMU (status {guest.proc.returncode})", lost=True)
        if second.proc.poll() is not None:
            raise Failed(f"the second QEMU ended with status {second.proc.returncode}: {second.said()}")
        state = _ask(guest.qmp, "query-migrate")
        if state["status"] in ("failed", "cancelled"):
            raise Failed(f"{state.get('error-desc', state['status'])}; the second QEMU: {second.said()}")
        return state if state["status"] == "completed" else None
    state = _poll(MOVE, look)
    if state is None:
        raise Failed(f"not done within {MOVE} s: {_ask(guest.qmp, 'query-migrate')}")
    return state


def _arrive(second):
    def look():
        if second.proc.poll() is not None:
            raise Failed(f"the second QEMU ended with status {second.proc.returncode}: {second.said()}", lost=True)
        ok, answer = second.qmp.command("query-status", {}, START)
        return answer if ok and answer["status"] == "running" else None
    if _poll(RUN, look) is None:
        raise Failed(f"the guest doesn't run in the second QEMU within {RUN} s: {second.said()}", lost=True)


def _hand_over(guest, second):
    """The new process takes the place of the old one, which is read to the end and ends."""
    old, qmp, ctl = guest.proc, guest.qmp, guest.ctl
    guest.qmp, guest.ctl = second.qmp, second.ctl
    guest.proc = second.proc
    qmp.command("quit", {})
    try:
        old.wait(START)
    except subprocess.TimeoutExpired:
        old.kill()
        old.wait()
    ctl.settimeout(START)
    while data := ctl.recv(65536):
        guest.buf += data
    ctl.close()


def move(guest, how):
    """Moves the guest and returns a sentence about it. Thread of the control channel."""
    if how not in ("live", "file"):
        raise Failed(f"there is no way called {how}: live or file")
    number = guest.moves + 1
    name = f"migration {number} ({how})"
    state = pathlib.Path(guest.run_dir / f"state.{number}")
    second = None
    try:
        second = guest.other = Second(guest, number)
        _ask(guest.qmp, "migrate-set-parameters", {"max-bandwidth": 1 << 30, "downtime-limit": 1000})
        if how == "live":
            _ask(second.qmp, "migrate-incoming", {"uri": f"unix:{state}"})
        _ask(guest.qmp, "migrate", {"uri": f"unix:{state}" if how == "live" else f"file:{state}"})
        told = _leave(guest, second)
        # From here on the guest is the second process's.
        guest.moves, guest.moved = number, f", after {name}"
        if how == "live":
            _arrive(second)
            _hand_over(guest, second)
        else:
            _hand_over(guest, second)
            _ask(second.qmp, "migrate-incoming", {"uri": f"file:{state}"})
            _arrive(second)
    except (Failed, OSError) as e:
        if getattr(e, "lost", False) or guest.moves == number:
            guest.trouble = f"{name} failed and the guest is lost: {e}"
            guest.kill()
        elif second:
            second.kill()
        raise Failed(f"{name}: {e}") from None
    finally:
        guest.other = None
        state.unlink(missing_ok=True)
    heard = guest.heard
    timer = threading.Timer(SILENCE, lambda: guest.silent(heard, name))
    timer.daemon = True
    timer.start()
    ram = told["ram"]
    return (f"{how}, to {second.tap}: {told.get('total-time')} ms, stopped for {told.get('downtime')} ms, "
            f"{ram['transferred'] >> 20} MiB in {ram['dirty-sync-count']} passes")
