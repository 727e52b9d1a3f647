// SPDX-License-Identifier: GPL-2.0

//! A ring of either format, and buffers on their way from it to it.

use crate::desc::{self, Desc};
use crate::fault::{fault, Fault};
use crate::mem::Memory;
use crate::packed::Packed;
use crate::split::Split;

/// How many buffers are worked on at a time, at most.
pub const BATCH: usize = 32;

/// Where a ring's parts are, in the front end's terms. Those of a packed ring (descriptors, what the device wants to know,
/// what the driver does) come under the split ring's names.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub desc: u64,
    pub used: u64,
    pub avail: u64,
}

/// What the device wants to know of new buffers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wants {
    /// Nothing, it looks itself.
    None,
    Kicks,
}

/// A buffer that was taken from a ring.
#[derive(Clone, Copy, Default, Debug)]
pub struct Buffer {
    pub first: Desc,
    pub id: u16,
    /// Where the first descriptor is.
    pub slot: u16,
    /// How many places it takes in a packed ring.
    pub descs: u16,
}

/// Buffers that were taken and not given back, in order.
#[derive(Default)]
pub struct Batch {
    buffers: [Buffer; BATCH],
    n: usize,
}

impl Batch {
    pub fn len(&self) -> usize {
        self.n
    }

    /// One more. There has to be room.
    #[inline]
    pub fn push(&mut self, b: Buffer) {
        self.buffers[self.n] = b;
        self.n += 1;
    }

    /// Those from number `from` on.
    #[inline]
    pub fn since(&mut self, from: usize) -> &mut [Buffer] {
        &mut self.buffers[from..self.n]
    }

    #[inline]
    pub fn all(&self) -> &[Buffer] {
        &self.buffers[..self.n]
    }

    /// Forgets the first `n`.
    #[inline]
    pub fn remove(&mut self, n: usize) {
        self.buffers.copy_within(n..self.n, 0);
        self.n -= n;
    }
}

pub enum Ring {
    Split(Split),
    Packed(Packed),
}

impl Ring {
    pub fn new(
        memory: &Memory,
        packed: bool,
        size: u16,
        at: &Addresses,
        base: u32,
        event_idx: bool,
    ) -> Result<Self, Fault> {
        Ok(if packed {
            Self::Packed(Packed::new(memory, size, at, base, event_idx)?)
        } else {
            Self::Split(Split::new(memory, size, at, base, event_idx)?)
        })
    }

    pub fn base(&self) -> u32 {
        match self {
            Self::Split(r) => r.base(),
            Self::Packed(r) => r.base(),
        }
    }

    /// Whether there is so much (1 or more): buffers in a split ring, descriptors in a packed one.
    #[inline]
    pub fn has(&self, n: u16) -> bool {
        match self {
            Self::Split(r) => r.has(n),
            Self::Packed(r) => r.has(n),
        }
    }

    /// Takes available buffers until there are `max` in the batch (at most `BATCH`).
    #[inline]
    pub fn gather(&mut self, memory: &Memory, batch: &mut Batch, max: usize) -> Result<(), Fault> {
        let max = max.min(BATCH);
        match self {
            Self::Split(r) => r.gather(memory, batch, max),
            Self::Packed(r) => r.gather(memory, batch, max),
        }
    }

    /// Calls `f` for each piece of a buffer, until it has enough (false).
    #[inline]
    pub fn pieces(
        &self,
        memory: &Memory,
        b: &Buffer,
        mut f: impl FnMut(Desc) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        if b.first.alone() {
            return f(b.first).map(|_| ());
        }
        let (size, packed) = match self {
            Self::Split(r) => (r.size(), false),
            Self::Packed(r) => (r.size(), true),
        };
        let mut d = b.first;
        for n in 1..=size {
            if d.flags & desc::INDIRECT != 0 {
                if d.flags & desc::NEXT != 0 {
                    return fault("2.7.5.3.1: a table with a next descriptor".into());
                }
                return table(memory, d, packed, f);
            }
            if !f(d)? || d.flags & desc::NEXT == 0 {
                return Ok(());
            }
            d = match self {
                Self::Split(r) => r.follow(&d)?,
                Self::Packed(r) => r.follow(b, n),
            };
        }
        fault("descriptors without an end".into())
    }

    /// Gives buffers back, with so many bytes written to each; tells whether the driver wants to be interrupted for them.
    #[inline]
    pub fn give_back(&mut self, buffers: &[Buffer], written: &[u32]) -> bool {
        match self {
            Self::Split(r) => r.give_back(buffers, written),
            Self::Packed(r) => r.give_back(buffers, written),
        }
    }

    /// Says whether the driver is to notify.
    #[inline]
    pub fn want(&mut self, wants: Wants) {
        match self {
            Self::Split(r) => r.want(wants),
            Self::Packed(r) => r.want(wants),
        }
    }
}

/// The pieces of an indirect table.
fn table(
    memory: &Memory,
    d: Desc,
    packed: bool,
    mut f: impl FnMut(Desc) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    let n = u16::try_from(d.len as usize / desc::SIZE).unwrap_or(0);
    if n == 0 || !(d.len as usize).is_multiple_of(desc::SIZE) {
        return fault(format!("an indirect table of {} bytes", d.len));
    }
    let bytes = memory.find(d.addr, d.len)?;
    let mut at = 0;
    for k in 1..=n {
        let Some(d) = Desc::of_table(bytes, at, packed) else {
            return fault(format!("descriptor {at} in a table of {n}"));
        };
        if d.flags & desc::INDIRECT != 0 {
            return fault("2.7.5.3.1: a table in a table".into());
        }
        // All of a packed ring's table belongs to the buffer, in order (2.8.8).
        let more = if packed {
            k < n
        } else {
            d.flags & desc::NEXT != 0
        };
        if !f(d)? || !more {
            return Ok(());
        }
        at = if packed { k } else { d.number };
    }
    fault("descriptors of a table without an end".into())
}
