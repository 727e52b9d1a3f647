// SPDX-License-Identifier: GPL-2.0

//! Receive-side scaling and hash reports (virtio 1.3, 5.1.6.4.3, 5.1.6.4.5 and 5.1.6.5.7): what the device
//! can do, which packets are hashed over which fields, and what the commands and reports look like.

#![forbid(unsafe_code)]

use super::features::{bit, Features};

/// Kinds of hashes (`hash_types`, 5.1.6.4.3.1).
///
/// Those over IPv6 extension headers are not asked for: without them the extension headers are
/// skipped (5.1.6.4.3.4).
pub(crate) mod hash_type {
    /// Addresses of IPv4 packets.
    pub(crate) const IPV4: u32 = 1 << 0;
    /// Addresses and ports of TCP over IPv4.
    pub(crate) const TCPV4: u32 = 1 << 1;
    /// Addresses and ports of UDP over IPv4.
    pub(crate) const UDPV4: u32 = 1 << 2;
    /// Addresses of IPv6 packets.
    pub(crate) const IPV6: u32 = 1 << 3;
    /// Addresses and ports of TCP over IPv6.
    pub(crate) const TCPV6: u32 = 1 << 4;
    /// Addresses and ports of UDP over IPv6.
    pub(crate) const UDPV6: u32 = 1 << 5;
    /// All of the above.
    pub(crate) const ALL: u32 = IPV4 | TCPV4 | UDPV4 | IPV6 | TCPV6 | UDPV6;
}

/// Bytes of the key.
///
/// A hash over two IPv6 addresses and two ports takes 36 bytes and a 32-bit window that follows. No
/// device may have less room (5.1.4.1), and more would never be used.
pub(crate) const KEY_LEN: usize = 40;

/// Most entries of the indirection table.
///
/// It is the most whose 32-bit form fits into one attribute of a netlink message (64 KiB less one
/// byte), which is how the table is shown and set.
pub(crate) const MAX_TABLE: u16 = 8192;

/// What the device's configuration says (5.1.4), as it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    /// `rss_max_key_size`, in bytes.
    pub(crate) key: u8,
    /// `rss_max_indirection_table_length`, in entries, which is only there with `RSS`.
    pub(crate) table: u16,
    /// The field `supported_hash_types`.
    pub(crate) types: u32,
}

/// What can be done with a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Caps {
    /// Entries of the indirection table, a power of two; 0 without `RSS`.
    pub(crate) table: u16,
    /// Kinds of hashes, at least one.
    pub(crate) types: u32,
    /// Whether hashes are reported (`HASH_REPORT`).
    pub(crate) report: bool,
}

/// Why a device can't be made use of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unusable {
    /// The device's key is shorter than the specification allows.
    Key,
    /// The device knows none of the hashes that the driver knows.
    Types,
    /// The device has no indirection table, but hashes may still be reported.
    Table,
}

/// Takes `RSS` and `HASH_REPORT` out of `f` where the configuration makes them useless, and says why.
pub(crate) fn usable(f: Features, limits: Limits) -> (Features, Option<Unusable>) {
    if !f.has(bit::RSS) && !f.has(bit::HASH_REPORT) {
        return (f, None);
    }
    let neither = f.without(bit::RSS).without(bit::HASH_REPORT);
    if usize::from(limits.key) < KEY_LEN {
        return (neither, Some(Unusable::Key));
    }
    if limits.types & hash_type::ALL == 0 {
        return (neither, Some(Unusable::Types));
    }
    if f.has(bit::RSS) && limits.table == 0 {
        return (f.without(bit::RSS), Some(Unusable::Table));
    }
    (f, None)
}

/// Returns what can be done with the features `f`: nothing if neither is negotiated, or if the
/// configuration doesn't allow for what is (see [`usable`]; it may have changed since).
///
/// The table has the largest power of two that the device can have entries, at most [`MAX_TABLE`].
pub(crate) fn caps(f: Features, limits: Limits) -> Option<Caps> {
    let (rss, report) = (f.has(bit::RSS), f.has(bit::HASH_REPORT));
    if !(rss || report) || usable(f, limits).1.is_some() {
        return None;
    }
    let table = match limits.table.min(MAX_TABLE).checked_ilog2() {
        Some(log) if rss => 1 << log,
        _ => 0,
    };
    Some(Caps {
        table,
        types: limits.types & hash_type::ALL,
        report,
    })
}

/// Returns the queue of entry `index` of a table that spreads evenly over `pairs` queues.
pub(crate) fn indir_default(index: u16, pairs: u16) -> u16 {
    index.checked_rem(pairs).unwrap_or(0)
}

/// A kind of packets, as far as the choice of a hash goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Flow {
    /// Whether it is IPv6 instead of IPv4.
    pub(crate) v6: bool,
    /// The protocol inside of the packet.
    pub(crate) proto: Proto,
}

