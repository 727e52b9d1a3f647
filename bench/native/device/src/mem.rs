// SPDX-License-Identifier: GPL-2.0

//! The guest's memory, as the front end shares it. All accesses to it are here, and with them what is unsafe about the
//! rings: beyond this file there are only checked addresses.
//!
//! The guest may change its memory at any time, so there are no references to it: what is read is read once, into a
//! value, and contents are copied as bytes that mean nothing here.

use std::marker::PhantomData;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{fence, AtomicU16, AtomicU32, AtomicU64, Ordering};

use vm_memory::mmap::MmapRegion;
use vm_memory::FileOffset;

use crate::fault::{fault, Fault};
use crate::vhost;

/// Bytes that come into a cache together.
const LINE: usize = 64;

/// Where a region is, for the data path.
#[derive(Clone, Copy)]
struct Region {
    guest: u64,
    size: u64,
    user: u64,
    base: *mut u8,
}

/// All of the guest's memory.
#[derive(Default)]
pub struct Memory {
    /// # Invariants
    ///
    /// `base` is the mapping of the same index in `maps`, which has `size` bytes.
    regions: Vec<Region>,
    maps: Vec<Rc<MmapRegion>>,
}

/// Bytes that a descriptor points to; they stay mapped as long as they are borrowed from the memory.
#[derive(Clone, Copy)]
pub struct Bytes<'a> {
    /// # Invariants
    ///
    /// `len` bytes from here on are mapped, for reading and writing.
    ptr: *mut u8,
    len: usize,
    _memory: PhantomData<&'a Memory>,
}

/// A part of a ring. It keeps its memory mapped.
pub struct Area {
    /// # Invariants
    ///
    /// `len` bytes from here on are part of `_map`, and it is a multiple of 16 or what `Memory::area` was asked for.
    ptr: *mut u8,
    len: usize,
    _map: Rc<MmapRegion>,
}

impl Memory {
    /// Maps a table.
    pub fn new(table: Vec<vhost::Region>) -> Result<Self, String> {
        let mut memory = Self::default();
        for r in table {
            let size = usize::try_from(r.size).map_err(|e| e.to_string())?;
            if r.guest.checked_add(r.size).is_none() || r.user.checked_add(r.size).is_none() {
                return Err(format!("a region of {size:#x} bytes at {:#x}", r.guest));
            }
            let map = MmapRegion::from_file(FileOffset::new(r.file, r.offset), size)
                .map_err(|e| format!("the guest's memory can't be mapped: {e}"))?;
            // INVARIANT: this is what has just been mapped.
            memory.regions.push(Region {
                guest: r.guest,
                size: r.size,
                user: r.user,
                base: map.as_ptr(),
            });
            memory.maps.push(Rc::new(map));
        }
        Ok(memory)
    }

    /// What is at an address of the guest's.
    #[inline]
    pub fn find(&self, addr: u64, len: u32) -> Result<Bytes<'_>, Fault> {
        for r in &self.regions {
            let off = addr.wrapping_sub(r.guest);
            if off < r.size && u64::from(len) <= r.size - off {
                return Ok(Bytes {
                    // SAFETY: by the type's invariant, and as `off` is less than the region's size.
                    // INVARIANT: `len` bytes are left in the region.
                    ptr: unsafe { r.base.add(off as usize) },
                    len: len as usize,
                    _memory: PhantomData,
                });
            }
        }
        fault(format!(
            "{len} bytes at {addr:#x} are not in the guest's memory"
        ))
    }

    /// A part of a ring, at an address of the front end's.
    pub fn area(&self, user: u64, len: usize, align: usize) -> Result<Area, Fault> {
        for (r, map) in self.regions.iter().zip(&self.maps) {
            let off = user.wrapping_sub(r.user);
            if off < r.size && len as u64 <= r.size - off {
                // SAFETY: as in `find`.
                let ptr = unsafe { r.base.add(off as usize) };
                if !(ptr as usize).is_multiple_of(align) {
                    return fault(format!("a part of a ring at {user:#x}, not aligned"));
                }
                // INVARIANT: as in `find`; `map` is that of the region.
                return Ok(Area {
                    ptr,
                    len,
                    _map: map.clone(),
                });
            }
        }
        fault(format!(
            "a part of a ring at {user:#x}, which is not in the guest's memory"
        ))
    }
}

