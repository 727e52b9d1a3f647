// SPDX-License-Identifier: GPL-2.0

//! The network device: rings, packets, and what it does with them when it is honest.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use vmm_sys_util::eventfd::EventFd;

use crate::ctrl::{Refusal, Steering};
use crate::evil::{Done, Evil, Flicker, Rx};
use crate::framing::{Framing, UsedLen};
use crate::mem::Mem;
use crate::ring::{Chain, Vq};
use crate::rules::{self, Violations};
use crate::spec::{f, hdr, Config, Hdr, S_LINK_UP};
use crate::stack;
use crate::tap::Tap;

/// Packets that wait for buffers, for each queue.
const BACKLOG: usize = 512;

/// What the device is started with.
pub struct Options {
    pub pairs: u16,
    pub features: u64,
    pub config: Config,
    /// Name of a tap; none: the device answers itself.
    pub tap: Option<String>,
    /// Only the data queues are here; configuration and control queue are QEMU's.
    pub netdev: bool,
    /// How often the transmit queues are looked at without being asked to.
    pub polls: Option<Duration>,
    /// How commands have to be cut into descriptors, and what is said of their length.
    pub framing: Framing,
    pub used_len: UsedLen,
}

/// How the driver is told that the configuration has changed.
pub trait Back {
    fn config_changed(&mut self, config: &Config) -> io::Result<()>;
}

/// A packet on its way to the guest.
#[derive(Clone)]
pub struct Packet {
    pub hdr: Hdr,
    pub data: Vec<u8>,
}

/// The device.
pub struct Net {
    pub mem: Mem,
    pub vqs: Vec<Vq>,
    /// Kicks that the event loop doesn't know yet.
    pub new_kicks: Vec<bool>,
    /// The channel to QEMU, or to the kernel.
    pub back: Option<Box<dyn Back>>,
    /// Offered.
    pub features: u64,
    /// What the device was started with, to come back to.
    pub options: Options,
    /// What was offered when the device was plugged in.
    offered: u64,
    pub acked: u64,
    pub config: Config,
    pub rules: Violations,
    pub taps: Vec<Tap>,
    /// What the control queue has set.
    pub set: Settings,
    backlog: Vec<VecDeque<Packet>>,
    /// The case that makes it misbehave.
    pub evil: Option<Evil>,
    /// Buffers and commands that were used while there was a case.
    pub thrown: (u64, u64),
    /// Commands that are refused.
    pub refuse: Option<Refusal>,
    /// Queues of further pairs aren't looked at.
    pub serves: u16,
    /// No command is looked at for now.
    pub held: bool,
    /// When the transmit queues are looked at next, if that isn't for the driver to ask for.
    poll: Option<Instant>,
}

/// What the driver has set by commands; gone with a reset.
#[derive(Default)]
pub struct Settings {
    pub pairs: u16,
    pub max_tx: u16,
    pub mac: Option<[u8; 6]>,
    pub promisc: bool,
    pub allmulti: bool,
    pub macs: (u32, u32),
    pub vlans: Vec<u16>,
    pub guest_offloads: u64,
    pub steering: Steering,
    pub commands: u64,
    pub commands_ok: u64,
    pub announced: u64,
    /// A command came that the device can't go on after.
    pub lost: bool,
}

impl Net {
    pub fn new(options: Options) -> Result<Self, String> {
        let n = usize::from(options.pairs) * 2 + usize::from(!options.netdev);
        let mut taps = Vec::new();
        if let Some(name) = &options.tap {
            for _ in 0..options.pairs {
                taps.push(
                    Tap::open(name, options.pairs > 1).map_err(|e| format!("tap {name}: {e}"))?,
                );
            }
        }
        Ok(Self {
            mem: Mem::default(),
            vqs: (0..n).map(|_| Vq::default()).collect(),
            new_kicks: vec![false; n],
            back: None,
            features: options.features,
            offered: options.features,
            acked: 0,
            config: options.config.clone(),
            rules: Violations::default(),
            taps,
            set: Settings::default(),
            backlog: (0..options.pairs).map(|_| VecDeque::new()).collect(),
            evil: None,
            thrown: (0, 0),
            refuse: None,
            serves: options.pairs,
            held: false,
            poll: options.polls.map(|after| Instant::now() + after),
            options,
        })
    }

