// SPDX-License-Identifier: GPL-2.0

//! The control queue (specification 5.1.6.5), and what it sets.

use crate::net::Net;
use crate::ring::{Chain, Coal, Count};
use crate::spec::{ctrl, f};
use crate::stack;

/// Which queue a packet goes to (5.1.6.5.7); nothing set: the one whose transmit queue is used.
#[derive(Default)]
pub struct Steering {
    types: u32,
    table: Vec<u16>,
    other: u16,
    key: Vec<u8>,
}

impl Steering {
    pub fn queue(&self, packet: &[u8]) -> Option<usize> {
        if self.table.is_empty() {
            return None;
        }
        let (hash, report) = stack::hash(packet, self.types, &self.key);
        if report == 0 {
            return Some(self.other.into());
        }
        self.table
            .get(hash as usize % self.table.len())
            .map(|q| usize::from(*q))
    }

    /// Hash and its type for the header.
    pub fn report(&self, packet: &[u8]) -> (u32, u16) {
        stack::hash(packet, self.types, &self.key)
    }

    pub fn text(&self) -> String {
        format!(
            "types={:#x} table={} key={} other={}",
            self.types,
            self.table.len(),
            self.key.len(),
            self.other
        )
    }
}

/// Commands that are refused: a class, or one of it, or only the `nth` of those, counted from 1.
pub struct Refusal {
    pub class: u8,
    pub command: Option<u8>,
    pub nth: Option<u8>,
}

impl Refusal {
    fn is_of(&mut self, class: u8, command: u8) -> bool {
        if self.class != class || self.command.is_some_and(|c| c != command) {
            return false;
        }
        match &mut self.nth {
            None => true,
            Some(n) => {
                let now = *n == 1;
                *n = n.saturating_sub(1);
                now
            }
        }
    }
}

fn le16(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(b.get(at..at + 2)?.try_into().ok()?))
}

fn le32(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(b.get(at..at + 4)?.try_into().ok()?))
}

fn le64(b: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(b.get(at..at + 8)?.try_into().ok()?))
}

/// Kinds of statistics (5.1.6.5.11): bit, whether of transmit queues.
const CVQ: u64 = 1 << 32;
const RX_BASIC: u64 = 1 << 0;
const RX_CSUM: u64 = 1 << 1;
const RX_GSO: u64 = 1 << 2;
const RX_SPEED: u64 = 1 << 3;
const TX_BASIC: u64 = 1 << 16;
const TX_CSUM: u64 = 1 << 17;
const TX_GSO: u64 = 1 << 18;
const TX_SPEED: u64 = 1 << 19;
const STATS: [u64; 9] = [
    RX_BASIC, RX_CSUM, RX_GSO, RX_SPEED, TX_BASIC, TX_CSUM, TX_GSO, TX_SPEED, CVQ,
];

/// The values of one kind.
fn values(kind: u64, c: &Count, commands: u64, ok: u64) -> Vec<u64> {
    match kind {
        CVQ => vec![commands, ok],
        RX_BASIC => vec![
            c.kicks,
            c.packets,
            c.bytes,
            c.interrupts,
            c.overruns + c.malformed,
            c.overruns,
        ],
        TX_BASIC => vec![
            c.kicks,
            c.packets,
            c.bytes,
            c.interrupts,
            c.malformed,
            c.malformed,
        ],
        RX_CSUM => vec![c.csum_valid, c.needs_csum, c.csum_none, 0],
        TX_CSUM => vec![c.csum_none, c.needs_csum],
        RX_GSO => vec![c.gso_packets, c.gso_bytes, 0, 0],
        TX_GSO => vec![
            c.gso_packets,
            c.gso_bytes,
            c.gso_segments,
            c.gso_bytes,
            0,
            0,
        ],
        _ => vec![0, 0],
    }
}

