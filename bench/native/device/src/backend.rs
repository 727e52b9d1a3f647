// SPDX-License-Identifier: GPL-2.0

//! The device as vhost-user's other end.

use std::os::unix::net::UnixStream;

use vmm_sys_util::eventfd::EventFd;

use crate::device::Device;
use crate::features::Features;
use crate::mem::Memory;
use crate::packed;
use crate::queue::Queue;
use crate::ring::Addresses;
use crate::spec::{f, Config, S_LINK_UP};
use crate::vhost::{protocol, Backend, Region};

/// Features beyond 64 are in no request that vhost-user has. The kernel that drivers are timed in has these for them, after
/// it has seen this protocol feature (patches/, beside this program).
const HIGH: u64 = 1 << 62;
const GET_HIGH: u32 = 0x1000;
const SET_HIGH: u32 = 0x1001;

impl Device {
    fn queue(&mut self, index: usize) -> Result<&mut Queue, String> {
        self.queues
            .get_mut(index)
            .ok_or(format!("there is no queue {index}"))
    }

    /// Does something with a queue, or says that it can't.
    fn with(&mut self, index: usize, change: impl FnOnce(&mut Queue)) {
        match self.queue(index) {
            Ok(q) => change(q),
            Err(e) => eprintln!("nativedev: {}: {e}", self.options.socket.display()),
        }
    }

    /// The front end has gone.
    pub fn disconnected(&mut self) {
        for q in &mut self.queues {
            q.stop();
            q.set_kick(None);
            q.set_call(None);
        }
        self.memory = Memory::default();
    }
}

impl Backend for Device {
    fn offer(&mut self) -> u64 {
        self.offered.low
    }

    fn protocol(&self) -> u64 {
        let high = if self.offered.high != 0 { HIGH } else { 0 };
        protocol::MQ | protocol::REPLY_ACK | protocol::CONFIG | high
    }

    fn set_features(&mut self, features: u64) {
        let low = features & !f::PROTOCOL_FEATURES;
        if low & !self.offered.low != 0 {
            eprintln!(
                "nativedev: {}: the driver takes features that it wasn't offered: {:#x}",
                self.options.socket.display(),
                low & !self.offered.low
            );
        }
        // The upper ones follow.
        self.acked = Features { low, high: 0 };
        self.pairs = 1;
    }

    fn queues(&self) -> u64 {
        self.queues.len() as u64
    }

    fn set_memory(&mut self, table: Vec<Region>) -> Result<(), String> {
        self.memory = Memory::new(table)?;
        Ok(())
    }

    fn set_size(&mut self, queue: usize, size: u16) {
        self.with(queue, |q| q.size = size);
    }

    fn set_ring(&mut self, queue: usize, desc: u64, used: u64, avail: u64) -> Result<(), String> {
        self.queue(queue)?.at = Some(Addresses { desc, used, avail });
        Ok(())
    }

    fn set_base(&mut self, queue: usize, base: u32) {
        // Linux as a process says 0 of a new ring of either format.
        let base = match base {
            0 if self.setup().packed => packed::NEW,
            base => base,
        };
        self.with(queue, |q| q.set_base(base));
    }

    fn stop(&mut self, queue: usize) -> u32 {
        self.queue(queue).map_or(0, Queue::stop)
    }

    fn set_kick(&mut self, queue: usize, fd: Option<EventFd>) {
        self.with(queue, |q| q.set_kick(fd));
    }

    fn set_call(&mut self, queue: usize, fd: Option<EventFd>) {
        self.with(queue, |q| q.set_call(fd));
    }

    fn enable(&mut self, queue: usize, on: bool) {
        let setup = self.setup();
        let Some(q) = self.queues.get_mut(queue) else {
            return self.with(queue, |_| ());
        };
        if !on {
            q.stop();
        } else if !q.on() {
            if let Err(e) = q.start(&self.memory, setup) {
                eprintln!(
                    "nativedev: {}: queue {queue} can't be started: {e}",
                    self.options.socket.display()
                );
            }
        }
    }

    // The device never has anything to say by itself.
    fn set_back(&mut self, _: Option<UnixStream>) {}

    fn config(&mut self) -> Vec<u8> {
        let config = Config {
            mac: self.options.mac,
            status: S_LINK_UP,
            max_pairs: self.options.pairs,
            mtu: 1500,
            speed: u32::MAX,
            duplex: 0xff,
            rss_key: 0,
            rss_table: 0,
            hash_types: 0,
        };
        config.bytes().to_vec()
    }

    // 5.1.4.2: nothing there is the driver's to write.
    fn config_written(&mut self) {}

    fn other(&mut self, request: u32, value: u64) -> Result<Option<u64>, String> {
        match request {
            GET_HIGH => Ok(Some(self.offered.high)),
            SET_HIGH => {
                self.acked.high = value & self.offered.high;
                Ok(None)
            }
            _ => Err(format!("request {request} is not known")),
        }
    }
}
