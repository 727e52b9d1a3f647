// SPDX-License-Identifier: GPL-2.0

//! Sending: a queue is stopped before its ring is full, woken by who reaps, and asks for the interrupt again (`tx.rs`,
//! `virtio/napi.rs`). All of it is done under the queue's transmit lock; beside it are the device, and the interrupt, which only
//! turns itself off and schedules the poll.

use crate::{
    napi::Napi,
    ring::{Driver, Ring},
    rules::{should_stop, should_wake}, //
};
use loom::sync::{
    atomic::{
        AtomicBool,
        Ordering::{Acquire, Release}, //
    },
    Arc, Mutex, MutexGuard,
};

/// A mistake that the model can be given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// Who stops the queue doesn't ask for the interrupt, and doesn't look at the ring again.
    StopsBlindly,
    /// A poll that reaps everything but what is still with the device doesn't ask for the interrupt.
    NotArmed,
    /// A poll asks for the interrupt and doesn't look at the ring once it has given NAPI up.
    NoLastLook,
    /// Who reaps doesn't wake.
    NoWake,
    /// Packets are left to a poll, and the poll doesn't tell the device of them.
    PollKeepsKicks,
    /// The receive queue's poll reaps with the interrupt off, and doesn't ask for it again.
    RxForgets,
}

/// What the transmit lock guards.
pub struct State {
    ring: Driver,
    deferred_kicks: usize,
}

/// A transmit queue, with the stack's side of it.
pub struct Queue {
    flaw: Flaw,
    ring: Ring,
    threshold: u32,
    lock: Mutex<State>,
    napi: Napi,
    /// `__QUEUE_STATE_DRV_XOFF`.
    stopped: AtomicBool,
    /// A packet waits in the queueing discipline.
    waiting: AtomicBool,
}

