"""Which file of this repository becomes which of a kernel's tree, and what becomes of its text on the way."""

import pathlib
import re

import c
import comments
import rust
from rust import Refused

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
HERE = pathlib.Path(__file__).resolve().parent
DRIVER = "drivers/net/virtio_net_mq"
NET, VIRTIO, SYNC, PURE = "rust/kernel/net/netdev", "rust/kernel/virtio", "rust/kernel/sync", "rust/kernel/virtio_net"
HELPERS = "rust/helpers/netdev"
CONFIG = "CONFIG_RUST_NETDEV_ABSTRACTIONS"
# What rustfmt is called for: it follows their modules.
ROOTS = [f"{NET}.rs", f"{VIRTIO}.rs", f"{PURE}.rs", *(f"{SYNC}/{name}.rs" for name in ("counter", "cpus", "gate", "host", "work")),
         f"{DRIVER}/virtio_net_mq_main.rs"]
# Of sync/, what the kernel crate lacks; the rest is for a module outside of the tree, or goes elsewhere.
SYNC_FILES = [pathlib.Path(name).stem for name in ROOTS if name.startswith(f"{SYNC}/")]
# Of net/, what compares bindings with the kernel, which are the kernel's own there.
LEFT_OUT = {"net/layout.rs"}
MACROS = {"net_err": "netdev_err", "net_warn": "netdev_warn", "net_info": "netdev_info", "device_table": "virtio_device_table"}
ERRORS = {"eopnotsupp": "EOPNOTSUPP", "enetdown": "ENETDOWN", "eshutdown": "ESHUTDOWN"}
# Files of the driver with methods of a type of the layer, which is another crate's there: that type, and what the trait is called that
# has them.
EXTENDED = {"works.rs": ("Net", "Schedule", "What an interface does about its works.")}
# What the text of a file says of where it is, and no rule changes.
SAID = {
    "virtio_net_mq.rs": [
        ("`Documentation/architecture.rst` has the layers, the tokens\n//! that guard state, the locks and the drop order; this file has the"
         " module list, the tables and\n//! the module itself.",
         "[`kernel::net::netdev`] has the tokens that\n//! guard state; this file has the module list, the tables and the module itself."),
    ],
}


def source(name):
    """A file of this repository, with what SAID changes."""
    text = (REPO / name).read_text()
    for old, new in SAID.get(name, []):
        if text.count(old) != 1:
            raise Refused(f"{name} has changed: packaging/intree/layout.py looks for\n{old}")
        text = text.replace(old, new)
    return text


def only_here(text):
    """Without what is about a module outside of the tree.

    >>> only_here("//! Table.\\n//!\\n//! Kernel 7.3 has it; that concerns this file only.\\n//!\\n//! End.\\n")
    '//! Table.\\n//!\\n//! End.\\n'
    """
    text = re.sub(r"^//! [^\n]*(?:\n//! [^\n]*)*?concerns this file only\.\n//!\n", "", text, flags=re.M)
    text = re.sub(r"^//!\n//! [^\n]*(?:\n//! [^\n]*)*?concerns this file only\.\n", "", text, flags=re.M)
    text = re.sub(r"^(?:pub\(crate\) )?mod layout;\n", "", text, flags=re.M)
    text = re.sub(r"^[ \t]*(?:net::)?layout::check\(\)\?;\n", "", text, flags=re.M)
    # A block with one expression, then.
    return re.sub(r"<- \{\n\s*([^;{}\n]+)\n\s*\},\n", r"<- \1,\n", text)


def names(pattern):
    return sorted(p.relative_to(REPO).as_posix() for p in REPO.glob(pattern) if not p.name.endswith("_generated.rs"))


def own_pure():
    """The files of pure/ that the layer doesn't use: the driver's."""
    imported = {}
    for name in [*names("pure/*.rs"), *names("net/*.rs"), *names("virtio/*.rs"), *names("sync/*.rs")]:
        plain = rust.masked((REPO / name).read_text())
        paths = [path for m in rust.USE.finditer(plain) for path in rust.flat(m[3])]
        paths += [tuple(p.split("::")) for p in re.findall(r"\bcrate::pure(?:::\w+)+", plain)]
        if name.startswith("pure/"):
            imported[pathlib.Path(name).stem] = {p[1] for p in paths if p[0] == "super" and len(p) > 2}
        elif name not in LEFT_OUT:
            imported.setdefault("", set()).update(p[2] for p in paths if p[:2] == ("crate", "pure"))
    reached, todo = set(), set(imported.pop(""))
    while todo:
        one = todo.pop()
        reached.add(one)
        todo |= imported.get(one, set()) - reached
    return set(imported) - reached - {"mod"}


