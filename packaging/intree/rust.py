"""Rust sources of this repository as those of a kernel tree: imports and paths, what is public, and what only a module outside of the
tree needs."""

import re

# A comment or a literal.
NOISE = re.compile(r"""
    //[^\n]* | /\*.*?\*/ | (?<!\w)[bc]?r(\#*)".*?"\1 | (?<!\w)[bc]?"(?:\\.|[^"\\])*" | (?<!\w)b?'(?:\\.[^']*|[^'\\])'
    """, re.X | re.S)
USE = re.compile(r"^([ \t]*)((?:pub(?:\([a-z ]+\))?\s+)?)use\s+([^;]+);[ \t]*\n?", re.M)
# Where an attribute or a comment ends that stands before an item.
BEFORE = re.compile(r"(?:[ \t]*//[^\n]*\n)*[ \t]*$")


class Refused(Exception):
    """The sources aren't what this was written for."""


def masked(text):
    """`text` with a space for each character of comments and literals.

    >>> masked('a("(") // x').rstrip()
    'a(   )'
    """
    return NOISE.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)


def code(pattern, by, text):
    """Replaces what `pattern` finds outside of comments and literals.

    >>> code(r"kernel::", "crate::", 'kernel::a(); // kernel::b')
    'crate::a(); // kernel::b'
    """
    plain, out, at = masked(text), [], 0
    for m in re.finditer(pattern, plain):
        out += [text[at:m.start()], by(m) if callable(by) else m.expand(by)]
        at = m.end()
    return "".join(out) + text[at:]


def closing(plain, at, stop, braces=True):
    """Where what begins at `at` of masked text ends: behind the first of `stop` outside of brackets, or, with `braces`, behind the
    braces that come before that.

    >>> plain = "fn f() -> [u8; 6] { { } } x"
    >>> plain[:closing(plain, 0, ";")]
    'fn f() -> [u8; 6] { { } }'
    """
    depth = 0
    for n in range(at, len(plain)):
        c = plain[n]
        if c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
            if depth < 0:
                return n
            if depth == 0 and c == "}" and braces:
                return n + 1
        elif depth == 0 and c in stop:
            return n + 1
    return len(plain)


# --- what is compiled -------------------------------------------------------------------------------------------------

def configured(text, facts):
    """Decides `#[cfg(NAME)]` and `#[cfg(not(NAME))]` for the names in `facts`.

    >>> configured("#[cfg(a)]\\nfn f() {}\\n\\n/// Doc.\\n#[cfg(not(a))]\\nfn f() { 1 }\\nx", {"a": True})
    'fn f() {}\\n\\nx'
    >>> configured("#[cfg(a)]\\nconst A: B = B { c: 0 };\\nx", {"a": False})
    'x'
    """
    names = "|".join(facts)
    attribute = re.compile(rf"#\[cfg\((?:(not)\()?({names})\)?\)\][ \t]*\n?")
    while True:
        plain = masked(text)
        m = attribute.search(plain)
        if not m:
            return text
        if facts[m[2]] != bool(m[1]):
            begin = plain.rfind("\n", 0, m.start()) + 1
            text = text[:begin] + text[m.end():] if m[0].endswith("\n") else text[:m.start()] + text[m.end():]
            continue
        begin = m.start() - len(BEFORE.search(text[:m.start()])[0])
        at = m.end()
        while more := re.match(r"\s*#!?\[[^\]]*\]", plain[at:]):
            at += more.end()
        value = re.match(r"\s*(?:pub(?:\([a-z ]+\))?\s+)?(?:const\s+(?!fn\b|unsafe\b)|static\b|type\b|let\b|use\b)", plain[at:])
        end = closing(plain, at, ";" if value else ";,", not value)
        end += len(re.match(r"[ \t]*\n?", text[end:])[0])
        # One empty line is enough.
        if text[:begin].endswith("\n\n") and text[end:end + 1] == "\n":
            end += 1
        text = text[:begin] + text[end:]


def without_failpoints(text):
    """Without injected failures (sync/fail.rs).

    >>> without_failpoints("fn f() {\\n    fail::point()?;\\n    let gone = g();\\n    if !gone {\\n        // SAFETY: It is.\\n"
    ...     "        unsafe { fail::delay_after_complete(napi) };\\n    }\\n    gone\\n}\\n")
    'fn f() {\\n    g()\\n}\\n'
    """
    for pattern in (r"^[ \t]*(?:crate::sync::)?fail::point\(\)\?;\n",
                    r"^[ \t]*if let Err\(\w+\) = fail::point\(\) \{\n[^\n]*\n[ \t]*\}\n",
                    r"^[ \t]*if !\w+ \{\n[ \t]*//[^\n]*\n[ \t]*unsafe \{ fail::\w+\(\w+\) \};\n[ \t]*\}\n",
                    r"^[ \t]*_ if fail::\w+\(\) => [^\n]*,\n",
                    r"^[ \t]*fail::\w+\(\);\n"):
        text = re.sub(pattern, "", text, flags=re.M)
    # What was kept for that.
    text = re.sub(r"^([ \t]*)let (\w+) = ([^;]+);\n\1\2\n", r"\1\3\n", text, flags=re.M)
    if re.search(r"\bfail::", masked(text)):
        raise Refused("an injected failure has a form that packaging/intree/rust.py doesn't know")
    return text


