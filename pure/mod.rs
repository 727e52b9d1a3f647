// SPDX-License-Identifier: GPL-2.0

//! Arithmetic and rules of the driver that need nothing but `core`.
//!
//! Nothing here touches a device, the kernel or memory that it does not own, so that all of it is
//! tested on the build host (`tests/host.rs`). Values that a device supplied are taken as they
//! came: every function is total over its argument types.
//!
//! Context: any.

#![forbid(unsafe_code)]

pub(crate) mod affinity;
pub(crate) mod coalesce;
pub(crate) mod config;
pub(crate) mod ctrl;
pub(crate) mod eth;
pub(crate) mod features;
pub(crate) mod hdr;
pub(crate) mod recovery;
pub(crate) mod rss;
pub(crate) mod rx;
pub(crate) mod stats;
pub(crate) mod tx;
