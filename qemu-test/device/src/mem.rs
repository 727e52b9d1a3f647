// SPDX-License-Identifier: GPL-2.0

//! The guest's memory, as QEMU shares it (vhost-user: SET_MEM_TABLE).

use std::sync::atomic::Ordering;

use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryMmap};

use crate::vhost;

/// One region of the table.
struct Region {
    gpa: u64,
    size: u64,
    /// Where QEMU itself has it: ring addresses come in these terms.
    user: u64,
}

/// All of the guest's memory.
#[derive(Default)]
pub struct Mem {
    map: Option<GuestMemoryMmap<()>>,
    regions: Vec<Region>,
}

/// What can't be accessed: an address and a length that are no guest memory.
#[derive(Debug)]
pub struct NoMem(pub u64, pub usize);

impl std::fmt::Display for NoMem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} bytes at {:#x} are not in the guest's memory",
            self.1, self.0
        )
    }
}

impl Mem {
    /// Maps a table.
    pub fn new(mut table: Vec<vhost::Region>) -> Result<Self, String> {
        table.sort_by_key(|r| r.guest);
        let regions = table
            .iter()
            .map(|r| Region {
                gpa: r.guest,
                size: r.size,
                user: r.user,
            })
            .collect();
        let ranges: Vec<_> = table
            .into_iter()
            .map(|r| {
                let size = usize::try_from(r.size).map_err(|e| e.to_string())?;
                let file = FileOffset::new(r.file, r.offset);
                Ok((GuestAddress(r.guest), size, Some(file)))
            })
            .collect::<Result<_, String>>()?;
        let map = GuestMemoryMmap::from_ranges_with_files(ranges).map_err(|e| e.to_string())?;
        Ok(Self {
            map: Some(map),
            regions,
        })
    }

    /// QEMU's address of something as the guest's.
    pub fn user_to_guest(&self, user: u64) -> Option<u64> {
        self.regions
            .iter()
            .find(|r| user >= r.user && user - r.user < r.size)
            .map(|r| user - r.user + r.gpa)
    }

    /// Reads exactly `buf`.
    pub fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), NoMem> {
        let err = NoMem(addr, buf.len());
        let map = self.map.as_ref().ok_or(NoMem(addr, 0))?;
        map.read_slice(buf, GuestAddress(addr)).map_err(|_| err)
    }

    /// Writes all of `buf`.
    pub fn write(&self, addr: u64, buf: &[u8]) -> Result<(), NoMem> {
        let map = self.map.as_ref().ok_or(NoMem(addr, buf.len()))?;
        map.write_slice(buf, GuestAddress(addr))
            .map_err(|_| NoMem(addr, buf.len()))
    }

    /// Reads a 16-bit index; nothing that follows is read before it.
    pub fn load16(&self, addr: u64) -> Result<u16, NoMem> {
        let map = self.map.as_ref().ok_or(NoMem(addr, 2))?;
        map.load(GuestAddress(addr), Ordering::SeqCst)
            .map_err(|_| NoMem(addr, 2))
    }

    /// Writes a 16-bit index; what was written before is visible by then.
    pub fn store16(&self, addr: u64, v: u16) -> Result<(), NoMem> {
        let map = self.map.as_ref().ok_or(NoMem(addr, 2))?;
        map.store(v, GuestAddress(addr), Ordering::SeqCst)
            .map_err(|_| NoMem(addr, 2))
    }
}
