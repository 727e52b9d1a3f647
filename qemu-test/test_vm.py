"""Tests of vm.py that need no guest."""

import pathlib
import tempfile
import unittest

import vm


class End(unittest.TestCase):
    def guest(self):
        guest = object.__new__(vm.Guest)
        guest.proc = guest.other = guest.testdev = guest.partner = guest.backend = None
        guest.run_dir = pathlib.Path(tempfile.mkdtemp())
        (guest.run_dir / "initrd").write_text("large")
        return guest

    def test_killed_it_can_be_started_again(self):
        guest = self.guest()
        self.addCleanup(guest.stop)
        guest.kill()
        self.assertTrue((guest.run_dir / "initrd").exists())

    def test_stopped_it_leaves_nothing(self):
        guest = self.guest()
        guest.stop()
        self.assertFalse(guest.run_dir.exists())
        # Who stops it twice may.
        guest.stop()


if __name__ == "__main__":
    unittest.main()
