// SPDX-License-Identifier: GPL-2.0

//! Values of the device configuration (virtio 1.3, 5.1.4), what the driver makes of them, and the
//! numbers of the virtqueues (5.1.2).

#![forbid(unsafe_code)]

use super::features::{bit, Features};

/// The device configuration (5.1.4).
#[repr(C)]
struct NetConfig {
    mac: [u8; 6],
    status: u16,
    max_virtqueue_pairs: u16,
    mtu: u16,
    speed: u32,
    duplex: u8,
    rss_max_key_size: u8,
    rss_max_indirection_table_length: u16,
    supported_hash_types: u32,
}

/// Offsets of the fields of [`NetConfig`] in bytes.
pub(crate) mod offset {
    use super::NetConfig;
    use core::mem::offset_of;

    // CAST: 20 at most, here and below.
    /// Offset of `mac`.
    pub(crate) const MAC: u32 = offset_of!(NetConfig, mac) as u32;
    /// Offset of `status`.
    pub(crate) const STATUS: u32 = offset_of!(NetConfig, status) as u32;
    /// Offset of `max_virtqueue_pairs`.
    pub(crate) const MAX_PAIRS: u32 = offset_of!(NetConfig, max_virtqueue_pairs) as u32;
    /// Offset of `mtu`.
    pub(crate) const MTU: u32 = offset_of!(NetConfig, mtu) as u32;
    /// Offset of `speed`.
    pub(crate) const SPEED: u32 = offset_of!(NetConfig, speed) as u32;
    /// Offset of `duplex`.
    pub(crate) const DUPLEX: u32 = offset_of!(NetConfig, duplex) as u32;
    /// Offset of `rss_max_key_size`.
    pub(crate) const RSS_KEY_SIZE: u32 = offset_of!(NetConfig, rss_max_key_size) as u32;
    /// Offset of `rss_max_indirection_table_length`.
    pub(crate) const RSS_TABLE_LENGTH: u32 =
        offset_of!(NetConfig, rss_max_indirection_table_length) as u32;
    /// Offset of `supported_hash_types`.
    pub(crate) const HASH_TYPES: u32 = offset_of!(NetConfig, supported_hash_types) as u32;
}

/// The greatest legal `max_virtqueue_pairs` (5.1.4.1, 5.1.6.5.6).
const MAX_PAIRS: u16 = 0x8000;

/// The least MTU in bytes that the specification allows a device to report (5.1.4.1).
pub(crate) const MIN_MTU: u16 = 68;

/// Returns the number of queue pairs that the device has.
///
/// `config` is its `max_virtqueue_pairs` (5.1.4), which counts if it is legal and if there is both
/// a feature that defines it and the control virtqueue to make use of it. Otherwise there is 1
/// pair.
pub(crate) fn max_queue_pairs(f: Features, config: u16) -> u16 {
    let multiqueue = f.has(bit::MQ) || f.has(bit::RSS);
    if multiqueue && f.has(bit::CTRL_VQ) && (1..=MAX_PAIRS).contains(&config) {
        config
    } else {
        1
    }
}

/// The most queue pairs that are used on shared interrupts, for which a PCI function could have
/// 2048 vectors of MSI-X.
const MOST_SHARING: u16 = 1023;

/// Returns whether all queues share one of `vectors` MSI-X vectors, or the interrupt line, because
/// no pair can have two vectors of its own besides the one for the configuration.
pub(crate) const fn is_shared(vectors: u32) -> bool {
    vectors < 3
}

/// Returns how many of `max` queue pairs can be used on a device with `vectors` MSI-X vectors.
///
/// The first vector is for the configuration, and the two queues of a pair have one each, so as
/// many pairs can be used as get theirs. Where all queues share one ([`is_shared`]) it is `max`, or
/// as many as a PCI function could have vectors for, if that is less: for each queue that has an
/// interrupt the virtio core allocates 256 bytes in one piece, and the kernel complains of one too
/// large.
pub(crate) fn pairs_with_vectors(max: u16, vectors: u32) -> u16 {
    if is_shared(vectors) {
        return max.min(MOST_SHARING);
    }
    let own = vectors.saturating_sub(1) / 2;
    u16::try_from(own).unwrap_or(u16::MAX).min(max)
}

/// Returns the number of queue pairs to use at first, at least 1.
///
/// `max` is what the device has. `param` is what the administrator asked for: 0 means one pair for
/// each online CPU, and another number is limited to `max`.
pub(crate) fn default_pairs(max: u16, online_cpus: u32, param: u32) -> u16 {
    let wanted = if param == 0 { online_cpus } else { param };
    let wanted = u16::try_from(wanted).unwrap_or(u16::MAX);
    wanted.min(max).max(1)
}

/// Returns the device's MTU in bytes (5.1.4), or `None` if it is below the legal minimum of 68
/// (5.1.4.1).
pub(crate) fn check_mtu(mtu: u16) -> Option<u16> {
    (mtu >= MIN_MTU).then_some(mtu)
}

/// Speed and duplex of the link.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct LinkSettings {
    /// Speed in units of 1 Mbit/s, `None` if unknown.
    pub(crate) speed: Option<u32>,
    /// Whether the link is full duplex, `None` if unknown.
    pub(crate) duplex: Option<bool>,
}

/// Interprets the `speed` and `duplex` of the configuration (5.1.4), and those of ethtool, which are encoded in the
/// same way.
///
/// A speed above 0x7fffffff and a duplex other than 0 (half) and 1 (full) are unknown (5.1.4.2).
pub(crate) fn link_settings(speed: u32, duplex: u8) -> LinkSettings {
    LinkSettings {
        speed: (speed <= 0x7fff_ffff).then_some(speed),
        duplex: match duplex {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
    }
}

/// Returns whether the device's `mac` (5.1.4) can be the address of an interface: neither all
/// zeroes nor a multicast address.
pub(crate) fn mac_usable(mac: [u8; 6]) -> bool {
    let [first, ..] = mac;
    first & 1 == 0 && mac != [0; 6]
}

/// Returns the number of the receive virtqueue of pair `i` (5.1.2).
pub(crate) fn rx_vq(i: u16) -> u32 {
    u32::from(i).saturating_mul(2)
}

/// Returns the number of the transmit virtqueue of pair `i` (5.1.2).
pub(crate) fn tx_vq(i: u16) -> u32 {
    rx_vq(i).saturating_add(1)
}

/// Returns the number of the control virtqueue of a device that has `device_pairs` queue pairs (5.1.2).
pub(crate) fn ctrl_vq(device_pairs: u16) -> u32 {
    rx_vq(device_pairs)
}