OWN = own_pure()


# --- paths ------------------------------------------------------------------------------------------------------------

def moved(path, here):
    """Where what a file of the layer (`here` is "crate") or of the driver ("kernel") imports is in the kernel's tree."""
    if path[0] == "kernel":
        return (here, *path[1:])
    if path[0] != "crate" or len(path) < 2:
        return path
    part, rest = path[1], path[2:]
    if part == "net":
        return None if rest[:1] == ("layout",) else (here, "net", "netdev", *rest)
    if part == "virtio":
        return (here, "virtio", *rest)
    if part == "bindings":
        return (here, "bindings", *rest)
    if part == "pure":
        return path if rest[:1] and rest[0] in OWN else (here, "virtio_net", *rest)
    if part == "sync":
        if rest[:1] in (("errno",), ("fail",)):
            return None
        if rest == ("ktime_get_seconds",):
            return (here, "time", *rest)
        if rest[:1] == ("params",):
            return ("crate", *rest)
        return (here, "sync", *rest)
    return path


def moved_own(path):
    """The same for a file of pure/ that is the driver's."""
    if path[0] == "super" and len(path) > 2 and path[1] not in OWN:
        return ("kernel", "virtio_net", *path[1:])
    return path


def init_at(newer):
    """How this kernel initialises a value where it stays (sync/init.rs)."""
    text = rust.configured((REPO / "sync/init.rs").read_text(), {"kernel_7_3": newer})
    m = re.search(r"unsafe \{\s*((?:init\.|pin_init::)\S[^{}]*?)\s*\}", text)
    if not m:
        raise Refused("sync/init.rs has changed")
    return m[1]


def common(name, newer):
    """What becomes of all Rust: what this kernel is, what isn't injected, and error numbers by their names."""
    text = rust.configured(source(name), {"kernel_7_3": newer, "test": False, "vnm_failpoints": False})
    text = only_here(rust.without_failpoints(text))
    text = text.replace("crate::sync::init::init_at(slot, init)", init_at(newer))
    for old, new in ERRORS.items():
        text = rust.code(rf"\bok_or_else\((?:crate::sync::errno::)?{old}\)", f"ok_or({new})", text)
        text = rust.code(rf"(?:\bcrate::sync::errno::)?\b{old}\(\)", new, text)
    for old, new in MACROS.items():
        text = re.sub(rf"\b{old}\b", new, text)
    return text


def extensions(text):
    """The traits of EXTENDED whose methods are called here."""
    out = []
    for name, (of, trait, _) in EXTENDED.items():
        block = re.search(rf"^impl {of} \{{\n.*?^\}}\n", (REPO / name).read_text(), re.M | re.S)
        methods = "|".join(re.findall(r"^    (?:pub\(crate\) )?fn (\w+)", block[0], re.M)) if block else "-"
        if re.search(rf"(?:\.|\b{of}::)(?:{methods})\(", rust.masked(text)):
            out.append(("crate", pathlib.Path(name).stem, trait))
    return out


def paths(text, here, more=()):
    """Imports, and paths in the code."""
    def inline(m):
        path = moved(tuple(m[2].split("::")), here)
        if path is None:
            raise Refused(f"{m[0]} has no place in the kernel's tree")
        return m[1] + "::".join(path)
    # A module that is imported by its name has another one.
    if any(path in (("crate", "net"), ("crate", "net", "self")) for m in rust.USE.finditer(rust.masked(text)) for path in rust.flat(m[3])):
        text = rust.code(r"(?<![\w:$])net::(?!\{)(?=\w)", "netdev::", text) if "use crate::net::" not in text else text
    text = rust.imports(text, lambda path: moved(path, here), more)
    text = rust.code(r"(\$?)\b(crate::(?:net|pure|sync|virtio)(?:::\w+)*)(?![\w:]*::\{)", inline, text)
    return rust.code(r"(?<![\w:$])kernel::", "crate::", text) if here == "crate" else text


def layer(name, newer):
    """A file of the layer."""
    text = common(name, newer)
    text = paths(text, "crate")
    text = c.binding_names(text)
    text = rust.opened(rust.without_allowances(text))
    text = rust.macro_exported(text, MACROS.values())
    return comments.rust(rust.without_examples(text))


