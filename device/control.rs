// SPDX-License-Identifier: GPL-2.0

//! What settings need to send commands to the device.
//!
//! Context: process.

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
    /// The virtio device.
    pub(crate) vdev: &'a Device<Bound>,
    /// The features that were negotiated with it.
    pub(crate) f: &'a Negotiated,
    vq: &'a CtrlVq,
}

impl<'a> Control<'a> {
    /// Makes the handle of the interface that these belong to.
    ///
    /// Context: any.
    pub(crate) fn new(vdev: &'a Device<Bound>, f: &'a Negotiated, vq: &'a CtrlVq) -> Self {
        Self { vdev, f, vq }
    }

    /// Returns whether the feature `b` was negotiated.
    ///
    /// Context: any.
    pub(crate) fn has(self, b: u32) -> bool {
        self.f.has(b)
    }

    /// Sends a command and waits for the answer.
    ///
    /// # Errors
    ///
    /// Returns those of [`CtrlVq::exec`].
    pub(crate) fn exec<C: Command>(self, cmd: &C) -> Result {
        self.vq.exec(self.vdev, cmd)
    }

    /// Sends a command that has a result, of `room` bytes at most, and returns the result.
    ///
    /// # Errors
    ///
    /// Returns those of [`CtrlVq::exec`].
    pub(crate) fn query<C: Command>(self, cmd: &C, room: usize) -> Result<KVec<u8>> {
        self.vq.query(self.vdev, cmd, room)
    }
}
