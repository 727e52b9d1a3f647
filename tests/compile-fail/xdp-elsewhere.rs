// SPDX-License-Identifier: GPL-2.0

//! Programs run in a poll, and are asked for there; none is kept, or made of nothing. Packets and frames are what the layer
//! made them.

#![forbid(unsafe_code)]

use crate::net::{
    queue::{
        AtRest,
        InPoll,
        RxNapi,
        RxPoll, //
    },
    xdp::{
        NewProg,
        Prog,
        XdpBuff,
        XdpFrame,
        XdpRoom, //
    },
    Driver,
    NetDevice, //
};

fn at_rest(napi: &mut RxNapi<'_, AtRest>, prog: Prog<'_>, buff: XdpBuff<'_, '_>) {
    let _ = napi.run_xdp(buff, prog); //~ no method named `run_xdp`
}

fn kept<T: Driver>(dev: &NetDevice<T>, poll: RxPoll<'_, T>) -> Option<Prog<'static>> {
    dev.xdp_prog(&poll) //~ lifetime may not live long enough
}

fn kept_from_attach(prog: NewProg<'_>) -> NewProg<'static> {
    prog //~ lifetime may not live long enough
}

fn without_a_poll<T: Driver>(dev: &NetDevice<T>) {
    let _ = dev.xdp_slot(); //~ method `xdp_slot` is private
}

fn room_kept<'a>(napi: &mut RxNapi<'a, InPoll>) -> Option<XdpRoom<'static>> {
    XdpRoom::new(napi) //~ lifetime may not live long enough
}

fn elsewhere(prog: Prog<'_>) {
    fn sent<T: Send>(_: T) {}
    sent(prog); //~ cannot be sent between threads safely
}

fn rewritten(mut buff: XdpBuff<'_, '_>) {
    buff.room = Default::default(); //~ field `room` of struct `XdpBuff` is private
}

fn taken(frame: XdpFrame) {
    let _ = frame.0; //~ field `0` of struct `XdpFrame` is private
}

fn raw(frame: XdpFrame) -> XdpFrame {
    XdpFrame::from_raw(frame.into_raw()) //~ call to unsafe function
}
