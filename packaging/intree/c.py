"""Helpers in C as those of a kernel tree: the names that they have there, and lines that fit these."""

import re

# The name, with its type, and the parameters of a function, from the beginning of a line.
FUNCTION = re.compile(r"^(?P<type>(?!static_assert)[a-z][^\n;{}()=#]*?(?:\n)?)(?P<name>\b(?:rust_helper|rnet)_\w+)\((?P<params>[^{};]*?)\)\n\{",
                      re.M)
LIMIT = 100


def renamed(text):
    """By the names of the kernel's helpers, and with a prefix for what is beside them.

    >>> renamed("void vnm_helper_f(struct vnm_post *p, VNM_PIECE);")
    'void rust_helper_f(struct rnet_post *p, RNET_PIECE);'
    """
    text = text.replace("vnm_helper_", "rust_helper_")
    text = re.sub(r"\bvnm_", "rnet_", text)
    return re.sub(r"\bVNM_", "RNET_", text)


def binding_names(text):
    """The same for what bindgen makes of them.

    >>> binding_names("bindings::vnm_tag_VNM_TAG_XSK")
    'bindings::rnet_tag_RNET_TAG_XSK'
    """
    return re.sub(r"(?<=_)VNM_", "RNET_", renamed(text))


def wide(text):
    """How wide a line is, with tabs."""
    return len(text.expandtabs(8))


def wrapped(head, params):
    """A function's first lines, its parameters below each other where they don't fit."""
    column = wide(head) + 1
    indent = "\t" * (column // 8) + " " * (column % 8)
    lines, line = [], head + "("
    for n, param in enumerate(params):
        word = param + ("," if n + 1 < len(params) else ")")
        if line.strip() and not line.endswith(("(", "\t")) and wide(line + " " + word) > LIMIT:
            lines.append(line)
            line = indent + word
        else:
            line += ("" if line.endswith("(") else " ") + word
    return "\n".join([*lines, line])


def realigned(text, mark=""):
    """Functions begin anew, as their names have another length; `mark` is what stands before each helper.

    >>> print(realigned("int rust_helper_f(int a,\\n\\tint b)\\n{\\n}", "__rust_helper "))
    __rust_helper int rust_helper_f(int a, int b)
    {
    }
    """
    def begin(m):
        kind = " ".join(m["type"].split())
        kind = kind if kind.endswith("*") else kind + " "
        before = mark if m["name"].startswith("rust_helper_") else ""
        depth, params = 0, [""]
        for c in " ".join(m["params"].split()):
            depth += (c == "(") - (c == ")")
            if c == "," and depth == 0:
                params.append("")
            else:
                params[-1] += c
        params = [p.strip() for p in params]
        text = wrapped(before + kind + m["name"], params)
        widest = max(wide(line) for line in text.split("\n"))
        if widest > LIMIT:
            text = (before + kind).rstrip() + "\n" + wrapped(m["name"], params)
        return text + "\n{"
    return FUNCTION.sub(begin, text)


def files(text):
    """Files of the layer are named by where they are.

    >>> files("/* see net/page_pool.rs */")
    '/* see rust/kernel/net/netdev/page_pool.rs */'
    """
    text = re.sub(r"(?<![\w/])net/(\w+\.rs)", r"rust/kernel/net/netdev/\1", text)
    return re.sub(r"(?<![\w/])(virtio|sync)/(\w+\.rs)", r"rust/kernel/\1/\2", text)


def own(text):
    """What is otherwise where the file is the kernel's own.

    >>> own("/* The crate's own wants a file that isn't there */\\nvoid rust_helper_warn(void);\\nNL_SET_ERR_MSG_FMT_MOD(e, f);")
    'void rust_helper_warn(void);\\nNL_SET_ERR_MSG_FMT(e, f);'
    """
    # The name of the file would stand before each message.
    text = text.replace("NL_SET_ERR_MSG_FMT_MOD(", "NL_SET_ERR_MSG_FMT(")
    return re.sub(r"^/\*(?:(?!\*/).)*\*/\n(?=void rust_helper_warn\()", "", text, flags=re.M | re.S)


def included(text):
    """The file that has the others.

    >>> included('#include "helpers.h"\\n#include "inline.c"\\n#include "layout.c"\\n#ifdef RNET_FAILPOINTS\\n#include "fail.c"\\n#endif\\n')
    '#include "netdev/netdev.h"\\n#include "netdev/inline.c"\\n'
    """
    text = re.sub(r'^#include "layout\.c"\n', "", text, flags=re.M)
    text = re.sub(r'^#ifdef \w+_FAILPOINTS\n#include "fail\.c"\n#endif\n', "", text, flags=re.M)
    text = text.replace('#include "helpers.h"', '#include "netdev/netdev.h"')
    return re.sub(r'^#include "(\w+\.c)"$', r'#include "netdev/\1"', text, flags=re.M)
