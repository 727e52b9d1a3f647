// SPDX-License-Identifier: GPL-2.0

//! A packet that was sent is perhaps cloned or shared: nothing may be appended to it, nor may GRO merge it.

#![forbid(unsafe_code)]

use crate::{
    net::{
        page_pool::SkbChain,
        queue::NapiRef,
        TxSkb, //
    },
    virtio::{
        tx_ring::InFlightSkb,
        Virtqueue, //
    }, //
};

fn append(vq: &mut Virtqueue<InFlightSkb>) {
    if let Some(used) = vq.get_buf() {
        SkbChain::new(used.buf.into_skb()).into_skb().consume(); //~ mismatched types
    }
}

fn merge(vq: &mut Virtqueue<InFlightSkb>, napi: &NapiRef<'_>) {
    if let Some(used) = vq.get_buf() {
        napi.gro_receive(used.buf.into_skb()); //~ mismatched types
    }
}

fn loop_back(skb: TxSkb<'_>, napi: &NapiRef<'_>) {
    napi.gro_receive(skb); //~ mismatched types
}
