// SPDX-License-Identifier: GPL-2.0

//! What settings need to talk to the device.

#![forbid(unsafe_code)]

use super::features::Negotiated;
use crate::{
    ctrl_vq::{
        Command,
        CtrlVq, //
    },
    virtio::Device, //
};
use kernel::{
    device::Bound,
    prelude::*, //
};

/// A device with its features and its control queue: what a command takes.
#[derive(Clone, Copy)]
pub(crate) struct Control<'a> {
    /// The device.
    pub(crate) vdev: &'a Device<Bound>,
    /// What was negotiated with it.
    pub(crate) f: &'a Negotiated,
    vq: &'a CtrlVq,
}

impl<'a> Control<'a> {
    /// The handle of the interface that these belong to.
    pub(crate) fn new(vdev: &'a Device<Bound>, f: &'a Negotiated, vq: &'a CtrlVq) -> Self {
        Self { vdev, f, vq }
    }

    /// Whether the feature `b` was negotiated.
    pub(crate) fn has(self, b: u32) -> bool {
        self.f.has(b)
    }

    /// Sends a command and waits for the answer. Process context.
    ///
    /// # Errors
    ///
    /// Those of [`CtrlVq::exec`].
    pub(crate) fn exec<C: Command>(self, cmd: &C) -> Result {
        self.vq.exec(self.vdev, cmd)
    }

    /// The same for a command that has a result, of `room` bytes at most. Process context.
    ///
    /// # Errors
    ///
    /// Those of [`CtrlVq::exec`].
    pub(crate) fn query<C: Command>(self, cmd: &C, room: usize) -> Result<KVec<u8>> {
        self.vq.query(self.vdev, cmd, room)
    }
}
