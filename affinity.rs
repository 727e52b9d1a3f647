// SPDX-License-Identifier: GPL-2.0

//! Which CPUs serve which queue pair: interrupt affinity hints, and XPS maps from the same table,
//! so that a packet is sent on the queue whose interrupts come to the sending CPU.

#![forbid(unsafe_code)]

use crate::{
    device::{
        Net,
        VirtnetInfo, //
    },
    open::{
        rx_vq,
        tx_vq, //
    },
    pure::affinity::pair_cpus,
    sync::cpus::{
        mask_set,
        new_mask,
        online_cpus,
        CpusHeld, //
    },
    virtio::VirtqueueSet, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// What the table is made for. Not the settings' count: hotplug callbacks can't wait for RTNL.
pub(crate) struct State {
    set: Option<Arc<VirtqueueSet>>,
    pairs: u16,
}

impl State {
    /// No queues.
    pub(crate) const fn new() -> Self {
        Self {
            set: None,
            pairs: 0,
        }
    }

    /// Changes the queues that hints are given for.
    pub(crate) fn set(&mut self, set: Option<Arc<VirtqueueSet>>) {
        self.set = set;
    }
}

/// Changes the number of pairs in use; [`apply`] does the rest.
pub(crate) fn set_pairs(info: &VirtnetInfo, pairs: u16) {
    info.affinity.lock().pairs = pairs;
}

/// Gives each pair in use its CPUs out of those online, less `leaving`. Process context.
pub(crate) fn apply(dev: &Net, held: &CpusHeld, leaving: Option<u32>) {
    let info = dev.data();
    let state = info.affinity.lock();
    let Some(set) = state.set.as_ref() else {
        return;
    };
    for i in 0..state.pairs {
        if let Err(e) = apply_one(dev, set, i, state.pairs, held, leaving) {
            dev_warn!(info.vdev.dev(), "pair {i}: CPUs not set: {e:?}\n");
        }
    }
    for i in state.pairs..info.max_pairs {
        set.clear_affinity(rx_vq(i));
        set.clear_affinity(tx_vq(i));
    }
}

fn apply_one(
    dev: &Net,
    set: &VirtqueueSet,
    i: u16,
    pairs: u16,
    held: &CpusHeld,
    leaving: Option<u32>,
) -> Result {
    let cpus = u32::try_from(online_cpus(held, leaving).count())?;
    let ranks = pair_cpus(u32::from(i), u32::from(pairs), cpus);
    let mut mask = new_mask()?;
    let first = usize::try_from(ranks.start)?;
    for cpu in online_cpus(held, leaving).skip(first).take(ranks.len()) {
        mask_set(&mut mask, cpu);
    }
    // Without an interrupt of its own for each queue a hint would move everybody's.
    if set.irq_per_queue() {
        set.set_affinity(rx_vq(i), &mask);
        set.set_affinity(tx_vq(i), &mask);
    }
    dev.set_xps(i, &mask, held)
}
