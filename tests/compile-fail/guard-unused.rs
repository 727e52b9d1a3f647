// SPDX-License-Identifier: GPL-2.0

//! A lock that is given back at once guards nothing.

#![forbid(unsafe_code)]
#![deny(unused_must_use)]

use crate::net::{
    queue::TxQueue,
    Driver, //
};

fn locked<T: Driver>(q: &TxQueue<T>) {
    q.lock_bh(); //~ unused `TxGuard`
}
