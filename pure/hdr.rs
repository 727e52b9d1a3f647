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

/// A header as the device wrote it, in two words: it stays in registers on its way, and the device
/// can't change it any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RawHdr {
    /// `flags`, `gso_type`, `hdr_len`, `gso_size`, `csum_start`, from the lowest byte on.
    lo: u64,
    /// `csum_offset`, `num_buffers`.
    hi: u32,
}

impl RawHdr {
    /// Takes over the bytes of a header.
    #[inline(always)]
    pub(crate) const fn from_bytes(bytes: &[u8; LEN]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
        Self {
            lo: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            hi: u32::from_le_bytes([i, j, k, l]),
        }
    }

    /// Gives the bytes.
    #[inline(always)]
    pub(crate) const fn to_bytes(self) -> [u8; LEN] {
        let [a, b, c, d, e, f, g, h] = self.lo.to_le_bytes();
        let [i, j, k, l] = self.hi.to_le_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }

    /// The same with only the flags that this driver knows (5.1.6.4.2: others are ignored).
    #[inline(always)]
    pub(crate) const fn with_known_flags(self) -> Self {
        // CAST: widening, `From` is not usable in a constant function.
        let unknown = !(F_NEEDS_CSUM | F_DATA_VALID) as u64;
        Self {
            lo: self.lo & !unknown,
            ..self
        }
    }

    /// The same with a number of buffers of 1, for a header that has none.
    #[inline(always)]
    pub(crate) const fn with_one_buffer(self) -> Self {
        Self {
            hi: self.hi & 0xffff | 1 << 16,
            ..self
        }
    }

    /// Returns `num_buffers`.
    #[inline(always)]
    pub(crate) const fn num_buffers(self) -> u16 {
        // CAST: the field's bits are wanted, here and below.
        (self.hi >> 16) as u16
    }

    const fn flags(self) -> u8 {
        self.lo as u8
    }

    const fn gso_type(self) -> u8 {
        (self.lo >> 8) as u8
    }

    const fn gso_size(self) -> u16 {
        (self.lo >> 32) as u16
    }

    const fn csum_start(self) -> u16 {
        (self.lo >> 48) as u16
    }

    const fn csum_offset(self) -> u16 {
        self.hi as u16
    }
}

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
/// `hdr` is the header (with a number of buffers of 1 put in if the header is one of 10 bytes),
/// `offloads` what was negotiated, `packet_len` the length in bytes of the whole packet without
/// the header.
///
/// Unknown flags are ignored, as are `hdr_len`, which is but a hint, and the fields of what the
/// packet does not use. A partial checksum wins over a validated one. The errors are those of
/// [`HdrError`], those of segmentation first.
#[inline(always)]
pub(crate) fn parse_rx(
    hdr: RawHdr,
    offloads: &RxOffloads,
    packet_len: u32,
) -> Result<RxMeta, HdrError> {
    let (flags, gso_type, gso_size) = (hdr.flags(), hdr.gso_type(), hdr.gso_size());
    let (start, offset) = (hdr.csum_start(), hdr.csum_offset());
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
        num_buffers: hdr.num_buffers(),
    })
}
