// SPDX-License-Identifier: GPL-2.0

//! A page pool stays with its receive queue, and is made and destroyed only while that is at rest.

#![forbid(unsafe_code)]

use crate::net::{
    queue::{
        AtRest,
        InPoll,
        RxNapi,
        RxQueue, //
    },
    Driver,
    Rtnl, //
};

fn swapped<T: Driver>(a: &RxQueue<T>, b: &RxQueue<T>, rtnl: &mut Rtnl) {
    let (Some((_, mut a)), Some((_, mut b))) = (
        a.stopped_state(rtnl),
        b.stopped_state(rtnl), //~ more than once at a time
    ) else {
        return;
    };
    core::mem::swap(&mut a, &mut b);
}

fn taken(napi: &mut RxNapi<'_, AtRest>) {
    let _ = napi.pool.take(); //~ field `pool` of struct `RxNapi` is private
}

fn in_the_poll_of_another<'a>(at_rest: RxNapi<'a, AtRest>) -> RxNapi<'a, InPoll> {
    at_rest //~ mismatched types
}

fn destroyed(napi: &mut RxNapi<'_, InPoll>) {
    napi.destroy_pool(); //~ no method named `destroy_pool`
}
