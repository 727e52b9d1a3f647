// SPDX-License-Identifier: GPL-2.0

//! What a handle leads to is there while the closure runs, and can't be kept for longer.

#![forbid(unsafe_code)]

use crate::net::{
    handle::Handle,
    Driver,
    NetDevice, //
};

fn kept<T: Driver>(handle: &Handle<NetDevice<T>>) -> Option<&NetDevice<T>> {
    handle.with(|dev| dev) //~ lifetime may not live long enough
}
