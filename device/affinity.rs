// SPDX-License-Identifier: GPL-2.0

//! What the interrupts of each queue pair are bound to.
//!
//! Context: process.

#![forbid(unsafe_code)]

use crate::{
    pure::{
        affinity::CpuTopology,
        config::{
            rx_vq,
            tx_vq, //
        }, //
    },
    sync::cpus::{
        mask_set,
        new_mask,
        KeptMask, //
    },
    virtio::VirtqueueSet, //
};
use kernel::{
    cpumask::CpumaskVar,
    prelude::*,
    sync::Arc, //
};

/// What the table of CPUs is made for.
///
/// It has a count of its own, because hotplug callbacks can't wait for RTNL, which the settings'
/// count takes.
pub(crate) struct State {
    vqs: Option<Arc<VirtqueueSet>>,
    /// Pairs in use.
    pub(crate) pairs: u16,
    /// What each pair's interrupts were bound to.
    applied: KVVec<Applied>,
}

/// What the interrupts of a pair were bound to last.
struct Applied {
    mask: KeptMask,
    /// Whether the interrupts (RX, TX) were found bound to something else, so that somebody (the
    /// user, irqbalance) has decided otherwise.
    ///
    /// From then on they are left alone.
    overridden: [bool; 2],
}

impl State {
    /// Makes a state without queues.
    pub(crate) const fn new() -> Self {
        Self {
            vqs: None,
            pairs: 0,
            applied: KVVec::new(),
        }
    }

    /// Changes the queues that hints are given for.
    pub(crate) fn set_vqs(&mut self, vqs: Option<Arc<VirtqueueSet>>) {
        self.vqs = vqs;
        self.applied = KVVec::new();
    }

    /// Returns whether there are queues.
    pub(crate) fn has_vqs(&self) -> bool {
        self.vqs.is_some()
    }

    /// Lets the interrupts of pair `i`, which isn't in use, go to any of `cpus`, and gives no hint
    /// any more.
    ///
    /// Bound as it was it could lose its last CPU: the kernel would then bind it anew, which looks
    /// as if somebody else had.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`; then it stays bound as it was.
    pub(crate) fn park(&mut self, i: u16, cpus: &[CpuTopology]) -> Result {
        let parked = self.bind_to_any(i, cpus);
        if let Some(vqs) = &self.vqs {
            vqs.clear_affinity(rx_vq(i));
            vqs.clear_affinity(tx_vq(i));
        }
        parked
    }

    fn bind_to_any(&mut self, i: u16, cpus: &[CpuTopology]) -> Result {
        if usize::from(i) >= self.applied.len() {
            return Ok(());
        }
        let mut mask = new_mask()?;
        for cpu in cpus {
            mask_set(&mut mask, cpu.cpu);
        }
        self.bind(i, &mask)
    }

    /// Binds the interrupts of pair `i`, but those that somebody else has bound since.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`.
    pub(crate) fn bind(&mut self, i: u16, mask: &CpumaskVar) -> Result {
        // Without an interrupt of its own for each queue a hint would move everybody's.
        let Some(vqs) = self.vqs.as_ref().filter(|vqs| vqs.irq_per_queue()) else {
            return Ok(());
        };
        let pair = [rx_vq(i), tx_vq(i)];
        let at = usize::from(i);
        // Pairs come in order, so that there is an entry for each one before.
        if at >= self.applied.len() {
            let new = Applied {
                mask: KeptMask::new(mask)?,
                overridden: [false; 2],
            };
            self.applied.push(new, GFP_KERNEL)?;
            for vq in pair {
                vqs.set_affinity(vq, mask);
            }
        } else if let Some(was) = self.applied.get_mut(at) {
            for (vq, overridden) in pair.into_iter().zip(&mut was.overridden) {
                *overridden = *overridden || !vqs.affinity_is(vq, was.mask.get());
                if !*overridden {
                    vqs.set_affinity(vq, mask);
                }
            }
            was.mask.copy_from(mask);
        }
        Ok(())
    }
}
