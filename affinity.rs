// SPDX-License-Identifier: GPL-2.0

//! Which CPUs serve which queue pair: interrupt affinity hints, and XPS maps from the same table,
//! so that a packet is sent on the queue whose interrupts come to the sending CPU.

#![forbid(unsafe_code)]

use crate::{
    device::{
        Net,
        VirtnetInfo, //
    },
    net::net_warn,
    pure::{
        affinity::{
            pair_cpus,
            Place, //
        },
        config::{
            rx_vq,
            tx_vq, //
        }, //
    },
    sync::cpus::{
        mask_set,
        new_mask,
        placed_cpus,
        CpusHeld,
        KeptMask, //
    },
    virtio::VirtqueueSet, //
};
use core::sync::atomic::{
    AtomicI32,
    Ordering, //
};
use kernel::{
    cpumask::CpumaskVar,
    prelude::*,
    sync::Arc, //
};

/// Number of the CPU hotplug state, for interfaces that appear.
static HOTPLUG_STATE: AtomicI32 = AtomicI32::new(0);

/// The module has its CPU hotplug state now, before the first device. Process context.
pub(crate) fn set_hotplug_state(state: i32) {
    HOTPLUG_STATE.store(state, Ordering::Relaxed);
}

/// Registers `dev` for CPUs that come and go. Process context.
///
/// # Errors
///
/// Those of `cpuhp_state_add_instance`.
pub(crate) fn hotplug_add(dev: &Net) -> Result {
    dev.hotplug_add(HOTPLUG_STATE.load(Ordering::Relaxed))
}

/// What the table is made for. Not the settings' count: hotplug callbacks can't wait for RTNL.
pub(crate) struct State {
    set: Option<Arc<VirtqueueSet>>,
    pairs: u16,
    /// What each pair's interrupts were bound to.
    last: KVVec<Bound>,
}

/// What the interrupts of a pair were bound to last.
struct Bound {
    mask: KeptMask,
    /// RX, TX: found bound to something else, so somebody (the user, irqbalance) has decided
    /// otherwise. From then on it is theirs.
    theirs: [bool; 2],
}

impl State {
    /// No queues.
    pub(crate) const fn new() -> Self {
        Self {
            set: None,
            pairs: 0,
            last: KVVec::new(),
        }
    }

    /// Changes the queues that hints are given for.
    pub(crate) fn set(&mut self, set: Option<Arc<VirtqueueSet>>) {
        self.set = set;
        self.last = KVVec::new();
    }
}

/// Changes the number of pairs in use; [`apply`] does the rest.
pub(crate) fn set_pairs(info: &VirtnetInfo, pairs: u16) {
    info.affinity.lock().pairs = pairs;
}

/// Gives each pair in use its CPUs out of those online, less `leaving`. Process context.
pub(crate) fn apply(dev: &Net, held: &CpusHeld, leaving: Option<u32>) {
    let info = dev.data();
    let mut guard = info.affinity.lock();
    let state = &mut *guard;
    let Some(set) = state.set.as_ref() else {
        return;
    };
    let cpus = match placed_cpus(held, leaving) {
        Ok(cpus) => cpus,
        Err(e) => {
            net_warn!(dev, "CPUs not set: {e:?}\n");
            return;
        }
    };
    for i in 0..state.pairs {
        let done = mask_of(i, state.pairs, &cpus).and_then(|mask| {
            bind(set, i, &mask, &mut state.last)?;
            dev.set_xps(i, &mask, held)
        });
        if let Err(e) = done {
            net_warn!(dev, "pair {i}: CPUs not set: {e:?}\n");
        }
    }
    for i in state.pairs..info.max_pairs {
        if let Err(e) = park(set, i, &cpus, &mut state.last) {
            net_warn!(dev, "pair {i}: CPUs not set: {e:?}\n");
        }
        set.clear_affinity(rx_vq(i));
        set.clear_affinity(tx_vq(i));
    }
}

/// The CPUs of pair `i` out of `pairs`.
fn mask_of(i: u16, pairs: u16, cpus: &[Place]) -> Result<CpumaskVar> {
    let ranks = pair_cpus(u32::from(i), u32::from(pairs), u32::try_from(cpus.len())?);
    let mut mask = new_mask()?;
    let first = usize::try_from(ranks.start)?;
    for place in cpus.iter().skip(first).take(ranks.len()) {
        mask_set(&mut mask, place.cpu);
    }
    Ok(mask)
}

/// Lets the interrupts of pair `i`, which isn't in use, go to any CPU. Bound as it was it could lose
/// its last CPU: the kernel would then bind it anew, which looks as if somebody else had.
fn park(set: &VirtqueueSet, i: u16, cpus: &[Place], last: &mut KVVec<Bound>) -> Result {
    if usize::from(i) >= last.len() {
        return Ok(());
    }
    let mut mask = new_mask()?;
    for place in cpus {
        mask_set(&mut mask, place.cpu);
    }
    bind(set, i, &mask, last)
}

/// Binds the interrupts of pair `i`, those that nobody else has bound since.
fn bind(set: &VirtqueueSet, i: u16, mask: &CpumaskVar, last: &mut KVVec<Bound>) -> Result {
    // Without an interrupt of its own for each queue a hint would move everybody's.
    if !set.irq_per_queue() {
        return Ok(());
    }
    let vqs = [rx_vq(i), tx_vq(i)];
    let at = usize::from(i);
    // Pairs come in order, so that there is an entry for each one before.
    if at >= last.len() {
        last.push(
            Bound {
                mask: KeptMask::new(mask)?,
                theirs: [false; 2],
            },
            GFP_KERNEL,
        )?;
        for vq in vqs {
            set.set_affinity(vq, mask);
        }
    } else if let Some(was) = last.get_mut(at) {
        for (vq, theirs) in vqs.into_iter().zip(&mut was.theirs) {
            *theirs = *theirs || !set.affinity_is(vq, was.mask.get());
            if !*theirs {
                set.set_affinity(vq, mask);
            }
        }
        was.mask.copy_from(mask);
    }
    Ok(())
}