/// What is inside of an IP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Proto {
    /// The protocol is TCP.
    Tcp,
    /// The protocol is UDP.
    Udp,
    /// One of the protocols that have no hash of their own.
    Other,
    /// Whatever has no hash of its own.
    Any,
}

/// What a hash is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fields {
    /// There is no hash.
    None,
    /// Source and destination address.
    Addrs,
    /// Addresses and ports.
    AddrsPorts,
}

/// Returns the hash types of a flow: that over addresses, and that over addresses and ports, which
/// is 0 if it has none.
const fn types_of(flow: Flow) -> (u32, u32) {
    use hash_type::{IPV4, IPV6, TCPV4, TCPV6, UDPV4, UDPV6};
    match (flow.v6, flow.proto) {
        (false, Proto::Tcp) => (IPV4, TCPV4),
        (false, Proto::Udp) => (IPV4, UDPV4),
        (false, _) => (IPV4, 0),
        (true, Proto::Tcp) => (IPV6, TCPV6),
        (true, Proto::Udp) => (IPV6, UDPV6),
        (true, _) => (IPV6, 0),
    }
}

/// Returns what the device hashes a flow over with the hash types `types` (5.1.6.4.3.2,
/// 5.1.6.4.3.3): the most specific type decides.
pub(crate) fn fields(types: u32, flow: Flow) -> Fields {
    let (addrs, ports) = types_of(flow);
    if types & ports != 0 {
        Fields::AddrsPorts
    } else if types & addrs != 0 {
        Fields::Addrs
    } else {
        Fields::None
    }
}

/// Returns the hash types with which a flow is hashed over `want`, starting from `types`, or `None`
/// if that is not possible with the types of `supported`.
///
/// Only the flow's own type changes: that of TCP, of UDP, or for [`Proto::Any`] the one over
/// addresses, which packets without a type of their own have. TCP over addresses only, or not at
/// all, is therefore possible only if that is what becomes of packets without a type of their own.
pub(crate) fn set_fields(types: u32, supported: u32, flow: Flow, want: Fields) -> Option<u32> {
    let (addrs, ports) = types_of(flow);
    let new = match (flow.proto, want) {
        (Proto::Any, Fields::None) => types & !addrs,
        (Proto::Any, Fields::Addrs) => types | addrs,
        (_, Fields::AddrsPorts) => types | ports,
        (_, Fields::Addrs | Fields::None) => types & !ports,
    };
    (new & !supported == 0 && fields(new, flow) == want).then_some(new)
}

/// Writes the data of an `RSS_CONFIG` command (5.1.6.5.7.1), piece by piece, to `out`, whose error
/// ends it.
///
/// `table` has the entries, a power of two of them. Packets without a hash go to queue 0.
pub(crate) fn rss_config<E>(
    types: u32,
    table: &[u16],
    pairs: u16,
    key: &[u8; KEY_LEN],
    mut out: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mask = u16::try_from(table.len().saturating_sub(1)).unwrap_or(u16::MAX);
    out(&types.to_le_bytes())?;
    out(&mask.to_le_bytes())?;
    out(&0u16.to_le_bytes())?;
    for queue in table {
        out(&queue.to_le_bytes())?;
    }
    out(&pairs.to_le_bytes())?;
    // CAST: 40.
    out(&[KEY_LEN as u8])?;
    out(key)
}

/// Returns the data of a `HASH_CONFIG` command (5.1.6.5.6.4) without the key, which follows it.
pub(crate) fn hash_config(types: u32) -> [u8; 13] {
    let [a, b, c, d] = types.to_le_bytes();
    // Eight reserved bytes make it look like the other command.
    // CAST: 40.
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, KEY_LEN as u8]
}

/// Where the hash is in the header of a received packet, in bytes: behind `num_buffers` (5.1.6).
pub(crate) const REPORT_AT: u32 = 12;

/// A hash that the device reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RxHash {
    /// Value of the hash.
    pub(crate) value: u32,
    /// Which packets the hash is of.
    pub(crate) flow: Flow,
}

impl RxHash {
    /// Returns whether the hash is over ports, too, and not only over addresses.
    #[inline]
    pub(crate) const fn ports(&self) -> bool {
        !matches!(self.flow.proto, Proto::Any)
    }
}

/// Interprets `hash_value`, `hash_report` and what pads them (5.1.6, 5.1.6.4.5).
///
/// Returns `None` if there is no hash, or one of a kind that the driver doesn't ask for. The value
/// needs no check.
#[inline]
pub(crate) const fn report(bytes: [u8; 8]) -> Option<RxHash> {
    let [a, b, c, d, e, f, _, _] = bytes;
    let (v6, proto) = match u16::from_le_bytes([e, f]) {
        1 => (false, Proto::Any),
        2 => (false, Proto::Tcp),
        3 => (false, Proto::Udp),
        4 => (true, Proto::Any),
        5 => (true, Proto::Tcp),
        6 => (true, Proto::Udp),
        _ => return None,
    };
    Some(RxHash {
        value: u32::from_le_bytes([a, b, c, d]),
        flow: Flow { v6, proto },
    })
}
