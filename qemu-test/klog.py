"""What a guest's kernel says when something is wrong."""

import re

BAD = re.compile(
    r"\bBUG\b|\bWARNING\b|Call Trace|RIP: |ref_tracker|unreferenced object|kfence: (?!initialized)|UBSAN|Oops|"
    r"rcu.*(stall|self-detected)|soft lockup|hung_task|blocked for more than|NETDEV WATCHDOG|general protection|"
    r"Kernel panic|DMA-API(?!: (preallocated|debugging enabled))|page allocation failure|exceeding its budget|rust_kernel: panicked|suspicious RCU|"
    # Of a kernel made for debugging.
    r"suspected memory leaks|INFO: (possible|trying|inconsistent)|refcount_t:|ODEBUG:|unregister_netdevice: waiting|workqueue lockup|"
    r"list_(add|del) corruption|\bpoison\b|lockdep is turned off")


def is_bad(line, allowed=()):
    """Whether a line of a console shouldn't be there."""
    return bool(BAD.search(line)) and not any(re.search(a, line) for a in allowed) and "Command line" not in line


def bad_lines(log, allowed=(), reports=()):
    """Lines of a console that shouldn't be there, each with the test that ran then (None: before or after all). `reports` are
    whole reports that may be there: expressions for the lines from the first to the end of the stack."""
    test, out = None, []
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    allowed_until = 0
    for n, line in enumerate(lines):
        m = re.search(r"vnm: test (\S+) (begins|ends)", line)
        if m:
            test = m[1] if m[2] == "begins" else None
        elif is_bad(line, allowed) and n >= allowed_until:
            end = report_end(lines, n)
            if any(re.search(r, "\n".join(lines[n:end]), re.DOTALL) for r in reports):
                allowed_until = end
            else:
                out.append((test, line.strip()))
    return out


def report_end(lines, n):
    """One past the last line of the report that begins at line `n`: that of its stack, or itself."""
    if "unreferenced object" in lines[n]:
        # kmemleak's list, as a file.
        return next((i for i in range(n + 1, len(lines)) if not lines[i].startswith("  ")), len(lines))
    return next((i + 1 for i in range(n, min(n + 250, len(lines))) if "</TASK>" in lines[i]), n + 1)
