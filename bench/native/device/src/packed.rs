// SPDX-License-Identifier: GPL-2.0

//! A packed ring, device side (specification 2.8).

use crate::desc::{self, Desc};
use crate::fault::{fault, Fault};
use crate::mem::{Area, Memory};
use crate::ring::{Addresses, Batch, Buffer, Wants};
use crate::split::need_event;

/// What event suppression says (2.8.10): always, never, at a descriptor.
const ENABLE: u16 = 0;
const DISABLE: u16 = 1;
const AT_DESC: u16 = 2;

const WRAP: u16 = 1 << 15;

/// Where a new ring is: both wrap counters are 1 (2.8.1).
pub const NEW: u32 = 0x8000_8000;

/// A place in the ring, and the wrap counter there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    at: u16,
    wrap: bool,
}

impl Place {
    /// From and to the form that vhost-user and event suppression have: the counter is the uppermost bit.
    fn from_bits(bits: u16) -> Self {
        Self {
            at: bits & !WRAP,
            wrap: bits & WRAP != 0,
        }
    }

    fn bits(self) -> u16 {
        self.at | if self.wrap { WRAP } else { 0 }
    }

    fn on(self, n: u16, size: u16) -> Self {
        let at = self.at + n;
        if at >= size {
            Self {
                at: at - size,
                wrap: !self.wrap,
            }
        } else {
            Self { at, ..self }
        }
    }
}

pub struct Packed {
    size: u16,
    ring: Area,
    /// Where the driver says what it wants to know, and we do.
    driver: Area,
    device: Area,
    next_avail: Place,
    next_used: Place,
    event_idx: bool,
}

impl Packed {
    pub fn new(
        memory: &Memory,
        size: u16,
        at: &Addresses,
        base: u32,
        event_idx: bool,
    ) -> Result<Self, Fault> {
        if size == 0 || size > 0x8000 {
            return fault(format!("a packed ring of {size}"));
        }
        let next_avail = Place::from_bits(base as u16);
        let next_used = Place::from_bits((base >> 16) as u16);
        if next_avail.at >= size || next_avail != next_used {
            return fault(format!(
                "a packed ring of {size} that starts at {base:#010x}"
            ));
        }
        Ok(Self {
            size,
            ring: memory.area(at.desc, desc::SIZE * usize::from(size), 16)?,
            driver: memory.area(at.avail, 4, 4)?,
            device: memory.area(at.used, 4, 4)?,
            next_avail,
            next_used,
            event_idx,
        })
    }

    pub fn base(&self) -> u32 {
        let bits = u32::from(self.next_used.bits());
        bits << 16 | bits
    }

    /// Whether the descriptor there is available (2.8.1).
    #[inline]
    fn ready(&self, p: Place) -> bool {
        let flags = self
            .ring
            .load16(desc::SIZE * usize::from(p.at) + desc::SIZE - 2);
        (flags & desc::AVAIL != 0) == p.wrap && (flags & desc::USED != 0) != p.wrap
    }

    /// Whether there are so many descriptors, by a look at the last of them.
    #[inline]
    pub fn has(&self, n: u16) -> bool {
        self.ready(self.next_avail.on(n.min(self.size) - 1, self.size))
    }

    /// Takes available buffers until there are `max` in the batch.
    #[inline]
    pub fn gather(&mut self, memory: &Memory, batch: &mut Batch, max: usize) -> Result<(), Fault> {
        while batch.len() < max && self.ready(self.next_avail) {
            let first = Desc::of_packed(&self.ring, self.next_avail.at);
            let mut b = Buffer {
                first,
                id: first.number,
                slot: self.next_avail.at,
                descs: 1,
            };
            memory.find(first.addr, first.len)?.prefetch();
            let mut last = first;
            // The rest was made available before the first one was.
            while last.flags & desc::NEXT != 0 {
                if b.descs == self.size {
                    return fault("2.8.6: descriptors without an end".into());
                }
                let at = self.next_avail.on(b.descs, self.size).at;
                last = Desc::of_packed(&self.ring, at);
                // The buffer's number is in its last descriptor.
                b.id = last.number;
                b.descs += 1;
            }
            self.next_avail = self.next_avail.on(b.descs, self.size);
            batch.push(b);
        }
        Ok(())
    }

    /// The descriptor `n` behind the first one of a buffer.
    pub fn follow(&self, b: &Buffer, n: u16) -> Desc {
        let first = Place {
            at: b.slot,
            wrap: false,
        };
        Desc::of_packed(&self.ring, first.on(n, self.size).at)
    }

    pub fn size(&self) -> u16 {
        self.size
    }

    fn flags(&self, p: Place, written: u32) -> u16 {
        let both = if p.wrap { desc::AVAIL | desc::USED } else { 0 };
        both | if written != 0 { desc::WRITE } else { 0 }
    }

    /// Gives buffers back, with so many bytes written to each; tells whether the driver wants to be interrupted for them.
    #[inline]
    pub fn give_back(&mut self, buffers: &[Buffer], written: &[u32]) -> bool {
        let old = self.next_used;
        let mut first = None;
        for (b, len) in buffers.iter().zip(written) {
            let p = self.next_used;
            let at = desc::SIZE * usize::from(p.at);
            let flags = self.flags(p, *len);
            self.ring.put32(at + 8, *len);
            self.ring.put16(at + 12, b.id);
            // The first is shown last, and all the others with it: the driver takes them in this order.
            if first.is_none() {
                first = Some((at + 14, flags));
            } else {
                self.ring.put16(at + 14, flags);
            }
            self.next_used = p.on(b.descs, self.size);
        }
        if let Some((at, flags)) = first {
            self.ring.store16(at, flags);
        }
        crate::mem::barrier();
        match self.driver.load16(2) {
            DISABLE => false,
            AT_DESC if self.event_idx => self.passed(old, self.driver.load16(0)),
            _ => true,
        }
    }

    /// Whether that place was passed on the way from `old` to where we are.
    fn passed(&self, old: Place, event: u16) -> bool {
        let (event, new) = (Place::from_bits(event), self.next_used);
        // In terms of the lap that we are in.
        let lap = |p: Place| {
            if p.wrap == new.wrap {
                p.at
            } else {
                p.at.wrapping_sub(self.size)
            }
        };
        need_event(lap(event), new.at, lap(old))
    }

    /// Says whether the driver is to notify; written only where it says something else.
    #[inline]
    pub fn want(&mut self, wants: Wants) {
        let (event, flags) = match wants {
            Wants::None => (None, DISABLE),
            Wants::Kicks if self.event_idx => (Some(self.next_avail.bits()), AT_DESC),
            Wants::Kicks => (None, ENABLE),
        };
        if let Some(event) = event.filter(|e| self.device.load16(0) != *e) {
            self.device.store16(0, event);
        }
        if self.device.load16(2) != flags {
            self.device.store16(2, flags);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let p = Place { at: 6, wrap: true };
        assert_eq!(p.on(1, 8).bits(), 0x8007);
        assert_eq!(p.on(2, 8).bits(), 0);
        assert_eq!(p.on(5, 8), Place::from_bits(3));
        assert_eq!(p.on(8, 8), Place { at: 6, wrap: false }, "once around");
    }
}
