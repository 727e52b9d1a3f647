"""Which lines of a guest's console are complaints."""

import pathlib
import tempfile
import unittest

import klog

LEAK = """unreferenced object 0xffff88800b10f080 (size 64):
  comm "{comm}", pid 206, jiffies 4294948705
  backtrace (crc 964db15e):
    kmemleak_alloc+0x2c/0x30
    {where}+0x403/0x790
"""


class Reports(unittest.TestCase):
    ALLOWED = ['comm "xsk".*xp_assign_dev']

    def bad(self, text, **more):
        with tempfile.TemporaryDirectory() as d:
            log = pathlib.Path(d) / "console.log"
            log.write_text(text)
            return [line for _, line in klog.bad_lines(log, **more)]

    def test_each_leak_is_a_report(self):
        text = LEAK.format(comm="xsk", where="xp_assign_dev") + LEAK.format(comm="xsk", where="kmalloc") + "[ 1.0] reboot\n"
        self.assertEqual(len(self.bad(text)), 2)
        self.assertEqual(len(self.bad(text, reports=self.ALLOWED)), 1)

    def test_one_that_may_be_there_excuses_no_other(self):
        # The words that excuse a report are spread over two.
        text = LEAK.format(comm="xsk", where="kmalloc") + LEAK.format(comm="bash", where="xp_assign_dev")
        self.assertEqual(len(self.bad(text, reports=self.ALLOWED)), 2)

    def test_the_last_one_ends_with_the_log(self):
        self.assertEqual(self.bad(LEAK.format(comm="xsk", where="xp_assign_dev"), reports=self.ALLOWED), [])

    def test_a_stack_ends_its_report(self):
        text = "[ 1.0] INFO: trying to register non-static key\n[ 1.0] net_failover_get_stats\n[ 1.0] </TASK>\n[ 2.0] WARNING: else\n"
        self.assertEqual(self.bad(text, reports=["INFO: trying.*net_failover"]), ["[ 2.0] WARNING: else"])


if __name__ == "__main__":
    unittest.main()
