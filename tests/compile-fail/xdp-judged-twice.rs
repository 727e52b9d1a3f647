// SPDX-License-Identifier: GPL-2.0

//! A program judges a packet once, and what it said owns the packet: it isn't received as well, sent twice, or judged again.

#![forbid(unsafe_code)]

use crate::net::{
    page_pool::Frag,
    queue::{
        InPoll,
        RxNapi, //
    },
    xdp::{
        Prog,
        Verdict,
        XdpBuff,
        XdpFrame,
        XdpRoom, //
    }, //
};

fn judged_twice(napi: &mut RxNapi<'_, InPoll>, prog: Prog<'_>, buff: XdpBuff<'_, '_>) {
    let _ = napi.run_xdp(buff, prog);
    let _ = napi.run_xdp(buff, prog); //~ use of moved value
}

fn received_too(napi: &mut RxNapi<'_, InPoll>, prog: Prog<'_>, buff: XdpBuff<'_, '_>) {
    let verdict = napi.run_xdp(buff, prog);
    let _ = napi.xdp_skb(buff); //~ use of moved value
    drop(verdict);
}

fn dropped_is_received(napi: &mut RxNapi<'_, InPoll>, prog: Prog<'_>, buff: XdpBuff<'_, '_>) {
    match napi.run_xdp(buff, prog) {
        Verdict::Dropped(buff) => drop(napi.xdp_skb(buff)), //~ expected tuple struct or tuple variant
        _ => {}
    }
}

fn sent_and_received(napi: &mut RxNapi<'_, InPoll>, frame: XdpFrame) {
    let _ = napi.xdp_skb(frame); //~ mismatched types
}

fn sent_twice(frame: XdpFrame, mut send: impl FnMut(XdpFrame)) {
    send(frame);
    send(frame); //~ use of moved value
}

fn posted_too(napi: &mut RxNapi<'_, InPoll>, room: &mut XdpRoom<'_>, frag: Frag) {
    let _ = XdpBuff::new(room, frag, 192, 60);
    napi.recycle(frag); //~ use of moved value
}

fn two_in_a_room(room: &mut XdpRoom<'_>, first: Frag, second: Frag) {
    let buff = XdpBuff::new(room, first, 192, 60);
    let _ = XdpBuff::new(room, second, 192, 60); //~ cannot borrow `*room` as mutable more than once
    drop(buff);
}

fn copied<'r>(buff: &XdpBuff<'r, 'r>) -> XdpBuff<'r, 'r> {
    buff.clone() //~ mismatched types
}
