// SPDX-License-Identifier: GPL-2.0

//! The control virtqueue (virtio 1.3, 5.1.6.5): numbers, answers, and how long to wait for them.

#![forbid(unsafe_code)]

/// Classes of commands (5.1.6.5).
pub(crate) mod class {
    /// Receive mode (5.1.6.5.1).
    pub(crate) const RX: u8 = 0;
    /// MAC address and filter (5.1.6.5.2).
    pub(crate) const MAC: u8 = 1;
    /// VLAN filter (5.1.6.5.3).
    pub(crate) const VLAN: u8 = 2;
    /// Gratuitous packets (5.1.6.5.4).
    pub(crate) const ANNOUNCE: u8 = 3;
    /// Queue pairs and steering (5.1.6.5.5).
    pub(crate) const MQ: u8 = 4;
    /// Receive offloads (5.1.6.5.8).
    pub(crate) const GUEST_OFFLOADS: u8 = 5;
    /// Interrupt moderation (5.1.6.5.9).
    pub(crate) const NOTF_COAL: u8 = 6;
    /// Statistics of the device (virtio 1.4, 5.1.6.5).
    pub(crate) const STATS: u8 = 8;
}

/// Class RX: promiscuous mode; data: u8, 0 or 1 (5.1.6.5.1).
pub(crate) const RX_PROMISC: u8 = 0;
/// Class RX: all multicast packets; data: u8, 0 or 1 (5.1.6.5.1).
pub(crate) const RX_ALLMULTI: u8 = 1;
/// Class MAC: address filter; data: two tables, each a le32 count and that many addresses
/// (5.1.6.5.2).
pub(crate) const MAC_TABLE_SET: u8 = 0;
/// Class MAC: the device's address; data: six bytes (5.1.6.5.2).
pub(crate) const MAC_ADDR_SET: u8 = 1;
/// Class VLAN: let a VLAN through; data: le16 (5.1.6.5.3).
pub(crate) const VLAN_ADD: u8 = 0;
/// Class VLAN: no longer let a VLAN through; data: le16 (5.1.6.5.3).
pub(crate) const VLAN_DEL: u8 = 1;
/// Class ANNOUNCE: gratuitous packets were sent; no data (5.1.6.5.4).
pub(crate) const ANNOUNCE_ACK: u8 = 0;
/// Class MQ: number of queue pairs in use; data: le16 (5.1.6.5.6).
pub(crate) const MQ_VQ_PAIRS_SET: u8 = 0;
/// Class MQ: receive-side scaling, with the number of queue pairs; data: see
/// [`super::rss::rss_config`] (5.1.6.5.7.1).
pub(crate) const MQ_RSS_CONFIG: u8 = 1;
/// Class MQ: which hashes are reported; data: see [`super::rss::hash_config`] (5.1.6.5.6.4).
pub(crate) const MQ_HASH_CONFIG: u8 = 2;
/// Class GUEST_OFFLOADS: receive offloads in use; data: le64 (5.1.6.5.8).
pub(crate) const GUEST_OFFLOADS_SET: u8 = 0;
/// Class NOTF_COAL: for all transmit queues; data: le32 packets, le32 µs (5.1.6.5.9).
pub(crate) const NOTF_COAL_TX_SET: u8 = 0;
/// Class NOTF_COAL: for all receive queues; data as above (5.1.6.5.9).
pub(crate) const NOTF_COAL_RX_SET: u8 = 1;
/// Class NOTF_COAL: for one queue; data: le16 number of the virtqueue, le16 0, then as above
/// (5.1.6.5.9).
pub(crate) const NOTF_COAL_VQ_SET: u8 = 2;
/// Class STATS: which types there are; no data, result: le64 (virtio 1.4, 5.1.6.5).
pub(crate) const STATS_QUERY: u8 = 0;
/// Class STATS: counters; data: which types of which queues, result: entries with a header each
/// (virtio 1.4, 5.1.6.5).
pub(crate) const STATS_GET: u8 = 1;

/// Answer: the command was carried out (5.1.6.5).
pub(crate) const ACK_OK: u8 = 0;

/// What is in the place of the answer before the device has written one: no answer of the
/// specification.
pub(crate) const NO_ANSWER: u8 = 0xff;

/// The outcome of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ack {
    /// The device carried the command out.
    Ok,
    /// The device refused the command.
    Refused,
    /// The device did not write an answer.
    Missing,
}

