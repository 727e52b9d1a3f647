// SPDX-License-Identifier: GPL-2.0

//! Descriptors (specification 2.7.5, 2.8.5). Both formats have 16 bytes: address, length, and two numbers of 16 bits, flags
//! and either the next descriptor (split) or a number for the whole buffer (packed).

use crate::mem::{Area, Bytes};

pub const NEXT: u16 = 1;
pub const WRITE: u16 = 2;
pub const INDIRECT: u16 = 4;
/// Bits of packed rings: available, used.
pub const AVAIL: u16 = 1 << 7;
pub const USED: u16 = 1 << 15;

pub const SIZE: usize = 16;

/// A descriptor, flags and number in the order of neither format.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Desc {
    pub addr: u64,
    pub len: u32,
    pub flags: u16,
    /// The next one in a split ring, the buffer's number in a packed one.
    pub number: u16,
}

impl Desc {
    fn split(addr: u64, rest: u64) -> Self {
        Self {
            addr,
            len: rest as u32,
            flags: (rest >> 32) as u16,
            number: (rest >> 48) as u16,
        }
    }

    fn packed(addr: u64, rest: u64) -> Self {
        Self {
            addr,
            len: rest as u32,
            flags: (rest >> 48) as u16,
            number: (rest >> 32) as u16,
        }
    }

    /// One of a split ring's table.
    #[inline]
    pub fn of_split(table: &Area, i: u16) -> Self {
        let at = SIZE * usize::from(i);
        Self::split(table.get64(at), table.get64(at + 8))
    }

    /// One of a packed ring.
    #[inline]
    pub fn of_packed(ring: &Area, i: u16) -> Self {
        let at = SIZE * usize::from(i);
        Self::packed(ring.get64(at), ring.get64(at + 8))
    }

    /// One of an indirect table; none behind its end.
    pub fn of_table(table: Bytes<'_>, i: u16, packed: bool) -> Option<Self> {
        let mut b = [0; SIZE];
        let d = table.skip(SIZE * usize::from(i))?;
        d.head(SIZE)?.copy_to(&mut b)?;
        let word = |i: usize| u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|k| b[i + k]));
        Some(if packed {
            Self::packed(word(0), word(8))
        } else {
            Self::split(word(0), word(8))
        })
    }

    /// There is only this one, and it points to the contents.
    #[inline]
    pub fn alone(&self) -> bool {
        self.flags & (NEXT | INDIRECT) == 0
    }
}
