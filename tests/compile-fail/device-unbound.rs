// SPDX-License-Identifier: GPL-2.0

//! A reference to a device doesn't keep it bound: it can't be used, and not set up outside of a callback of the bus.

#![forbid(unsafe_code)]

use crate::virtio::{
    bound::BoundRef,
    Device, //
};
use kernel::sync::aref::ARef;

fn read(dev: &ARef<Device>) -> u16 {
    dev.cread16(0) //~ no method named `cread16` found
}

fn reset(dev: &Device) {
    dev.reset(); //~ no method named `reset` found
}

fn ready(dev: &BoundRef) {
    dev.ready(); //~ no method named `ready` found
}

fn keep(dev: &Device) -> BoundRef {
    dev.into() //~ is not satisfied
}
