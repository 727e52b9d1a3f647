// SPDX-License-Identifier: GPL-2.0

//! The CPU's cache of skbs is used only while the lock is held that keeps softirqs off.

#![forbid(unsafe_code)]

use crate::net::{
    queue::TxQueue,
    skb::{
        ConsumeContext,
        SentSkb, //
    },
    Driver, //
};

fn later<T: Driver>(q: &TxQueue<T>, skb: SentSkb) {
    let context = {
        let mut tx = q.lock_bh();
        tx.state_to_reap().1 //~ does not live long enough
    };
    skb.napi_consume(&context);
}

fn claimed(skb: SentSkb) {
    skb.napi_consume(1); //~ mismatched types
}

fn made(skb: SentSkb) {
    skb.napi_consume(&ConsumeContext { budget: 1 }); //~ cannot construct
}
