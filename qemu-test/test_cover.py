"""Whether blocks that a guest has executed are found in the module, whatever has been written over as that was loaded."""

import struct
import unittest

import cover

BASE = 0xffffffffc0400000
# push %rbx; mov %rdi,%rbx; call …; call …; pop %rbx; jmp __x86_return_thunk
CODE = bytes.fromhex("53 4889fb e800000000 e800000000 5b e900000000")


def section(code=CODE):
    out = cover.Section(".text", 0, code)
    for call in (4, 9):
        out.loaded.update(dict.fromkeys(range(call + 1, call + 5)))
    out.loaded.update(dict.fromkeys(range(16, 20)))
    out.loaded[15] = b"\xc3"
    return out


class Blocks(unittest.TestCase):
    def run_of(self, *blocks):
        s = section()
        noted = [s.note(BASE, BASE + at, len(code), code) for at, code in ((at, bytes.fromhex(code)) for at, code in blocks)]
        return noted, bytes(s.run)

    def test_addresses_are_put_in(self):
        noted, run = self.run_of((0, "534889fb e8a1b2c3d4"))
        self.assertEqual(noted, [True])
        self.assertEqual(run, b"\1" * 9 + b"\0" * 11)

    def test_a_call_alone(self):
        noted, run = self.run_of((9, "e8a1b2c3d4"))
        self.assertEqual(noted, [True])
        self.assertEqual(sum(run), 5)

    def test_a_return_is_patched(self):
        noted, _ = self.run_of((14, "5bc3"), (15, "c3"), (15, "e9a1b2c3d4"))
        self.assertEqual(noted, [True, True, True])

    def test_other_code_at_the_same_place(self):
        noted, run = self.run_of((9, "e9a1b2c3d4"), (0, "554889e5 ff"), (14, "c3"), (16, "a1b2"))
        self.assertEqual(noted, [False] * 4)
        self.assertFalse(any(run))

    def test_a_small_section_is_found_by_code_with_addresses(self):
        found = [(BASE + 0x30, 9, bytes.fromhex("534889fb e8a1b2c3d4 "))]
        self.assertEqual(section().bases(found), [])
        found = [(BASE + 0x30, 19, bytes.fromhex("534889fb e8a1b2c3d4 e8a1b2c3d4 5b c3"))]
        self.assertEqual(section().bases(found), [BASE + 0x30])

    def test_a_record_that_ends_in_a_block(self):
        def block(addr, code):
            return struct.pack("<QHH", addr, len(code), len(code)) + code
        import pathlib
        import tempfile
        with tempfile.TemporaryDirectory() as tmp:
            path = pathlib.Path(tmp, "record")
            path.write_bytes(block(1, b"abc") + block(2, b"defg")[:-1])
            self.assertEqual(list(cover.blocks(path)), [(1, 3, b"abc")])


if __name__ == "__main__":
    unittest.main()
