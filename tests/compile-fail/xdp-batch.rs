// SPDX-License-Identifier: GPL-2.0

//! The frames of `ndo_xdp_xmit` are there during the call only, and taken one by one.

#![forbid(unsafe_code)]

use crate::net::xdp::{
    XdpFrame,
    XmitBatch, //
};

fn kept<'a>(batch: XmitBatch<'a>) -> XmitBatch<'static> {
    batch //~ lifetime may not live long enough
}

fn more_than_there_are(batch: &mut XmitBatch<'_>) {
    batch.n = 64; //~ field `n` of struct `XmitBatch` is private
}

fn given_back_twice(batch: &mut XmitBatch<'_>, frame: XdpFrame) {
    batch.give_back(frame);
    batch.give_back(frame); //~ use of moved value
}

fn elsewhere(batch: XmitBatch<'_>) {
    fn sent<T: Send>(_: T) {}
    sent(batch); //~ cannot be sent between threads safely
}
