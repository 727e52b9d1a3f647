// SPDX-License-Identifier: GPL-2.0

//! The files of one driver's queues aren't those of another one's, whose devices they would take for their own.

#![forbid(unsafe_code)]

use crate::net::{
    device::Setup,
    sysfs::{
        RxQueueFile,
        RxQueueGroup, //
    },
    Driver,
    NetDevice, //
};

fn setup<T: Driver, U: Driver, F: RxQueueFile<NetDevice<U>>>() -> Setup<T> {
    Setup {
        rx_queue_group: Some(RxQueueGroup::<NetDevice<U>>::of::<F>()), //~ mismatched types
        ..Setup::default()
    }
}
