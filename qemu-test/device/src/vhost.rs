// SPDX-License-Identifier: GPL-2.0

//! The vhost-user protocol, as much of it as QEMU speaks with its generic device and Linux as a process (ARCH=um) with
//! any. What is said, a `Backend` decides: the test device here, and that of `bench/native`.
//!
//! Not by the crate of that name: it can't send "the configuration has changed", and keeps a device from saying what a
//! hostile one wants to say.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::sock_ctrl_msg::ScmSocket;

use crate::spec::f;

const REPLY: u32 = 4;
const NEED_REPLY: u32 = 8;
const MAX_FDS: usize = 16;

/// Protocol features.
pub mod protocol {
    /// Several queues.
    pub const MQ: u64 = 1 << 0;
    /// Requests are acknowledged.
    pub const REPLY_ACK: u64 = 1 << 3;
    /// A channel back.
    pub const BACK: u64 = 1 << 5;
    /// The configuration.
    pub const CONFIG: u64 = 1 << 9;
}

/// A part of the guest's memory.
pub struct Region {
    pub guest: u64,
    pub size: u64,
    /// Where the front end itself has it: ring addresses come in these terms.
    pub user: u64,
    pub offset: u64,
    pub file: File,
}

/// A device, as a front end sees it. Queues that there aren't are the device's to refuse.
pub trait Backend {
    /// Which features are offered.
    fn offer(&mut self) -> u64;
    /// Which of the protocol's.
    fn protocol(&self) -> u64;
    fn set_features(&mut self, features: u64);
    /// How many queues there are.
    fn queues(&self) -> u64;
    fn set_memory(&mut self, table: Vec<Region>) -> Result<(), String>;
    fn set_size(&mut self, queue: usize, size: u16);
    /// Addresses of the ring's parts, as the front end has them.
    fn set_ring(&mut self, queue: usize, desc: u64, used: u64, avail: u64) -> Result<(), String>;
    fn set_base(&mut self, queue: usize, base: u32);
    /// Stops a ring; returns where it was.
    fn stop(&mut self, queue: usize) -> u32;
    fn set_kick(&mut self, queue: usize, fd: Option<EventFd>);
    fn set_call(&mut self, queue: usize, fd: Option<EventFd>);
    fn enable(&mut self, queue: usize, on: bool);
    fn set_back(&mut self, sock: Option<UnixStream>);
    /// The device's configuration, zeroes behind it.
    fn config(&mut self) -> Vec<u8>;
    /// The driver has written to it.
    fn config_written(&mut self);
    /// Any other request, with a number or without one (zero), answered by a number if by anything.
    fn other(&mut self, request: u32, _value: u64) -> Result<Option<u64>, String> {
        Err(format!("request {request} is not known"))
    }
}

/// A connection to the front end: QEMU.
pub struct Conn {
    sock: UnixStream,
}

/// A request with what came along.
struct Msg {
    request: u32,
    flags: u32,
    body: Vec<u8>,
    files: Vec<File>,
}

impl Msg {
    fn u32(&self, at: usize) -> u32 {
        self.body
            .get(at..at + 4)
            .map_or(0, |b| u32::from_le_bytes(b.try_into().unwrap_or_default()))
    }

    fn u64(&self, at: usize) -> u64 {
        self.body
            .get(at..at + 8)
            .map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap_or_default()))
    }
}

impl AsRawFd for Conn {
    fn as_raw_fd(&self) -> RawFd {
        self.sock.as_raw_fd()
    }
}

impl Conn {
    pub fn new(sock: UnixStream) -> Self {
        Self { sock }
    }