# --- imports ----------------------------------------------------------------------------------------------------------

def flat(tree):
    """The paths of what stands behind `use`, with what each is called here if that is something else.

    >>> flat("crate::{a, b::{self, C as D, e::*}}")
    [('crate', 'a'), ('crate', 'b', 'self'), ('crate', 'b', 'C as D'), ('crate', 'b', 'e', '*')]
    """
    words = re.findall(r"[{},]|[^\s{},]+(?:\s+as\s+\w+)?", tree)
    out, prefixes, before = [], [()], ()
    for word in [*words, ","]:
        if word == "{":
            prefixes.append(prefixes[-1] + before)
        elif word in ",}" and before:
            out.append(prefixes[-1] + before)
        if word == "}":
            prefixes.pop()
        before = () if word in "{}," else tuple(part for part in word.split("::") if part)
    return out


def order(name):
    """rustfmt's: what the language calls something, then functions and modules, types, constants, and all."""
    word = name.split()[0]
    classes = ["self", "super", "crate"]
    if word in classes:
        return classes.index(word), name
    kind = 3 if word[0].islower() or word[0] == "_" else 4 if word != word.upper() or len(word) == 1 else 5
    return 9 if word == "*" else kind, name


def printed(paths, indent=""):
    """`paths`, which begin with the same word, as what stands behind `use`, in the kernel's style.

    >>> print(printed([("a", "b"), ("a", "c", "D"), ("a", "c", "e")]))
    a::{
        b,
        c::{
            e,
            D, //
        }, //
    }
    """
    first = {p[0] for p in paths}
    if len(first) != 1:
        raise ValueError(paths)
    name = first.pop()
    rest = [p[1:] for p in paths if len(p) > 1]
    # The item itself beside what is in it.
    if len(rest) < len(paths) and rest:
        rest.append(("self",))
    if not rest:
        return name
    children = {}
    for p in rest:
        children.setdefault(p[0], []).append(p)
    if len(children) == 1 and "self" not in children:
        return f"{name}::{printed(rest, indent)}"
    inner = indent + "    "
    lines = [printed(sorted(set(children[key])), inner) for key in sorted(children, key=order)]
    if len(lines) == 1:
        return f"{name}::{{{lines[0]}}}"
    return f"{name}::{{\n{inner}" + f",\n{inner}".join(lines) + f", //\n{indent}}}"


def imports(text, moved, more=()):
    """Has `moved` say where each imported path is now, None for one that isn't needed, and joins what then is together; and `more`."""
    plain, groups, out, at = masked(text), [], [], 0
    for m in USE.finditer(plain):
        indent, public = m[1], m[2].strip()
        # Attributes and comments before it are its own.
        alone = not re.search(r"(?:\A|;|\n[ \t]*)\s*\Z", text[:m.start()]) or re.search(r"(?:\]|//[^\n]*)\n\Z", text[:m.start()])
        last = groups[-1] if groups else None
        if not (last and last["end"] == m.start() and (last["indent"], last["public"]) == (indent, public) and not alone):
            last = {"begin": m.start(), "indent": indent, "public": public, "paths": []}
            groups.append(last)
        last["end"] = m.end()
        last["paths"] += flat(m[3])
    for group in groups:
        out.append(text[at:group["begin"]])
        roots = {}
        if not (group["public"] or group["indent"]):
            group["paths"] += more
            more = ()
        for path in group["paths"]:
            path = moved(path)
            if path:
                roots.setdefault(path[0], []).append(path)
        begin = group["indent"] + (group["public"] + " " if group["public"] else "") + "use "
        for root in sorted(roots, key=order):
            out.append(f"{begin}{printed(sorted(set(roots[root])), group['indent'])};\n")
        at = group["end"]
    return "".join(out) + text[at:]


