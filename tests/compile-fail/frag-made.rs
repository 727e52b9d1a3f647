// SPDX-License-Identifier: GPL-2.0

//! A fragment comes from a pool, says of which one, and goes back once.

#![forbid(unsafe_code)]

use crate::net::{
    page_pool::{
        Frag,
        PoolId, //
    },
    queue::{
        InPoll,
        RxNapi, //
    }, //
};

fn relabelled(mut frag: Frag) {
    frag.pool = PoolId(1); //~ field `pool` of struct `Frag` is private
}

fn made(frag: &Frag) -> Frag {
    Frag::from_raw(frag.va(), frag.truesize(), PoolId(1)) //~ is unsafe
}

fn twice(napi: &mut RxNapi<'_, InPoll>, frag: Frag) {
    napi.recycle(frag);
    napi.recycle(frag); //~ use of moved value
}
