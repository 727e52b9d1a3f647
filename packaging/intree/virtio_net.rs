// SPDX-License-Identifier: GPL-2.0

//! What drivers and devices of virtio networks tell each other, and arithmetic on it.
//!
//! Nothing here touches a device or memory that it does not own. Values that a device supplied are
//! taken as they came: every function is total over its argument types.

#![forbid(unsafe_code)]
