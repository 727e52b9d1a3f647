// SPDX-License-Identifier: GPL-2.0

//! A split virtqueue, device side (specification 2.7). The used ring is written to directly, so that a
//! hostile device can write anything there.

use vmm_sys_util::eventfd::EventFd;

use crate::mem::{Mem, NoMem};

const DESC_F_NEXT: u16 = 1;
const DESC_F_WRITE: u16 = 2;
const DESC_F_INDIRECT: u16 = 4;
const AVAIL_F_NO_INTERRUPT: u16 = 1;

/// How the driver is told of used buffers of a queue.
pub trait Call {
    fn call(&self);
}

impl Call for EventFd {
    fn call(&self) {
        let _ = self.write(1);
    }
}

/// Part of a buffer: guest address and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seg {
    pub addr: u64,
    pub len: u32,
}

/// A buffer that the driver has made available.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// Index of its first descriptor: the used id.
    pub head: u16,
    /// What the device reads.
    pub out: Vec<Seg>,
    /// What the device writes.
    pub inp: Vec<Seg>,
}

impl Chain {
    /// Bytes that the device may write.
    pub fn room(&self) -> usize {
        self.inp.iter().map(|s| s.len as usize).sum()
    }

    /// Everything that the device may read.
    pub fn read(&self, mem: &Mem) -> Result<Vec<u8>, NoMem> {
        let total = self.out.iter().map(|s| s.len as usize).sum();
        let mut data = vec![0; total];
        let mut at = 0;
        for s in &self.out {
            let end = at + s.len as usize;
            mem.read(s.addr, &mut data[at..end])?;
            at = end;
        }
        Ok(data)
    }

    /// Writes `data` from byte `at` of the writable part on, as far as there is room; returns how much.
    pub fn write_at(&self, mem: &Mem, mut at: usize, mut data: &[u8]) -> Result<usize, NoMem> {
        let mut done = 0;
        for s in &self.inp {
            let len = s.len as usize;
            if at >= len {
                at -= len;
                continue;
            }
            let n = data.len().min(len - at);
            mem.write(s.addr + at as u64, &data[..n])?;
            data = &data[n..];
            done += n;
            at = 0;
            if data.is_empty() {
                break;
            }
        }
        Ok(done)
    }
}

/// Counters of a queue.
#[derive(Default, Clone, Debug)]
pub struct Count {
    pub kicks: u64,
    pub interrupts: u64,
    pub packets: u64,
    pub bytes: u64,
    /// Dropped for lack of buffers.
    pub overruns: u64,
    /// Dropped because they can't be.
    pub malformed: u64,
    pub needs_csum: u64,
    pub csum_valid: u64,
    pub csum_none: u64,
    pub gso_packets: u64,
    pub gso_bytes: u64,
    pub gso_segments: u64,
}

/// When to interrupt (5.1.6.5.9): 0 is at once.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coal {
    pub max_packets: u32,
    pub max_usecs: u32,
}

/// A virtqueue.
#[derive(Default)]
pub struct Vq {
    pub size: u16,
    pub desc: u64,
    pub avail: u64,
    pub used: u64,
    pub next_avail: u16,
    pub next_used: u16,
    signalled: u16,
    pub event_idx: bool,
    pub kick: Option<EventFd>,
    pub call: Option<Box<dyn Call>>,
    pub enabled: bool,
    /// Has addresses and a kick, and wasn't stopped.
    pub started: bool,
    pub coal: Coal,
    /// Used buffers that no interrupt was sent for, and when one is due.
    pub waiting: u32,
    pub due: Option<std::time::Instant>,
    pub count: Count,
    /// Sends no interrupts.
    pub mute: bool,
    /// Doesn't ask to be kicked.
    lost: bool,
}

impl Vq {
    /// May be looked at.
    pub fn live(&self) -> bool {
        self.started && self.enabled && self.size > 0
    }

    /// Starts anew, with the driver's indices.
    pub fn start(&mut self) {
        self.started = true;
        self.lost = false;
        self.signalled = self.next_used;
        self.waiting = 0;
        self.due = None;
        self.catch_up();
    }

