// SPDX-License-Identifier: GPL-2.0

//! The device misbehaves: where the honest one lets a case interfere, and what a case is. The catalogue is `cases.rs`.

use std::time::{Duration, Instant};

use crate::net::{Net, Packet};
use crate::ring::Chain;
use crate::rng::Rng;
use crate::spec::{hdr, Config, Hdr, CONFIG_SIZE};
use crate::stack;

/// Buffers that a device which sends many packets uses for each command; they would take all of a slow machine's time.
const PER_COMMAND: u64 = 12;

/// When a case has to be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// While the interface is up.
    Run,
    /// When the driver is bound.
    Bind,
    /// When the device is plugged in: features.
    Plug,
    /// The device ends.
    Death,
}

/// What the driver is made to do meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stimulus {
    /// Packets in both directions.
    Packets,
    /// Commands.
    Commands,
    /// Both.
    All,
    /// Packets until the watchdog of the transmit queues has seen that they are stuck.
    Stuck,
    /// Both, until there were very many.
    Scale,
}

/// What has to be seen besides survival.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    Nothing,
    /// Traffic goes on: the device is odd, not wrong.
    Works,
    /// A counter of `ethtool -S` grows (a regular expression).
    Count(&'static str),
    /// Nothing is written to memory that was freed; nobody sees it unless the kernel watches that (slab_debug).
    Heap,
    /// A line in the kernel's log (a regular expression).
    Log(&'static str),
    /// The driver doesn't take the device.
    Refused,
}

/// What the device is about to do with a received packet's buffers.
pub struct Rx {
    pub hdr: Hdr,
    pub data: Vec<u8>,
    pub chains: Vec<Chain>,
    /// Entries of the used ring: id and length.
    pub used: Vec<(u32, u32)>,
    /// By how much the used index moves.
    pub advance: u16,
    /// Change these contents over and over while the driver looks at them.
    pub flicker: Option<Flicker>,
}

/// What changes after use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flicker {
    Header,
    Data,
}

/// What the device is about to do with a buffer that it has read, or a command's reply.
pub struct Done {
    pub used: Vec<(u32, u32)>,
    pub advance: u16,
    pub reply: Vec<u8>,
    /// Not now: then, or when the device is honest again.
    pub hold: Option<Duration>,
    /// So long the reply is written over and over after it was given back.
    pub linger: Option<Duration>,
    /// The first descriptor of the buffer says from now on that another one follows.
    pub chained: bool,
}

/// A case of the catalogue.
pub struct Case {
    pub name: &'static str,
    /// What the device does, for people.
    pub what: &'static str,
    pub stage: Stage,
    pub stimulus: Stimulus,
    pub expect: Expect,
    /// Part of the short selection.
    pub quick: bool,
    /// Features, as `features=` takes them.
    pub features: &'static str,
    pub rx: Option<fn(&mut Rx, &mut Rng)>,
    pub tx: Option<fn(&mut Done, u16, &mut Rng)>,
    pub ctrl: Option<fn(&mut Done, u16, &mut Rng)>,
    pub config: Option<fn(&mut Config, u64, &mut Rng)>,
    /// The bytes of the configuration, for what isn't a field's value.
    pub raw: Option<fn(&mut [u8; CONFIG_SIZE], &mut Rng)>,
    /// Every `every` milliseconds.
    pub tick: Option<fn(&mut Net, u64, &mut Rng)>,
    pub every: u64,
    /// How many packets it sends on each queue at a time.
    pub burst: u64,
    /// No interrupts, no packets served.
    pub mute: bool,
    pub silent: bool,
    /// Commands are carried out, though their answer is changed.
    pub carry_out: bool,
    /// Only the first so many events of a kind are changed; 0: all.
    pub limit: u64,
}

/// A case without anything in it.
pub const NONE: Case = Case {
    name: "",
    what: "",
    stage: Stage::Run,
    stimulus: Stimulus::Packets,
    expect: Expect::Nothing,
    quick: false,
    features: "",
    rx: None,
    tx: None,
    ctrl: None,
    config: None,
    raw: None,
    tick: None,
    every: 20,
    burst: 1,
    mute: false,
    silent: false,
    carry_out: false,
    limit: 0,
};

/// The case that is under way.
pub struct Evil {
    pub case: &'static Case,
    rng: Rng,
    next: Instant,
    ticks: u64,
    events: u64,
    reads: u64,
    /// Buffers that are kept: queue, descriptor, what goes with it, until when.
    held: Vec<(usize, Chain, Done, Instant)>,
}

impl Evil {
    pub fn new(case: &'static Case, seed: u64) -> Self {
        Self {
            case,
            rng: Rng::new(seed),
            next: Instant::now(),
            ticks: 0,
            events: 0,
            reads: 0,
            held: Vec::new(),
        }
    }

    /// Whether the next event is to be changed.
    fn takes(&mut self) -> bool {
        self.events += 1;
        self.case.limit == 0 || self.events <= self.case.limit
    }

    /// When something is due.
    pub fn due(&self) -> Instant {
        self.held.iter().map(|h| h.3).fold(self.next, Instant::min)
    }

    pub fn rx(&mut self, rx: &mut Rx) {
        if let Some(change) = self.case.rx {
            if self.takes() {
                change(rx, &mut self.rng);
            }
        }
    }

