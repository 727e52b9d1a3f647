// SPDX-License-Identifier: GPL-2.0

//! The header in front of every received packet (virtio 1.3, 5.1.6 and 5.1.6.4; tunnels: 1.4).

#![forbid(unsafe_code)]

use super::{
    eth::{ETH_HLEN, VLAN_HLEN},
    features::{bit, Features},
};

/// Length in bytes of the header with the number of buffers.
pub(crate) const LEN: usize = 12;

/// Where the tunnel fields are in a header that has them, in bytes: `outer_th_offset` and
/// `inner_nh_offset`, behind those of the hash.
pub(crate) const TUNNEL_AT: u32 = 20;
/// Length of the tunnel fields in bytes.
pub(crate) const TUNNEL_LEN: usize = 4;

/// Flag: the checksum is partial, at `csum_start` and `csum_offset`.
const F_NEEDS_CSUM: u8 = 1;
/// Flag: the device has validated the checksum.
const F_DATA_VALID: u8 = 2;
/// Flag: the outer UDP checksum of a tunnelled packet is offloaded as well.
const F_UDP_TUNNEL_CSUM: u8 = 8;

/// Segmentation: there is none.
const GSO_NONE: u8 = 0;
/// Segmentation: TCP over IPv4.
const GSO_TCPV4: u8 = 1;
/// Segmentation: UDP fragmentation, over IPv4 or IPv6.
const GSO_UDP: u8 = 3;
/// Segmentation: TCP over IPv6.
const GSO_TCPV6: u8 = 4;
/// Segmentation: UDP datagrams, over IPv4 or IPv6.
const GSO_UDP_L4: u8 = 5;
/// Segmentation: on top of a TCP or UDP datagram type, which is of the inner packet, it is tunnelled
/// over UDP and IPv4.
const GSO_UDP_TUNNEL_IPV4: u8 = 0x20;
/// Segmentation: the same over UDP and IPv6.
const GSO_UDP_TUNNEL_IPV6: u8 = 0x40;
/// Segmentation: on top of a TCP type, the packet has ECN set.
const GSO_ECN: u8 = 0x80;

/// A header as the device wrote it, in two words: it stays in registers on its way, and the device
/// can't change it any more.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct RawHdr {
    /// `flags`, `gso_type`, `hdr_len`, `gso_size`, `csum_start`, from the lowest byte on.
    lo: u64,
    /// `csum_offset`, `num_buffers`; then `outer_th_offset` and `inner_nh_offset` of a packet that is
    /// tunnelled, else 0.
    hi: u64,
}

impl RawHdr {
    /// Takes over the bytes of a header.
    #[inline(always)]
    pub(crate) const fn from_bytes(bytes: &[u8; LEN]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
        Self::from_words([
            u32::from_ne_bytes([a, b, c, d]),
            u32::from_ne_bytes([e, f, g, h]),
            u32::from_ne_bytes([i, j, k, l]),
        ])
    }

    /// Takes over the bytes of a header as they were read, by words.
    ///
    /// Words that are made of bytes may be taken apart again to look at one of them.
    #[inline(always)]
    pub(crate) const fn from_words([a, b, c]: [u32; LEN / 4]) -> Self {
        // CAST: widening, `From` is not usable in a constant function.
        Self {
            lo: u32::from_le(a) as u64 | (u32::from_le(b) as u64) << 32,
            hi: u32::from_le(c) as u64,
        }
    }

    /// Returns the bytes of the header, and behind it those of `outer_th_offset` and
    /// `inner_nh_offset`.
    #[inline(always)]
    pub(crate) const fn to_bytes(self) -> [u8; LEN + TUNNEL_LEN] {
        let [a, b, c, d, e, f, g, h] = self.lo.to_le_bytes();
        let [i, j, k, l, m, n, o, p] = self.hi.to_le_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    /// Returns the longest form: the header, a hash that there isn't, and the tunnel fields.
    pub(crate) const fn to_tunnel_bytes(self) -> [u8; TUNNEL_AT as usize + TUNNEL_LEN] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = self.to_bytes();
        [
            a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 0, 0, 0, 0, 0, m, n, o, p,
        ]
    }

    /// Returns whether the packet is tunnelled and to be segmented, so that [`Self::with_tunnel`]
    /// has to be given the tunnel fields.
    #[inline(always)]
    pub(crate) const fn is_tunnelled(self) -> bool {
        self.gso_type() & (GSO_UDP_TUNNEL_IPV4 | GSO_UDP_TUNNEL_IPV6) != 0
    }