    /// How the driver is interrupted from now on.
    pub fn set_call(&mut self, call: Option<Box<dyn Call>>) {
        self.call = call;
        self.catch_up();
    }

    /// Who served this ring before may have ended between using a buffer and saying so; the index that the driver wants to
    /// be interrupted at may lie behind us then, and would never be reached.
    fn catch_up(&mut self) {
        if self.started {
            self.interrupt();
        }
    }

    pub fn avail_idx(&self, mem: &Mem) -> Result<u16, NoMem> {
        mem.load16(self.avail + 2)
    }

    /// Buffers that the driver has made available and that were not taken.
    pub fn pending(&self, mem: &Mem) -> u16 {
        self.avail_idx(mem)
            .unwrap_or(self.next_avail)
            .wrapping_sub(self.next_avail)
    }

    /// The next available buffer. An error is the driver's: what it broke.
    pub fn pop(&mut self, mem: &Mem) -> Result<Option<Chain>, String> {
        let n = self.pending(mem);
        if n == 0 {
            return Ok(None);
        }
        if n > self.size {
            self.next_avail = self.avail_idx(mem).unwrap_or(0);
            return Err(format!(
                "available index jumped by {n} in a ring of {}",
                self.size
            ));
        }
        let slot = u64::from(self.next_avail % self.size);
        let mut b = [0; 2];
        mem.read(self.avail + 4 + 2 * slot, &mut b)
            .map_err(|e| e.to_string())?;
        self.next_avail = self.next_avail.wrapping_add(1);
        let head = u16::from_le_bytes(b);
        if head >= self.size {
            return Err(format!("descriptor {head} in a ring of {}", self.size));
        }
        let mut chain = Chain {
            head,
            ..Chain::default()
        };
        self.walk(mem, self.desc, self.size, head, false, &mut chain)?;
        Ok(Some(chain))
    }

    fn walk(
        &self,
        mem: &Mem,
        table: u64,
        size: u16,
        first: u16,
        inner: bool,
        chain: &mut Chain,
    ) -> Result<(), String> {
        let mut i = first;
        for _ in 0..size {
            let mut d = [0; 16];
            mem.read(table + 16 * u64::from(i), &mut d)
                .map_err(|e| e.to_string())?;
            let addr = u64::from_le_bytes(d[..8].try_into().unwrap_or_default());
            let len = u32::from_le_bytes(d[8..12].try_into().unwrap_or_default());
            let flags = u16::from_le_bytes([d[12], d[13]]);
            let next = u16::from_le_bytes([d[14], d[15]]);
            if flags & DESC_F_INDIRECT != 0 {
                if inner || flags & DESC_F_NEXT != 0 {
                    return Err("indirect descriptor inside of a table, or with a next one".into());
                }
                let n = u16::try_from(len / 16).unwrap_or(0);
                if len % 16 != 0 || n == 0 {
                    return Err(format!("indirect table of {len} bytes"));
                }
                return self.walk(mem, addr, n, 0, true, chain);
            }
            if len == 0 {
                return Err("descriptor of length 0".into());
            }
            if flags & DESC_F_WRITE != 0 {
                chain.inp.push(Seg { addr, len });
            } else if chain.inp.is_empty() {
                chain.out.push(Seg { addr, len });
            } else {
                return Err("readable descriptor after a writable one".into());
            }
            if flags & DESC_F_NEXT == 0 {
                return Ok(());
            }
            if next >= size {
                return Err(format!("next descriptor {next} in a table of {size}"));
            }
            i = next;
        }
        Err("descriptors in a loop".into())
    }

    /// Has a descriptor, which is the driver's to write, say that another one follows.
    pub fn set_next(&self, mem: &Mem, head: u16) {
        let at = self.desc + 16 * u64::from(head) + 12;
        if let Ok(flags) = mem.load16(at) {
            let _ = mem.store16(at, flags | DESC_F_NEXT);
        }
    }

