// SPDX-License-Identifier: GPL-2.0

//! A device: takes what is sent, all of whose lines it reads, and puts in frames when it is told to.

use std::time::Instant;

use crate::desc::{self, Desc};
use crate::fault::{fault, Fault};
use crate::features::Features;
use crate::frame::{self, To};
use crate::job::{Done, Job};
use crate::mem::Memory;
use crate::options::{Format, Options};
use crate::queue::{Queue, Setup};
use crate::ring::{Batch, Buffer, Ring, Wants, BATCH};
use crate::spec::f;

/// What was sent.
#[derive(Default, Clone, Copy, Debug)]
pub struct Sent {
    pub packets: u64,
    pub bytes: u64,
    pub batches: u64,
}

pub struct Device {
    pub options: Options,
    pub offered: Features,
    pub acked: Features,
    pub memory: Memory,
    pub queues: Vec<Queue>,
    /// Pairs that the driver uses.
    pub pairs: u16,
    pub sent: Sent,
    pub received: u64,
    pub wants: Wants,
    /// How many packets are taken at a time, at most.
    burst: usize,
    /// How long it waits for that many.
    lazy: u64,
    job: Option<Job>,
    epoch: Instant,
}

impl Device {
    pub fn new(options: Options) -> Self {
        let n = usize::from(options.pairs) * 2 + usize::from(options.pairs > 1);
        Self {
            offered: Features::offer(&options),
            acked: Features::default(),
            memory: Memory::default(),
            queues: (0..n).map(|_| Queue::default()).collect(),
            pairs: 1,
            sent: Sent::default(),
            received: 0,
            wants: Wants::None,
            burst: BATCH,
            lazy: 0,
            job: None,
            epoch: Instant::now(),
            options,
        }
    }

    /// What is the same for all its rings.
    pub fn setup(&self) -> Setup {
        Setup {
            packed: self.options.ring == Format::Packed && self.acked.has(f::RING_PACKED),
            event_idx: self.acked.has(f::EVENT_IDX),
            wants: self.wants,
        }
    }

    /// Where the control queue is, if the driver uses it.
    pub fn ctrl_index(&self) -> Option<usize> {
        match (self.acked.has(f::CTRL_VQ), self.acked.has(f::MQ)) {
            (false, _) => None,
            (true, false) => Some(2),
            (true, true) => Some(2 * usize::from(self.options.pairs)),
        }
    }

    pub fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    // --- what it is told -------------------------------------------------------------------------------------------

    /// Whether the driver is to notify. The device looks by itself all the same.
    pub fn set_wants(&mut self, wants: Wants) {
        self.wants = wants;
        for q in &mut self.queues {
            q.want(wants);
        }
    }

    /// Waits so long for a whole burst.
    pub fn set_lazy(&mut self, ns: u64) {
        self.lazy = ns;
    }

    pub fn set_burst(&mut self, burst: usize) -> Result<(), String> {
        if !(1..=BATCH).contains(&burst) {
            return Err(format!("a burst of {burst}: 1 to {BATCH}"));
        }
        self.burst = burst;
        Ok(())
    }

    /// Begins to put in frames.
    pub fn receive(&mut self, count: u64, size: usize, rate: u64, to: To) -> Result<(), String> {
        if !(frame::MIN..=frame::MAX).contains(&size) {
            return Err(format!(
                "a frame of {size} bytes: {} to {}",
                frame::MIN,
                frame::MAX
            ));
        }
        if count == 0 {
            return Err("no frames".into());
        }
        if !self.can_receive() {
            return Err("there is no driver that receives".into());
        }
        let frame = frame::frame(self.acked.header(), size, self.options.mac, to);
        self.job = Some(Job::new(frame, count, rate, self.now()));
        Ok(())
    }

    /// There is a driver that frames can be put in for.
    pub fn can_receive(&self) -> bool {
        self.queues[0].on()
    }

    /// Frames are being put in.
    pub fn working(&self) -> bool {
        self.job.is_some()
    }

    pub fn cancel(&mut self) {
        self.job = None;
    }

    // --- what it does by itself ------------------------------------------------------------------------------------

    /// Takes what was sent, a burst of each pair in use; tells whether there was anything.
    #[inline]
    pub fn poll_tx(&mut self) -> Result<bool, Fault> {
        let mut busy = false;
        for pair in 0..usize::from(self.pairs) {
            let index = 2 * pair + 1;
            busy |= self.poll_tx_queue(index).map_err(|e| e.of(index))?;
        }
        Ok(busy)
    }

    #[inline]
    fn poll_tx_queue(&mut self, index: usize) -> Result<bool, Fault> {
        let header = self.acked.header();
        let Some(q) = self.queues.get_mut(index) else {
            return Ok(false);
        };
        // A lazy device doesn't take the lines away that the driver is still writing to.
        if self.lazy > 0 && !q.has(self.burst) {
            if q.since.is_none() && !q.has(1) {
                return Ok(false);
            }
            let now = self.epoch.elapsed().as_nanos() as u64;
            if now - *q.since.get_or_insert(now) < self.lazy {
                return Ok(true);
            }
        }
        q.since = None;
        let n = q.gather(&self.memory, self.burst)?;
        if n == 0 {
            return Ok(false);
        }
        let Some((ring, batch)) = q.work() else {
            return Ok(false);
        };
        let mut bytes = 0;
        for b in batch.all() {
            bytes += take(ring, &self.memory, b, header)?;
        }
        q.give_back(&[0; BATCH][..n], self.wants);
        self.sent.packets += n as u64;
        self.sent.bytes += bytes as u64;
        self.sent.batches += 1;
        Ok(true)
    }

