"""What is changed in files that the kernel has."""

import re

import layout
import rust
from rust import Refused


def placed(text, anchor, new, before=True):
    """`new` before, or behind, the one line that `anchor` describes."""
    found = list(re.finditer(rf"^{anchor}[^\n]*\n", text, re.M))
    if len(found) != 1:
        raise Refused(f"the kernel has {len(found)} lines like '{anchor}' where one is wanted")
    at = found[0].start() if before else found[0].end()
    return text[:at] + new + text[at:]


def with_module(text, name, condition=""):
    """`pub mod NAME;` where it belongs by the alphabet.

    >>> with_module("pub mod a;\\n#[cfg(X)]\\npub mod c;\\n", "b", "Y")
    'pub mod a;\\n#[cfg(Y)]\\npub mod b;\\n#[cfg(X)]\\npub mod c;\\n'
    """
    line = (f"#[cfg({condition})]\n" if condition else "") + f"pub mod {name};\n"
    modules = list(re.finditer(r"^(?:#\[[^\n]*\]\n)*(?:pub )?mod (\w+);\n", text, re.M))
    if not modules:
        raise Refused("a file of the kernel crate has no modules any more")
    after = next((m.start() for m in modules if m[1] > name), modules[-1].end())
    return text[:after] + line + text[after:]


def errors(text):
    """The error numbers without a name."""
    known = (("EOPNOTSUPP", "Operation not supported on transport endpoint."), ("ENETDOWN", "Network is down."),
             ("ESHUTDOWN", "Cannot send after transport endpoint shutdown."))
    new = "".join(f'    declare_err!({name}, "{what}");\n' for name, what in known if f"declare_err!({name}," not in text)
    return placed(text, r"    declare_err!\(ETIMEDOUT,", new)


def time(text):
    """The clock in seconds, as sync/mod.rs has it."""
    m = re.search(r"^(?:///[^\n]*\n)+pub\(crate\) fn ktime_get_seconds.*?^}\n", layout.source("sync/mod.rs"), re.M | re.S)
    if not m:
        raise Refused("sync/mod.rs has changed")
    function = rust.code(r"(?<![\w:$])kernel::", "crate::", m[0]).replace("pub(crate) fn", "pub fn")
    return text if "fn ktime_get_seconds" in text else text.rstrip("\n") + "\n\n" + function


def bindings(text):
    """The headers, if wanted."""
    lines = "".join(f"#include <{h}>\n" for h in layout.headers())
    return text.rstrip("\n") + f"\n\n#ifdef {layout.CONFIG}\n{lines}\n#include \"../helpers/netdev/netdev.h\"\n#endif\n"


def parameters(text):
    """What bindgen can't express."""
    return text.rstrip("\n") + ("\n\n# Private to AF_XDP's core; drivers hand it from one function to another.\n"
                                "--opaque-type xsk_buff_pool\n")


def helpers(text):
    return placed(text, r'#include "mutex\.c"', f'#ifdef {layout.CONFIG}\n#include "netdev.c"\n#endif\n', before=False)


def abstractions(text):
    return placed(text, r"config NLMON$", (layout.HERE / "Kconfig.abstractions").read_text() + "\n")


def sync(text):
    for name in layout.SYNC_FILES:
        text = with_module(text, name, layout.CONFIG if name in ("cpus", "work") else "")
    return text


def maintainers(text):
    entry = (layout.HERE / "MAINTAINERS").read_text()
    person = re.search(r"^M:\t(.*)$", layout.source("MAINTAINERS"), re.M)
    if not person:
        raise Refused("MAINTAINERS has no maintainer")
    return placed(text, r"VIRTIO PMEM DRIVER$", entry.replace("@PERSON@", person[1]) + "\n")


# Name in series.toml, file (or two, of which a kernel has one), and what is done to it.
EDITS = {
    "errors": ("rust/kernel/error.rs", errors),
    "time": ("rust/kernel/time.rs", time),
    "bindings": ("rust/bindings/bindings_helper.h", bindings),
    "parameters": ("rust/bindgen_parameters", parameters),
    "helpers": ("rust/helpers/helpers.c", helpers),
    "abstractions": ("drivers/net/Kconfig", abstractions),
    "lib-virtio-net": ("rust/kernel/lib.rs", lambda text: with_module(text, "virtio_net", layout.CONFIG)),
    "lib-virtio": ("rust/kernel/lib.rs", lambda text: with_module(text, "virtio", layout.CONFIG)),
    "net": ("rust/kernel/net.rs|rust/kernel/net/mod.rs", lambda text: with_module(text, "netdev", layout.CONFIG)),
    "sync": ("rust/kernel/sync.rs", sync),
    "kconfig": ("drivers/net/Kconfig", lambda text: placed(text, r"config NLMON$", f'source "{layout.DRIVER}/Kconfig"\n\n')),
    "makefile": ("drivers/net/Makefile", lambda text: placed(text, r"obj-\$\(CONFIG_VIRTIO_NET\) \+= virtio_net\.o",
                                                             "obj-$(CONFIG_VIRTIO_NET_MQ) += virtio_net_mq/\n", before=False)),
    "params": ("rust/bindings/bindings_helper.h",
               lambda text: text + f'\n#if IS_ENABLED(CONFIG_VIRTIO_NET_MQ)\n#include "../../{layout.DRIVER}/params.h"\n#endif\n'),
    "maintainers": ("MAINTAINERS", maintainers),
}


def path(tree, name):
    """The file that a change is of, in this kernel."""
    choices = EDITS[name][0].split("|")
    return next((choice for choice in choices if (tree / choice).is_file()), choices[0])


def edited(tree):
    """All files that are changed."""
    return sorted({path(tree, name) for name in EDITS})
