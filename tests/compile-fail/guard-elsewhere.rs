// SPDX-License-Identifier: GPL-2.0

//! A lock is given back by the CPU that took it, and state isn't used after that.

#![forbid(unsafe_code)]

use crate::net::{
    queue::{
        Backend,
        TxQueue, //
    },
    Driver, //
};

fn send<S: Send>(_: S) {}

fn elsewhere<T: Driver>(q: &TxQueue<T>) {
    send(q.lock_bh()); //~ between threads safely
}

fn afterwards<T: Driver>(q: &TxQueue<T>) -> T::Tx
where
    T::Tx: Copy,
{
    let mut tx = q.lock_bh();
    let state = tx.state();
    drop(tx); //~ cannot move out of `tx` because it is borrowed
    *state
}

fn how<L: Backend>() {}

fn made() {
    how::<()>(); //~ Backend` is not satisfied
}
