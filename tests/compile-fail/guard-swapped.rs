// SPDX-License-Identifier: GPL-2.0

//! A guard isn't exchanged for one that gives the lock back in another way, or not at all.

#![forbid(unsafe_code)]

use crate::net::{
    queue::{
        ByCore,
        TxGuard,
        TxPoll,
        TxQueue, //
    },
    Driver, //
};

fn in_xmit<'a, T: Driver>(tx: &mut TxGuard<'a, T, ByCore>, other: &'a TxQueue<T>) {
    let mut locked = other.lock_bh();
    core::mem::swap(tx, &mut locked); //~ mismatched types
}

fn in_poll<'a, T: Driver>(poll: &mut TxPoll<'a, T>, other: &'a TxQueue<T>) {
    *poll.locked() = other.lock_bh(); //~ mismatched types
}