    /// A buffer of the transmit or the control queue is done. False: it is kept.
    pub fn done(
        &mut self,
        ctrl: bool,
        index: usize,
        size: u16,
        chain: &Chain,
        mut done: Done,
    ) -> Option<Done> {
        let change = if ctrl { self.case.ctrl } else { self.case.tx };
        if let Some(change) = change {
            if self.takes() {
                change(&mut done, size, &mut self.rng);
            }
        }
        match done.hold.take() {
            None => Some(done),
            Some(time) => {
                self.held
                    .push((index, chain.clone(), done, Instant::now() + time));
                None
            }
        }
    }

    /// A command isn't carried out if its answer is going to be wrong: else the two sides would go on with different
    /// ideas after the case.
    pub fn spoils_commands(&self) -> bool {
        self.case.ctrl.is_some()
            && !self.case.carry_out
            && (self.case.limit == 0 || self.events < self.case.limit)
    }

    pub fn config(&mut self, config: &Config) -> [u8; CONFIG_SIZE] {
        let mut c = config.clone();
        if let Some(change) = self.case.config {
            self.reads += 1;
            change(&mut c, self.reads, &mut self.rng);
        }
        let mut b = c.bytes();
        if let Some(change) = self.case.raw {
            change(&mut b, &mut self.rng);
        }
        b
    }

    /// Takes out what was held long enough, or everything.
    fn expired(&mut self, all: bool) -> Vec<(usize, Chain, Done)> {
        let now = Instant::now();
        let mut out = Vec::new();
        let mut i = 0;
        while i < self.held.len() {
            if all || self.held[i].3 <= now {
                let (q, c, d, _) = self.held.remove(i);
                out.push((q, c, d));
            } else {
                i += 1;
            }
        }
        out
    }

    /// A queue was stopped: what was held of it is the driver's again.
    pub fn forget(&mut self, index: usize) {
        self.held.retain(|h| h.0 != index);
    }
}

impl Net {
    /// Starts a case; false if there is none of that name.
    pub fn misbehave(&mut self, case: &'static Case, seed: u64) -> Result<(), String> {
        self.behave();
        if !case.features.is_empty() {
            self.features = crate::spec::parse_features(case.features, self.options.features)?;
        }
        self.rules.muted = true;
        for vq in &mut self.vqs {
            vq.mute = case.mute;
        }
        self.evil = Some(Evil::new(case, seed));
        Ok(())
    }

    /// Honest again: what was held is given back, the configuration and the features are the old ones. The configuration
    /// has changed, perhaps, so that there is an interrupt.
    pub fn behave(&mut self) {
        let Some(mut evil) = self.evil.take() else {
            return;
        };
        for (index, chain, done) in evil.expired(true) {
            self.give_back(index, &chain, &done);
        }
        self.config = self.options.config.clone();
        self.features = self.options.features;
        for i in 0..self.vqs.len() {
            self.vqs[i].mute = false;
            self.handle(i);
            // Some were perhaps not told.
            self.vqs[i].interrupt();
        }
        self.config_irq();
    }

    /// What a case does by itself: it sends packets, and what else the case says.
    pub fn evil_tick(&mut self) {
        let Some(mut evil) = self.evil.take() else {
            return;
        };
        let now = Instant::now();
        let held = evil.expired(false);
        let due = evil.next <= now;
        let case = evil.case;
        if due {
            evil.next = now + Duration::from_millis(case.every);
            evil.ticks += 1;
        }
        let n = evil.ticks;
        let mut rng = evil.rng.clone();
        rng.next();
        self.evil = Some(evil);
        for (index, chain, done) in held {
            self.give_back(index, &chain, &done);
        }
        if !due {
            return;
        }
        if let Some(tick) = case.tick {
            tick(self, n, &mut rng);
        }
        // The case goes on with this chance.
        if let Some(evil) = &mut self.evil {
            evil.rng = rng;
        }
        let wanted = if case.burst > 1 {
            // Commands get on as well.
            self.thrown.0 <= (self.thrown.1 + 100) * PER_COMMAND
        } else {
            // Storms tick more often than packets are wanted.
            !case.silent && (case.every >= 20 || n % (20 / case.every.max(1)) == 0)
        };
        if wanted {
            for i in 0..case.burst {
                self.send_samples(n * case.burst + i);
            }
        }
    }

    /// One packet on each queue, each time of another kind.
    fn send_samples(&mut self, n: u64) {
        let mac = self.set.mac.unwrap_or(self.config.mac);
        for pair in 0..usize::from(self.set.pairs) {
            let size = [64, 1400, 5000][(n % 3) as usize];
            let data = vec![n as u8; size];
            let v = n / 3 + pair as u64;
            let packet = if v.is_multiple_of(2) {
                stack::datagram(mac, 9, 9, &data)
            } else {
                stack::segment(mac, 9, &data)
            };
            self.deliver_as(
                pair,
                Packet {
                    hdr: Hdr::default(),
                    data: packet,
                },
            );
        }
    }
}

/// A header that asks for segmentation of a packet, correct if the packet is a TCP segment or a datagram.
pub fn gso(data: &[u8]) -> Hdr {
    let Some(l) = stack::layout(data) else {
        return Hdr::default();
    };
    let Some(offset) = l.csum_offset() else {
        return Hdr::default();
    };
    Hdr {
        flags: hdr::NEEDS_CSUM,
        gso_type: if l.proto == stack::UDP {
            hdr::GSO_UDP_L4
        } else {
            hdr::GSO_TCPV4
        },
        hdr_len: l.headers(data) as u16,
        gso_size: 1000,
        csum_start: l.l4 as u16,
        csum_offset: offset,
        num_buffers: 0,
    }
}