def driver(name, newer):
    """A file of the driver."""
    text = common(name, newer)
    if name == "virtio_net_mq.rs":
        # Modules that were its own, with the comment on them; and what was the layer's.
        text = re.sub(r"(?:^//[^\n]*\n)?(?:^mod (?:bindings|net|sync|virtio);\n)+\n?", "", text, flags=re.M)
        text = re.sub(r"^(?=mod probe;\n)", "mod params;\n", text, flags=re.M)
        text = text.replace("\nuse kernel::", '\n#![crate_name = "virtio_net_mq"]\n\nuse kernel::', 1)
        text = rust.code(r"(?<![\w:$])(net|virtio|sync)::", r"crate::\1::", text)
    if name.startswith("pure/"):
        return comments.rust(rust.imports(text, moved_own))
    if name in EXTENDED:
        return comments.rust(paths(rust.extension(text, *EXTENDED[name]), "kernel"))
    return comments.rust(paths(text, "kernel", extensions(text)))


# --- files ------------------------------------------------------------------------------------------------------------

def headers():
    """What bindgen reads beside what it does, by the list of this repository."""
    skip = {"linux/hrtimer_types.h", "linux/hw_random.h"}
    return [h for h in re.findall(r"^#include <(.*)>$", source("bindings_helper.h"), re.M) if h not in skip]


def files(newer):
    """All new files: name and text."""
    out = {}
    for name in names("net/*.rs"):
        if name not in LEFT_OUT:
            out[f"{NET}.rs" if name == "net/mod.rs" else f"{NET}/{pathlib.Path(name).name}"] = layer(name, newer)
    for name in names("virtio/*.rs"):
        out[f"{VIRTIO}.rs" if name == "virtio/mod.rs" else f"{VIRTIO}/{pathlib.Path(name).name}"] = layer(name, newer)
    for stem in SYNC_FILES:
        out[f"{SYNC}/{stem}.rs"] = layer(f"sync/{stem}.rs", newer)
    pure = [pathlib.Path(name).stem for name in names("pure/*.rs") if not name.endswith("/mod.rs")]
    for stem in pure:
        if stem in OWN:
            out[f"{DRIVER}/pure/{stem}.rs"] = driver(f"pure/{stem}.rs", newer)
        else:
            out[f"{PURE}/{stem}.rs"] = layer(f"pure/{stem}.rs", newer)
    out[f"{PURE}.rs"] = (HERE / "virtio_net.rs").read_text() + "\n" + "".join(f"pub mod {s};\n" for s in pure if s not in OWN)
    out[f"{DRIVER}/pure/mod.rs"] = (HERE / "pure.rs").read_text() + "\n" + "".join(f"pub(crate) mod {s};\n" for s in pure if s in OWN)
    for name in [*names("*.rs"), *names("device/*.rs")]:
        if name != "bindings.rs":
            out[f"{DRIVER}/{'virtio_net_mq_main.rs' if name == 'virtio_net_mq.rs' else name}"] = driver(name, newer)
    out[f"{DRIVER}/params.rs"] = driver("sync/params.rs", newer)
    for name in ("params.c", "params.h"):
        out[f"{DRIVER}/{name}"] = comments.c(source(name))
    for name in ("Kconfig", "Makefile"):
        out[f"{DRIVER}/{name}"] = (HERE / name).read_text()
    for stem in ("inline", "datapath", "xdp", "xsk", "private"):
        mark = "__rust_helper " if stem == "inline" else ""
        out[f"{HELPERS}/{stem}.c"] = comments.c(c.files(c.realigned(c.own(c.renamed(source(f"helpers/{stem}.c"))), mark)))
    out[f"{HELPERS}.c"] = c.included(comments.c(c.files(c.renamed(source("helpers/helpers.c")))))
    out[f"{HELPERS}/netdev.h"] = comments.c(c.renamed(source("helpers/helpers.h")))
    return out


def part(name):
    """Which part of the series a file belongs to."""
    for prefix, what in ((DRIVER, "driver"), (NET, "net"), (PURE, "virtio_net"), (VIRTIO, "virtio"), (SYNC, "sync"), (HELPERS, "helpers")):
        if name.startswith((prefix + "/", prefix + ".")):
            return what
    raise Refused(f"{name} belongs to no part")