/// Interprets the answer to a command, the byte in its place (5.1.6.5).
///
/// Anything but [`ACK_OK`] that the device wrote there (1, by the specification) is a refusal.
///
/// The used length takes no part in it. Devices have always got it wrong: some count what they have
/// read as well (5.1.6, "Legacy Interface: Device Operation"), and the byte says enough.
pub(crate) fn ack(byte: u8) -> Ack {
    match byte {
        ACK_OK => Ack::Ok,
        NO_ANSWER => Ack::Missing,
        _ => Ack::Refused,
    }
}

/// Returns how many bytes of a result the device has written behind its answer, if it claims to
/// have written `used_len` in all and there is room for `room` of a result.
pub(crate) fn result_len(used_len: u32, room: usize) -> usize {
    usize::try_from(used_len.saturating_sub(1)).map_or(room, |len| len.min(room))
}

/// Returns the parts of a command, each for a descriptor of its own (5.1.6.6): class and command,
/// and its data in two parts, of which the first has `cut` bytes.
///
/// Any of them may be empty.
pub(crate) fn parts(command: &[u8], cut: usize) -> [&[u8]; 3] {
    let (header, data) = command.split_at(command.len().min(2));
    let (first, second) = data.split_at(data.len().min(cut));
    [header, first, second]
}

/// A command that changes what the device receives (5.1.6.5.1, 5.1.6.5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RxStep {
    /// Switches promiscuous mode on or off.
    Promisc(bool),
    /// Switches the reception of all multicast packets on or off.
    Allmulti(bool),
    /// Sets the tables of addresses.
    Table,
}

/// What is received beside the addresses in the tables; a `T` that can say so may be unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RxMode<T> {
    /// Whether every packet is received.
    pub(crate) promisc: T,
    /// Whether every multicast packet is received.
    pub(crate) allmulti: T,
}

/// Returns the commands that lead from one receive mode to another, in an order in which no packet
/// is missed that is wanted before and after.
///
/// What lets more through comes first, and what lets less through last. What the mode `was` may be
/// unknown, as after a reset, when devices let everything through. `table` is whether the tables
/// are others now.
pub(crate) fn rx_steps(
    was: RxMode<Option<bool>>,
    want: RxMode<bool>,
    table: bool,
) -> impl Iterator<Item = RxStep> {
    let RxMode { promisc, allmulti } = want;
    let set_promisc = (was.promisc != Some(promisc)).then_some(RxStep::Promisc(promisc));
    let set_allmulti = (was.allmulti != Some(allmulti)).then_some(RxStep::Allmulti(allmulti));
    [
        set_promisc.filter(|_| promisc),
        set_allmulti.filter(|_| allmulti),
        table.then_some(RxStep::Table),
        set_allmulti.filter(|_| !allmulti),
        set_promisc.filter(|_| !promisc),
    ]
    .into_iter()
    .flatten()
}

/// How long to sleep between looks at the control virtqueue: 20 µs at first, doubling up to 1000
/// µs, until a deadline.
///
/// It is an iterator over the sleeps in µs. Their sum is exactly the deadline, as the last one is
/// cut short; it is less if they took longer ([`took`](Self::took)).
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    /// Time left until the deadline, in µs.
    left: u64,
    /// The next sleep in µs, unless the deadline comes first.
    step: u32,
}

impl Backoff {
    /// The first sleep in µs.
    const FIRST: u32 = 20;
    /// The longest sleep in µs.
    const LONGEST: u32 = 1000;

    /// The most that a sleep counts, in µs, because a guest that was paused in one is not the
    /// device's fault.
    const COUNTED: u64 = 16_000;

    /// Makes a sequence of sleeps of `deadline_us` µs in total.
    pub(crate) fn new(deadline_us: u64) -> Self {
        Self {
            left: deadline_us,
            step: Self::FIRST,
        }
    }

    /// Counts what a sleep of `asked` µs took, `us` µs by the clock.
    pub(crate) fn took(&mut self, asked: u32, us: u64) {
        let more = us.min(Self::COUNTED).saturating_sub(u64::from(asked));
        self.left = self.left.saturating_sub(more);
    }
}

impl Iterator for Backoff {
    type Item = u32;

    /// Returns how long to sleep next in µs, at least 1, or `None` once the deadline has come.
    fn next(&mut self) -> Option<u32> {
        if self.left == 0 {
            return None;
        }
        let sleep = match u32::try_from(self.left) {
            Ok(left) => left.min(self.step),
            Err(_) => self.step,
        };
        self.left = self.left.saturating_sub(u64::from(sleep));
        self.step = self.step.saturating_mul(2).min(Self::LONGEST);
        Some(sleep)
    }
}
