// SPDX-License-Identifier: GPL-2.0

//! Receiving, where polls may be put off: an application polls a receive queue (`busy_read`) whose interrupt is another CPU's, with
//! `napi_defer_hard_irqs` and `gro_flush_timeout` set. Nobody holds a lock: who owns NAPI owns the ring (`virtio/napi.rs`,
//! `rx_complete`).

use crate::{
    napi::Napi,
    ring::{Driver, Ring}, //
};
use loom::sync::{
    atomic::{
        AtomicUsize,
        Ordering::{AcqRel, Relaxed}, //
    },
    Arc, Mutex,
};

/// A mistake that the model can be given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// The interrupt is asked for in any case; if NAPI says that it isn't given up, it is turned off again: by who doesn't own the
    /// ring any more, if the poll was put off.
    DisarmsAsStranger,
    /// A poll gives NAPI up and doesn't look at the ring again.
    NoLastLook,
}

pub struct Queue {
    flaw: Flaw,
    ring: Ring,
    napi: Napi,
    /// The owner's; the mutex is never waited for.
    driver: Mutex<Driver>,
    /// How often a poll without packets is put off (`napi_defer_hard_irqs_count`).
    defers: AtomicUsize,
}

/// How often that is after a poll with packets.
const DEFERS: usize = 1;

impl Queue {
    fn new(flaw: Flaw) -> Self {
        let q = Self {
            flaw,
            ring: Ring::new(4),
            napi: Napi::new(),
            driver: Mutex::new(Driver::new()),
            defers: AtomicUsize::new(0),
        };
        // The device has buffers, and is asked for an interrupt.
        {
            let mut d = q.driver.lock().unwrap();
            for _ in 0..3 {
                q.ring.add(&mut d);
            }
            q.ring.kick(&mut d);
            q.ring.enable_cb_prepare(&d);
        }
        q
    }

    /// A poll, by who has scheduled it.
    fn poll(&self) {
        let mut d = self.driver.try_lock().expect("two polls at a time");
        if self.flaw != Flaw::DisarmsAsStranger {
            self.ring.disable_cb();
        }
        let mut work = 0;
        while self.ring.get_buf(&mut d) {
            work += 1;
        }
        // rx_complete; napi_complete_done decides the same way whether to put it off.
        if work > 0 {
            self.defers.store(DEFERS, Relaxed);
        }
        let deferred = self.defers.load(Relaxed) > 0;
        let armed = if deferred && self.flaw != Flaw::DisarmsAsStranger {
            None
        } else {
            Some(self.ring.enable_cb_prepare(&d))
        };
        drop(d);
        let gone = if deferred {
            self.defers.fetch_sub(1, AcqRel);
            self.napi.complete_deferred()
        } else {
            self.napi.complete()
        };
        if gone
            && self.flaw != Flaw::NoLastLook
            && armed.is_some_and(|armed| self.ring.was_used_since(armed))
        {
            self.schedule();
        }
        if !gone && self.flaw == Flaw::DisarmsAsStranger {
            self.ring.disable_cb();
        }
    }

    fn schedule(&self) {
        self.napi.schedule(|| self.ring.disable_cb());
    }

    fn softirq(&self) {
        while self.napi.take_queued() {
            self.poll();
        }
    }

    /// An application polls, if nobody else does (`napi_busy_loop`).
    fn busy_poll(&self) {
        if self.napi.schedule_prep() {
            self.poll();
        }
        self.softirq();
    }

    /// A packet arrives; the interrupt, if one is wanted, is taken here.
    fn receive(&self, seen: &mut usize, awake: &mut bool) {
        self.ring.device(seen, awake, 1, || {
            self.schedule();
            self.softirq();
        });
    }

    /// The timer's CPU.
    fn timer(&self) {
        self.napi.expire();
        self.softirq();
    }

    fn settle(&self) {
        for _ in 0..4 {
            self.softirq();
            self.timer();
        }
        assert!(!self.napi.has_timer());
    }
}

/// An application polls once while a packet arrives and the timer expires on the interrupt's CPU. Another packet arrives when all is
/// quiet.
pub fn busy_poll(flaw: Flaw) -> usize {
    crate::explore(move || {
        let q = Arc::new(Queue::new(flaw));
        let application = loom::thread::spawn({
            let q = q.clone();
            move || q.busy_poll()
        });
        let (mut seen, mut awake) = (0, true);
        q.receive(&mut seen, &mut awake);
        q.timer();
        q.timer();
        application.join().unwrap();
        q.settle();
        q.receive(&mut seen, &mut awake);
        q.settle();
        let d = q.driver.lock().unwrap();
        assert!(!q.ring.has_used(&d), "nobody polls for a packet");
        assert_eq!(d.reaped(), seen);
    })
}
