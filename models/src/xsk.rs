// SPDX-License-Identifier: GPL-2.0

//! AF_XDP with `need_wakeup`: user space gives buffers to receive into and packets to send, and wakes the driver only if the
//! driver's flag says so (`refill.rs`, `refill_xsk`; `xsk_tx.rs`).
//!
//! Between what it has given and its look at the flag, user space has a full barrier here. Without one nobody could promise it
//! anything; a program that waits by `poll()` wakes the driver in any case.

use crate::{
    napi::Napi,
    ring::{Driver, Ring}, //
};
use loom::sync::{
    atomic::{
        fence,
        AtomicBool,
        AtomicUsize,
        Ordering::{Acquire, Relaxed, Release, SeqCst}, //
    },
    Arc, Mutex, MutexGuard,
};

/// A mistake in receiving that the model can be given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RxFlaw {
    None,
    /// The driver asks to be woken, and doesn't look again for buffers that came meanwhile.
    NoSecondLook,
    /// There is no barrier between the flag and the second look.
    NoBarrier,
    /// The flag is cleared by each poll, also by one that found no buffer.
    ClearsAlways,
}

/// What is between a socket and a receive queue.
struct Rx {
    flaw: RxFlaw,
    ring: Ring,
    napi: Napi,
    driver: Mutex<Driver>,
    /// Buffers that user space has given (the fill ring).
    given: AtomicUsize,
    need_wakeup: AtomicBool,
    /// Of those, how many the driver has taken; its own.
    taken: AtomicUsize,
}

impl Rx {
    /// `virtqueue_post_xsk`: whether there were buffers.
    fn post(&self, d: &mut Driver) -> bool {
        let (given, taken) = (self.given.load(Acquire), self.taken.load(Relaxed));
        for _ in taken..given {
            self.ring.add(d);
        }
        self.taken.store(given, Relaxed);
        given > taken
    }

    /// A poll: packets are taken off the ring, and `refill_xsk`.
    fn poll(&self) {
        let mut d = self.driver.try_lock().expect("two polls at a time");
        self.ring.disable_cb();
        while self.ring.get_buf(&mut d) {}
        if self.post(&mut d) {
            self.need_wakeup.store(false, Relaxed);
        } else {
            self.need_wakeup.store(true, Relaxed);
            if self.flaw != RxFlaw::NoBarrier {
                fence(SeqCst);
            }
            if self.flaw != RxFlaw::NoSecondLook {
                self.post(&mut d);
            }
            if self.flaw == RxFlaw::ClearsAlways {
                self.need_wakeup.store(false, Relaxed);
            }
        }
        self.ring.kick(&mut d);
        let armed = self.ring.enable_cb_prepare(&d);
        drop(d);
        if self.napi.complete() && self.ring.was_used_since(armed) {
            self.napi.schedule(|| self.ring.disable_cb());
        }
    }

    fn softirq(&self) {
        while self.napi.take_queued() {
            self.poll();
        }
    }

    /// User space gives a buffer, and wakes the driver if it has to (`ndo_xsk_wakeup`).
    fn give(&self) {
        let given = self.given.load(Relaxed);
        self.given.store(given + 1, Release);
        fence(SeqCst);
        if self.need_wakeup.load(Relaxed) {
            self.napi.schedule(|| {});
            self.softirq();
        }
    }

    /// A packet arrives for each buffer that the device has.
    fn device(&self, seen: &mut usize, awake: &mut bool) {
        self.ring.device(seen, awake, 1, || {
            self.napi.schedule(|| self.ring.disable_cb());
            self.softirq();
        });
    }
}

/// User space gives two buffers while the device uses the one that it has.
pub fn receive(flaw: RxFlaw) -> usize {
    crate::explore(move || {
        let q = Arc::new(Rx {
            flaw,
            ring: Ring::new(4),
            napi: Napi::new(),
            driver: Mutex::new(Driver::new()),
            given: AtomicUsize::new(1),
            need_wakeup: AtomicBool::new(false),
            taken: AtomicUsize::new(1),
        });
        {
            let mut d = q.driver.lock().unwrap();
            q.ring.add(&mut d);
            q.ring.kick(&mut d);
            q.ring.enable_cb_prepare(&d);
        }
        let user = loom::thread::spawn({
            let q = q.clone();
            move || {
                q.give();
                q.give();
            }
        });
        let (mut seen, mut awake) = (0, true);
        q.device(&mut seen, &mut awake);
        user.join().unwrap();
        for _ in 0..6 {
            q.softirq();
            q.device(&mut seen, &mut awake);
        }
        // The device has used all that it was given, so it waits for buffers.
        assert_eq!(
            q.given.load(Acquire),
            seen,
            "nobody takes a buffer that user space has given"
        );
    })
}

