// SPDX-License-Identifier: GPL-2.0

//! A packet in a socket's buffer is judged once, by the poll that it came in, and doesn't outlive it.

#![forbid(unsafe_code)]

use crate::net::{
    queue::{
        InPoll,
        RxNapi, //
    },
    xdp::Prog,
    xsk_queue::XskBuff, //
};

fn twice<'a>(napi: &mut RxNapi<'a, InPoll>, buff: XskBuff<'a>, prog: Prog<'_>) {
    let _ = napi.run_xsk(buff, None, prog);
    let _ = napi.run_xsk(buff, None, prog); //~ use of moved value
}

fn longer<'a>(buff: XskBuff<'a>) -> XskBuff<'static> {
    buff //~ lifetime may not live long enough
}

fn elsewhere(buff: XskBuff<'_>) {
    fn send<T: Send>(_: T) {}
    send(buff); //~ cannot be sent between threads safely
}
