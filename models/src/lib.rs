// SPDX-License-Identifier: GPL-2.0

//! What runs at the same time in the driver, as small models whose every interleaving loom goes through.
//!
//! A model has the parties of a protocol as threads: who sends, the CPU that takes interrupts, the device, who resets. What they
//! do is what the function of the driver does that the model names, in the same order and under the same lock. Beside it are the
//! ring ([`ring`]) and NAPI ([`napi`]), which do what the virtio core and the network core promise, no more.
//!
//! When the threads have ended, what is owed is delivered: polls that are scheduled, timers, notifications, and a packet that
//! waits in the queueing discipline of a queue that isn't stopped. When nothing is owed any more, nothing may wait: a packet that
//! the device wasn't told of, one that was sent and not reaped, one that waits for a queue that nobody wakes. That is the
//! property that the tests assert.
//!
//! Each model has flaws that it can be given: mistakes that the driver had, or might have. The tests assert that loom finds each.
//!
//! A command that is answered late ([`late`]) owes something as well: that the device does at last what was wanted.
//!
//! What the models leave out: more packets than it takes to fill a small ring and to empty it, more than two CPUs and a device,
//! and orders of memory that are weaker than acquire and release with full fences between: those are in `tests/litmus`.

#![forbid(unsafe_code)]

pub mod hold;
pub mod late;
pub mod napi;
pub mod reset;
pub mod ring;
pub mod rx;
pub mod tx;
pub mod xsk;

// The driver's own rules, as the kernel runs them.
#[path = "../../pure/tx.rs"]
#[allow(dead_code, reason = "a part of it is needed")]
mod rules;

/// How many times the CPU is taken from a thread that could go on, at most: 2 if nobody says (`make models` does).
fn preemptions() -> usize {
    let said = std::env::var("PREEMPTIONS").ok();
    said.and_then(|n| n.parse().ok()).unwrap_or(2)
}

/// Goes through the interleavings of `f`. Returns how many there were.
pub fn explore(f: impl Fn() + Send + Sync + 'static) -> usize {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = count.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions());
    builder.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        f();
    });
    count.load(std::sync::atomic::Ordering::Relaxed)
}
