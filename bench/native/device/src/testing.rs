// SPDX-License-Identifier: GPL-2.0

//! The other side, for tests: a front end that sets a device up by vhost-user, and rings as a driver has them.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};

use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::sock_ctrl_msg::ScmSocket;

use crate::desc;
use crate::device::Device;
use crate::mem::{Area, Bytes, Memory};
use crate::options::Options;
use crate::spec::f;
use crate::vhost::{Conn, Region};

/// Where the guest's memory is for the guest, and for the front end.
const GUEST: u64 = 0x100_0000;
const USER: u64 = 0x7000_0000;
const SIZE: u64 = 8 << 20;
/// What there is of a queue, from its number times this on.
const QUEUE: u64 = 0x1_0000;
const AVAIL: u64 = 0x8000;
const USED: u64 = 0xc000;
/// Where the memory begins that tests give out.
const DATA: u64 = 1 << 20;

/// A piece of a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub addr: u64,
    pub len: u32,
    pub write: bool,
}

/// How the pieces of a buffer are told to the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    Chain,
    Indirect,
}

fn shared_file() -> File {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let n = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("nativedev-{}-{n}", std::process::id()));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(path).unwrap();
    file.set_len(SIZE).unwrap();
    file
}

/// A guest with a device.
pub struct Guest {
    pub device: Device,
    conn: Conn,
    sock: UnixStream,
    file: File,
    pub memory: Memory,
    pub rings: Vec<DriverRing>,
    next: u64,
}

impl Guest {
    /// A guest that takes what it is offered but for `without`, with rings of `size`.
    pub fn new(options: &str, without: u64, size: u16) -> Self {
        let device = Device::new(Options::parse(options, 3).unwrap());
        let (sock, other) = UnixStream::pair().unwrap();
        let file = shared_file();
        let region = Region {
            guest: GUEST,
            size: SIZE,
            user: USER,
            offset: 0,
            file: file.try_clone().unwrap(),
        };
        let mut g = Self {
            device,
            conn: Conn::new(other),
            sock,
            file,
            memory: Memory::new(vec![region]).unwrap(),
            rings: vec![],
            next: GUEST + DATA,
        };
        g.set_up(without, size);
        g
    }

    fn set_up(&mut self, without: u64, size: u16) {
        let offered = self.ask(1, &[]);
        assert!(offered & f::PROTOCOL_FEATURES != 0);
        let high = self.ask(15, &[]) & 1 << 62 != 0;
        let features = offered & !without;
        self.tell(2, &features.to_le_bytes(), &[]);
        if high {
            let high = self.ask(0x1000, &[]);
            self.tell(0x1001, &high.to_le_bytes(), &[]);
        }
        let table = [1, GUEST, SIZE, USER, 0].map(u64::to_le_bytes).concat();
        let fd = self.file.as_raw_fd();
        self.tell(5, &table, &[fd]);
        for i in 0..self.ask(17, &[]) as u32 {
            self.add_queue(i, size, features);
        }
    }

    fn add_queue(&mut self, i: u32, size: u16, features: u64) {
        let packed = features & f::RING_PACKED != 0;
        let user = USER + QUEUE * u64::from(i);
        let pair = |a: u32, b: u32| [a.to_le_bytes(), b.to_le_bytes()].concat();
        self.tell(8, &pair(i, size.into()), &[]);
        self.tell(10, &pair(i, 0), &[]);
        let at = [i.into(), user, user + USED, user + AVAIL, 0].map(u64::to_le_bytes);
        self.tell(9, &at.concat(), &[]);
        let (kick, call) = (
            EventFd::new(0).unwrap(),
            EventFd::new(libc::EFD_NONBLOCK).unwrap(),
        );
        self.tell(12, &u64::from(i).to_le_bytes(), &[kick.as_raw_fd()]);
        self.tell(13, &u64::from(i).to_le_bytes(), &[call.as_raw_fd()]);
        self.rings.push(DriverRing {
            packed,
            size,
            table: self.memory.area(user, 16 * usize::from(size), 16).unwrap(),
            avail: self
                .memory
                .area(user + AVAIL, 6 + 2 * usize::from(size), 4)
                .unwrap(),
            used: self
                .memory
                .area(user + USED, 6 + 8 * usize::from(size), 4)
                .unwrap(),
            call,
            kick,
            next: 0,
            next_used: 0,
            free: (0..size).rev().collect(),
            taken: vec![vec![]; usize::from(size)],
            wrap: true,
            used_wrap: true,
        });
        self.tell(18, &pair(i, 1), &[]);
    }

