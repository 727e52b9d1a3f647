// SPDX-License-Identifier: GPL-2.0

//! Notifications that are left to a poll: what the stack sends in answer to packets, from inside of the receive queue's poll, the
//! poll tells the device of at its end (`net/tx_queue.rs`, `KickDeferral`). Who sends asks whether he is on the poll's CPU, and takes
//! that for being inside of the poll. Where softirqs take turns on a CPU it is. With PREEMPT_RT they don't.

use loom::sync::{
    atomic::{
        AtomicBool,
        AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, Release}, //
    },
    Arc,
};

const NO_CPU: usize = usize::MAX;

/// `Deferral`, and what the device was told.
struct Queue {
    takes_turns: bool,
    cpu: AtomicUsize,
    kick_pending: AtomicBool,
    added: AtomicUsize,
    told: AtomicUsize,
}

impl Queue {
    /// `defer_kicks`.
    fn begin(&self, cpu: usize) {
        if self.takes_turns {
            self.cpu.store(cpu, Relaxed);
        }
    }

    /// `end`, and what the poll does then.
    fn end(&self) {
        self.cpu.store(NO_CPU, Relaxed);
        if self.kick_pending.load(Relaxed) {
            self.kick_pending.store(false, Relaxed);
            self.kick();
        }
    }

    /// Sends a packet, on `cpu`.
    fn xmit(&self, cpu: usize) {
        self.added.fetch_add(1, Release);
        // defers_kicks
        if self.cpu.load(Relaxed) == cpu {
            self.kick_pending.store(true, Relaxed);
        } else {
            self.kick();
        }
    }

    fn kick(&self) {
        // Of all that is in the ring.
        self.told.fetch_max(self.added.load(Acquire), AcqRel);
    }
}

/// A poll on CPU 0 sends an answer; somebody else sends on CPU 1, or on CPU 0, which a kernel with `rt` may do in the middle of the
/// poll. The driver defers nothing with such a kernel; with `deferred_there` it does.
pub fn answer(rt: bool, deferred_there: bool) -> usize {
    crate::explore(move || {
        let q = Arc::new(Queue {
            takes_turns: !rt || deferred_there,
            cpu: AtomicUsize::new(NO_CPU),
            kick_pending: AtomicBool::new(false),
            added: AtomicUsize::new(0),
            told: AtomicUsize::new(0),
        });
        let other = loom::thread::spawn({
            let q = q.clone();
            // On the poll's CPU only where softirqs are preempted: else it would be before or after the poll.
            move || q.xmit(if rt { 0 } else { 1 })
        });
        q.begin(0);
        q.xmit(0);
        q.end();
        other.join().unwrap();
        assert!(
            !q.kick_pending.load(Acquire),
            "a packet is left to a poll that is over"
        );
        assert_eq!(q.told.load(Acquire), 2, "the device isn't told of a packet");
    })
}