    /// Notes a broken rule.
    pub fn bad(&mut self, text: String) {
        self.rules.add(text);
    }

    pub fn has(&self, bits: u64) -> bool {
        self.acked & bits != 0
    }

    /// What is offered to a driver from now on. QEMU asks when the device is plugged in, and never again: what is set later
    /// is for the next time.
    pub fn offer(&mut self) -> u64 {
        self.offered = self.features;
        self.offered
    }

    pub fn hdr_len(&self) -> usize {
        if self.has(f::HASH_REPORT) {
            20
        } else {
            12
        }
    }

    /// The MTU that the device has named, or `other`.
    pub fn mtu(&self, other: u32) -> u32 {
        if self.has(f::MTU) {
            self.config.mtu.into()
        } else {
            other
        }
    }

    /// What is answered to "how many queues": a netdev counts in pairs.
    pub fn queue_num(&self) -> u64 {
        if self.options.netdev {
            self.options.pairs.into()
        } else {
            self.vqs.len() as u64
        }
    }

    /// Number of the control queue; one that there isn't if that is QEMU's.
    pub fn ctrl_index(&self) -> usize {
        if self.options.netdev {
            usize::MAX
        } else if self.has(f::MQ | f::RSS) {
            self.vqs.len() - 1
        } else {
            2
        }
    }

    pub fn config_bytes(&mut self) -> [u8; crate::spec::CONFIG_SIZE] {
        match &mut self.evil {
            Some(evil) => evil.config(&self.config),
            None => self.config.bytes(),
        }
    }

    /// The guest gets a configuration interrupt; not before it has started the device, as QEMU (11.1) crashes if it is
    /// told of a change then.
    pub fn config_irq(&mut self) {
        if !self.vqs.iter().any(|vq| vq.started) {
            return;
        }
        if let Some(back) = &mut self.back {
            if let Err(e) = back.config_changed(&self.config) {
                eprintln!("configuration interrupt: {e}");
                self.back = None;
            }
        }
    }

    // --- what vhost-user or VDUSE sets up ------------------------------------------------------------------------

    /// The driver has chosen its features: a new life begins.
    pub fn set_features(&mut self, features: u64) {
        self.acked = features & !f::PROTOCOL_FEATURES;
        self.rules.muted = self.evil.is_some();
        if self.acked & !self.offered != 0 {
            self.bad("2.2.1: a feature that was not offered".into());
        }
        if self.options.netdev {
            // Said once for each pair, while others are at work already; which of them are used, enabling tells.
            let event_idx = self.has(f::EVENT_IDX);
            for vq in &mut self.vqs {
                vq.event_idx = event_idx;
            }
            self.set.pairs = self.options.pairs;
            self.set.max_tx = self.options.pairs;
            self.set.guest_offloads = self.acked;
            return self.apply_pairs();
        }
        self.set = Settings {
            pairs: 1,
            max_tx: 1,
            guest_offloads: self.acked,
            ..Settings::default()
        };
        let event_idx = self.has(f::EVENT_IDX);
        for vq in &mut self.vqs {
            vq.event_idx = event_idx;
            vq.coal = Default::default();
            // Rings are enabled from the start by a front end without protocol features.
            vq.enabled = features & f::PROTOCOL_FEATURES == 0;
        }
        for q in &mut self.backlog {
            q.clear();
        }
        self.apply_pairs();
    }

    /// The number of pairs has changed: the tap's queues follow, and its offloads.
    pub fn apply_pairs(&mut self) {
        let offloads = self.set.guest_offloads;
        let netdev = self.options.netdev;
        for (i, tap) in self.taps.iter_mut().enumerate() {
            tap.attach(if netdev {
                self.vqs[2 * i].enabled
            } else {
                i < usize::from(self.set.pairs)
            });
            if i == 0 {
                tap.set_offloads(offloads);
            }
        }
    }

    pub fn with_vq(&mut self, index: usize, change: impl FnOnce(&mut Vq)) {
        match self.vqs.get_mut(index) {
            Some(vq) => change(vq),
            None => eprintln!("there is no queue {index}"),
        }
    }