    fn send(&mut self, request: u32, flags: u32, body: &[u8], fds: &[RawFd]) {
        let mut msg = [request, flags, body.len() as u32]
            .map(u32::to_le_bytes)
            .concat();
        msg.extend(body);
        self.sock.send_with_fds(&[&msg[..]], fds).unwrap();
        self.conn.serve(&mut self.device).unwrap();
    }

    fn reply(&mut self) -> Vec<u8> {
        let mut head = [0; 12];
        self.sock.read_exact(&mut head).unwrap();
        assert_eq!(head[4], 5, "version 1, a reply");
        let mut body = vec![0; usize::from(head[8])];
        self.sock.read_exact(&mut body).unwrap();
        body
    }

    /// A request that is answered by a number.
    pub fn ask(&mut self, request: u32, body: &[u8]) -> u64 {
        self.send(request, 1, body, &[]);
        u64::from_le_bytes(self.reply().try_into().unwrap())
    }

    /// One that is acknowledged.
    pub fn tell(&mut self, request: u32, body: &[u8], fds: &[RawFd]) {
        self.send(request, 1 | 8, body, fds);
        assert_eq!(self.reply(), [0; 8], "request {request}");
    }

    /// The configuration's beginning.
    pub fn config(&mut self, len: u32) -> Vec<u8> {
        let mut body = [0, len, 0].map(u32::to_le_bytes).concat();
        body.resize(12 + len as usize, 0);
        self.send(24, 1, &body, &[]);
        self.reply()[12..].to_vec()
    }

    /// Stops a ring and starts it again, as a suspended guest does.
    pub fn restart(&mut self, i: u32) {
        for on in [0, 1] {
            self.tell(18, &[i.to_le_bytes(), u32::to_le_bytes(on)].concat(), &[]);
        }
    }

    /// Memory with something in it.
    pub fn data(&mut self, bytes: &[u8], write: bool) -> Piece {
        let len = bytes.len() as u32;
        let addr = self.next;
        self.next += u64::from(len.next_multiple_of(64));
        self.memory.find(addr, len).unwrap().copy_from(bytes);
        Piece { addr, len, write }
    }

    /// Memory to be written to.
    pub fn room(&mut self, len: usize) -> Piece {
        self.data(&vec![0; len], true)
    }

    pub fn bytes(&self, p: Piece) -> Vec<u8> {
        let mut to = vec![0; p.len as usize];
        self.memory
            .find(p.addr, p.len)
            .unwrap()
            .copy_to(&mut to)
            .unwrap();
        to
    }

    /// Makes a buffer available.
    pub fn add(&mut self, ring: usize, pieces: &[Piece], how: How) -> u16 {
        let n = pieces.len();
        let table = match how {
            How::Indirect => Some(self.data(&vec![0; desc::SIZE * n], false)),
            How::Chain => None,
        };
        let Some(table) = table else {
            return self.rings[ring].add(pieces);
        };
        let packed = self.rings[ring].packed;
        for (i, p) in pieces.iter().enumerate() {
            let next = if i + 1 < n && !packed { desc::NEXT } else { 0 };
            let flags = next | if p.write { desc::WRITE } else { 0 };
            let number = i as u16 + 1;
            let (a, b) = if packed { (0, flags) } else { (flags, number) };
            let d = [
                &p.addr.to_le_bytes()[..],
                &p.len.to_le_bytes(),
                &a.to_le_bytes(),
                &b.to_le_bytes(),
            ]
            .concat();
            let at: Bytes<'_> = self.memory.find(table.addr + 16 * i as u64, 16).unwrap();
            at.copy_from(&d);
        }
        self.rings[ring].add_raw(&[(table.addr, table.len, desc::INDIRECT)])
    }
}

/// A ring, driver side. `next` and `next_used` are free-running in a split ring, places in a packed one.
pub struct DriverRing {
    packed: bool,
    pub size: u16,
    pub table: Area,
    pub avail: Area,
    pub used: Area,
    pub call: EventFd,
    pub kick: EventFd,
    pub next: u16,
    next_used: u16,
    free: Vec<u16>,
    /// Descriptors of a buffer, by its number.
    taken: Vec<Vec<u16>>,
    wrap: bool,
    used_wrap: bool,
}