impl Net {
    /// Serves all commands.
    pub fn serve_ctrl(&mut self, index: usize) {
        for _ in 0..64 {
            self.vqs[index].ask_kick(&self.mem, false);
            while let Some(chain) = self.pop_command(index) {
                let data = chain.read(&self.mem).unwrap_or_default();
                if chain.room() == 0 || data.len() < 2 {
                    self.bad(format!(
                        "5.1.6.5: a command of {} and {} bytes",
                        data.len(),
                        chain.room()
                    ));
                    self.vqs[index].push(&self.mem, chain.head.into(), 0);
                    continue;
                }
                self.set.commands += 1;
                let breach = self.options.framing.breach(&chain, &data);
                let refused = breach.is_some()
                    || self
                        .refuse
                        .as_mut()
                        .is_some_and(|r| r.is_of(data[0], data[1]));
                if let Some(text) = breach {
                    self.bad(text);
                }
                let result = if refused || self.evil.as_ref().is_some_and(|e| e.spoils_commands()) {
                    None
                } else {
                    self.command(data[0], data[1], &data[2..], chain.room() - 1)
                };
                let reply = match result {
                    Some(r) => {
                        self.set.commands_ok += 1;
                        [vec![ctrl::OK], r].concat()
                    }
                    None => {
                        if self.evil.is_none() {
                            eprintln!(
                                "command {}/{} of {} bytes refused",
                                data[0],
                                data[1],
                                data.len() - 2
                            );
                        }
                        vec![ctrl::ERR]
                    }
                };
                self.done(true, index, &chain, reply);
            }
            let vq = &mut self.vqs[index];
            vq.notify(&self.mem);
            vq.ask_kick(&self.mem, true);
            if vq.pending(&self.mem) == 0 || self.set.lost {
                return;
            }
        }
    }

    /// The next command, if the device is to look for one and can make sense of its descriptors. Else it has stopped, until
    /// it is reset.
    fn pop_command(&mut self, index: usize) -> Option<Chain> {
        if self.set.lost {
            return None;
        }
        let chain = self.pop(index)?;
        let seen = self.options.framing.seen(chain, &self.mem);
        if seen.is_none() {
            eprintln!("a command that isn't three descriptors: no more are served");
            self.set.lost = true;
        }
        seen
    }

    /// Whether a class of commands may be used; noted if not.
    fn allowed(&mut self, class: u8, cmd: u8) -> bool {
        let feature = match (class, cmd) {
            (ctrl::RX, 0 | 1) => f::CTRL_RX,
            (ctrl::RX, 2..=5) => f::CTRL_RX_EXTRA,
            (ctrl::MAC, ctrl::MAC_TABLE_SET) => f::CTRL_RX,
            (ctrl::MAC, ctrl::MAC_ADDR_SET) => f::CTRL_MAC_ADDR,
            (ctrl::VLAN, 0 | 1) => f::CTRL_VLAN,
            (ctrl::ANNOUNCE, 0) => f::GUEST_ANNOUNCE,
            (ctrl::MQ, ctrl::MQ_VQ_PAIRS_SET) => f::MQ,
            (ctrl::MQ, ctrl::MQ_RSS_CONFIG) => f::RSS,
            (ctrl::MQ, ctrl::MQ_HASH_CONFIG) => f::HASH_REPORT,
            (ctrl::GUEST_OFFLOADS, 0) => f::CTRL_GUEST_OFFLOADS,
            (ctrl::NOTF_COAL, ctrl::COAL_TX_SET | ctrl::COAL_RX_SET) => f::NOTF_COAL,
            (ctrl::NOTF_COAL, ctrl::COAL_VQ_SET | ctrl::COAL_VQ_GET) => f::VQ_NOTF_COAL,
            (ctrl::STATS, ctrl::STATS_QUERY | ctrl::STATS_GET) => f::DEVICE_STATS,
            _ => 0,
        };
        if self.has(feature) {
            return true;
        }
        self.bad(format!(
            "5.1.6.5: command {class}/{cmd} without its feature"
        ));
        false
    }

