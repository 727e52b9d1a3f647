// SPDX-License-Identifier: GPL-2.0

//! A packet out of the ring is not one that the stack can have back: it was freed there.

#![forbid(unsafe_code)]

use crate::{
    net::{
        TxSkb,
        Xmit, //
    },
    virtio::{
        tx_ring::InFlight,
        Virtqueue, //
    }, //
};

fn start_xmit<'x>(vq: &mut Virtqueue<InFlight>, skb: TxSkb<'x>) -> Xmit<'x> {
    match vq.get_buf() {
        Some(used) => {
            skb.consume();
            Xmit::Busy(used.buf.into_skb()) //~ mismatched types
        }
        None => Xmit::Busy(skb),
    }
}
