// SPDX-License-Identifier: GPL-2.0

// The layer, as a crate of one driver has it: what the driver doesn't use may lie about. Included by the roots of
// samples/roots/, and by the cases of tests/compile-fail/.

#[path = "../bindings.rs"]
#[allow(dead_code)]
mod bindings;
#[path = "../net/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod net;
#[path = "../pure/mod.rs"]
#[allow(dead_code)]
mod pure;
#[path = "../sync/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod sync;
#[path = "../virtio/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod virtio;