    /// Carries a command out: what is to be returned besides the acknowledgement, or none for a refusal. What is
    /// malformed is also noted; a driver may ask for too much, but not in a wrong form.
    fn command(&mut self, class: u8, cmd: u8, d: &[u8], room: usize) -> Option<Vec<u8>> {
        if !self.allowed(class, cmd) {
            return None;
        }
        let done = match class {
            ctrl::RX | ctrl::MAC | ctrl::VLAN => self.filter(class, cmd, d),
            ctrl::ANNOUNCE => {
                self.config.status &= !crate::spec::S_ANNOUNCE;
                self.set.announced += 1;
                Some(vec![])
            }
            ctrl::MQ if cmd == ctrl::MQ_VQ_PAIRS_SET => {
                let n = le16(d, 0)?;
                if n == 0 || n > self.config.max_pairs || usize::from(n) * 2 > self.vqs.len() {
                    self.bad(format!(
                        "5.1.6.5.6.1: {n} pairs of {} asked for",
                        self.config.max_pairs
                    ));
                    return None;
                }
                self.set.pairs = n;
                self.set.max_tx = n;
                self.set.steering = Steering::default();
                self.apply_pairs();
                Some(vec![])
            }
            ctrl::MQ => self.rss(cmd == ctrl::MQ_RSS_CONFIG, d),
            ctrl::GUEST_OFFLOADS => {
                let set = le64(d, 0)?;
                if set & !self.acked != 0 {
                    self.bad(format!(
                        "5.1.6.5.8.2: offloads {set:#x} that were not negotiated"
                    ));
                    return None;
                }
                self.set.guest_offloads = set;
                self.apply_pairs();
                Some(vec![])
            }
            ctrl::NOTF_COAL => self.coal(cmd, d),
            _ => self.stats(cmd, d, room),
        };
        if let Some(r) = &done {
            if r.len() > room {
                self.bad(format!(
                    "5.1.6.5: {} bytes to return, room for {room}",
                    r.len()
                ));
                return None;
            }
        }
        done
    }

    fn filter(&mut self, class: u8, cmd: u8, d: &[u8]) -> Option<Vec<u8>> {
        match (class, cmd) {
            (ctrl::RX, n) => {
                let on = *d.first()? != 0;
                if n == 0 {
                    self.set.promisc = on;
                } else if n == 1 {
                    self.set.allmulti = on;
                }
            }
            (ctrl::MAC, ctrl::MAC_ADDR_SET) => {
                if d.len() != 6 {
                    self.bad(format!("5.1.6.5.2.2: an address of {} bytes", d.len()));
                    return None;
                }
                self.set.mac = d.try_into().ok();
            }
            (ctrl::MAC, _) => {
                let n = le32(d, 0)? as usize;
                let at = n.checked_mul(6)?.checked_add(4)?;
                let m = le32(d, at);
                let want = m.map(|m| at + 4 + 6 * m as usize);
                if want != Some(d.len()) {
                    self.bad(format!(
                        "5.1.6.5.2.2: tables of {n} and {m:?} addresses in {} bytes",
                        d.len()
                    ));
                    return None;
                }
                self.set.macs = (n as u32, m?);
            }
            _ => {
                let vid = le16(d, 0)?;
                if d.len() != 2 || vid > 4095 {
                    self.bad(format!("5.1.6.5.3: VLAN {vid}, {} bytes", d.len()));
                    return None;
                }
                self.set.vlans.retain(|v| *v != vid);
                if cmd == 0 {
                    self.set.vlans.push(vid);
                }
            }
        }
        Some(vec![])
    }

    fn rss(&mut self, steer: bool, d: &[u8]) -> Option<Vec<u8>> {
        let types = le32(d, 0)?;
        if types & !self.config.hash_types != 0 {
            self.bad(format!(
                "5.1.6.5.7.2: hash types {types:#x} of {:#x}",
                self.config.hash_types
            ));
            return None;
        }
        // Types, mask, other queue, table, number of transmit queues, key length, key; without steering the part
        // between is reserved: four words.
        let n = if steer {
            usize::from(le16(d, 4)?) + 1
        } else {
            1
        };
        let (other, at) = (le16(d, 6)?, 8);
        let table: Vec<u16> = (0..n).map(|i| le16(d, at + 2 * i)).collect::<Option<_>>()?;
        let tx = le16(d, at + 2 * n)?;
        let klen = usize::from(*d.get(at + 2 * n + 2)?);
        let key = d.get(at + 2 * n + 3..)?;
        if key.len() != klen || klen > self.config.rss_key.into() || klen == 0 && types != 0 {
            self.bad(format!(
                "5.1.6.5.7.1: a key of {klen} bytes in {}, at most {}",
                key.len(),
                self.config.rss_key
            ));
            return None;
        }
        if steer {
            let max = self.config.max_pairs;
            if !n.is_power_of_two() || n > self.config.rss_table.into() {
                self.bad(format!(
                    "5.1.6.5.7.2: a table of {n} entries of {}",
                    self.config.rss_table
                ));
                return None;
            }
            if other >= max || table.iter().any(|q| *q >= max) || tx == 0 || tx > max {
                self.bad(format!(
                    "5.1.6.5.7.2: queues beyond {max}: {table:?}, {other}, {tx}"
                ));
                return None;
            }
            self.set.max_tx = tx;
            self.set.pairs = table.iter().max()? + 1;
            self.apply_pairs();
        }
        self.set.steering = Steering {
            types,
            table: if steer {
                table
            } else {
                self.set.steering.table.clone()
            },
            other,
            key: key.to_vec(),
        };
        Some(vec![])
    }

