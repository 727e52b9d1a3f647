// SPDX-License-Identifier: GPL-2.0

//! The frames of `ndo_xdp_xmit` are there during the call only, those of a bulk while it is sent; whoever takes one says in an
//! unsafe block who has it now.

#![forbid(unsafe_code)]

use crate::net::xdp::{
    Bulk,
    FrameList,
    XdpFrame,
    XmitBatch, //
};

fn kept<'a>(batch: XmitBatch<'a>) -> XmitBatch<'static> {
    batch //~ lifetime may not live long enough
}

fn more_than_there_are(list: &mut FrameList<'_>) {
    list.n = 64; //~ field `n` of struct `FrameList` is private
}

fn taken_by_nobody(list: &mut FrameList<'_>) {
    list.take(1); //~ call to unsafe function
}

fn list_kept(bulk: &mut Bulk) {
    let mut kept = None;
    let _ = bulk.send(|list| kept = Some(list)); //~ borrowed data escapes outside of closure
}

fn sent_twice(bulk: &mut Bulk, frame: XdpFrame) {
    bulk.push(frame);
    bulk.push(frame); //~ use of moved value
}

fn elsewhere(batch: XmitBatch<'_>) {
    fn sent<T: Send>(_: T) {}
    sent(batch); //~ cannot be sent between threads safely
}
