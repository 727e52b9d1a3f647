// SPDX-License-Identifier: GPL-2.0

//! Statistics that the device keeps (virtio 1.4, 5.1.6.5 "Device Statistics"): what there is, how it is asked
//! for, and what a reply is made of.

#![forbid(unsafe_code)]

use super::features::{bit, Features};

/// Counters of the largest type.
pub(crate) const MAX_FIELDS: usize = 6;

/// Types that one kind of queue has at most.
pub(crate) const MAX_TYPES: usize = 4;

/// Bytes in front of the counters of a reply: u8 type, u8, le16 vq_index, le16, le16 size.
const HEADER: usize = 8;

/// Bytes for one queue in a request: le16 vq_index, le16 reserved\[3\], le64 types.
pub(crate) const REQUEST: usize = 16;

/// A type of statistics.
pub(crate) struct Type {
    /// Number in replies, which is the type's bit in sets of types.
    pub(crate) code: u8,
    /// Counters of the type in the device's order.
    pub(crate) fields: &'static [&'static str],
}

impl Type {
    /// Returns the set that has this type only.
    pub(crate) const fn bit(&self) -> u64 {
        // Codes are below 64. CAST: widening, `From` is not usable in a constant function.
        1u64.wrapping_shl(self.code as u32)
    }

    /// Returns the bytes of a reply.
    pub(crate) const fn reply_len(&self) -> usize {
        HEADER.saturating_add(self.fields.len().saturating_mul(8))
    }
}

/// What a queue is for, which decides the types that it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum VqKind {
    /// A queue for receiving.
    Rx,
    /// A queue for sending.
    Tx,
    /// The queue for control commands.
    Ctrl,
}

/// Types of receive queues.
static RX: [Type; MAX_TYPES] = [
    Type {
        code: 0,
        fields: &[
            "notifications",
            "packets",
            "bytes",
            "interrupts",
            "drops",
            "drop_overruns",
        ],
    },
    Type {
        code: 1,
        fields: &["csum_valid", "needs_csum", "csum_none", "csum_bad"],
    },
    Type {
        code: 2,
        fields: &[
            "gso_packets",
            "gso_bytes",
            "gso_packets_coalesced",
            "gso_bytes_coalesced",
        ],
    },
    Type {
        code: 3,
        fields: &["ratelimit_packets", "ratelimit_bytes"],
    },
];

/// Types of transmit queues.
static TX: [Type; MAX_TYPES] = [
    Type {
        code: 16,
        fields: &[
            "notifications",
            "packets",
            "bytes",
            "interrupts",
            "drops",
            "drop_malformed",
        ],
    },
    Type {
        code: 17,
        fields: &["csum_none", "needs_csum"],
    },
    Type {
        code: 18,
        fields: &[
            "gso_packets",
            "gso_bytes",
            "gso_segments",
            "gso_segments_bytes",
            "gso_packets_noseg",
            "gso_bytes_noseg",
        ],
    },
    Type {
        code: 19,
        fields: &["ratelimit_packets", "ratelimit_bytes"],
    },
];

/// The type of the control queue.
static CTRL: [Type; 1] = [Type {
    code: 32,
    fields: &["command_num", "ok_num"],
}];

impl VqKind {
    /// Returns the types that such a queue can have, in order of their codes.
    pub(crate) fn types(self) -> &'static [Type] {
        match self {
            VqKind::Rx => &RX,
            VqKind::Tx => &TX,
            VqKind::Ctrl => &CTRL,
        }
    }

    /// Returns those of them that are in `set`, with their place among all.
    pub(crate) fn types_in(self, set: u64) -> impl Iterator<Item = (usize, &'static Type)> {
        // With an end, and so without the check for overflow that `enumerate` has.
        (0..MAX_TYPES)
            .zip(self.types())
            .filter(move |(_, t)| set & t.bit() != 0)
    }

    /// Returns the part of `set` that such a queue can have.
    pub(crate) fn of(self, set: u64) -> u64 {
        self.types_in(set).fold(0, |all, (_, t)| all | t.bit())
    }

    /// Returns the bytes of the replies of all types in `set`, which is below 200.
    pub(crate) fn reply_len(self, set: u64) -> usize {
        self.types_in(set)
            .fold(0usize, |n, (_, t)| n.saturating_add(t.reply_len()))
    }

    /// Returns how many counters all types in `set` have.
    pub(crate) fn fields(self, set: u64) -> usize {
        self.types_in(set)
            .fold(0usize, |n, (_, t)| n.saturating_add(t.fields.len()))
    }
}

/// Returns the types to ask a device for that has `f`: those of `supported`, its own answer, that
/// are known here and whose feature was negotiated.
///
/// A device has to refuse the whole request if one isn't.
pub(crate) fn usable(supported: u64, f: Features) -> u64 {
    let known = VqKind::Rx.of(supported) | VqKind::Tx.of(supported) | VqKind::Ctrl.of(supported);
    let without = |set: u64, code: u8, ok: bool| if ok { set } else { set & !(1 << code) };
    let guest_gso = f.has(bit::GUEST_TSO4) || f.has(bit::GUEST_TSO6);
    let host_gso = f.has(bit::HOST_TSO4) || f.has(bit::HOST_TSO6) || f.has(bit::HOST_USO);
    let set = without(known, 1, f.has(bit::GUEST_CSUM));
    let set = without(set, 2, guest_gso);
    let set = without(set, 17, f.has(bit::CSUM));
    without(set, 18, host_gso)
}