    pub fn set_ring(&mut self, index: usize, desc: u64, avail: u64, used: u64) {
        // The driver has cleared the used index, or it is what it was.
        let next_used = self.mem.load16(used + 2).unwrap_or(0);
        self.with_vq(index, |vq| {
            (vq.desc, vq.avail, vq.used) = (desc, avail, used);
            vq.next_used = next_used;
        });
    }

    pub fn set_kick(&mut self, index: usize, kick: Option<EventFd>) {
        let on = kick.is_some();
        self.with_vq(index, |vq| {
            vq.kick = kick;
            if on {
                vq.start();
            }
        });
        if let Some(new) = self.new_kicks.get_mut(index) {
            *new = on;
        }
        self.handle(index);
    }

    pub fn enable_vq(&mut self, index: usize, on: bool) {
        self.with_vq(index, |vq| vq.enabled = on);
        if self.options.netdev {
            self.apply_pairs();
        }
        if on {
            self.handle(index);
        }
    }

    /// Stops a ring; returns what its next available index is.
    pub fn stop_vq(&mut self, index: usize) -> u16 {
        let mut base = 0;
        if let Some(evil) = &mut self.evil {
            evil.forget(index);
        }
        self.with_vq(index, |vq| {
            vq.started = false;
            vq.kick = None;
            vq.call = None;
            vq.due = None;
            base = vq.next_avail;
        });
        base
    }

    // --- rings ------------------------------------------------------------------------------------------------------

    /// The driver has notified a queue.
    pub fn kicked(&mut self, index: usize) {
        self.with_vq(index, |vq| {
            vq.count.kicks += 1;
            if let Some(kick) = &vq.kick {
                let _ = kick.read();
            }
        });
        self.handle(index);
    }

    /// Serves a queue, whatever it is for.
    pub fn handle(&mut self, index: usize) {
        if !self.vqs.get(index).is_some_and(|vq| vq.live()) || self.silent() {
            return;
        }
        if index != self.ctrl_index() && index / 2 >= usize::from(self.serves) {
            return;
        }
        if index == self.ctrl_index() && self.has(f::CTRL_VQ) {
            if !self.held {
                self.serve_ctrl(index);
            }
        } else if index % 2 == 1 {
            self.serve_tx(index);
        } else {
            self.serve_rx(index / 2);
        }
    }

    /// The case under way is that nothing is done.
    fn silent(&self) -> bool {
        self.evil.as_ref().is_some_and(|e| e.case.silent)
    }

    /// The next buffer of a queue; what the driver broke is noted.
    pub fn pop(&mut self, index: usize) -> Option<Chain> {
        let vq = &mut self.vqs[index];
        loop {
            match vq.pop(&self.mem) {
                Ok(chain) => return chain,
                Err(e) => self.rules.add(format!("2.7: queue {index}: {e}")),
            }
        }
    }

    /// All transmit queues lose their place.
    pub fn lose_place(&mut self) {
        let ctrl = self.ctrl_index();
        for index in (1..self.vqs.len()).step_by(2).filter(|i| *i != ctrl) {
            self.vqs[index].lose_place(&self.mem);
        }
    }

    fn serve_tx(&mut self, index: usize) {
        self.vqs[index].find_place(&self.mem);
        // Bounded, so that one queue can't keep all others waiting.
        for _ in 0..8 {
            self.vqs[index].ask_kick(&self.mem, false);
            for _ in 0..256 {
                let Some(chain) = self.pop(index) else { break };
                self.transmitted(index, &chain);
            }
            let vq = &mut self.vqs[index];
            vq.notify(&self.mem);
            if self.poll.is_some() {
                return;
            }
            vq.ask_kick(&self.mem, true);
            if vq.pending(&self.mem) == 0 {
                return;
            }
        }
        if let Some(kick) = &self.vqs[index].kick {
            let _ = kick.write(1);
        }
    }