impl<'a> Bytes<'a> {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies all of it to the beginning of `to`; none if there is no room.
    #[inline]
    pub fn copy_to(&self, to: &mut [u8]) -> Option<usize> {
        let to = to.get_mut(..self.len)?;
        // SAFETY: by the invariant there are so many bytes to read, and `to` has as many. It is memory of our own, so they
        // don't overlap. What the guest does to the bytes meanwhile, changes at most what they are.
        unsafe { ptr::copy_nonoverlapping(self.ptr, to.as_mut_ptr(), self.len) };
        Some(self.len)
    }

    /// Reads something of each line.
    #[inline]
    pub fn touch(&self) {
        let mut at = 0;
        while at < self.len {
            // SAFETY: less than `len`, and any byte will do. It is volatile as nobody wants to know what it is.
            unsafe { self.ptr.add(at).read_volatile() };
            at += LINE;
        }
        if let Some(last) = self.len.checked_sub(1) {
            // SAFETY: as above. The last line, if the first one was not read from its beginning.
            unsafe { self.ptr.add(last).read_volatile() };
        }
    }

    /// Writes the beginning of `from`, as much as there is room for; returns how much.
    #[inline]
    pub fn copy_from(&self, from: &[u8]) -> usize {
        let n = self.len.min(from.len());
        // SAFETY: as in `copy_to`, the other way round.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), self.ptr, n) };
        n
    }

    /// What is behind the first `n` bytes.
    pub fn skip(self, n: usize) -> Option<Self> {
        let len = self.len.checked_sub(n)?;
        // SAFETY: `n` is not beyond the end. INVARIANT: so much is left.
        let ptr = unsafe { self.ptr.add(n) };
        Some(Self { ptr, len, ..self })
    }

    /// The first `n` bytes.
    pub fn head(self, n: usize) -> Option<Self> {
        // INVARIANT: there are not more of them than there were.
        (n <= self.len).then_some(Self { len: n, ..self })
    }

    /// Has the first lines brought: two, as a small packet with its header is often in two.
    #[inline]
    pub fn prefetch(&self) {
        prefetch(self.ptr);
        prefetch(self.ptr.wrapping_add(self.len.saturating_sub(1).min(LINE)));
    }
}

impl Area {
    /// The address of `n` bytes at `off`, which is checked; beyond the end is a mistake of this program's.
    #[inline]
    fn at(&self, off: usize, n: usize) -> *mut u8 {
        assert!(n <= self.len && off <= self.len - n && off.is_multiple_of(n));
        // SAFETY: by the invariant.
        unsafe { self.ptr.add(off) }
    }

    /// Reads 16 bits; what follows is read after it.
    #[inline]
    pub fn load16(&self, off: usize) -> u16 {
        // SAFETY: mapped, by `at`, and aligned: both the area and the offset are to 2.
        unsafe { AtomicU16::from_ptr(self.at(off, 2).cast()) }.load(Ordering::Acquire)
    }

    /// Writes 16 bits; what was written before is visible by then.
    #[inline]
    pub fn store16(&self, off: usize, v: u16) {
        // SAFETY: as in `load16`.
        unsafe { AtomicU16::from_ptr(self.at(off, 2).cast()) }.store(v, Ordering::Release);
    }

    /// Writes 16 bits, in any order with others.
    #[inline]
    pub fn put16(&self, off: usize, v: u16) {
        // SAFETY: as in `load16`.
        unsafe { AtomicU16::from_ptr(self.at(off, 2).cast()) }.store(v, Ordering::Relaxed);
    }

    /// Writes 32 bits, in any order with others.
    #[inline]
    pub fn put32(&self, off: usize, v: u32) {
        // SAFETY: as in `load16`; parts of rings with numbers of 32 bits are aligned to 4 or more.
        unsafe { AtomicU32::from_ptr(self.at(off, 4).cast()) }.store(v, Ordering::Relaxed);
    }

    /// Reads 64 bits, in any order with others.
    #[inline]
    pub fn get64(&self, off: usize) -> u64 {
        // SAFETY: as in `load16`; tables of descriptors are aligned to 16.
        unsafe { AtomicU64::from_ptr(self.at(off, 8).cast()) }.load(Ordering::Relaxed)
    }

    #[inline]
    pub fn prefetch(&self, off: usize) {
        prefetch(self.ptr.wrapping_add(off));
    }
}

/// What was written before is visible before anything is read from here on.
#[inline]
pub fn barrier() {
    fence(Ordering::SeqCst);
}

#[inline]
fn prefetch(p: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch may be of any address.
    unsafe {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        _mm_prefetch::<_MM_HINT_T0>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}
