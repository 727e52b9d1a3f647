// SPDX-License-Identifier: GPL-2.0

//! The guest's memory, as QEMU shares it (vhost-user: SET_MEM_TABLE), or what the kernel maps for the device (VDUSE).

use std::cell::RefCell;
use std::sync::atomic::Ordering;

use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryMmap, GuestRegionMmap};

use crate::vhost;

/// One region of the table.
struct Region {
    gpa: u64,
    size: u64,
    /// Where QEMU itself has it: ring addresses come in these terms.
    user: u64,
}

/// Tells what there is of memory now.
pub type Look = Box<dyn Fn() -> Result<Vec<vhost::Region>, String>>;

/// All of the guest's memory.
#[derive(Default)]
pub struct Mem {
    map: RefCell<Option<GuestMemoryMmap<()>>>,
    regions: Vec<Region>,
    /// For memory that becomes more as the driver uses the device: asked where an address isn't known.
    look: Option<Look>,
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
    pub fn new(table: Vec<vhost::Region>) -> Result<Self, String> {
        let regions = table
            .iter()
            .map(|r| Region {
                gpa: r.guest,
                size: r.size,
                user: r.user,
            })
            .collect();
        Ok(Self {
            map: RefCell::new(Some(mapped(table)?)),
            regions,
            look: None,
        })
    }

    /// What `look` tells of; for those whose rings have the addresses that the driver knows.
    pub fn growing(look: Look) -> Self {
        Self {
            look: Some(look),
            ..Self::default()
        }
    }

    /// QEMU's address of something as the guest's.
    pub fn user_to_guest(&self, user: u64) -> Option<u64> {
        self.regions
            .iter()
            .find(|r| user >= r.user && user - r.user < r.size)
            .map(|r| user - r.user + r.gpa)
    }

    /// Does something to `len` bytes at `addr`.
    fn at<T, E>(
        &self,
        addr: u64,
        len: usize,
        mut access: impl FnMut(&GuestMemoryMmap<()>) -> Result<T, E>,
    ) -> Result<T, NoMem> {
        if let Some(Ok(done)) = self.map.borrow().as_ref().map(&mut access) {
            return Ok(done);
        }
        let err = || NoMem(addr, len);
        let look = self.look.as_ref().ok_or_else(err)?;
        let map = look().and_then(mapped).map_err(|e| {
            eprintln!("memory: {e}");
            err()
        })?;
        let done = access(&map).map_err(|_| err());
        *self.map.borrow_mut() = Some(map);
        done
    }

    /// Reads exactly `buf`.
    pub fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), NoMem> {
        self.at(addr, buf.len(), |map| {
            map.read_slice(buf, GuestAddress(addr))
        })
    }

    /// Writes all of `buf`.
    pub fn write(&self, addr: u64, buf: &[u8]) -> Result<(), NoMem> {
        self.at(addr, buf.len(), |map| {
            map.write_slice(buf, GuestAddress(addr))
        })
    }

    /// Reads a 16-bit index; nothing that follows is read before it.
    pub fn load16(&self, addr: u64) -> Result<u16, NoMem> {
        self.at(addr, 2, |map| {
            map.load(GuestAddress(addr), Ordering::SeqCst)
        })
    }

    /// Writes a 16-bit index; what was written before is visible by then.
    pub fn store16(&self, addr: u64, v: u16) -> Result<(), NoMem> {
        self.at(addr, 2, |map| {
            map.store(v, GuestAddress(addr), Ordering::SeqCst)
        })
    }
}

fn mapped(mut table: Vec<vhost::Region>) -> Result<GuestMemoryMmap<()>, String> {
    table.sort_by_key(|r| r.guest);
    let regions: Vec<_> = table
        .into_iter()
        .map(|r| {
            let size = usize::try_from(r.size).map_err(|e| e.to_string())?;
            // Not by from_ranges_with_files(), which asks for the file's length: those of VDUSE have none.
            let map = MmapRegionBuilder::new(size)
                .with_file_offset(FileOffset::new(r.file, r.offset))
                .with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE)
                .with_mmap_flags(libc::MAP_SHARED | libc::MAP_NORESERVE)
                .build()
                .map_err(|e| e.to_string())?;
            GuestRegionMmap::new(map, GuestAddress(r.guest))
                .ok_or(format!("a region of {size} bytes at {:#x}", r.guest))
        })
        .collect::<Result<_, String>>()?;
    GuestMemoryMmap::from_regions(regions).map_err(|e| e.to_string())
}
