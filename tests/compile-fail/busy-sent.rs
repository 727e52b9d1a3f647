// SPDX-License-Identifier: GPL-2.0

//! A packet out of the ring is not one that the stack can have back: it was freed there.

#![forbid(unsafe_code)]

use crate::{
    net::{
        TxSkb,
        Xmit, //
    },
    virtio::{
        tx_ring::{
            InFlight,
            SentPacket, //
        },
        Virtqueue, //
    }, //
};

fn start_xmit<'x>(vq: &mut Virtqueue<InFlight>, skb: TxSkb<'x>) -> Xmit<'x> {
    match vq.get_buf().map(|used| used.buf.into_packet()) {
        Some(SentPacket::Skb(sent)) => {
            skb.consume();
            Xmit::Busy(sent) //~ mismatched types
        }
        _ => Xmit::Busy(skb),
    }
}