    /// Returns a header that has tunnel fields with only the flags that are known then, and with
    /// `fields` (anything unless it [`Self::is_tunnelled`]).
    ///
    /// If the device says something of outer checksums that `offloads` don't allow, or that have to
    /// be completed and are of no tunnel (1.4, 5.1.9.4.2), the packet becomes one of no type, which
    /// [`parse_rx`] refuses.
    #[inline(always)]
    pub(crate) const fn with_tunnel(self, fields: [u8; TUNNEL_LEN], offloads: &RxOffloads) -> Self {
        // CAST: widening, `From` is not usable in a constant function; the same below.
        let unknown = !(F_NEEDS_CSUM | F_DATA_VALID | F_UDP_TUNNEL_CSUM) as u64;
        let stray = self.flags() & F_NEEDS_CSUM != 0 && !self.is_tunnelled();
        let refused = self.flags() & F_UDP_TUNNEL_CSUM != 0 && (stray || !offloads.tunnel_csum);
        Self {
            lo: self.lo & !unknown | if refused { 0xff00 } else { 0 },
            hi: self.hi & 0xffff_ffff | (u32::from_le_bytes(fields) as u64) << 32,
        }
    }

    /// Returns where in the packet the [`INNER_LEN`] bytes before the transport header begin that
    /// the partial checksum is of.
    ///
    /// Those of a tunnelled packet have the whole inner IP header if it is IPv4, or IPv6 without
    /// extensions. Returns `None` if so much doesn't come before it.
    pub(crate) fn inner_at(self) -> Option<u32> {
        // CAST: 60.
        u32::from(self.csum_start()).checked_sub(INNER_LEN as u32)
    }

    /// Finds the tunnel fields of a tunnelled packet by its headers.
    ///
    /// `outer` are the first bytes of the packet, `inner` those from [`Self::inner_at`] on. Returns
    /// `None` if the headers aren't of the header's types, or there are others between them.
    pub(crate) fn locate(
        self,
        outer: &[u8; OUTER_LEN],
        inner: &[u8; INNER_LEN],
    ) -> Option<[u8; TUNNEL_LEN]> {
        let outer_th = outer_udp(outer, self.gso_type() & GSO_UDP_TUNNEL_IPV6 != 0)?;
        let ip_len = match self.gso_type() & !(GSO_UDP_TUNNEL_IPV4 | GSO_UDP_TUNNEL_IPV6 | GSO_ECN)
        {
            GSO_TCPV4 => ipv4_before(inner, IPPROTO_TCP)?,
            GSO_TCPV6 => ipv6_before(inner, IPPROTO_TCP)?,
            GSO_UDP_L4 => {
                ipv6_before(inner, IPPROTO_UDP).or_else(|| ipv4_before(inner, IPPROTO_UDP))?
            }
            _ => return None,
        };
        let [a, b] = outer_th.to_le_bytes();
        let [c, d] = self.csum_start().checked_sub(ip_len)?.to_le_bytes();
        Some([a, b, c, d])
    }

    /// Returns the header with only the flags that this driver knows (5.1.6.4.2: others are
    /// ignored).
    #[inline(always)]
    pub(crate) const fn with_known_flags(self) -> Self {
        // CAST: widening, `From` is not usable in a constant function.
        let unknown = !(F_NEEDS_CSUM | F_DATA_VALID) as u64;
        Self {
            lo: self.lo & !unknown,
            ..self
        }
    }

    /// Returns the header with a number of buffers of 1, for one that has no such field.
    #[inline(always)]
    pub(crate) const fn with_one_buffer(self) -> Self {
        Self {
            hi: self.hi & !0xffff_0000 | 1 << 16,
            ..self
        }
    }

    /// Returns the field `num_buffers`.
    #[inline(always)]
    pub(crate) const fn num_buffers(self) -> u16 {
        // CAST: the field's bits are wanted, here and below.
        (self.hi >> 16) as u16
    }

    /// Returns whether the header says no more of a packet, in one buffer, than that its checksum
    /// is right or that nothing is known of it.
    ///
    /// Then it is all that [`Self::with_known_flags`], [`Self::with_tunnel`] and
    /// [`Self::with_one_buffer`] would make of it.
    #[inline(always)]
    pub(crate) const fn is_plain(self) -> bool {
        // Both bytes at once. CAST: widening, `From` is not usable in a constant function.
        let asks = 0xff00 | !F_DATA_VALID as u64 & 0xff;
        self.lo & asks == 0 && self.num_buffers() == 1
    }

    /// Returns what a header that [`Self::is_plain`] says, by its `flags`.
    pub(crate) const fn plain(flags: u8) -> Self {
        // CAST: widening, `From` is not usable in a constant function.
        Self {
            lo: (flags & F_DATA_VALID) as u64,
            hi: 1 << 16,
        }
    }

