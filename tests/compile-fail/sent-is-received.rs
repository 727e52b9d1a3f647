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
        tx_ring::{
            InFlight,
            SentPacket, //
        },
        Virtqueue, //
    }, //
};

fn append(vq: &mut Virtqueue<InFlight>) {
    if let Some(SentPacket::Skb(skb)) = vq.get_buf().map(|used| used.buf.into_packet()) {
        SkbChain::new(skb).into_skb().consume(); //~ mismatched types
    }
}

fn merge(vq: &mut Virtqueue<InFlight>, napi: &NapiRef<'_>) {
    if let Some(SentPacket::Skb(skb)) = vq.get_buf().map(|used| used.buf.into_packet()) {
        napi.gro_receive(skb); //~ mismatched types
    }
}

fn loop_back(skb: TxSkb<'_>, napi: &NapiRef<'_>) {
    napi.gro_receive(skb); //~ mismatched types
}