def extension(text, of, trait, doc):
    """Methods of a type of another crate, which have to be a trait's: the block `impl OF` as a trait, and what implements it.

    >>> print(extension("impl A {\\n    /// Does.\\n    pub(crate) fn f(&self) -> u8 {\\n        1\\n    }\\n}\\n", "A", "B", "What it does."))
    /// What it does.
    pub(crate) trait B {
        /// Does.
        fn f(&self) -> u8;
    }
    <BLANKLINE>
    impl B for A {
        fn f(&self) -> u8 {
            1
        }
    }
    <BLANKLINE>
    """
    plain = masked(text)
    m = re.search(rf"^impl {of} \{{\n", plain, re.M)
    if not m:
        raise Refused(f"there is no impl {of} any more")
    end = closing(plain, m.start(), "")
    declared, defined, at = [], [], m.end()
    for method in re.finditer(r"^    (?:pub\(crate\) )?fn ", plain[:end], re.M):
        if method.start() < m.end():
            continue
        doc_lines = re.search(r"(?:[ ]{4}//[^\n]*\n)*$", text[at:method.start()])[0]
        stop = closing(plain, method.end(), "")
        body = plain.index("{", method.end())
        declared.append(f"{doc_lines}    fn {text[method.end():body].rstrip()};\n")
        defined.append(f"    fn {text[method.end():stop]}\n")
        at = stop
    new = (f"/// {doc}\npub(crate) trait {trait} {{\n" + "\n".join(declared) + f"}}\n\nimpl {trait} for {of} {{\n" + "\n".join(defined) + "}")
    return text[:m.start()] + new + text[end:]


# --- what is public ---------------------------------------------------------------------------------------------------

def opened(text):
    """What drivers may use of the layer becomes public. What is unsafe, and what has a raw type in its signature, stays the crate's:
    drivers have neither.

    >>> opened("pub(crate) fn f(a: [u8; 2]) -> A {}\\npub(crate) unsafe fn g();\\npub(crate) fn h(x: *mut bindings::y) {}")
    'pub fn f(a: [u8; 2]) -> A {}\\npub(crate) unsafe fn g();\\npub(crate) fn h(x: *mut bindings::y) {}'
    >>> opened("pub(crate) const A: u8 = bindings::A;\\npub(crate) const fn f() -> u8 { bindings::A }\\npub(crate) a: bindings::A,")
    'pub const A: u8 = bindings::A;\\npub const fn f() -> u8 { bindings::A }\\npub(crate) a: bindings::A,'
    """
    plain, out, at = masked(text), [], 0
    for m in re.finditer(r"pub\(crate\)(?=\s)", plain):
        rest = plain[m.end():]
        item = re.match(r"\s+((?:(?:const\s+(?=fn\b|unsafe\b)|unsafe\s+|extern\s+)(?=\w))*)(\w+)", rest)
        if item and "unsafe" in item[1].split() and item[2] == "fn":
            continue
        if item and item[2] == "fn":
            # The braces of the body are where the signature ends.
            depth, end = 0, 0
            for end, c in enumerate(rest):
                depth += (c in "([") - (c in ")]")
                if depth == 0 and c in "{;":
                    break
        elif item and item[2] in ("struct", "enum", "trait", "mod", "use", "const", "static", "type", "union", "unsafe"):
            end = 0
        else:
            end = closing(rest, 0, ",", False)
        if "bindings::" in rest[:end]:
            continue
        out += [text[at:m.start()], "pub"]
        at = m.end()
    return "".join(out) + text[at:]


def macro_exported(text, names):
    """Macros that drivers use: in the crate's root, and with paths that mean the same there."""
    for name in names:
        m = re.search(rf"^[ \t]*macro_rules! {name} ", masked(text), re.M)
        if m:
            end = closing(masked(text), m.end(), ";")
            body = code(r"(?<![\w:$])(?:kernel|crate)::", "$crate::", text[m.start():end])
            text = f"{text[:m.start()]}#[macro_export]\n{body}{text[end:]}"
    return text


def without_allowances(text):
    """What isn't used by each driver needs no allowance where all is public."""
    return re.sub(r"^[ \t]*#\[allow\((?:dead_code|unused_imports|unused_macros)\b[^\]]*\)\][^\n]*\n", "", text, flags=re.M)


def without_examples(text):
    """Without what the documentation says of this repository's samples, which aren't in the kernel's tree."""
    lines = []
    for line in text.split("\n"):
        doc = re.match(r"\s*//[/!]", line)
        lines.append((line, bool(doc)))
    out, n = [], 0
    while n < len(lines):
        line, doc = lines[n]
        if not doc:
            out.append(line)
            n += 1
            continue
        # One comment, in paragraphs.
        m = n
        while m < len(lines) and lines[m][1]:
            m += 1
        mark = re.match(r"\s*//[/!]", line)[0]
        paragraphs, current = [], []
        for text_line, _ in lines[n:m]:
            if text_line.strip() in ("///", "//!"):
                paragraphs.append(current)
                current = []
            else:
                current.append(text_line)
        paragraphs.append(current)
        kept = []
        for p in paragraphs:
            if any("samples/" in x for x in p):
                # The sentence may be the last of a paragraph.
                p = [x for x in p if "samples/" not in x]
            if p:
                kept.append(p)
        kept = [p for i, p in enumerate(kept) if not (p[0].strip().endswith("# Examples") and i + 1 == len(kept))]
        if kept:
            out += f"\n{mark}\n".join("\n".join(p) for p in kept).split("\n")
        n = m
    return "\n".join(out)
