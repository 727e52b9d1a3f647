// SPDX-License-Identifier: GPL-2.0

//! A split ring, device side (specification 2.7).

use crate::desc::{self, Desc};
use crate::fault::{fault, Fault};
use crate::mem::{Area, Memory};
use crate::ring::{Addresses, Batch, Buffer, Wants};

const AVAIL_F_NO_INTERRUPT: u16 = 1;
const USED_F_NO_NOTIFY: u16 = 1;

/// How far ahead a driver is asked to notify if it shouldn't: half of what indices can be.
const NEVER: u16 = 0x8000;

pub struct Split {
    size: u16,
    table: Area,
    avail: Area,
    used: Area,
    /// Where the next available entry is taken from, and the next used one goes.
    next_avail: u16,
    next_used: u16,
    event_idx: bool,
}

impl Split {
    pub fn new(
        memory: &Memory,
        size: u16,
        at: &Addresses,
        base: u32,
        event_idx: bool,
    ) -> Result<Self, Fault> {
        if !size.is_power_of_two() || size > 0x8000 {
            return fault(format!("a split ring of {size}"));
        }
        let n = usize::from(size);
        let used = memory.area(at.used, 6 + 8 * n, 4)?;
        Ok(Self {
            size,
            table: memory.area(at.desc, desc::SIZE * n, 16)?,
            avail: memory.area(at.avail, 6 + 2 * n, 2)?,
            next_avail: base as u16,
            // All that was taken was used, too: it is all done in one go.
            next_used: base as u16,
            used,
            event_idx,
        })
    }

    /// Where it is.
    pub fn base(&self) -> u32 {
        self.next_used.into()
    }

    fn slot(&self, index: u16) -> usize {
        usize::from(index & (self.size - 1))
    }

    /// Whether there are so many buffers, without a look at them.
    #[inline]
    pub fn has(&self, n: u16) -> bool {
        self.avail.load16(2).wrapping_sub(self.next_avail) >= n.min(self.size)
    }

    /// Takes available buffers until there are `max` in the batch.
    #[inline]
    pub fn gather(&mut self, memory: &Memory, batch: &mut Batch, max: usize) -> Result<(), Fault> {
        let ready = self.avail.load16(2).wrapping_sub(self.next_avail);
        if ready == 0 {
            return Ok(());
        }
        if ready > self.size {
            return fault(format!(
                "2.7.13.3: {ready} more buffers available in a ring of {}",
                self.size
            ));
        }
        let from = batch.len();
        for _ in 0..usize::from(ready).min(max.saturating_sub(from)) {
            let head = self.avail.load16(4 + 2 * self.slot(self.next_avail));
            if head >= self.size {
                return fault(format!("descriptor {head} in a ring of {}", self.size));
            }
            self.next_avail = self.next_avail.wrapping_add(1);
            self.table.prefetch(desc::SIZE * usize::from(head));
            batch.push(Buffer {
                id: head,
                slot: head,
                ..Buffer::default()
            });
        }
        // Now that all of the descriptors are on their way.
        for b in batch.since(from) {
            b.first = Desc::of_split(&self.table, b.slot);
            memory.find(b.first.addr, b.first.len)?.prefetch();
        }
        Ok(())
    }

    /// The next descriptor of a buffer, of which this is one.
    pub fn follow(&self, d: &Desc) -> Result<Desc, Fault> {
        if d.number >= self.size {
            return fault(format!(
                "next descriptor {} in a ring of {}",
                d.number, self.size
            ));
        }
        Ok(Desc::of_split(&self.table, d.number))
    }

    pub fn size(&self) -> u16 {
        self.size
    }

    /// Gives buffers back, with so many bytes written to each; tells whether the driver wants to be interrupted for them.
    #[inline]
    pub fn give_back(&mut self, buffers: &[Buffer], written: &[u32]) -> bool {
        let old = self.next_used;
        for (b, len) in buffers.iter().zip(written) {
            let at = 4 + 8 * self.slot(self.next_used);
            self.used.put32(at, b.id.into());
            self.used.put32(at + 4, *len);
            self.next_used = self.next_used.wrapping_add(1);
        }
        self.used.store16(2, self.next_used);
        crate::mem::barrier();
        if self.event_idx {
            let event = self.avail.load16(4 + 2 * usize::from(self.size));
            need_event(event, self.next_used, old)
        } else {
            self.avail.load16(0) & AVAIL_F_NO_INTERRUPT == 0
        }
    }

    /// Says whether the driver is to notify; written only where it says something else.
    #[inline]
    pub fn want(&mut self, wants: Wants) {
        if self.event_idx {
            let at = 4 + 8 * usize::from(self.size);
            let far = self.used.load16(at).wrapping_sub(self.next_avail);
            match wants {
                Wants::Kicks if far != 0 => self.used.store16(at, self.next_avail),
                Wants::None if !(NEVER / 2..=NEVER + NEVER / 2).contains(&far) => {
                    self.used.store16(at, self.next_avail.wrapping_add(NEVER));
                }
                _ => {}
            }
        } else {
            let flags = match wants {
                Wants::Kicks => 0,
                Wants::None => USED_F_NO_NOTIFY,
            };
            if self.used.load16(0) != flags {
                self.used.store16(0, flags);
            }
        }
    }
}

/// Whether the index `event` was passed on the way from `old` to `new` (2.7.7.1, 2.8.10).
pub fn need_event(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events() {
        assert!(need_event(5, 6, 5));
        assert!(need_event(5, 9, 3));
        assert!(!need_event(5, 5, 3), "not there yet");
        assert!(!need_event(5, 9, 6), "passed before");
        assert!(need_event(0xffff, 0, 0xffff), "across the end");
        assert!(!need_event(0, 0, 0xfffe));
    }
}
