// SPDX-License-Identifier: GPL-2.0

//! The test device as vhost-user's other end.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;

use vmm_sys_util::eventfd::EventFd;

use crate::mem::Mem;
use crate::net::{Back, Net};
use crate::ring::Call;
use crate::spec::Config;
use crate::vhost::{protocol, Backend, Region};

impl Backend for Net {
    fn offer(&mut self) -> u64 {
        Net::offer(self)
    }

    fn protocol(&self) -> u64 {
        // What QEMU wants of a netdev, and beyond that.
        let netdev = protocol::MQ | protocol::REPLY_ACK;
        if self.options.netdev {
            netdev
        } else {
            netdev | protocol::BACK | protocol::CONFIG
        }
    }

    fn set_features(&mut self, features: u64) {
        Net::set_features(self, features);
    }

    fn queues(&self) -> u64 {
        self.queue_num()
    }

    fn set_memory(&mut self, table: Vec<Region>) -> Result<(), String> {
        self.mem = Mem::new(table)?;
        Ok(())
    }

    fn set_size(&mut self, queue: usize, size: u16) {
        self.with_vq(queue, |vq| vq.size = size);
    }

    fn set_ring(&mut self, queue: usize, desc: u64, used: u64, avail: u64) -> Result<(), String> {
        let at = |user| self.mem.user_to_guest(user);
        match (at(desc), at(used), at(avail)) {
            (Some(desc), Some(used), Some(avail)) => {
                Net::set_ring(self, queue, desc, avail, used);
                Ok(())
            }
            _ => Err(format!("ring {queue} is not in the guest's memory")),
        }
    }

    fn set_base(&mut self, queue: usize, base: u32) {
        self.with_vq(queue, |vq| vq.next_avail = base as u16);
    }

    fn stop(&mut self, queue: usize) -> u32 {
        self.stop_vq(queue).into()
    }

    fn set_kick(&mut self, queue: usize, fd: Option<EventFd>) {
        Net::set_kick(self, queue, fd);
    }

    fn set_call(&mut self, queue: usize, fd: Option<EventFd>) {
        self.with_vq(queue, |vq| {
            vq.set_call(fd.map(|fd| Box::new(fd) as Box<dyn Call>));
        });
    }

    fn enable(&mut self, queue: usize, on: bool) {
        self.enable_vq(queue, on);
    }

    fn set_back(&mut self, sock: Option<UnixStream>) {
        self.back = sock.map(|s| Box::new(s) as Box<dyn Back>);
    }

    fn config(&mut self) -> Vec<u8> {
        self.config_bytes().to_vec()
    }

    fn config_written(&mut self) {
        self.bad("5.1.4.2: the driver writes to the configuration".into());
    }
}

/// QEMU reads the configuration itself, and interrupts the guest.
impl Back for UnixStream {
    fn config_changed(&mut self, _config: &Config) -> io::Result<()> {
        let mut out = 2u32.to_le_bytes().to_vec();
        out.extend(1u32.to_le_bytes());
        out.extend(0u32.to_le_bytes());
        self.write_all(&out)
    }
}
