// SPDX-License-Identifier: GPL-2.0

//! A packet of an earlier call can't be kept, to be given back in the place of a later one.

#![forbid(unsafe_code)]

use crate::net::{
    TxSkb,
    Xmit, //
};

struct Queue {
    kept: Option<TxSkb<'static>>,
}

fn start_xmit<'x>(queue: &mut Queue, skb: TxSkb<'x>) -> Xmit<'x> {
    let earlier = queue.kept.replace(skb); //~ borrowed data escapes outside of function
    match earlier {
        Some(kept) => Xmit::Busy(kept),
        None => Xmit::Ok,
    }
}

fn longer<'x>(kept: TxSkb<'static>) -> TxSkb<'x> {
    kept //~ lifetime may not live long enough
}
