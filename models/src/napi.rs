// SPDX-License-Identifier: GPL-2.0

//! A NAPI instance (net/core/dev.c), as far as drivers rely on it: one poll at a time, none that is asked for is lost, and polls
//! that are put off (`napi_defer_hard_irqs` with `gro_flush_timeout`).

use loom::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire}, //
};

const SCHED: usize = 1;
const MISSED: usize = 2;
/// A poll waits to be run by somebody's softirq.
const QUEUED: usize = 4;
/// The timer is to ask for a poll.
const TIMER: usize = 8;

pub struct Napi {
    state: AtomicUsize,
}

impl Default for Napi {
    fn default() -> Self {
        Self::new()
    }
}

impl Napi {
    pub fn new() -> Self {
        Self {
            state: AtomicUsize::new(0),
        }
    }

    fn update(&self, f: impl Fn(usize) -> usize) -> usize {
        match self.state.fetch_update(AcqRel, Acquire, |v| Some(f(v))) {
            Ok(old) | Err(old) => old,
        }
    }

    /// `napi_schedule_prep`.
    pub fn schedule_prep(&self) -> bool {
        let old = self.update(|v| {
            if v & SCHED != 0 {
                v | MISSED
            } else {
                v | SCHED
            }
        });
        old & SCHED == 0
    }

    /// `__napi_schedule`: a softirq is going to poll.
    pub fn queue(&self) {
        self.update(|v| v | QUEUED);
    }

    /// `napi_schedule`.
    pub fn schedule(&self, before: impl FnOnce()) {
        if self.schedule_prep() {
            before();
            self.queue();
        }
    }

    /// Whether there is a poll to run; who is told so runs it.
    pub fn take_queued(&self) -> bool {
        self.update(|v| v & !QUEUED) & QUEUED != 0
    }

    /// `napi_complete_done` of a poll that isn't put off: whether the instance is given up.
    pub fn complete(&self) -> bool {
        let old = self.update(|v| {
            if v & MISSED != 0 {
                (v & !MISSED) | QUEUED
            } else {
                v & !SCHED
            }
        });
        assert!(old & SCHED != 0, "completed by who doesn't own it");
        old & MISSED == 0
    }

    /// `napi_complete_done` of one that is: the timer is started and the instance given up, and the result is false, as if it weren't.
    pub fn complete_deferred(&self) -> bool {
        let old = self.update(|v| {
            if v & MISSED != 0 {
                (v & !MISSED) | QUEUED
            } else {
                (v & !SCHED) | TIMER
            }
        });
        assert!(old & SCHED != 0, "completed by who doesn't own it");
        false
    }

    /// The timer expires (`napi_watchdog`), if it runs.
    pub fn expire(&self) {
        let old = self.update(|v| v & !TIMER);
        if old & TIMER != 0 && self.schedule_prep() {
            self.queue();
        }
    }

    pub fn has_timer(&self) -> bool {
        self.state.load(Acquire) & TIMER != 0
    }
}