    /// A packet from the driver.
    fn transmitted(&mut self, index: usize, chain: &Chain) {
        let pair = index / 2;
        let data = match chain.read(&self.mem) {
            Ok(d) => d,
            Err(e) => {
                self.bad(format!("2.7: queue {index}: {e}"));
                Vec::new()
            }
        };
        if !chain.inp.is_empty() {
            self.bad("5.1.6.2: a packet with a writable part".into());
        }
        if pair >= usize::from(self.set.max_tx) {
            self.bad("5.1.6.5.6.1: a packet on a transmit queue that is not in use".into());
        }
        let hlen = self.hdr_len();
        if let Some(p) = data.get(hlen..) {
            let h = Hdr::parse(&data);
            let (acked, mtu, rules) = (self.acked, self.mtu(65535), &mut self.rules);
            rules::transmit(&h, p, acked, mtu, |b| rules.add(b));
            let c = &mut self.vqs[index].count;
            c.packets += 1;
            c.bytes += p.len() as u64;
            if h.flags & hdr::NEEDS_CSUM != 0 {
                c.needs_csum += 1;
            } else {
                c.csum_none += 1;
            }
            if h.gso_type != 0 {
                c.gso_packets += 1;
                c.gso_bytes += p.len() as u64;
                c.gso_segments += (p.len() as u64).div_ceil(u64::from(h.gso_size.max(1)));
            }
            self.forward(pair, h, p);
        } else {
            self.bad(format!(
                "5.1.6.2: {} bytes, less than the header",
                data.len()
            ));
            self.vqs[index].count.malformed += 1;
        }
        self.done(false, index, chain, Vec::new());
    }

    /// A buffer was read, or a command has this reply: it goes back, unless a case has something else in mind.
    pub fn done(&mut self, ctrl: bool, index: usize, chain: &Chain, reply: Vec<u8>) {
        let mut len = reply.len().min(chain.room()) as u32;
        if ctrl {
            len = self.options.used_len.of(chain, len);
        }
        let done = Done {
            used: vec![(chain.head.into(), len)],
            advance: 1,
            reply,
            hold: None,
            linger: None,
            chained: false,
        };
        let size = self.vqs[index].size;
        let done = match &mut self.evil {
            Some(evil) => evil.done(ctrl, index, size, chain, done),
            None => Some(done),
        };
        if let Some(done) = done {
            self.put(index, chain, &done);
            if let Some(time) = done.linger {
                self.linger(index, chain, done.reply.len(), time);
            }
        }
    }

