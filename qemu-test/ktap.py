"""Reads and writes what a test prints: KTAP (Documentation/dev-tools/ktap.rst), or less strictly TAP."""

import re

LINE = re.compile(r"^(not )?ok\b\s*(\d+)?\s*-?\s*([^#]*?)\s*(?:#\s*(\w+)\b:?\s*(.*))?$")

# Reasons to skip that no guest of ours may give: what they say is missing is there in each of them, and much of it is reached
# by way of the driver, whose fault it would be.
NEVER = re.compile(
    r"qemu-test/peer\.py doesn't run|the peer's services don't answer|PEER6 is not set|no answer from the second NIC|"
    r"nobody listens on the second NIC|the host can't switch the link|the device's status reads|the device has no BAR 4|"
    r"^(KO is not set|socat is missing|hostctl is missing|no hostctl: |there is no VXLAN|no module 8021q|this kernel has no (netconsole|"
    r"threaded NAPI)|this kernel's netconsole takes|there is no trace of napi_poll|no XDP in this driver|programs\.bpf\.c wasn't)")


class Result:
    """Counts and failures of one test file."""

    def __init__(self):
        self.passed = 0
        self.failed = []      # descriptions
        self.skipped = []     # (description, reason)
        self.figures = []     # what "# figure: …" says, for people

    def __str__(self):
        parts = [f"{self.passed} passed"]
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        if self.skipped:
            parts.append(f"{len(self.skipped)} skipped")
        return ", ".join(parts)


def parse(lines, status):
    """The Result of a test's output and exit status. Only lines that aren't indented count: subtests are indented.

    A stream without a test line, one that ends before its plan says, and a status that nothing in it explains are
    failures: a test that died half way must not look like a short one. So is a skip for one of the reasons above.
    """
    r = Result()
    plan = None
    seen = 0
    skip_all = None
    for line in lines:
        m = re.match(r"^1\.\.(\d+)\s*(?:#\s*skip\w*\s*(.*))?$", line, re.I)
        if m:
            plan = int(m[1])
            if plan == 0:
                skip_all = m[2] or "no reason given"
            continue
        m = LINE.match(line)
        if not m:
            r.figures += re.findall(r"^# figure: (.*)", line)
            continue
        seen += 1
        what = m[3] or f"test {m[2] or seen}"
        directive = (m[4] or "").upper()
        if directive == "SKIP":
            r.skipped.append((what, m[5]))
        elif directive in ("XFAIL", "TODO"):
            r.skipped.append((what, f"expected failure: {m[5]}"))
        elif m[1]:
            r.failed.append(what)
        else:
            r.passed += 1
    if skip_all is None and status == 4 and not r.failed:
        skip_all = next((s for line in reversed(lines) for s in re.findall(r"skip\w*:?\s+(.*)", line, re.I)), "exit status 4")
    if skip_all is not None and not seen:
        r.skipped.append(("the whole file", skip_all))
    elif not seen:
        r.failed.append(f"no test line in its output (exit status {status})")
    elif plan is not None and seen < plan:
        r.failed.append(f"ended after {seen} of {plan} tests (exit status {status})")
    elif status == 124:
        r.failed.append("timed out")
    elif status not in (0, 4) and not r.failed:
        r.failed.append(f"exit status {status}")
    for skipped in [s for s in r.skipped if NEVER.search(s[1] or "")]:
        r.skipped.remove(skipped)
        r.failed.append(f"{skipped[0]}: skipped, because {skipped[1]}")
    return r


RESULT = re.compile(r"(not ok|ok) \d+ (.*)")


class Report:
    """Results of several sources as one KTAP stream; those of a quiet one come when another takes them over."""

    def __init__(self, quiet=False):
        self.count = self.failed = 0
        self.kept = [] if quiet else None

    @classmethod
    def begin(cls):
        """One that begins the program's output."""
        print("TAP version 13", flush=True)
        return cls()

    def one(self, what, problems=(), skip=""):
        """A result, with what speaks against it."""
        if self.kept is not None:
            self.kept.append((what, list(problems), skip))
            return
        self.count += 1
        self.failed += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {self.count} {what}{f' # SKIP {skip}' if skip else ''}", flush=True)
        for line in problems:
            print(f"#   {line}", flush=True)

    def again(self, line):
        """A line that another program has printed, if it is a result: its number is another one here. Whether it is one."""
        m = RESULT.match(line)
        if m:
            self.count += 1
            self.failed += m[1] == "not ok"
            print(f"{m[1]} {self.count} {m[2]}", flush=True)
        return bool(m)

    def test(self, name, lines, status, log):
        """What a test of a guest's printed and ended with, which is kept in the file `log`: one result for all that passed."""
        result = parse(lines, status)
        log.write_text("\n".join(lines) + "\n")
        problems = [line.strip("# ") for line in lines if re.match(r"#\s{2,}", line)]
        for what in result.failed:
            self.one(f"{name}: {what}", problems or [f"see {log}"])
        for what, reason in result.skipped:
            self.one(f"{name}: {what}", skip=reason)
        if result.passed:
            self.one(f"{name}: {result.passed} tests")

    def take(self, other):
        """What a quiet one has kept."""
        for result in other.kept:
            self.one(*result)

    def end(self):
        """The exit status."""
        print(f"1..{self.count}", flush=True)
        return 1 if self.failed or not self.count else 0
