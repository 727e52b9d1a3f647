// SPDX-License-Identifier: GPL-2.0

//! A driver has no unsafe code.

#![forbid(unsafe_code)]

use crate::net::skb::SentSkb;
use core::ptr::NonNull;

fn stolen(skb: &SentSkb) -> Option<SentSkb> {
    let skb = NonNull::new(skb.as_raw())?;
    Some(unsafe { SentSkb::from_raw(skb) }) //~ usage of an `unsafe` block
}