    fn coal(&mut self, cmd: u8, d: &[u8]) -> Option<Vec<u8>> {
        let ctrl = self.ctrl_index();
        let coal = |at| {
            Some(Coal {
                max_packets: le32(d, at)?,
                max_usecs: le32(d, at + 4)?,
            })
        };
        let want = match cmd {
            ctrl::COAL_VQ_SET => 12,
            ctrl::COAL_VQ_GET => 4,
            _ => 8,
        };
        if d.len() != want {
            self.bad(format!(
                "5.1.6.5.9: command {cmd} with {} bytes, not {want}",
                d.len()
            ));
            return None;
        }
        if cmd == ctrl::COAL_TX_SET || cmd == ctrl::COAL_RX_SET {
            let c = coal(0)?;
            let odd = usize::from(cmd == ctrl::COAL_TX_SET);
            for (i, vq) in self.vqs.iter_mut().enumerate() {
                if i != ctrl && i % 2 == odd {
                    vq.coal = c;
                    vq.notify_now(&self.mem);
                }
            }
            return Some(vec![]);
        }
        let index = usize::from(le16(d, 0)?);
        let pairs = usize::from(self.set.pairs.max(self.set.max_tx));
        if index == ctrl || index / 2 >= pairs || !self.vqs[index].enabled {
            self.bad(format!(
                "5.1.6.5.9.5: coalescing for queue {index}, which is not in use ({pairs} pairs)"
            ));
            return None;
        }
        let vq = &mut self.vqs[index];
        if cmd == ctrl::COAL_VQ_SET {
            vq.coal = coal(4)?;
            vq.notify_now(&self.mem);
            return Some(vec![]);
        }
        Some(
            [
                vq.coal.max_packets.to_le_bytes(),
                vq.coal.max_usecs.to_le_bytes(),
            ]
            .concat(),
        )
    }

    /// Kinds that a queue has.
    fn stats_of(&self, index: usize) -> u64 {
        if index == self.ctrl_index() {
            CVQ
        } else if index.is_multiple_of(2) {
            RX_BASIC | RX_CSUM | RX_GSO | RX_SPEED
        } else {
            TX_BASIC | TX_CSUM | TX_GSO | TX_SPEED
        }
    }

    fn stats(&mut self, cmd: u8, d: &[u8], room: usize) -> Option<Vec<u8>> {
        if cmd == ctrl::STATS_QUERY {
            return Some(STATS.iter().fold(0, |a, b| a | b).to_le_bytes().to_vec());
        }
        if d.is_empty() || !d.len().is_multiple_of(16) {
            self.bad(format!("5.1.6.5.11: a request of {} bytes", d.len()));
            return None;
        }
        let mut out = Vec::new();
        for q in d.chunks(16) {
            let (index, kinds) = (usize::from(le16(q, 0)?), le64(q, 8)?);
            if index > self.ctrl_index() || kinds & !self.stats_of(index) != 0 {
                self.bad(format!(
                    "5.1.6.5.11.13: statistics {kinds:#x} of queue {index}"
                ));
                return None;
            }
            for kind in STATS.iter().filter(|k| kinds & **k != 0) {
                let v = values(
                    *kind,
                    &self.vqs[index].count,
                    self.set.commands,
                    self.set.commands_ok,
                );
                out.extend([kind.trailing_zeros() as u8, 0]);
                out.extend((index as u16).to_le_bytes());
                out.extend([0, 0]);
                out.extend((8 + 8 * v.len() as u16).to_le_bytes());
                out.extend(v.iter().flat_map(|v| v.to_le_bytes()));
            }
        }
        if out.len() > room {
            self.bad(format!(
                "5.1.6.5.11.13: {} bytes of statistics, room for {room}",
                out.len()
            ));
            return None;
        }
        Some(out)
    }
}