    /// Goes on writing where a reply of `len` bytes was, once the driver has had time to take it.
    fn linger(&mut self, index: usize, chain: &Chain, len: usize, time: Duration) {
        self.vqs[index].notify_now(&self.mem);
        let end = Instant::now() + time;
        let mut fill = 0u8;
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
            let _ = chain.write_at(&self.mem, 0, &vec![fill; len]);
            fill = fill.wrapping_add(17);
        }
    }

    fn put(&mut self, index: usize, chain: &Chain, done: &Done) {
        let _ = chain.write_at(&self.mem, 0, &done.reply);
        if done.chained {
            self.vqs[index].set_next(&self.mem, chain.head);
        }
        self.put_used(index, &done.used, done.advance);
    }

    fn put_used(&mut self, index: usize, used: &[(u32, u32)], advance: u16) {
        if self.evil.is_some() {
            if index == self.ctrl_index() {
                self.thrown.1 += 1;
            } else {
                self.thrown.0 += used.len() as u64;
            }
        }
        let vq = &mut self.vqs[index];
        for (i, (id, len)) in used.iter().enumerate() {
            vq.write_used(&self.mem, vq.next_used.wrapping_add(i as u16), *id, *len);
        }
        vq.show_used(&self.mem, vq.next_used.wrapping_add(advance));
        vq.waiting += 1;
    }

    /// Gives back what was kept, and tells the driver.
    pub fn give_back(&mut self, index: usize, chain: &Chain, done: &Done) {
        if self.vqs[index].live() {
            self.put(index, chain, done);
            self.vqs[index].notify_now(&self.mem);
        }
    }

    /// The packet goes to the tap, or is answered here.
    fn forward(&mut self, pair: usize, h: Hdr, p: &[u8]) {
        if self.config.status & S_LINK_UP == 0 && self.has(f::STATUS) {
            return;
        }
        if let Some(tap) = self.taps.get_mut(pair) {
            let out = Hdr {
                num_buffers: 0,
                ..h
            };
            tap.send(&[&out.bytes(), p].concat());
            return;
        }
        let mut p = p.to_vec();
        if h.flags & hdr::NEEDS_CSUM != 0 {
            stack::complete(&mut p, h.csum_start.into(), h.csum_offset.into());
        }
        if h.gso_type != 0 {
            return;
        }
        if let Some(answer) = stack::answer(&p) {
            self.deliver(pair, answer);
        }
    }

    /// A packet whose checksum is right, for the guest; on `pair` unless the driver steers by a hash.
    pub fn deliver(&mut self, pair: usize, data: Vec<u8>) {
        let flags = if self.has(f::GUEST_CSUM) {
            hdr::DATA_VALID
        } else {
            0
        };
        self.deliver_as(
            pair,
            Packet {
                hdr: Hdr {
                    flags,
                    ..Hdr::default()
                },
                data,
            },
        );
    }

    /// A packet with a header of the caller's.
    pub fn deliver_as(&mut self, pair: usize, packet: Packet) {
        if self.silent() {
            return;
        }
        if self.config.status & S_LINK_UP == 0 && self.has(f::STATUS) {
            return;
        }
        let pair = self.set.steering.queue(&packet.data).unwrap_or(pair);
        let Some(queue) = self.backlog.get_mut(pair) else {
            return;
        };
        if queue.len() >= BACKLOG {
            self.vqs[pair * 2].count.overruns += 1;
            return;
        }
        queue.push_back(packet);
        self.serve_rx(pair);
    }

    /// Puts what waits into the buffers that are there.
    fn serve_rx(&mut self, pair: usize) {
        let index = pair * 2;
        if !self.vqs.get(index).is_some_and(|vq| vq.live()) {
            return;
        }
        while let Some(packet) = self.backlog[pair].pop_front() {
            if !self.receive(index, &packet) {
                self.backlog[pair].push_front(packet);
                break;
            }
        }
        let vq = &mut self.vqs[index];
        vq.notify(&self.mem);
        // Only who waits for buffers needs to know of them.
        let waiting = !self.backlog[pair].is_empty();
        vq.ask_kick(&self.mem, waiting);
        if waiting && vq.pending(&self.mem) > 0 {
            if let Some(kick) = &vq.kick {
                let _ = kick.write(1);
            }
        }
    }

    /// Takes buffers for `need` bytes; none (and nothing taken) if there aren't enough.
    fn take(&mut self, index: usize, need: usize) -> Option<Vec<Chain>> {
        let start = self.vqs[index].next_avail;
        let (hlen, acked, mtu) = (self.hdr_len(), self.acked, self.mtu(1500));
        let (mut chains, mut room) = (Vec::new(), 0);
        while room < need {
            let Some(chain) = self.pop(index) else {
                self.vqs[index].next_avail = start;
                return None;
            };
            let out = chain.out.iter().map(|s| s.len as usize).sum();
            let rules = &mut self.rules;
            rules::receive_buffer(out, chain.room(), hlen, acked, mtu, |b| rules.add(b));
            room += chain.room();
            chains.push(chain);
            if !self.has(f::MRG_RXBUF) {
                break;
            }
        }
        Some(chains)
    }

    /// Writes a packet into the ring; false without buffers.
    fn receive(&mut self, index: usize, packet: &Packet) -> bool {
        let hlen = self.hdr_len();
        let total = hlen + packet.data.len();
        let Some(chains) = self.take(index, total) else {
            return false;
        };
        let mut rx = Rx {
            hdr: Hdr {
                num_buffers: chains.len() as u16,
                ..packet.hdr
            },
            data: packet.data.clone(),
            used: Vec::new(),
            advance: chains.len() as u16,
            chains,
            flicker: None,
        };
        let mut left = total;
        for chain in &rx.chains {
            let n = left.min(chain.room());
            left -= n;
            rx.used.push((chain.head.into(), n as u32));
        }
        if left > 0 && self.evil.is_none() {
            // Nothing that fits one buffer: it is lost, the buffer isn't.
            let vq = &mut self.vqs[index];
            vq.next_avail = vq.next_avail.wrapping_sub(1);
            vq.count.malformed += 1;
            return true;
        }
        if let Some(evil) = &mut self.evil {
            evil.rx(&mut rx);
        }
        self.count_rx(index, &rx);
        self.fill(index, &rx);
        self.put_used(index, &rx.used, rx.advance);
        if let Some(what) = rx.flicker {
            self.flicker(index, &rx, what);
        }
        true
    }

    fn count_rx(&mut self, index: usize, rx: &Rx) {
        let c = &mut self.vqs[index].count;
        c.packets += 1;
        c.bytes += rx.data.len() as u64;
        match rx.hdr.flags {
            x if x & hdr::NEEDS_CSUM != 0 => c.needs_csum += 1,
            x if x & hdr::DATA_VALID != 0 => c.csum_valid += 1,
            _ => c.csum_none += 1,
        }
        if rx.hdr.gso_type != 0 {
            c.gso_packets += 1;
            c.gso_bytes += rx.data.len() as u64;
        }
    }

    /// Writes header and packet into the buffers.
    fn fill(&mut self, index: usize, rx: &Rx) {
        let mut bytes = rx.hdr.bytes().to_vec();
        if self.hdr_len() == 20 {
            let (value, report) = self.set.steering.report(&rx.data);
            bytes.extend(value.to_le_bytes());
            bytes.extend(report.to_le_bytes());
            bytes.extend([0, 0]);
        }
        bytes.extend(&rx.data);
        let mut rest = &bytes[..];
        for chain in &rx.chains {
            match chain.write_at(&self.mem, 0, rest) {
                Ok(n) => rest = &rest[n..],
                Err(e) => return self.bad(format!("2.7: queue {index}: {e}")),
            }
        }
    }

    /// Changes a packet while the driver looks at it, and leaves it as it was. Only for a moment: later the memory may
    /// belong to somebody who has nothing to do with the device.
    fn flicker(&mut self, index: usize, rx: &Rx, what: Flicker) {
        self.vqs[index].notify_now(&self.mem);
        let Some(chain) = rx.chains.first() else {
            return;
        };
        let hlen = self.hdr_len();
        let (at, good) = match what {
            Flicker::Header => (0, rx.hdr.bytes().to_vec()),
            Flicker::Data => (hlen, rx.data.iter().copied().take(60).collect::<Vec<u8>>()),
        };
        let bad = match what {
            Flicker::Header => vec![0xff; good.len()],
            Flicker::Data => good.iter().map(|b| !b).collect(),
        };
        let end = Instant::now() + Duration::from_micros(150);
        while Instant::now() < end {
            let _ = chain.write_at(&self.mem, at, &bad);
            let _ = chain.write_at(&self.mem, at, &good);
        }
    }

    /// The tap has packets for pair `i`.
    pub fn read_tap(&mut self, i: usize) {
        let mut buf = [0; 70000];
        // With the backlog full, packets stay in the tap.
        for _ in 0..64 {
            if self.backlog[i].len() >= BACKLOG / 2 {
                break;
            }
            let Some(n) = self.taps[i].receive(&mut buf) else {
                break;
            };
            let packet = Packet {
                hdr: Hdr::parse(&buf),
                data: buf[12..n].to_vec(),
            };
            if !self.vqs[i * 2].live() {
                continue;
            }
            self.deliver_as(i, packet);
        }
    }

    /// A pair whose tap is not to be read for now.
    pub fn choked(&self, i: usize) -> bool {
        self.backlog[i].len() >= BACKLOG / 2
    }

    // --- time -------------------------------------------------------------------------------------------------------

    /// When something is due next.
    pub fn due(&self) -> Option<Instant> {
        let evil = self.evil.as_ref().map(|e| e.due());
        let vqs = self.vqs.iter().filter_map(|vq| vq.due);
        vqs.chain(evil).chain(self.poll).min()
    }

    /// Does what is due.
    pub fn tick(&mut self) {
        let now = Instant::now() + Duration::from_micros(1);
        for vq in &mut self.vqs {
            if vq.due.is_some_and(|d| d <= now) {
                vq.notify_now(&self.mem);
            }
        }
        if let (Some(at), Some(after)) = (self.poll, self.options.polls) {
            if at <= now {
                self.poll = Some(now + after);
                for i in 0..usize::from(self.options.pairs) {
                    self.handle(i * 2 + 1);
                }
            }
        }
        self.evil_tick();
    }
}
