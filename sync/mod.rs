// SPDX-License-Identifier: GPL-2.0

//! Primitives that the kernel crate lacks.

pub(crate) mod counter;
pub(crate) mod cpus;
pub(crate) mod errno;
pub(crate) mod fail;
pub(crate) mod init;
pub(crate) mod params;
pub(crate) mod work;
