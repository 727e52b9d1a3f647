// SPDX-License-Identifier: GPL-2.0

//! A queue: what the front end has said of it, and its ring while it is enabled.

use std::os::fd::AsRawFd;

use vmm_sys_util::eventfd::EventFd;

use crate::fault::{fault, Fault};
use crate::mem::Memory;
use crate::ring::{Addresses, Batch, Ring, Wants, BATCH};
use crate::sys;

/// What rings of a device have in common.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub packed: bool,
    pub event_idx: bool,
    pub wants: Wants,
}

#[derive(Default)]
pub struct Queue {
    pub size: u16,
    pub at: Option<Addresses>,
    base: u32,
    kick: Option<EventFd>,
    call: Option<EventFd>,
    /// While it is enabled.
    ring: Option<Ring>,
    /// Buffers that were taken, and not given back.
    pub batch: Batch,
    /// Since when a lazy device waits for more of them.
    pub since: Option<u64>,
    kicks: u64,
    pub calls: u64,
}

impl Queue {
    /// It may be used.
    pub fn on(&self) -> bool {
        self.ring.is_some()
    }

    pub fn set_base(&mut self, base: u32) {
        self.base = base;
    }

    pub fn set_kick(&mut self, fd: Option<EventFd>) {
        self.count_kicks();
        self.kick = fd;
    }

    pub fn set_call(&mut self, fd: Option<EventFd>) {
        // An interrupt that is under way already stands for the next one too.
        if let Some(fd) = &fd {
            sys::never_wait(fd);
        }
        self.call = fd;
    }

    pub fn start(&mut self, memory: &Memory, setup: Setup) -> Result<(), Fault> {
        let Some(at) = &self.at else {
            return fault("it is enabled, but has no addresses".into());
        };
        let mut ring = Ring::new(
            memory,
            setup.packed,
            self.size,
            at,
            self.base,
            setup.event_idx,
        )?;
        ring.want(setup.wants);
        self.ring = Some(ring);
        Ok(())
    }

    /// Stops it; returns where it was. What was taken, and not given back, is the next that is taken then.
    pub fn stop(&mut self) -> u32 {
        self.count_kicks();
        if let Some(ring) = self.ring.take() {
            self.base = ring.base();
        }
        self.batch = Batch::default();
        self.base
    }

    pub fn want(&mut self, wants: Wants) {
        if let Some(ring) = &mut self.ring {
            ring.want(wants);
        }
    }

    /// Whether there is so much, and as little as possible is touched to find out.
    #[inline]
    pub fn has(&self, n: usize) -> bool {
        self.ring.as_ref().is_some_and(|r| r.has(n as u16))
    }

    /// Takes what is available until there are `max` in the batch, and returns how many there are.
    #[inline]
    pub fn gather(&mut self, memory: &Memory, max: usize) -> Result<usize, Fault> {
        let Some(ring) = &mut self.ring else {
            return Ok(0);
        };
        ring.gather(memory, &mut self.batch, max)?;
        Ok(self.batch.len())
    }

    /// The ring, and what was taken from it.
    #[inline]
    pub fn work(&mut self) -> Option<(&Ring, &Batch)> {
        self.ring.as_ref().map(|r| (r, &self.batch))
    }

    /// Gives the first buffers of the batch back, with so many bytes written to each, and interrupts if it is wanted.
    #[inline]
    pub fn give_back(&mut self, written: &[u32], wants: Wants) {
        let Some(ring) = &mut self.ring else {
            return;
        };
        let n = written.len().min(BATCH);
        let call = ring.give_back(&self.batch.all()[..n], written);
        self.batch.remove(n);
        ring.want(wants);
        if call {
            self.calls += 1;
            if let Some(fd) = &self.call {
                // It fails if there are so many already that the guest will look anyway.
                let _ = fd.write(1);
            }
        }
    }

    fn count_kicks(&mut self) {
        if let Some(kick) = &self.kick {
            if sys::readable(&[kick.as_raw_fd()]) == [true] {
                self.kicks += kick.read().unwrap_or(0);
            }
        }
    }

    /// How often the driver has notified.
    pub fn kicks(&mut self) -> u64 {
        self.count_kicks();
        self.kicks
    }
}