/// Reads the answer to "which types", a le64, or returns `None` if it is shorter.
pub(crate) fn supported(reply: &[u8]) -> Option<u64> {
    reply.first_chunk().map(|b| u64::from_le_bytes(*b))
}

/// The statistics of one queue: what is asked for, and what has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueStats {
    /// Number of the virtqueue.
    vq: u16,
    /// What the virtqueue is for.
    kind: VqKind,
    /// Types that were asked for.
    wanted: u64,
    /// Types of which the device has given a valid reply.
    got: u64,
    /// Counters of each type.
    values: [[u64; MAX_FIELDS]; MAX_TYPES],
}

impl QueueStats {
    /// Makes a request for what of `set` a queue can have.
    pub(crate) fn new(vq: u16, kind: VqKind, set: u64) -> Self {
        Self {
            vq,
            kind,
            wanted: kind.of(set),
            got: 0,
            values: [[0; MAX_FIELDS]; MAX_TYPES],
        }
    }

    /// Returns the bytes for this queue in a request.
    pub(crate) fn request(&self) -> [u8; REQUEST] {
        let [a, b] = self.vq.to_le_bytes();
        let [i, j, k, l, m, n, o, p] = self.wanted.to_le_bytes();
        [a, b, 0, 0, 0, 0, 0, 0, i, j, k, l, m, n, o, p]
    }

    /// Returns how many bytes all replies for this queue have.
    pub(crate) fn reply_len(&self) -> usize {
        self.kind.reply_len(self.wanted)
    }

    /// Returns the counters of the types asked for, in the order of [`VqKind::types_in`].
    ///
    /// Those that didn't come are 0.
    pub(crate) fn values(&self) -> impl Iterator<Item = u64> + '_ {
        self.kind.types_in(self.wanted).flat_map(|(i, t)| {
            let values = self.values.get(i).into_iter().flatten();
            values.copied().take(t.fields.len())
        })
    }

    /// Returns the counters of the type at place `i` of the kind's, if they came.
    pub(crate) fn type_values(&self, i: usize) -> Option<&[u64; MAX_FIELDS]> {
        let t = self.kind.types().get(i)?;
        (self.got & t.bit() != 0)
            .then(|| self.values.get(i))
            .flatten()
    }
}

/// What was wrong with a reply: a count for each entry that was left out and for each that is
/// missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Errors {
    /// Entries that were not asked for, came twice, are unknown or have a wrong size.
    pub(crate) bad: u32,
    /// Entries that were asked for and didn't come.
    pub(crate) missing: u32,
}

impl Errors {
    /// Returns the sum of both.
    pub(crate) fn total(self) -> u32 {
        self.bad.saturating_add(self.missing)
    }
}

/// Takes the device's reply apart.
///
/// Each entry names its type, its queue and its size. An entry counts if it was asked for, hasn't
/// come yet and has the type's exact size; others are stepped over. Where the size leads out of the
/// reply or is less than the entry's own header nothing behind it can be found, so that is the end.
/// A step is 8 bytes at least, so the loop ends.
pub(crate) fn parse(reply: &[u8], queues: &mut [QueueStats]) -> Errors {
    let mut errors = Errors::default();
    let mut rest = reply;
    while !rest.is_empty() {
        let Some((header, _)) = rest.split_first_chunk::<HEADER>() else {
            errors.bad = errors.bad.saturating_add(1);
            break;
        };
        let [code, _, vq0, vq1, _, _, size0, size1] = *header;
        let vq = u16::from_le_bytes([vq0, vq1]);
        let size = usize::from(u16::from_le_bytes([size0, size1]));
        let entry = match rest.split_at_checked(size) {
            Some((entry, behind)) if size >= HEADER => {
                rest = behind;
                entry
            }
            _ => {
                errors.bad = errors.bad.saturating_add(1);
                break;
            }
        };
        if take(code, vq, entry, queues).is_none() {
            errors.bad = errors.bad.saturating_add(1);
        }
    }
    for q in queues.iter() {
        let missing = (q.wanted & !q.got).count_ones();
        errors.missing = errors.missing.saturating_add(missing);
    }
    errors
}

/// Stores one entry, or returns `None` if it is not what was asked for.
fn take(code: u8, vq: u16, entry: &[u8], queues: &mut [QueueStats]) -> Option<()> {
    let q = queues.iter_mut().find(|q| q.vq == vq)?;
    let (i, t) = q
        .kind
        .types_in(q.wanted & !q.got)
        .find(|(_, t)| t.code == code)?;
    if entry.len() != t.reply_len() {
        return None;
    }
    let values = q.values.get_mut(i)?;
    let words = entry.get(HEADER..)?.chunks_exact(8);
    for (to, word) in values.iter_mut().zip(words) {
        *to = u64::from_le_bytes(*word.first_chunk()?);
    }
    q.got |= t.bit();
    Some(())
}
