// SPDX-License-Identifier: GPL-2.0

//! A reset: the interface is detached, queues are stopped, polls are ended, rings go and others come (`reset.rs`, `vqs.rs`,
//! `queue_pairs.rs`). Meanwhile the stack may send, polls reap, and the device, until it is reset, completes.

use loom::sync::{
    atomic::{
        AtomicBool,
        AtomicUsize,
        Ordering::{AcqRel, Acquire, Release}, //
    },
    Arc, Mutex,
};

/// A mistake that the model can be given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// The interface is detached while polls still run: one of them wakes a queue, whose packets find no ring.
    DetachesFirst,
    /// The ring is taken away without the transmit lock: who sends has seen it.
    TakesWithoutLock,
    /// The new ring is there before the device may be told of anything.
    StartsBeforeReady,
}

struct State {
    /// Which ring it is, none while there is none.
    ring: Option<usize>,
    /// Packets in it.
    packets: usize,
}

struct Queue {
    flaw: Flaw,
    lock: Mutex<State>,
    stopped: AtomicBool,
    /// Polls run.
    enabled: AtomicBool,
    /// A poll is being run.
    polling: Mutex<()>,
    /// Which ring the device knows; 0 for none.
    device: AtomicUsize,
    /// The device may be told (DRIVER_OK).
    ready: AtomicBool,
    waiting: AtomicUsize,
    dropped: AtomicUsize,
}

impl Queue {
    /// `dev_hard_start_xmit` and `start_xmit`.
    fn xmit(&self) {
        let mut s = self.lock.lock().unwrap();
        if self.stopped.load(Acquire) {
            self.waiting.fetch_add(1, AcqRel);
            return;
        }
        let Some(ring) = s.ring else {
            self.dropped.fetch_add(1, AcqRel);
            return;
        };
        if self.flaw == Flaw::TakesWithoutLock {
            drop(s);
            self.notify(ring);
            return;
        }
        s.packets += 1;
        self.notify(ring);
    }

    fn notify(&self, ring: usize) {
        assert_eq!(
            self.device.load(Acquire),
            ring,
            "a packet is sent on a ring that the device doesn't know"
        );
        assert!(
            self.ready.load(Acquire),
            "a device is notified before it is ready"
        );
    }

    /// A poll reaps, and wakes the queue as there is room.
    fn poll(&self) {
        let _polling = self.polling.lock().unwrap();
        if !self.enabled.load(Acquire) {
            return;
        }
        let mut s = self.lock.lock().unwrap();
        if s.ring.is_none() {
            return;
        }
        s.packets = 0;
        self.stopped.store(false, Release);
    }

    /// `netif_device_detach` and `disable_pairs`, in whichever order.
    fn freeze(&self) {
        if self.flaw == Flaw::DetachesFirst {
            self.stopped.store(true, Release);
            self.disable();
        } else {
            self.disable();
            let _s = self.lock.lock().unwrap();
            self.stopped.store(true, Release);
        }
        // park
        if self.flaw == Flaw::TakesWithoutLock {
            self.device.store(0, Release);
        }
        self.lock.lock().unwrap().ring = None;
        // The device is reset.
        self.ready.store(false, Release);
        self.device.store(0, Release);
    }

    /// `napi_disable`: waits for the poll that runs.
    fn disable(&self) {
        self.enabled.store(false, Release);
        drop(self.polling.lock().unwrap());
    }

    fn restore(&self) {
        // attach
        self.device.store(2, Release);
        self.lock.lock().unwrap().ring = Some(2);
        if self.flaw == Flaw::StartsBeforeReady {
            self.stopped.store(false, Release);
        }
        self.ready.store(true, Release);
        self.enabled.store(true, Release);
        let _s = self.lock.lock().unwrap();
        self.stopped.store(false, Release);
    }
}

/// The device is reset while somebody sends two packets and the queue is polled.
pub fn reset(flaw: Flaw) -> usize {
    crate::explore(move || {
        let q = Arc::new(Queue {
            flaw,
            lock: Mutex::new(State {
                ring: Some(1),
                packets: 0,
            }),
            stopped: AtomicBool::new(false),
            enabled: AtomicBool::new(true),
            polling: Mutex::new(()),
            device: AtomicUsize::new(1),
            ready: AtomicBool::new(true),
            waiting: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
        });
        let sender = loom::thread::spawn({
            let q = q.clone();
            move || {
                q.xmit();
                q.xmit();
            }
        });
        let poll = loom::thread::spawn({
            let q = q.clone();
            move || q.poll()
        });
        q.freeze();
        q.restore();
        sender.join().unwrap();
        poll.join().unwrap();
        assert_eq!(
            q.dropped.load(Acquire),
            0,
            "a packet meets no ring, instead of waiting"
        );
        assert!(
            !q.stopped.load(Acquire),
            "packets wait for a queue that nobody starts"
        );
    })
}
