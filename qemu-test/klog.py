"""What a guest's kernel says when something is wrong."""

import re

BAD = re.compile(
    r"\bBUG\b|\bWARNING\b|Call Trace|RIP: |ref_tracker|unreferenced object|kfence: (?!initialized)|UBSAN|Oops|"
    r"rcu.*(stall|self-detected)|soft lockup|hung_task|blocked for more than|NETDEV WATCHDOG|general protection|"
    r"Kernel panic|DMA-API(?!: (preallocated|debugging enabled))|page allocation failure|rust_kernel: panicked|suspicious RCU|"
    # Of a kernel made for debugging.
    r"suspected memory leaks|INFO: (possible|trying|inconsistent)|refcount_t:|ODEBUG:|unregister_netdevice: waiting|workqueue lockup|"
    r"list_(add|del) corruption|\bpoison\b|lockdep is turned off")


def is_bad(line, allowed=()):
    """Whether a line of a console shouldn't be there."""
    return bool(BAD.search(line)) and not any(re.search(a, line) for a in allowed) and "Command line" not in line


def bad_lines(log, allowed=()):
    """Lines of a console that shouldn't be there, each with the test that ran then (None: before or after all)."""
    test, out = None, []
    for line in log.read_text(errors="replace").splitlines() if log.exists() else []:
        m = re.search(r"vnm: test (\S+) (begins|ends)", line)
        if m:
            test = m[1] if m[2] == "begins" else None
        elif is_bad(line, allowed):
            out.append((test, line.strip()))
    return out
