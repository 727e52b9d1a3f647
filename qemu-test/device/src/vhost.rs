// SPDX-License-Identifier: GPL-2.0

//! The vhost-user protocol, as much of it as QEMU speaks with its generic device.
//!
//! Not by the crate of that name: it can't send "the configuration has changed", and keeps a device from saying what a
//! hostile one wants to say.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::sock_ctrl_msg::ScmSocket;

use crate::mem::Mem;
use crate::net::Net;
use crate::spec::f;

const REPLY: u32 = 4;
const NEED_REPLY: u32 = 8;
const MAX_FDS: usize = 16;

/// Protocol features: several queues, acknowledgements; beyond a netdev a channel back, the configuration.
const PROTOCOL_NETDEV: u64 = 1 << 0 | 1 << 3;
const PROTOCOL: u64 = PROTOCOL_NETDEV | 1 << 5 | 1 << 9;

/// A connection to QEMU.
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
    pub fn serve(&mut self, net: &mut Net) -> io::Result<()> {
        let mut msg = self.receive()?;
        let mut files = std::mem::take(&mut msg.files);
        let mut done: Result<(), String> = Ok(());
        let index = (msg.u32(0) & 0xff) as usize;
        match msg.request {
            // GET_FEATURES; for SET_FEATURES see below.
            1 => return self.reply(&msg, &(net.offer() | f::PROTOCOL_FEATURES).to_le_bytes()),
            2 => net.set_features(msg.u64(0)),
            // SET_OWNER, RESET_OWNER
            3 | 4 => {}
            // SET_MEM_TABLE: a count and regions of guest address, size, QEMU's address, offset.
            5 => {
                let n = msg.u32(0) as usize;
                let table = (0..n)
                    .zip(files.drain(..))
                    .map(|(i, file)| {
                        let at = 8 + 32 * i;
                        (
                            msg.u64(at),
                            msg.u64(at + 8),
                            msg.u64(at + 16),
                            msg.u64(at + 24),
                            file,
                        )
                    })
                    .collect();
                done = Mem::new(table).map(|m| net.mem = m);
            }
            // SET_VRING_NUM, _ADDR, _BASE
            8 => net.with_vq(index, |vq| vq.size = msg.u32(4) as u16),
            9 => {
                // index, flags, descriptors, used, available, log
                let at = |i: usize| net.mem.user_to_guest(msg.u64(i));
                match (at(8), at(16), at(24)) {
                    (Some(desc), Some(used), Some(avail)) => net.set_ring(index, desc, avail, used),
                    _ => done = Err(format!("ring {index} is not in the guest's memory")),
                }
            }
            10 => net.with_vq(index, |vq| vq.next_avail = msg.u32(4) as u16),
            // GET_VRING_BASE stops the ring.
            11 => {
                let base = net.stop_vq(index);
                let mut body = (index as u32).to_le_bytes().to_vec();
                body.extend(u32::from(base).to_le_bytes());
                return self.reply(&msg, &body);
            }
            // SET_VRING_KICK, _CALL, _ERR; bit 8: none
            12..=14 => {
                let fd = files.pop().filter(|_| msg.u64(0) & 0x100 == 0).map(|file| {
                    // SAFETY: the descriptor is owned by `file`, which gives it up.
                    unsafe { EventFd::from_raw_fd(file.into_raw_fd()) }
                });
                match msg.request {
                    12 => net.set_kick(index, fd),
                    13 => net.with_vq(index, |vq| vq.set_call(fd)),
                    _ => {}
                }
            }
            15 => {
                let protocol = if net.options.netdev {
                    PROTOCOL_NETDEV
                } else {
                    PROTOCOL
                };
                return self.reply(&msg, &protocol.to_le_bytes());
            }
            16 => {}
            17 => return self.reply(&msg, &net.queue_num().to_le_bytes()),
            18 => net.enable_vq(index, msg.u32(4) != 0),
            // SET_BACKEND_REQ_FD
            21 => {
                net.back = files.pop().map(|file| {
                    let fd: OwnedFd = file.into();
                    UnixStream::from(fd)
                });
            }
            // GET_CONFIG, SET_CONFIG: offset, size, flags, contents
            24 => {
                let (off, size) = (msg.u32(0) as usize, msg.u32(4) as usize);
                let mut body = msg.body.clone();
                let config = net.config_bytes();
                for i in 0..size {
                    if let Some(b) = body.get_mut(12 + i) {
                        *b = config.get(off + i).copied().unwrap_or(0);
                    }
                }
                return self.reply(&msg, &body);
            }
            25 => net.bad("5.1.4.2: the driver writes to the configuration".into()),
            other => done = Err(format!("request {other} is not known")),
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

/// Tells QEMU that the configuration has changed: the guest gets an interrupt.
pub fn config_changed(back: &mut UnixStream) -> io::Result<()> {
    let mut out = 2u32.to_le_bytes().to_vec();
    out.extend(1u32.to_le_bytes());
    out.extend(0u32.to_le_bytes());
    back.write_all(&out)
}