impl DriverRing {
    pub fn add(&mut self, pieces: &[Piece]) -> u16 {
        let raw: Vec<_> = pieces
            .iter()
            .map(|p| (p.addr, p.len, if p.write { desc::WRITE } else { 0 }))
            .collect();
        self.add_raw(&raw)
    }

    fn put(&self, at: u16, d: (u64, u32), a: u16, b: u16) {
        let at = 16 * usize::from(at);
        self.table.put32(at, d.0 as u32);
        self.table.put32(at + 4, (d.0 >> 32) as u32);
        self.table.put32(at + 8, d.1);
        self.table.put16(at + 12, a);
        // Flags of a packed ring's descriptor show it.
        self.table.store16(at + 14, b);
    }

    /// Makes a buffer of these descriptors (address, length, flags) available; returns its number.
    pub fn add_raw(&mut self, pieces: &[(u64, u32, u16)]) -> u16 {
        let ids: Vec<u16> = pieces.iter().map(|_| self.free.pop().unwrap()).collect();
        let (id, n) = (ids[0], pieces.len());
        if self.packed {
            let mut first = None;
            for (i, p) in pieces.iter().enumerate() {
                let more = if i + 1 < n { desc::NEXT } else { 0 };
                let shown = if self.wrap { desc::AVAIL } else { desc::USED };
                let d = (self.next, (p.0, p.1), p.2 | more | shown);
                match first {
                    None => first = Some(d),
                    Some(_) => self.put(d.0, d.1, id, d.2),
                }
                self.next += 1;
                if self.next == self.size {
                    (self.next, self.wrap) = (0, !self.wrap);
                }
            }
            let d = first.unwrap();
            self.put(d.0, d.1, id, d.2);
        } else {
            for (i, p) in pieces.iter().enumerate() {
                let (more, next) = ids.get(i + 1).map_or((0, 0), |next| (desc::NEXT, *next));
                self.put(ids[i], (p.0, p.1), p.2 | more, next);
            }
            self.avail
                .store16(4 + 2 * usize::from(self.next % self.size), id);
            self.next = self.next.wrapping_add(1);
            self.avail.store16(2, self.next);
        }
        self.taken[usize::from(id)] = ids;
        id
    }

    /// The next used buffer: number and length.
    pub fn used(&mut self) -> Option<(u16, u32)> {
        let (id, len);
        if self.packed {
            let at = 16 * usize::from(self.next_used);
            let flags = self.table.load16(at + 14);
            let bit = |b| (flags & b != 0) == self.used_wrap;
            if !bit(desc::AVAIL) || !bit(desc::USED) {
                return None;
            }
            (id, len) = (self.table.load16(at + 12), self.table.get64(at + 8) as u32);
            self.next_used += self.taken[usize::from(id)].len() as u16;
            if self.next_used >= self.size {
                (self.next_used, self.used_wrap) = (self.next_used - self.size, !self.used_wrap);
            }
        } else {
            if self.used.load16(2) == self.next_used {
                return None;
            }
            let at = 4 + 8 * usize::from(self.next_used % self.size);
            let word =
                |at| u32::from(self.used.load16(at + 2)) << 16 | u32::from(self.used.load16(at));
            (id, len) = (word(at) as u16, word(at + 4));
            self.next_used = self.next_used.wrapping_add(1);
        }
        let mut ids = std::mem::take(&mut self.taken[usize::from(id)]);
        assert!(!ids.is_empty(), "buffer {id} was not there");
        ids.reverse();
        self.free.extend(ids);
        Some((id, len))
    }

    /// How often the device has interrupted since the last time.
    pub fn interrupts(&self) -> u64 {
        self.call.read().unwrap_or(0)
    }

    /// Asks for an interrupt when the next buffer is used.
    pub fn want_next(&self) {
        if self.packed {
            self.avail
                .store16(0, self.next_used | u16::from(self.used_wrap) << 15);
            self.avail.store16(2, 2);
        } else {
            self.avail
                .store16(4 + 2 * usize::from(self.size), self.next_used);
        }
    }

    /// Asks for none.
    pub fn want_none(&self) {
        if self.packed {
            self.avail.store16(2, 1);
        } else {
            self.avail.store16(
                4 + 2 * usize::from(self.size),
                self.next_used.wrapping_sub(1),
            );
        }
    }
}