/// A mistake in sending that the model can be given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TxFlaw {
    None,
    /// Who has sent as many packets as it may leaves the rest to nobody.
    NoMore,
    /// Who has sent for a socket doesn't ask for the interrupt.
    NotArmed,
    /// That the interrupt can't come any more isn't looked at.
    NoLastLook,
}

/// How many packets are sent at a time, at most.
const MOST: usize = 1;
/// Which of the packets can't be sent: no interrupt comes of it.
const BAD: usize = 0;

struct Tx {
    flaw: TxFlaw,
    ring: Ring,
    napi: Napi,
    /// The transmit lock.
    lock: Mutex<Driver>,
    /// Packets that user space has given, and that the driver has taken; the lock guards the latter.
    given: AtomicUsize,
    taken: AtomicUsize,
}

impl Tx {
    /// `xsk_tx::send`: whether there may be more that could be sent now.
    fn send(&self, d: &mut Driver) -> bool {
        let (given, taken) = (self.given.load(Acquire), self.taken.load(Relaxed));
        let n = (given - taken).min(MOST).min(self.ring.num_free(d));
        let bad = usize::from((taken..taken + n).contains(&BAD));
        for _ in bad..n {
            self.ring.add(d);
        }
        self.taken.store(taken + n, Relaxed);
        if n > bad {
            self.ring.kick(d);
        }
        n >= MOST
    }

    fn reap(&self, d: &mut Driver) {
        while self.ring.get_buf(d) {}
    }

    /// `run`, for who wakes the driver and for the receive queue's poll.
    fn run(&self) {
        let mut guard: MutexGuard<'_, Driver> = self.lock.lock().unwrap();
        let d = &mut *guard;
        self.ring.disable_cb();
        self.reap(d);
        let more = self.send(d);
        let armed = self.flaw == TxFlaw::NotArmed || self.ring.enable_cb_delayed(d);
        if (more && self.flaw != TxFlaw::NoMore) || (!armed && self.flaw != TxFlaw::NoLastLook) {
            self.napi.schedule(|| {});
        }
        drop(guard);
        self.softirq();
    }

    /// `tx::poll` of a queue with a pool, and `tx_complete`.
    fn poll(&self) {
        let mut guard = self.lock.lock().unwrap();
        let d = &mut *guard;
        self.ring.disable_cb();
        self.reap(d);
        if self.send(d) && self.flaw != TxFlaw::NoMore {
            // The poll goes on.
            self.napi.queue();
            return;
        }
        let armed = (!d.is_idle()).then(|| self.ring.enable_cb_prepare(d));
        let gone = self.napi.complete();
        if !gone {
            self.ring.disable_cb();
        }
        let more = armed.is_some_and(|armed| gone && self.ring.was_used_since(armed));
        drop(guard);
        if more && self.flaw != TxFlaw::NoLastLook {
            self.napi.schedule(|| {});
        }
    }

    fn softirq(&self) {
        while self.napi.take_queued() {
            self.poll();
        }
    }

    fn device(&self, seen: &mut usize, awake: &mut bool, most: usize) {
        self.ring.device(seen, awake, most, || {
            self.napi.schedule(|| self.ring.disable_cb());
            self.softirq();
        });
    }
}

/// User space gives `packets`, one of them bad, for a ring of two, and wakes the driver once, while the device sends and, with `rx`, the receive
/// queue is polled.
pub fn send(packets: usize, rx: bool, flaw: TxFlaw) -> usize {
    crate::explore(move || {
        let q = Arc::new(Tx {
            flaw,
            ring: Ring::new(2),
            napi: Napi::new(),
            lock: Mutex::new(Driver::new()),
            given: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
        });
        let device = loom::thread::spawn({
            let q = q.clone();
            move || {
                let (mut seen, mut awake) = (0, true);
                q.device(&mut seen, &mut awake, 1);
                q.device(&mut seen, &mut awake, 1);
                (seen, awake)
            }
        });
        let poll = rx.then(|| {
            let q = q.clone();
            loom::thread::spawn(move || q.run())
        });
        q.given.store(packets, Release);
        q.run();
        let (mut seen, mut awake) = device.join().unwrap();
        if let Some(poll) = poll {
            poll.join().unwrap();
        }
        for _ in 0..8 {
            q.softirq();
            q.device(&mut seen, &mut awake, 4);
        }
        let d = q.lock.lock().unwrap();
        assert_eq!(
            q.taken.load(Relaxed),
            packets,
            "nobody sends a packet that user space has given"
        );
        assert!(!q.ring.has_available(), "the device isn't told of a packet");
        assert!(!q.ring.has_used(&d), "nobody reaps what was sent");
    })
}