    /// Writes a used ring entry, whatever it is, without showing it.
    pub fn write_used(&self, mem: &Mem, at: u16, id: u32, len: u32) {
        let mut e = [0; 8];
        e[..4].copy_from_slice(&id.to_le_bytes());
        e[4..].copy_from_slice(&len.to_le_bytes());
        let _ = mem.write(self.used + 4 + 8 * u64::from(at % self.size.max(1)), &e);
    }

    /// Shows the used entries up to `idx`.
    pub fn show_used(&mut self, mem: &Mem, idx: u16) {
        self.next_used = idx;
        let _ = mem.store16(self.used + 2, idx);
    }

    /// Gives a buffer back.
    pub fn push(&mut self, mem: &Mem, id: u32, len: u32) {
        self.write_used(mem, self.next_used, id, len);
        self.show_used(mem, self.next_used.wrapping_add(1));
        self.waiting += 1;
    }

    /// Doesn't ask to be kicked any more, until a kick comes nevertheless and there is a buffer.
    pub fn lose_place(&mut self, mem: &Mem) {
        self.lost = true;
        let _ = match self.event_idx {
            true => mem.store16(
                self.used + 4 + 8 * u64::from(self.size),
                self.next_avail.wrapping_sub(1),
            ),
            false => mem.store16(self.used, 1),
        };
    }

    /// Asks again, if there is a buffer to see where it is.
    pub fn find_place(&mut self, mem: &Mem) {
        self.lost &= self.pending(mem) == 0;
    }

    /// Asks to be kicked for the next buffer (or not). After asking, look again.
    pub fn ask_kick(&self, mem: &Mem, on: bool) {
        if self.lost {
            return;
        }
        if self.event_idx {
            if on {
                let _ = mem.store16(self.used + 4 + 8 * u64::from(self.size), self.next_avail);
            }
        } else {
            let _ = mem.store16(self.used, u16::from(!on));
        }
    }

    /// Whether the driver wants to know of what was used since the last time that this was asked.
    pub fn wants_interrupt(&mut self, mem: &Mem) -> bool {
        let (old, new) = (self.signalled, self.next_used);
        self.signalled = new;
        if old == new {
            return false;
        }
        if self.event_idx {
            let event = mem
                .load16(self.avail + 4 + 2 * u64::from(self.size))
                .unwrap_or(0);
            new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
        } else {
            mem.load16(self.avail).unwrap_or(0) & AVAIL_F_NO_INTERRUPT == 0
        }
    }

    /// Interrupts, wanted or not.
    pub fn interrupt(&mut self) {
        if self.mute {
            return;
        }
        if let Some(call) = &self.call {
            self.count.interrupts += 1;
            call.call();
        }
    }

    /// Interrupts for used buffers if the driver wants that, now or (coalescing) later.
    pub fn notify(&mut self, mem: &Mem) {
        if self.waiting == 0 {
            return;
        }
        let c = self.coal;
        if c.max_packets > 1 && c.max_usecs > 0 && self.waiting < c.max_packets {
            if self.due.is_none() {
                self.due = Some(
                    std::time::Instant::now()
                        + std::time::Duration::from_micros(c.max_usecs.into()),
                );
            }
            return;
        }
        self.notify_now(mem);
    }

    /// The same without waiting.
    pub fn notify_now(&mut self, mem: &Mem) {
        self.waiting = 0;
        self.due = None;
        if self.wants_interrupt(mem) {
            self.interrupt();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_interrupts_once() {
        let call = EventFd::new(libc::EFD_NONBLOCK).unwrap();
        let mut vq = Vq::default();
        vq.set_call(Some(Box::new(call.try_clone().unwrap())));
        assert!(call.read().is_err(), "before it is started");
        vq.start();
        assert_eq!(call.read().unwrap(), 1);
        let moved = EventFd::new(libc::EFD_NONBLOCK).unwrap();
        vq.set_call(Some(Box::new(moved.try_clone().unwrap())));
        assert_eq!(moved.read().unwrap(), 1);
        assert!(call.read().is_err(), "nobody listens there any more");
    }
}
