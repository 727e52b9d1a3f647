// SPDX-License-Identifier: GPL-2.0

//! Tests of `pure/` on the build host: `rustc --edition=2021 --test tests/host.rs`.

#![allow(dead_code)]

#[path = "../pure/mod.rs"]
mod pure;
