// SPDX-License-Identifier: GPL-2.0

//! A tap with several queues as the other side: the emulator's own device does the same.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::spec::f;

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETOFFLOAD: libc::c_ulong = 0x4004_54d0;
const TUNSETVNETHDRSZ: libc::c_ulong = 0x4004_54d8;
const TUNSETQUEUE: libc::c_ulong = 0x4004_54d9;
const TUNSETVNETLE: libc::c_ulong = 0x4004_54dc;
const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;
const IFF_MULTI_QUEUE: u16 = 0x0100;
const IFF_ATTACH_QUEUE: u16 = 0x0200;
const IFF_DETACH_QUEUE: u16 = 0x0400;

/// One queue of the tap.
pub struct Tap {
    file: File,
    attached: bool,
}

/// `struct ifreq` with a name and flags.
#[repr(C)]
struct IfReq {
    name: [u8; 16],
    flags: u16,
    pad: [u8; 22],
}

impl IfReq {
    fn new(name: &str, flags: u16) -> Self {
        let mut r = Self {
            name: [0; 16],
            flags,
            pad: [0; 22],
        };
        for (to, from) in r.name.iter_mut().zip(name.bytes()).take(15) {
            *to = from;
        }
        r
    }
}

fn check(rc: libc::c_int) -> io::Result<()> {
    if rc < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

impl Tap {
    /// Opens a queue of `name`.
    pub fn open(name: &str, multi: bool) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")?;
        let flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | if multi { IFF_MULTI_QUEUE } else { 0 };
        let req = IfReq::new(name, flags);
        let (size, le) = (12 as libc::c_int, 1 as libc::c_int);
        let fd = file.as_raw_fd();
        // SAFETY: the pointers are to values of the types that these requests take, and outlive the calls.
        unsafe {
            check(libc::ioctl(fd, TUNSETIFF, &req))?;
            check(libc::ioctl(fd, TUNSETVNETHDRSZ, &size))?;
            check(libc::ioctl(fd, TUNSETVNETLE, &le))?;
        }
        Ok(Self {
            file,
            attached: true,
        })
    }

    /// Which offloads packets from the tap may use: what the driver has accepted.
    pub fn set_offloads(&self, features: u64) {
        let has = |bit: u64| features & bit != 0;
        let mut n: libc::c_ulong = 0;
        if has(f::GUEST_CSUM) {
            n |= 1;
            for (bit, v) in [
                (f::GUEST_TSO4, 2),
                (f::GUEST_TSO6, 4),
                (f::GUEST_ECN, 8),
                (f::GUEST_USO4, 0x20),
                (f::GUEST_USO6, 0x40),
            ] {
                if has(bit) {
                    n |= v;
                }
            }
            // The two go together.
            if n & 0x60 != 0x60 {
                n &= !0x60;
            }
        }
        // SAFETY: this request takes a number.
        if check(unsafe { libc::ioctl(self.file.as_raw_fd(), TUNSETOFFLOAD, n) }).is_err() {
            eprintln!("tap: offloads {n:#x} refused");
        }
    }

    /// Attaches or detaches the queue: packets go to those that are attached.
    pub fn attach(&mut self, on: bool) {
        if on == self.attached {
            return;
        }
        let req = IfReq::new(
            "",
            if on {
                IFF_ATTACH_QUEUE
            } else {
                IFF_DETACH_QUEUE
            },
        );
        // SAFETY: the pointer is to a value of the type that this request takes, and outlives the call.
        match check(unsafe { libc::ioctl(self.file.as_raw_fd(), TUNSETQUEUE, &req) }) {
            Ok(()) => self.attached = on,
            Err(e) => eprintln!("tap: {e}"),
        }
    }

    pub fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// A header of 12 bytes and a packet, if there is one.
    pub fn receive(&mut self, buf: &mut [u8]) -> Option<usize> {
        self.file.read(buf).ok().filter(|n| *n > 12)
    }

    pub fn send(&mut self, packet: &[u8]) {
        if let Err(e) = self.file.write(packet) {
            if e.kind() != io::ErrorKind::WouldBlock {
                eprintln!("tap: a packet of {} bytes: {e}", packet.len());
            }
        }
    }
}
