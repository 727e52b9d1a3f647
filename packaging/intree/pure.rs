// SPDX-License-Identifier: GPL-2.0

//! Rules of the driver that need nothing but `core`.

#![forbid(unsafe_code)]
