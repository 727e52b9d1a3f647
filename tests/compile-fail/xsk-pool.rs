// SPDX-License-Identifier: GPL-2.0

//! A pool of AF_XDP's belongs to one queue pair, goes by who holds RTNL, and its halves stay with the two sides of that; buffers
//! that a ring has are one owner's.

#![forbid(unsafe_code)]

use crate::net::{
    queue::{
        Backend,
        QueuePair,
        TxGuard, //
    },
    xsk::{
        XskMapped,
        XskPosted,
        XskTx, //
    },
    Driver,
    Rtnl, //
};

fn twice<T: Driver>(a: &QueuePair<T>, b: &QueuePair<T>, pool: XskMapped<'_>, rtnl: &mut Rtnl) {
    let _ = a.xsk_install(pool, rtnl);
    let _ = b.xsk_install(pool, rtnl); //~ use of moved value
}

fn longer<'a>(pool: XskMapped<'a>) -> XskMapped<'static> {
    pool //~ lifetime may not live long enough
}

fn without_rtnl<T: Driver>(pair: &QueuePair<T>, rtnl: &Rtnl) {
    let _ = pair.xsk_remove(rtnl); //~ mismatched types
}

fn unlocked<'a, T: Driver, L: Backend + 'a>(mut tx: TxGuard<'a, T, L>) -> Option<&'a mut XskTx> {
    tx.state_and_xsk().1 //~ cannot return value referencing function parameter
}

fn two_owners(posted: XskPosted) {
    let _ = posted.into_raw();
    drop(posted); //~ use of moved value
}
