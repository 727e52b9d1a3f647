// SPDX-License-Identifier: GPL-2.0

//! What has to be true of `pure/` whatever it is given. Each property is a function that panics where it isn't; `tests/`
//! calls them with proptest's values, `targets/` with libFuzzer's.
//!
//! Models here are in 64 bits, where nothing of what the driver computes in 32 can overflow.

#![forbid(unsafe_code)]

#[allow(dead_code)]
#[path = "../../pure/mod.rs"]
mod pure;

pub mod buffers;
pub mod commands;
pub mod header;
pub mod queues;
pub mod steering;
pub mod target;
