#!/usr/bin/env python3
"""The guests' clock: what it is told beforehand, and whether it keeps the host's time. Run by itself it prints the rate.

A kernel on an emulated CPU measures the rate of its time-stamp counter as it boots, against a timer that is emulated, too. On
a busy machine it may be wrong by any factor. RDTSC gives the host's counter there (QEMU adds an offset), so the
host's rate is what the guest can be told.
"""

import ctypes
import mmap
import platform
import re
import time

# rdtsc; shl rdx, 32; or rax, rdx; ret
RDTSC = bytes.fromhex("0f31 48c1e220 4809d0 c3")
# How far the clocks' rates may differ.
TENTH = 1.1
# What a guest's reading may be too low by.
DIGIT = 0.01


def host_khz(seconds=0.03):
    """The rate of the host's time-stamp counter in kHz; None where there is none, or it can't be read."""
    if platform.machine() != "x86_64":
        return None
    try:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return None  # A policy may forbid memory that is both.
    code.write(RDTSC)
    rdtsc = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))

    def both():
        """Both clocks at one moment: of several readings that with the shortest way from one clock to the other."""
        def reading():
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
            ticks = rdtsc()
            after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
            return after - before, (before + after) // 2, ticks
        return min(reading() for _ in range(50))

    first = both()
    time.sleep(seconds)
    last = both()
    return round((last[2] - first[2]) * 1_000_000 / (last[1] - first[1]))


class Watch:
    """Compares a guest's clock with the host's. What it says is proven, however late anything arrives: each reading is the
    guest's clock before a question, the host's as it answers, and the guest's with the answer."""

    def __init__(self):
        self.first = None

    def forget(self):
        """The guest's clock stands still for a while, or jumps."""
        self.first = None

    def reading(self, before, host, after):
        """How many times as fast as the host's the guest's clock is, if that is off by more than a tenth for certain."""
        if self.first is None:
            self.first = (before, host, after)
            return None
        passed = host - self.first[1]
        # Their last digit is a hundredth.
        least, most = before - self.first[2] - DIGIT, after - self.first[0] + DIGIT
        if passed <= 0:
            return None
        if least > passed * TENTH:
            return least / passed
        if most * TENTH < passed:
            return most / passed
        return None


def of_console(text, seconds):
    """The same by the time of a console's last message, for a guest that was started `seconds` ago. Only a clock that is fast shows."""
    stamps = re.findall(r"^\[ *(\d+\.\d{6})\]", text, re.M)
    factor = float(stamps[-1]) / seconds if stamps else 0
    return factor if factor > TENTH else None


if __name__ == "__main__":
    print(host_khz())
