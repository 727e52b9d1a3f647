// SPDX-License-Identifier: GPL-2.0

//! Which CPUs serve which queue pair.
//!
//! Interrupt affinity hints and XPS maps come from the same table, so that a packet is sent on the
//! queue whose interrupts come to the sending CPU.
//!
//! Context: process.

#![forbid(unsafe_code)]

use crate::{
    device::Net,
    net::net_warn,
    pure::affinity::{
        pair_cpus,
        CpuTopology, //
    },
    sync::cpus::{
        cpus_by_topology,
        mask_set,
        new_mask,
        CpusHeld,
        CpusReadGuard,
        HotplugState, //
    }, //
};
use kernel::{
    cpumask::CpumaskVar,
    prelude::*, //
};

/// The interfaces that are called when CPUs come and go.
pub(crate) static HOTPLUG: HotplugState<Net> = HotplugState::new(c"virtio_net_mq");

/// Gives the first `pairs` pairs, which are in use, their CPUs, and takes those of the others away.
pub(crate) fn set_pairs(dev: &Net, pairs: u16) {
    let held = CpusReadGuard::new();
    dev.data().affinity.lock().pairs = pairs;
    apply(dev, &held, None);
}

/// Gives each pair in use its CPUs out of those online, less `leaving`.
pub(crate) fn apply(dev: &Net, held: &CpusHeld, leaving: Option<u32>) {
    let info = dev.data();
    let mut guard = info.affinity.lock();
    let state = &mut *guard;
    if !state.has_vqs() {
        return;
    }
    let cpus = match cpus_by_topology(held, leaving) {
        Ok(cpus) => cpus,
        Err(e) => {
            net_warn!(dev, "CPUs not set: {e:?}\n");
            return;
        }
    };
    for i in 0..state.pairs {
        let done = mask_of(i, state.pairs, &cpus).and_then(|mask| {
            state.bind(i, &mask)?;
            dev.set_xps(i, &mask, held)
        });
        if let Err(e) = done {
            net_warn!(dev, "pair {i}: CPUs not set: {e:?}\n");
        }
    }
    for i in state.pairs..info.max_pairs {
        if let Err(e) = state.park(i, &cpus) {
            net_warn!(dev, "pair {i}: CPUs not set: {e:?}\n");
        }
    }
}

/// Returns the CPUs of pair `i` out of `pairs`.
fn mask_of(i: u16, pairs: u16, cpus: &[CpuTopology]) -> Result<CpumaskVar> {
    let ranks = pair_cpus(u32::from(i), u32::from(pairs), u32::try_from(cpus.len())?);
    let mut mask = new_mask()?;
    let first = usize::try_from(ranks.start)?;
    for cpu in cpus.iter().skip(first).take(ranks.len()) {
        mask_set(&mut mask, cpu.cpu);
    }
    Ok(mask)
}
