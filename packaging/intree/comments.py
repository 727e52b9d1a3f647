"""Comments of a width that the kernel takes."""

import re
import textwrap

LIMIT = 100
RUST = re.compile(r"^(\s*)(//[/!]?)(?: (.*))?$")


def wide(line):
    return len(line.expandtabs(8))


def paragraphs(lines):
    """Groups of lines that may be filled anew, each with what its later lines begin with; None for what must stay as it is."""
    out, fence = [], False
    for line in lines:
        if line.startswith("```"):
            fence = not fence
            out.append((None, [line]))
        elif fence or not line or line.startswith(("#", "|", "    ")):
            out.append((None, [line]))
        elif re.match(r"[-*] |\d+\. ", line):
            out.append((" " * re.match(r"\S+ ", line).end(), [line]))
        elif out and out[-1][0] is not None and line.startswith(out[-1][0]):
            out[-1][1].append(line)
        elif out and out[-1][0] == "":
            out[-1][1].append(line)
        else:
            out.append(("", [line]))
    return out


def filled(lines, width):
    """Text without its marks; paragraphs that are too wide are filled anew."""
    out = []
    for later, group in paragraphs(lines):
        if later is None or all(len(line) <= width for line in group):
            out += group
        else:
            out += textwrap.wrap(" ".join(" ".join(group).split()), width, subsequent_indent=later, break_long_words=False,
                                 break_on_hyphens=False)
    return out


def rust(text):
    """Lines of comments in Rust.

    >>> print(rust("/// " + "word " * 22 + "\\n/// end.\\nfn f();").replace("word ", ""))
    /// word
    /// end.
    fn f();
    """
    out, lines, n = [], text.split("\n"), 0
    while n < len(lines):
        m = RUST.match(lines[n])
        if not m:
            out.append(lines[n])
            n += 1
            continue
        group, begin = [], n
        while n < len(lines) and (more := RUST.match(lines[n])) and more.groups()[:2] == m.groups()[:2]:
            group.append(more[3] or "")
            n += 1
        if any(wide(line) > LIMIT for line in lines[begin:n]):
            mark = m[1] + m[2]
            out += [f"{mark} {line}".rstrip() for line in filled([line.rstrip() for line in group], LIMIT - wide(mark) - 1)]
        else:
            out += lines[begin:n]
    return "\n".join(out)


def c(text):
    """Comments in C that begin a line.

    >>> c("/* " + 40 * "word " + "*/").replace("word ", "").split("\\n")
    ['/*', ' * word', ' * word', ' * word', ' */']
    """
    def block(m):
        if all(wide(line) <= LIMIT for line in m[0].split("\n")):
            return m[0]
        indent = m[1]
        lines = [re.sub(r"^\s*\*? ?", "", line).rstrip() for line in m[2].strip().split("\n")]
        body = filled(lines, LIMIT - wide(indent) - 3)
        return "\n".join([f"{indent}/*", *(f"{indent} * {line}".rstrip() for line in body), f"{indent} */"])
    return re.sub(r"^([ \t]*)/\*((?:(?!\*/).)*)\*/[ \t]*$", block, text, flags=re.M | re.S)
