// SPDX-License-Identifier: GPL-2.0

//! The header in front of every received packet (virtio 1.3, 5.1.6 and 5.1.6.4).

#![forbid(unsafe_code)]

use super::features::{bit, Features};

/// Length in bytes of the header with the number of buffers.
pub(crate) const LEN: usize = 12;

/// Flag: the checksum is partial, at `csum_start` and `csum_offset`.
const F_NEEDS_CSUM: u8 = 1;
/// Flag: the device has validated the checksum.
const F_DATA_VALID: u8 = 2;

/// Segmentation: none.
const GSO_NONE: u8 = 0;
/// Segmentation: TCP over IPv4.
const GSO_TCPV4: u8 = 1;
/// Segmentation: UDP fragmentation, which the driver never negotiates.
const GSO_UDP: u8 = 3;
/// Segmentation: TCP over IPv6.
const GSO_TCPV6: u8 = 4;
/// Segmentation: UDP datagrams, over IPv4 or IPv6.
const GSO_UDP_L4: u8 = 5;
/// Segmentation: on top of a TCP type, the packet has ECN set.
const GSO_ECN: u8 = 0x80;

/// The offloads that the device may make use of on receive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RxOffloads {
    /// Partial checksums (`GUEST_CSUM`).
    pub(crate) csum: bool,
    /// TCP segmentation over IPv4 (`GUEST_TSO4`).
    pub(crate) tso4: bool,
    /// TCP segmentation over IPv6 (`GUEST_TSO6`).
    pub(crate) tso6: bool,
    /// TCP segmentation with ECN (`GUEST_ECN`).
    pub(crate) ecn: bool,
    /// UDP segmentation over IPv4 (`GUEST_USO4`).
    pub(crate) uso4: bool,
    /// UDP segmentation over IPv6 (`GUEST_USO6`).
    pub(crate) uso6: bool,
}

impl RxOffloads {
    /// Returns the offloads that the features `f` allow (5.1.3).
    pub(crate) fn from_features(f: Features) -> Self {
        Self {
            csum: f.has(bit::GUEST_CSUM),
            tso4: f.has(bit::GUEST_TSO4),
            tso6: f.has(bit::GUEST_TSO6),
            ecn: f.has(bit::GUEST_ECN),
            uso4: f.has(bit::GUEST_USO4),
            uso6: f.has(bit::GUEST_USO6),
        }
    }
}

/// What is known about the checksum of a received packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RxCsum {
    /// Nothing: it has to be verified.
    None,
    /// It is to be computed over everything from `start` on and stored `offset` bytes after that;
    /// both in bytes, `start` from the beginning of the packet.
    Partial {
        /// Where checksumming starts.
        start: u16,
        /// Where the checksum goes, from `start` on.
        offset: u16,
    },
    /// The device has validated it.
    Unnecessary,
}

/// What the header says about a packet, checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RxMeta {
    /// The state of the checksum.
    pub(crate) csum: RxCsum,
    /// Whether the packet is to be segmented.
    pub(crate) gso: bool,
    /// From how many buffers the packet is merged; as it came, see [`super::rx::num_buffers`].
    pub(crate) num_buffers: u16,
}

/// Why a header is not acceptable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HdrError {
    /// `gso_type` is not defined, or has ECN without TCP, or comes without a partial checksum.
    GsoType,
    /// `gso_size` is 0 in a packet to be segmented.
    GsoSize,
    /// `gso_type` is one that was not negotiated.
    GsoNotNegotiated,
    /// The checksum is partial, which was not negotiated.
    CsumNotNegotiated,
    /// The place of the partial checksum is outside of the packet.
    CsumRange,
}

/// Checks and interprets the header of a received packet (5.1.6.4.1, 5.1.6.4.2).
///
/// `bytes` is the header (with a number of buffers of 1 put in if the header is one of 10 bytes),
/// `offloads` what was negotiated, `packet_len` the length in bytes of the whole packet without
/// the header.
///
/// Unknown flags are ignored, as are `hdr_len`, which is but a hint, and the fields of what the
/// packet does not use. A partial checksum wins over a validated one. The errors are those of
/// [`HdrError`], those of segmentation first.
pub(crate) fn parse_rx(
    bytes: &[u8; LEN],
    offloads: &RxOffloads,
    packet_len: u32,
) -> Result<RxMeta, HdrError> {
    let [flags, gso_type, _, _, gs0, gs1, cs0, cs1, co0, co1, nb0, nb1] = *bytes;
    let gso_size = u16::from_le_bytes([gs0, gs1]);
    let start = u16::from_le_bytes([cs0, cs1]);
    let offset = u16::from_le_bytes([co0, co1]);
    let partial = flags & F_NEEDS_CSUM != 0;

    let gso = gso_type != GSO_NONE;
    if gso {
        let (negotiated, tcp) = match gso_type & !GSO_ECN {
            GSO_TCPV4 => (offloads.tso4, true),
            GSO_TCPV6 => (offloads.tso6, true),
            GSO_UDP => (false, false),
            GSO_UDP_L4 => (offloads.uso4 || offloads.uso6, false),
            _ => return Err(HdrError::GsoType),
        };
        let ecn = gso_type & GSO_ECN != 0;
        if ecn && !tcp {
            return Err(HdrError::GsoType);
        }
        if !negotiated || (ecn && !offloads.ecn) {
            return Err(HdrError::GsoNotNegotiated);
        }
        if gso_size == 0 {
            return Err(HdrError::GsoSize);
        }
        // A host that forwards packets merged by its own hardware has DATA_VALID instead. The
        // headers of such a packet are dissected before anything relies on them.
        if !partial && flags & F_DATA_VALID == 0 {
            return Err(HdrError::GsoType);
        }
    }

    let csum = if partial {
        if !offloads.csum {
            return Err(HdrError::CsumNotNegotiated);
        }
        // Two 16-bit values and 2 are far from overflowing 32 bits.
        if u32::from(start) + u32::from(offset) + 2 > packet_len {
            return Err(HdrError::CsumRange);
        }
        RxCsum::Partial { start, offset }
    } else if flags & F_DATA_VALID != 0 {
        RxCsum::Unnecessary
    } else {
        RxCsum::None
    };

    Ok(RxMeta {
        csum,
        gso,
        num_buffers: u16::from_le_bytes([nb0, nb1]),
    })
}
