// SPDX-License-Identifier: GPL-2.0

//! The layer as it is meant to be used: what the other files change compiles here.

#![forbid(unsafe_code)]

use crate::{
    net::{
        page_pool::{
            Frag,
            SkbChain, //
        },
        queue::{
            AtRest,
            ByCore,
            InPoll,
            RxNapi,
            RxPoll,
            Softirq,
            TxGuard,
            TxPoll,
            TxQueue, //
        },
        Driver,
        NetDevice,
        TxSkb,
        Xmit, //
    },
    pure::hdr::RawHdr,
    virtio::{
        hdr::{
            rx_prepare,
            HdrLayout, //
        },
        tx_ring::{
            InFlight,
            SentPacket,
            TxSg, //
        },
        Virtqueue, //
    }, //
};
use kernel::prelude::*;

fn start_xmit<'x, T: Driver>(
    vq: &mut Virtqueue<InFlight>,
    sg: &mut TxSg,
    layout: HdrLayout,
    skb: TxSkb<'x>,
    mut tx: TxGuard<'_, T, ByCore>,
) -> Xmit<'x> {
    match vq.add_skb(sg, skb, layout) {
        Ok(_) => Xmit::Ok,
        Err((_, skb)) => {
            tx.stop();
            Xmit::Busy(skb)
        }
    }
}

fn reap<T: Driver>(vq: &mut Virtqueue<InFlight>, mut tx: TxGuard<'_, T, Softirq>) {
    let (_, context) = tx.state_to_reap();
    while let Some(used) = vq.get_buf() {
        if let SentPacket::Skb(skb) = used.buf.into_packet() {
            skb.napi_consume(&context);
        }
    }
}

fn receive<T: Driver>(
    dev: &NetDevice<T>,
    napi: &mut RxNapi<'_, InPoll>,
    frag: Frag,
    more: Frag,
    hdr: RawHdr,
) {
    let Ok(skb) = frag.build_skb(napi, 64, 1000) else {
        return;
    };
    let mut chain = SkbChain::new(skb);
    if let Err(more) = chain.append(napi, more, 0, 1000) {
        return napi.recycle(more);
    }
    if let Ok(skb) = rx_prepare(chain.into_skb(), dev, hdr, 0) {
        napi.gro_receive(skb);
    }
}

fn refill(napi: &mut RxNapi<'_, AtRest>) -> Result {
    napi.create_pool(256, None)?;
    if napi.alloc_page().is_none() {
        napi.destroy_pool();
    }
    Ok(())
}

fn both<T: Driver>(a: &TxQueue<T>, b: &TxQueue<T>, poll: &RxPoll<'_, T>) {
    let (mut a, mut b) = (a.trylock(poll), b.trylock(poll));
    // Each gives back what it has.
    core::mem::swap(&mut a, &mut b);
}

fn poll<T: Driver>(mut poll: TxPoll<'_, T>, q: &TxQueue<T>) {
    poll.locked().schedule_poll();
    let mut other = q.lock_bh();
    let _ = other.state();
}