    /// Returns whether the packet is several on the wire.
    #[inline(always)]
    pub(crate) const fn is_gso(self) -> bool {
        self.gso_type() != 0
    }

    /// Returns where a checksum that is to be completed begins, and where it belongs behind that.
    #[inline(always)]
    pub(crate) const fn partial_csum(self) -> Option<(u16, u16)> {
        if self.flags() & F_NEEDS_CSUM == 0 {
            return None;
        }
        Some((self.csum_start(), self.csum_offset()))
    }

    /// Returns the header as it is after the checksum was completed.
    pub(crate) const fn with_complete_csum(self) -> Self {
        // CAST: widening, `From` is not usable in a constant function.
        Self {
            lo: self.lo & !(F_NEEDS_CSUM as u64),
            ..self
        }
    }

    /// Returns the field `flags`.
    #[inline(always)]
    pub(crate) const fn flags(self) -> u8 {
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

    const fn outer_th_offset(self) -> u16 {
        (self.hi >> 32) as u16
    }

    const fn inner_nh_offset(self) -> u16 {
        (self.hi >> 48) as u16
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
    /// UDP fragmentation (`GUEST_UFO`).
    pub(crate) ufo: bool,
    /// UDP segmentation over IPv4 (`GUEST_USO4`).
    pub(crate) uso4: bool,
    /// UDP segmentation over IPv6 (`GUEST_USO6`).
    pub(crate) uso6: bool,
    /// Any of these in a UDP tunnel (`GUEST_UDP_TUNNEL_GSO`).
    pub(crate) tunnel: bool,
    /// Partial checksums of the tunnel's own header (`GUEST_UDP_TUNNEL_GSO_CSUM`).
    pub(crate) tunnel_csum: bool,
}

impl RxOffloads {
    /// Returns the offloads that the features `f` allow (5.1.3).
    pub(crate) fn from_features(f: Features) -> Self {
        Self {
            csum: f.has(bit::GUEST_CSUM),
            tso4: f.has(bit::GUEST_TSO4),
            tso6: f.has(bit::GUEST_TSO6),
            ecn: f.has(bit::GUEST_ECN),
            ufo: f.has(bit::GUEST_UFO),
            uso4: f.has(bit::GUEST_USO4),
            uso6: f.has(bit::GUEST_USO6),
            tunnel: f.has(bit::GUEST_UDP_TUNNEL_GSO),
            tunnel_csum: f.has(bit::GUEST_UDP_TUNNEL_GSO_CSUM),
        }
    }
}

/// What is known about the checksum of a received packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RxCsum {
    /// Nothing is known, so it has to be verified.
    None,
    /// The checksum is to be computed over everything from `start` on and stored `offset` bytes
    /// after that.
    ///
    /// Both are in bytes, `start` from the beginning of the packet.
    Partial {
        /// Where checksumming starts, in bytes.
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
    /// From how many buffers the packet is merged, as it came (see [`super::rx::num_buffers`]).
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
    /// The headers of a tunnelled packet overlap or are in the wrong order.
    TunnelRange,
}

/// What the headers in a tunnelled packet take at least, in bytes.
const IPV4_HLEN: u16 = 20;
const IPV6_HLEN: u16 = 40;
const UDP_HLEN: u16 = 8;

/// What [`RawHdr::locate`] looks at, in bytes: Ethernet, a VLAN tag and as much of IPv4 or IPv6 as
/// tells what follows.
pub(crate) const OUTER_LEN: usize = 38;
/// Length of the longest IPv4 header, in bytes.
pub(crate) const INNER_LEN: usize = 60;

const ETH_P_VLAN: [u8; 2] = [0x81, 0x00];
const ETH_P_IPV4: [u8; 2] = [0x08, 0x00];
const ETH_P_IPV6: [u8; 2] = [0x86, 0xdd];
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;

/// Returns where the UDP header of a packet that begins with `bytes` is, over IPv4 or `ipv6`
/// without extensions.
///
/// Hosts that insert a VLAN tag forget it when they say where the header is.
fn outer_udp(bytes: &[u8; OUTER_LEN], ipv6: bool) -> Option<u16> {
    let (ether_type, rest) = bytes.get(12..)?.split_first_chunk::<2>()?;
    let (ether_type, ip, at) = match *ether_type {
        ETH_P_VLAN => {
            let (ether_type, ip) = rest.get(2..)?.split_first_chunk::<2>()?;
            (*ether_type, ip, ETH_HLEN.saturating_add(VLAN_HLEN))
        }
        ether_type => (ether_type, rest, ETH_HLEN),
    };
    let len = match (ether_type, ipv6) {
        (ETH_P_IPV4, false) if *ip.get(9)? == IPPROTO_UDP => ipv4_len(*ip.first()?)?,
        (ETH_P_IPV6, true) if *ip.first()? >> 4 == 6 && *ip.get(6)? == IPPROTO_UDP => IPV6_HLEN,
        _ => return None,
    };
    Some(at.saturating_add(len))
}

/// Returns the length of an IPv4 header that begins with `first`.
fn ipv4_len(first: u8) -> Option<u16> {
    matches!(first, 0x45..=0x4f).then_some(u16::from(first & 0xf).saturating_mul(4))
}

/// Returns the length of the IPv4 header that ends with `bytes` and is followed by `protocol`.
///
/// Of those that it could be, it is the shortest.
fn ipv4_before(bytes: &[u8; INNER_LEN], protocol: u8) -> Option<u16> {
    (IPV4_HLEN..=60).step_by(4).find(|len| {
        let at = INNER_LEN.saturating_sub(usize::from(*len));
        let byte = |i: usize| bytes.get(at.saturating_add(i)).copied();
        byte(0).and_then(ipv4_len) == Some(*len) && byte(9) == Some(protocol)
    })
}

/// Returns the length of the IPv6 header without extensions that ends with `bytes` and is followed
/// by `protocol`.
fn ipv6_before(bytes: &[u8; INNER_LEN], protocol: u8) -> Option<u16> {
    let ip = bytes.last_chunk::<{ IPV6_HLEN as usize }>()?;
    (ip[0] >> 4 == 6 && ip[6] == protocol).then_some(IPV6_HLEN)
}

/// Checks what is special about a packet that is to be segmented and comes in a UDP tunnel (1.4,
/// 5.1.6.4.1, 5.1.6.4.2), and returns the type of the inner packet.
///
/// Everything else about that is checked as if there were no tunnel.
///
/// The order of the headers is the order of the checks: Ethernet, outer IP, UDP (at
/// `outer_th_offset`), whatever the tunnel has, inner IP (at `inner_nh_offset`), inner transport
/// (at `csum_start`).
#[cold]
fn inner_type(hdr: RawHdr, offloads: &RxOffloads) -> Result<u8, HdrError> {
    let outer_ip = match hdr.gso_type() & (GSO_UDP_TUNNEL_IPV4 | GSO_UDP_TUNNEL_IPV6) {
        GSO_UDP_TUNNEL_IPV4 => IPV4_HLEN,
        GSO_UDP_TUNNEL_IPV6 => IPV6_HLEN,
        // Both.
        _ => return Err(HdrError::GsoType),
    };
    if !offloads.tunnel {
        return Err(HdrError::GsoNotNegotiated);
    }
    let inner = hdr.gso_type() & !(GSO_UDP_TUNNEL_IPV4 | GSO_UDP_TUNNEL_IPV6);
    let inner_ip = match inner & !GSO_ECN {
        GSO_TCPV4 => IPV4_HLEN,
        GSO_TCPV6 => IPV6_HLEN,
        // Over either; which one, the packet tells.
        GSO_UDP_L4 => IPV4_HLEN,
        // Neither fragments nor a packet that isn't to be segmented.
        _ => return Err(HdrError::GsoType),
    };
    if hdr.flags() & (F_NEEDS_CSUM | F_DATA_VALID) != F_NEEDS_CSUM {
        return Err(HdrError::GsoType);
    }
    let follows = |from: u16, len: u16, at: u16| from.checked_add(len).is_some_and(|end| end <= at);
    let (outer_th, inner_nh) = (hdr.outer_th_offset(), hdr.inner_nh_offset());
    if outer_th < ETH_HLEN.saturating_add(outer_ip)
        || !follows(outer_th, UDP_HLEN, inner_nh)
        || !follows(inner_nh, inner_ip, hdr.csum_start())
    {
        return Err(HdrError::TunnelRange);
    }
    Ok(inner)
}

/// Checks and interprets the header of a received packet (5.1.6.4.1, 5.1.6.4.2).
///
/// `hdr` is the header (with a number of buffers of 1 put in if the header is one of 10 bytes),
/// `offloads` is what was negotiated, and `packet_len` is the length in bytes of the whole packet
/// without the header.
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
        let gso_type = if hdr.is_tunnelled() {
            inner_type(hdr, offloads)?
        } else {
            gso_type
        };
        let (negotiated, tcp) = match gso_type & !GSO_ECN {
            GSO_TCPV4 => (offloads.tso4, true),
            GSO_TCPV6 => (offloads.tso6, true),
            GSO_UDP => (offloads.ufo, false),
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
