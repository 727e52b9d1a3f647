// SPDX-License-Identifier: GPL-2.0

//! A split ring with event index (virtio 1.3, 2.7), as far as both sides look at it: indices and events, no descriptors.

use loom::sync::atomic::{
    fence,
    AtomicBool,
    AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst}, //
};

/// An event that no index reaches in a model: no interrupt, or no notification, is wanted.
const NEVER: usize = usize::MAX;

/// What is in memory that both sides share. Indices don't wrap.
pub struct Ring {
    size: usize,
    avail: AtomicUsize,
    used: AtomicUsize,
    /// The driver wants an interrupt once `used` goes past it.
    used_event: AtomicUsize,
    /// The device wants a notification once `avail` goes past it.
    avail_event: AtomicUsize,
    /// The device was notified, and has not looked since.
    doorbell: AtomicBool,
}

/// Whether `event` lies between the `old` index and the `new` one (`vring_need_event`).
fn passed(event: usize, new: usize, old: usize) -> bool {
    old <= event && event < new
}

/// What the driver keeps to itself; whoever owns the queue has it.
pub struct Driver {
    added: usize,
    kicked: usize,
    reaped: usize,
}

impl Driver {
    pub fn new() -> Self {
        Self {
            added: 0,
            kicked: 0,
            reaped: 0,
        }
    }

    pub fn reaped(&self) -> usize {
        self.reaped
    }

    /// Whether the device has nothing (`is_idle`).
    pub fn is_idle(&self) -> bool {
        self.added == self.reaped
    }
}

impl Default for Driver {
    fn default() -> Self {
        Self::new()
    }
}

impl Ring {
    pub fn new(size: usize) -> Self {
        Self {
            size,
            avail: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
            used_event: AtomicUsize::new(0),
            avail_event: AtomicUsize::new(0),
            doorbell: AtomicBool::new(false),
        }
    }

    // --- the driver's side (virtio core) ---

    pub fn num_free(&self, d: &Driver) -> usize {
        self.size - (d.added - d.reaped)
    }

    /// `virtqueue_add_outbuf` and the like.
    pub fn add(&self, d: &mut Driver) {
        assert!(self.num_free(d) > 0);
        d.added += 1;
        self.avail.store(d.added, Release);
    }

    /// `virtqueue_kick`: whether the device was notified.
    pub fn kick(&self, d: &mut Driver) -> bool {
        fence(SeqCst);
        let (new, old) = (d.added, d.kicked);
        d.kicked = new;
        let wanted = passed(self.avail_event.load(Relaxed), new, old);
        if wanted {
            // Exchanged, not stored: loom takes a store beside an exchange for one that may come before it.
            self.doorbell.swap(true, AcqRel);
        }
        wanted
    }

    /// `virtqueue_get_buf`.
    pub fn get_buf(&self, d: &mut Driver) -> bool {
        if d.reaped == self.used.load(Acquire) {
            return false;
        }
        d.reaped += 1;
        assert!(d.reaped <= d.added, "a buffer came back twice");
        true
    }

    /// `virtqueue_disable_cb`.
    pub fn disable_cb(&self) {
        self.used_event.store(NEVER, Relaxed);
    }

    /// `virtqueue_enable_cb_prepare`; the result is for [`Ring::was_used_since`].
    pub fn enable_cb_prepare(&self, d: &Driver) -> usize {
        self.used_event.store(d.reaped, Relaxed);
        fence(SeqCst);
        d.reaped
    }

    /// `virtqueue_poll`.
    pub fn was_used_since(&self, reaped: usize) -> bool {
        self.used.load(Acquire) != reaped
    }

    /// `virtqueue_enable_cb_delayed`: false if most of what the device has is used already.
    pub fn enable_cb_delayed(&self, d: &Driver) -> bool {
        let most = (d.added - d.reaped) * 3 / 4;
        self.used_event.store(d.reaped + most, Relaxed);
        fence(SeqCst);
        self.used.load(Acquire) - d.reaped <= most
    }

    // --- the device's ---

    /// Uses what is available, `most` buffers at most, and sleeps if there is no more. Calls `interrupt` as often as one is wanted.
    /// Nothing if it sleeps and wasn't notified.
    pub fn device(
        &self,
        seen: &mut usize,
        awake: &mut bool,
        most: usize,
        mut interrupt: impl FnMut(),
    ) {
        if self.doorbell.swap(false, Acquire) {
            *awake = true;
        }
        for _ in 0..most {
            if !*awake {
                return;
            }
            if self.avail.load(Acquire) == *seen {
                self.avail_event.store(*seen, Relaxed);
                fence(SeqCst);
                if self.avail.load(Acquire) == *seen {
                    *awake = false;
                    return;
                }
            }
            *seen += 1;
            let old = self.used.load(Relaxed);
            self.used.store(old + 1, Release);
            fence(SeqCst);
            if passed(self.used_event.load(Relaxed), old + 1, old) {
                interrupt();
            }
        }
    }

    /// Whether it was notified and hasn't looked since.
    pub fn was_notified(&self) -> bool {
        self.doorbell.load(Acquire)
    }

    /// Whether there is what it hasn't used.
    pub fn has_available(&self) -> bool {
        self.avail.load(Acquire) != self.used.load(Acquire)
    }

    /// Whether there is what the driver hasn't taken back.
    pub fn has_used(&self, d: &Driver) -> bool {
        self.used.load(Acquire) != d.reaped
    }
}
