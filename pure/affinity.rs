// SPDX-License-Identifier: GPL-2.0

//! Distribution of queue pairs over CPUs.
//!
//! CPUs are counted by *rank*: the position in the list of online CPUs, in the order of their
//! [`CpuTopology`]s. Gaps in the online mask are thereby out of the way of the arithmetic, and a slice of
//! neighbouring ranks is one of CPUs that share memory, caches and cores.
//!
//! The virtio specification (5.1.6.5.6, automatic receive steering) leaves the choice of the
//! transmit queue to the driver; nothing here is visible to the device.

#![forbid(unsafe_code)]

use core::ops::Range;

/// The place of a CPU in the machine.
///
/// The order of the fields is what makes neighbours: first those of one node, in it those of one
/// package, then the threads of one core.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct CpuTopology {
    /// NUMA node; the same for all where there is none.
    pub(crate) node: i32,
    /// Package (socket) that the CPU is in.
    pub(crate) package: i32,
    /// Core within the package.
    pub(crate) core: i32,
    /// The CPU's number.
    pub(crate) cpu: u32,
}

/// Sorts CPUs by topology, after which the position of a CPU is its rank.
///
/// It sorts by insertion, because CPUs come by number, which is nearly in order, and because the
/// sort of `core` can panic.
pub(crate) fn order(cpus: &mut [CpuTopology]) {
    for end in 1..cpus.len() {
        for i in (0..end).rev() {
            match cpus.get_mut(i..=i.wrapping_add(1)) {
                Some([a, b]) if *b < *a => core::mem::swap(a, b),
                _ => break,
            }
        }
    }
}

/// Returns the ranks that queue pair `pair` (from 0) out of `pairs` is bound to, among `cpus`
/// online CPUs.
///
/// With at least as many pairs as CPUs, each pair gets one CPU, wrapping around. With fewer pairs
/// than CPUs, the pairs get contiguous slices that cover all CPUs and differ in size by at most
/// one, the larger ones first.
///
/// The range is empty if `cpus` or `pairs` is 0 or if `pair` is not below `pairs`.
pub(crate) fn pair_cpus(pair: u32, pairs: u32, cpus: u32) -> Range<u32> {
    let (Some(base), Some(extra)) = (cpus.checked_div(pairs), cpus.checked_rem(pairs)) else {
        return 0..0;
    };
    if pair >= pairs {
        return 0..0;
    }
    if pairs >= cpus {
        return match pair.checked_rem(cpus) {
            // The remainder is below `cpus`, so that adding 1 never saturates.
            Some(rank) => rank..rank.saturating_add(1),
            None => 0..0,
        };
    }
    // `pairs * base + extra == cpus` and `pair < pairs`: neither the start nor the end of the
    // slice can be above `cpus`, so that nothing here saturates.
    let start = pair.saturating_mul(base).saturating_add(pair.min(extra));
    let len = base.saturating_add(u32::from(pair < extra));
    start..start.saturating_add(len)
}

/// Returns the lowest queue pair out of `pairs` whose [`pair_cpus`] range holds `rank`, among
/// `cpus` online CPUs.
///
/// Returns `None` if `pairs` is 0 or if `rank` is not below `cpus`.
#[cfg(test)]
pub(crate) fn pair_of_rank(rank: u32, pairs: u32, cpus: u32) -> Option<u32> {
    let base = cpus.checked_div(pairs)?;
    let extra = cpus.checked_rem(pairs)?;
    if rank >= cpus {
        return None;
    }
    if pairs >= cpus {
        return Some(rank);
    }
    // The first `extra` slices have one CPU more than the others. The increment saturates only for
    // a single pair, for which `extra` is 0; otherwise `extra * (base + 1) <= cpus`.
    let larger = base.saturating_add(1);
    let boundary = extra * larger;
    match rank.checked_sub(boundary) {
        None => rank.checked_div(larger),
        // `rank - boundary < (pairs - extra) * base`: the sum is below `pairs`.
        Some(rest) => Some(extra + rest.checked_div(base)?),
    }
}