    /// Puts in a burst of frames if that is to be done now; a result when all are in.
    #[inline]
    pub fn poll_rx(&mut self) -> Result<Option<Done>, Fault> {
        if self.job.is_none() {
            return Ok(None);
        }
        self.poll_rx_queue().map_err(|e| e.of(0))
    }

    #[inline]
    fn poll_rx_queue(&mut self) -> Result<Option<Done>, Fault> {
        let Some(job) = &mut self.job else {
            return Ok(None);
        };
        let epoch = self.epoch;
        let now = || epoch.elapsed().as_nanos() as u64;
        let due = job.due(now).min(self.burst as u64) as usize;
        let q = &mut self.queues[0];
        if due == 0 || !q.on() {
            return Ok(None);
        }
        // A frame may take several buffers.
        if q.gather(&self.memory, BATCH)? == 0 {
            job.stall();
            return Ok(None);
        }
        let merge = self.acked.has(f::MRG_RXBUF);
        let Some((ring, batch)) = q.work() else {
            return Ok(None);
        };
        let mut written = [0; BATCH];
        let (mut frames, mut buffers) = (0, 0);
        while frames < due && buffers < batch.len() {
            let n = put(
                ring,
                &self.memory,
                batch,
                buffers,
                job.frame(),
                merge,
                &mut written,
            )?;
            if n == 0 {
                break;
            }
            buffers += n;
            frames += 1;
        }
        if frames == 0 {
            job.stall();
            return Ok(None);
        }
        job.begin(frames as u64, q.calls, now);
        q.give_back(&written[..buffers], self.wants);
        self.received += frames as u64;
        let done = job.end(q.calls, now);
        if done.is_some() {
            self.job = None;
        }
        Ok(done)
    }
}

/// Reads a packet; returns how many bytes it has behind its header.
///
/// A host copies it, but where it would copy it to is nothing that a driver could notice, and a device that shares a core's
/// caches with the driver would be what the driver waits for: large packets take twice as long.
#[inline]
fn take(ring: &Ring, memory: &Memory, b: &Buffer, header: usize) -> Result<usize, Fault> {
    let mut n = 0;
    if b.first.alone() {
        n = read(memory, &b.first)?;
    } else {
        ring.pieces(memory, b, |d| {
            n += read(memory, &d)?;
            Ok(true)
        })?;
    }
    match n.checked_sub(header) {
        Some(len) if len <= frame::MAX => Ok(len),
        _ => fault(format!("5.1.6.2: a packet of {n} bytes with its header")),
    }
}

/// Reads a piece of a packet; returns how many bytes it has.
#[inline]
fn read(memory: &Memory, d: &Desc) -> Result<usize, Fault> {
    if d.flags & desc::WRITE != 0 {
        return fault("2.7.4.2: a packet to send in a buffer to be written to".into());
    }
    let bytes = memory.find(d.addr, d.len)?;
    bytes.touch();
    Ok(bytes.len())
}

/// Puts a frame into buffers from number `at` on; returns how many it took, none if there are too few.
#[inline]
fn put(
    ring: &Ring,
    memory: &Memory,
    batch: &Batch,
    at: usize,
    frame: &[u8],
    merge: bool,
    written: &mut [u32; BATCH],
) -> Result<usize, Fault> {
    let buffers = &batch.all()[at..];
    let mut done = 0;
    let mut num_buffers = None;
    for (i, b) in buffers.iter().enumerate() {
        let before = done;
        ring.pieces(memory, b, |d| {
            if d.flags & desc::WRITE == 0 {
                return fault("2.7.4.2: a buffer to receive into that may only be read".into());
            }
            let bytes = memory.find(d.addr, d.len)?;
            if done == 0 {
                num_buffers = bytes.skip(10);
            }
            done += bytes.copy_from(&frame[done..]);
            Ok(done < frame.len())
        })?;
        written[at + i] = (done - before) as u32;
        if done == frame.len() {
            if i > 0 {
                // In the first buffer's header, which the driver gives room for in one piece (5.1.6.3.2).
                match num_buffers.filter(|n| n.len() >= 2) {
                    Some(n) => n.copy_from(&((i + 1) as u16).to_le_bytes()),
                    None => return fault("a first buffer that is smaller than the header".into()),
                };
            }
            return Ok(i + 1);
        }
        if !merge {
            return fault(format!(
                "a buffer of {} bytes for a frame of {}",
                done - before,
                frame.len()
            ));
        }
    }
    if buffers.len() == BATCH {
        return fault(format!(
            "{BATCH} buffers of {done} bytes in all for a frame of {}",
            frame.len()
        ));
    }
    Ok(0)
}
