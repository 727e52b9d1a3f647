// SPDX-License-Identifier: GPL-2.0

//! Packets are made and received inside of a poll, not by whoever has the queue at rest.

#![forbid(unsafe_code)]

use crate::net::{
    page_pool::Frag,
    queue::{
        AtRest,
        RxNapi, //
    },
    skb::ReceivedSkb, //
};

fn build(napi: &RxNapi<'_, AtRest>, frag: Frag) {
    let _ = frag.build_skb(napi, 64, 1000); //~ mismatched types
}

fn receive(napi: &RxNapi<'_, AtRest>, skb: ReceivedSkb) {
    napi.gro_receive(skb); //~ no method named `gro_receive`
}
