// SPDX-License-Identifier: GPL-2.0

//! Room on transmit queues: when to stop one, and when to wake it.

#![forbid(unsafe_code)]

/// Returns how many descriptors a packet of `frags` fragments takes at most: one for each, one for
/// the linear part and one for the header (virtio 1.3, 5.1.6.2).
pub(crate) const fn max_sg(frags: usize) -> usize {
    frags.saturating_add(2)
}

/// Returns whether a queue with `num_free` free descriptors has to be stopped, because the next
/// packet could take `max_sg` of them.
pub(crate) fn should_stop(num_free: u32, max_sg: u32) -> bool {
    num_free < max_sg
}

/// Returns whether a stopped queue with `num_free` free descriptors can go on, because any packet,
/// of `max_sg` descriptors at most, can be queued.
pub(crate) fn should_wake(num_free: u32, max_sg: u32) -> bool {
    !should_stop(num_free, max_sg)
}
