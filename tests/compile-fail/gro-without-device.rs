// SPDX-License-Identifier: GPL-2.0

//! GRO takes a packet only when it has its device, its protocol and its headers.

#![forbid(unsafe_code)]

use crate::net::{
    page_pool::Frag,
    queue::NapiRef, //
};

fn receive(napi: &NapiRef<'_>, frag: Frag) {
    if let Ok(skb) = frag.build_skb(napi, 64, 1000) {
        napi.gro_receive(skb); //~ mismatched types
    }
}