impl Queue {
    /// Of a ring of `size`, stopped with less than `threshold` free.
    pub fn new(size: usize, threshold: u32, flaw: Flaw) -> Self {
        Self {
            flaw,
            ring: Ring::new(size),
            threshold,
            lock: Mutex::new(State {
                ring: Driver::new(),
                deferred_kicks: 0,
            }),
            napi: Napi::new(),
            stopped: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.lock.lock().unwrap()
    }

    fn free(&self, s: &State) -> u32 {
        self.ring.num_free(&s.ring) as u32
    }

    /// The stack sends a packet, or keeps it as the queue is stopped. `follows`: a poll is certain to come (`poll_follows`).
    pub fn xmit(&self, follows: bool) {
        let mut guard = self.lock();
        if self.stopped.load(Acquire) {
            self.waiting.store(true, Release);
            return;
        }
        let s = &mut *guard;
        // start_xmit
        self.ring.disable_cb();
        self.ring.add(&mut s.ring);
        if should_stop(self.free(s), self.threshold) {
            self.stop_queue(s);
        }
        self.kick(s, follows);
        drop(guard);
        self.softirq();
    }

    /// `stop_queue`.
    fn stop_queue(&self, s: &mut State) {
        self.stopped.store(true, Release);
        if self.flaw == Flaw::StopsBlindly {
            return;
        }
        if !self.ring.enable_cb_delayed(&s.ring) {
            self.napi.schedule(|| {});
        }
    }

    /// `kick`, in process context.
    fn kick(&self, s: &mut State, follows: bool) {
        if follows {
            s.deferred_kicks += 1;
            self.napi.schedule(|| {});
            return;
        }
        s.deferred_kicks = 0;
        if self.ring.kick(&mut s.ring) {
            self.reap(s);
            if s.ring.is_idle() {
                return;
            }
        }
        if self.flaw == Flaw::StopsBlindly && self.stopped.load(Acquire) {
            return;
        }
        // Once, where the driver tries twice.
        if self.ring.enable_cb_delayed(&s.ring) {
            return;
        }
        self.reap(s);
        if !s.ring.is_idle() {
            self.napi.schedule(|| {});
        }
    }

    /// `flush_kicks`.
    fn flush_kicks(&self, s: &mut State) {
        if core::mem::take(&mut s.deferred_kicks) != 0 {
            self.ring.kick(&mut s.ring);
        }
    }

    /// `reap`.
    fn reap(&self, s: &mut State) {
        while self.ring.get_buf(&mut s.ring) {}
        let room = should_wake(self.free(s), self.threshold);
        if room && self.stopped.load(Acquire) && self.flaw != Flaw::NoWake {
            self.stopped.store(false, Release);
        }
    }

    /// `poll`, and `tx_complete` at its end.
    fn poll(&self) {
        let mut guard = self.lock();
        let s = &mut *guard;
        self.ring.disable_cb();
        if self.flaw != Flaw::PollKeepsKicks {
            self.flush_kicks(s);
        }
        self.reap(s);
        let armed = if s.ring.is_idle() || self.flaw == Flaw::NotArmed {
            None
        } else {
            Some(self.ring.enable_cb_prepare(&s.ring))
        };
        let gone = self.napi.complete();
        if !gone {
            self.ring.disable_cb();
        }
        let more = armed.is_some_and(|armed| gone && self.ring.was_used_since(armed));
        drop(guard);
        if more && self.flaw != Flaw::NoLastLook {
            self.napi.schedule(|| {});
        }
    }

    /// `reap_from_rx`, by the poll of the paired receive queue, which takes the lock only if it is free.
    pub fn reap_from_rx(&self) {
        let Ok(mut guard) = self.lock.try_lock() else {
            return;
        };
        let s = &mut *guard;
        if s.ring.is_idle() {
            return;
        }
        self.ring.disable_cb();
        self.flush_kicks(s);
        self.reap(s);
        if !s.ring.is_idle()
            && self.flaw != Flaw::RxForgets
            && !self.ring.enable_cb_delayed(&s.ring)
        {
            self.napi.schedule(|| {});
        }
        drop(guard);
        self.softirq();
    }

    /// Polls that wait to be run are, as softirqs come on.
    fn softirq(&self) {
        while self.napi.take_queued() {
            self.poll();
        }
    }

    /// The device works, and its interrupts are taken on the same CPU.
    pub fn device(&self, seen: &mut usize, awake: &mut bool, most: usize) {
        self.ring.device(seen, awake, most, || {
            // vq_callback
            self.napi.schedule(|| self.ring.disable_cb());
            self.softirq();
        });
    }

    /// Delivers what is owed until nothing is, and asserts that nothing waits.
    pub fn settle(&self, seen: &mut usize, awake: &mut bool) {
        for _ in 0..20 {
            self.softirq();
            self.device(seen, awake, 10);
            if self.waiting.load(Acquire) && !self.stopped.load(Acquire) {
                self.waiting.store(false, Release);
                self.xmit(false);
            }
        }
        let s = self.lock();
        assert!(
            !self.waiting.load(Acquire),
            "a packet waits for a queue that nobody wakes"
        );
        assert!(
            !self.ring.has_available(),
            "the device isn't told of a packet"
        );
        assert!(!self.ring.has_used(&s.ring), "nobody reaps what was sent");
    }
}

/// `packets` are sent, with or without a poll that follows, while the device works on another CPU; with `rx` the receive queue's
/// poll reaps as well.
pub fn send(packets: usize, size: usize, follows: bool, rx: bool, flaw: Flaw) -> usize {
    crate::explore(move || {
        let q = Arc::new(Queue::new(size, 1, flaw));
        let device = loom::thread::spawn({
            let q = q.clone();
            move || {
                let (mut seen, mut awake) = (0, true);
                for _ in 0..packets {
                    q.device(&mut seen, &mut awake, 1);
                }
                (seen, awake)
            }
        });
        let poll = rx.then(|| {
            let q = q.clone();
            loom::thread::spawn(move || q.reap_from_rx())
        });
        for _ in 0..packets {
            q.xmit(follows);
        }
        let (mut seen, mut awake) = device.join().unwrap();
        if let Some(poll) = poll {
            poll.join().unwrap();
        }
        q.settle(&mut seen, &mut awake);
    })
}
