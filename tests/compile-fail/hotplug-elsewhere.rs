// SPDX-License-Identifier: GPL-2.0

//! A node goes onto the list of a state of its own type only: the callbacks of another one would take it for one of theirs.

#![forbid(unsafe_code)]

use crate::{
    net::{
        Driver,
        NetDevice, //
    },
    sync::cpus::{
        HotplugNode,
        HotplugState, //
    }, //
};
use kernel::prelude::*;

fn add<T: Driver, U: Driver>(
    node: &HotplugNode<NetDevice<T>>,
    state: &'static HotplugState<NetDevice<U>>,
    dev: &NetDevice<T>,
) -> Result {
    node.add(state, dev) //~ mismatched types
}

fn by_number<T: Driver>(node: &HotplugNode<NetDevice<T>>, dev: &NetDevice<T>) -> Result {
    node.add(7, dev) //~ mismatched types
}
