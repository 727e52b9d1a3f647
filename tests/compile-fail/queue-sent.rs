// SPDX-License-Identifier: GPL-2.0

//! A packet that others may have is linked into no queue.

#![forbid(unsafe_code)]

use crate::net::{
    skb::{
        RxSkb,
        SentSkb, //
    },
    skb_queue::SkbQueue,
    TxSkb, //
};

fn to_send(queue: &SkbQueue, skb: TxSkb<'_>) {
    let _ = queue.push(skb); //~ mismatched types
}

fn sent(queue: &SkbQueue, skb: SentSkb) {
    let _ = queue.push(skb); //~ mismatched types
}

fn without_device(queue: &SkbQueue, skb: RxSkb) {
    let _ = queue.push(skb); //~ mismatched types
}