    fn receive(&mut self) -> io::Result<Msg> {
        let mut head = [0u8; 12];
        let mut fds = [-1; MAX_FDS];
        let mut iov = [libc::iovec {
            iov_base: head.as_mut_ptr().cast(),
            iov_len: head.len(),
        }];
        // SAFETY: the one buffer is `head`, which outlives the call.
        let (mut n, count) =
            unsafe { self.sock.recv_with_fds(&mut iov, &mut fds) }.map_err(io::Error::from)?;
        // SAFETY: the kernel made these descriptors for us; nobody else has them.
        let files = fds[..count]
            .iter()
            .map(|fd| unsafe { File::from_raw_fd(*fd) })
            .collect();
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while n < head.len() {
            match self.sock.read(&mut head[n..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => n += more,
            }
        }
        let word = |i: usize| u32::from_le_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
        let size = word(8) as usize;
        if size > 0x2000 {
            return Err(io::Error::other(format!("a message of {size} bytes")));
        }
        let mut body = vec![0; size];
        self.sock.read_exact(&mut body)?;
        Ok(Msg {
            request: word(0),
            flags: word(4),
            body,
            files,
        })
    }

    fn reply(&mut self, msg: &Msg, body: &[u8]) -> io::Result<()> {
        let mut out = msg.request.to_le_bytes().to_vec();
        out.extend((1 | REPLY).to_le_bytes());
        out.extend((body.len() as u32).to_le_bytes());
        out.extend(body);
        self.sock.write_all(&out)
    }

    /// Serves one request.
    pub fn serve(&mut self, dev: &mut impl Backend) -> io::Result<()> {
        let mut msg = self.receive()?;
        let mut files = std::mem::take(&mut msg.files);
        let mut done: Result<(), String> = Ok(());
        let index = (msg.u32(0) & 0xff) as usize;
        match msg.request {
            // GET_FEATURES; for SET_FEATURES see below.
            1 => return self.reply(&msg, &(dev.offer() | f::PROTOCOL_FEATURES).to_le_bytes()),
            2 => dev.set_features(msg.u64(0)),
            // SET_OWNER, RESET_OWNER
            3 | 4 => {}
            // SET_MEM_TABLE: a count and regions of guest address, size, QEMU's address, offset.
            5 => {
                let n = msg.u32(0) as usize;
                let table = (0..n)
                    .zip(files.drain(..))
                    .map(|(i, file)| {
                        let at = 8 + 32 * i;
                        Region {
                            guest: msg.u64(at),
                            size: msg.u64(at + 8),
                            user: msg.u64(at + 16),
                            offset: msg.u64(at + 24),
                            file,
                        }
                    })
                    .collect();
                done = dev.set_memory(table);
            }
            // SET_VRING_NUM, _ADDR (index, flags, descriptors, used, available, log), _BASE
            8 => dev.set_size(index, msg.u32(4) as u16),
            9 => done = dev.set_ring(index, msg.u64(8), msg.u64(16), msg.u64(24)),
            10 => dev.set_base(index, msg.u32(4)),
            // GET_VRING_BASE stops the ring.
            11 => {
                let base = dev.stop(index);
                let mut body = (index as u32).to_le_bytes().to_vec();
                body.extend(base.to_le_bytes());
                return self.reply(&msg, &body);
            }
            // SET_VRING_KICK, _CALL, _ERR; bit 8: none
            12..=14 => {
                let fd = files.pop().filter(|_| msg.u64(0) & 0x100 == 0).map(|file| {
                    // SAFETY: the descriptor is owned by `file`, which gives it up.
                    unsafe { EventFd::from_raw_fd(file.into_raw_fd()) }
                });
                match msg.request {
                    12 => dev.set_kick(index, fd),
                    13 => dev.set_call(index, fd),
                    _ => {}
                }
            }
            15 => return self.reply(&msg, &dev.protocol().to_le_bytes()),
            16 => {}
            17 => return self.reply(&msg, &dev.queues().to_le_bytes()),
            18 => dev.enable(index, msg.u32(4) != 0),
            // SET_BACKEND_REQ_FD
            21 => dev.set_back(files.pop().map(|file| {
                let fd: OwnedFd = file.into();
                UnixStream::from(fd)
            })),
            // GET_CONFIG, SET_CONFIG: offset, size, flags, contents
            24 => {
                let (off, size) = (msg.u32(0) as usize, msg.u32(4) as usize);
                let mut body = msg.body.clone();
                let config = dev.config();
                for i in 0..size {
                    if let Some(b) = body.get_mut(12 + i) {
                        *b = config.get(off + i).copied().unwrap_or(0);
                    }
                }
                return self.reply(&msg, &body);
            }
            25 => dev.config_written(),
            other => match dev.other(other, msg.u64(0)) {
                Ok(Some(v)) => return self.reply(&msg, &v.to_le_bytes()),
                Ok(None) => {}
                Err(e) => done = Err(e),
            },
        }
        if let Err(e) = &done {
            eprintln!("vhost-user: {e}");
        }
        if msg.flags & NEED_REPLY != 0 {
            let status = u64::from(done.is_err());
            return self.reply(&msg, &status.to_le_bytes());
        }
        Ok(())
    }
}
