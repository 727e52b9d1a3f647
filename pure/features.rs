// SPDX-License-Identifier: GPL-2.0

//! Feature bits: names, what the driver asks for, and which of them stand or fall together.

#![forbid(unsafe_code)]

/// Feature bit numbers of a network device (virtio 1.3 and 1.4, 5.1.3), named as in the
/// specification without the `VIRTIO_NET_F_` (or `VIRTIO_F_`) prefix.
pub(crate) mod bit {
    /// The device handles packets with a partial checksum.
    pub(crate) const CSUM: u32 = 0;
    /// The driver handles packets with a partial checksum.
    pub(crate) const GUEST_CSUM: u32 = 1;
    /// Receive offloads can be changed at run time.
    pub(crate) const CTRL_GUEST_OFFLOADS: u32 = 2;
    /// The device reports its maximum MTU.
    pub(crate) const MTU: u32 = 3;
    /// The device has a MAC address.
    pub(crate) const MAC: u32 = 5;
    /// The device handles packets of any segmentation type that there was (legacy devices).
    pub(crate) const GSO: u32 = 6;
    /// The driver can receive TSOv4.
    pub(crate) const GUEST_TSO4: u32 = 7;
    /// The driver can receive TSOv6.
    pub(crate) const GUEST_TSO6: u32 = 8;
    /// The driver can receive TSO with ECN.
    pub(crate) const GUEST_ECN: u32 = 9;
    /// The driver can receive UFO.
    pub(crate) const GUEST_UFO: u32 = 10;
    /// The device can receive TSOv4.
    pub(crate) const HOST_TSO4: u32 = 11;
    /// The device can receive TSOv6.
    pub(crate) const HOST_TSO6: u32 = 12;
    /// The device can receive TSO with ECN.
    pub(crate) const HOST_ECN: u32 = 13;
    /// The device can receive UFO.
    pub(crate) const HOST_UFO: u32 = 14;
    /// The driver can merge receive buffers.
    pub(crate) const MRG_RXBUF: u32 = 15;
    /// The configuration has a link status.
    pub(crate) const STATUS: u32 = 16;
    /// There is a control virtqueue.
    pub(crate) const CTRL_VQ: u32 = 17;
    /// The receive mode can be set over the control virtqueue.
    pub(crate) const CTRL_RX: u32 = 18;
    /// VLANs can be filtered over the control virtqueue.
    pub(crate) const CTRL_VLAN: u32 = 19;
    /// More receive modes can be set over the control virtqueue.
    pub(crate) const CTRL_RX_EXTRA: u32 = 20;
    /// The device can ask the driver to send gratuitous packets.
    pub(crate) const GUEST_ANNOUNCE: u32 = 21;
    /// Several queue pairs with automatic receive steering.
    pub(crate) const MQ: u32 = 22;
    /// The MAC address can be set over the control virtqueue.
    pub(crate) const CTRL_MAC_ADDR: u32 = 23;
    /// Descriptor layouts are arbitrary (legacy devices; implied by `VERSION_1`).
    pub(crate) const ANY_LAYOUT: u32 = 27;
    /// The device complies with version 1 of the specification (6).
    pub(crate) const VERSION_1: u32 = 32;
    /// Memory is reached by way of the platform, an IOMMU say (6).
    pub(crate) const ACCESS_PLATFORM: u32 = 33;
    /// Queues can be reset one by one (6).
    pub(crate) const RING_RESET: u32 = 40;
    /// The device reports statistics over the control virtqueue.
    pub(crate) const DEVICE_STATS: u32 = 50;
    /// Hashes can be computed over the inner headers of tunnelled packets.
    pub(crate) const HASH_TUNNEL: u32 = 51;
    /// Notification coalescing can be set for each virtqueue.
    pub(crate) const VQ_NOTF_COAL: u32 = 52;
    /// Notification coalescing can be set for all virtqueues of a direction.
    pub(crate) const NOTF_COAL: u32 = 53;
    /// The driver can receive USOv4.
    pub(crate) const GUEST_USO4: u32 = 54;
    /// The driver can receive USOv6.
    pub(crate) const GUEST_USO6: u32 = 55;
    /// The device can receive USO.
    pub(crate) const HOST_USO: u32 = 56;
    /// The device reports a hash of each packet.
    pub(crate) const HASH_REPORT: u32 = 57;
    /// The driver provides the exact header length.
    pub(crate) const GUEST_HDRLEN: u32 = 59;
    /// Several queue pairs with receive-side scaling.
    pub(crate) const RSS: u32 = 60;
    /// The device reports coalesced segments and duplicated ACKs.
    pub(crate) const RSC_EXT: u32 = 61;
    /// The device is the standby of another with the same MAC address.
    pub(crate) const STANDBY: u32 = 62;
    /// The device reports speed and duplex.
    pub(crate) const SPEED_DUPLEX: u32 = 63;
    /// Several contexts of receive-side scaling.
    pub(crate) const RSS_CONTEXT: u32 = 64;
    /// The driver can receive UDP-tunnelled TSO and USO.
    pub(crate) const GUEST_UDP_TUNNEL_GSO: u32 = 65;
    /// The driver handles partial outer checksums of those.
    pub(crate) const GUEST_UDP_TUNNEL_GSO_CSUM: u32 = 66;
    /// The device can receive UDP-tunnelled TSO and USO.
    pub(crate) const HOST_UDP_TUNNEL_GSO: u32 = 67;
    /// The device handles partial outer checksums of those.
    pub(crate) const HOST_UDP_TUNNEL_GSO_CSUM: u32 = 68;
}

/// A set of feature bits, numbered 0 to 127.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Features {
    /// Bits 0 to 63.
    lo: u64,
    /// Bits 64 to 127.
    hi: u64,
}

/// Returns the words (low, high) in which only `bit` is set, which is none for 128 and above.
const fn mask(bit: u32) -> (u64, u64) {
    // The shift amounts are below 64 in the arms that use them.
    match bit {
        0..=63 => (1 << bit, 0),
        64..=127 => (0, 1 << (bit - 64)),
        _ => (0, 0),
    }
}

impl Features {
    /// The set without any feature.
    #[cfg(test)]
    pub(crate) const EMPTY: Self = Self { lo: 0, hi: 0 };

    /// Makes a set out of bits 0 to 63 (`lo`) and 64 to 127 (`hi`).
    pub(crate) const fn from_words(lo: u64, hi: u64) -> Self {
        Self { lo, hi }
    }

    /// Returns bits 0 to 63 and bits 64 to 127.
    pub(crate) const fn words(self) -> (u64, u64) {
        (self.lo, self.hi)
    }

    /// Returns whether `bit` is in the set; one above 127 never is.
    pub(crate) const fn has(self, bit: u32) -> bool {
        let (lo, hi) = mask(bit);
        self.lo & lo != 0 || self.hi & hi != 0
    }

    /// Returns the set with `bit` added; one above 127 is ignored.
    #[cfg(test)]
    pub(crate) const fn with(self, bit: u32) -> Self {
        let (lo, hi) = mask(bit);
        Self {
            lo: self.lo | lo,
            hi: self.hi | hi,
        }
    }

    /// Returns the set with its bits of 24 to 49, which are the same for all types of devices (2.2), and `f`'s others.
    pub(crate) const fn with_type_of(self, f: Self) -> Self {
        const COMMON: u64 = ((1 << 26) - 1) << 24;
        Self {
            lo: self.lo & COMMON | f.lo & !COMMON,
            hi: f.hi,
        }
    }

    /// Returns the set with `bit` removed.
    pub(crate) const fn without(self, bit: u32) -> Self {
        let (lo, hi) = mask(bit);
        Self {
            lo: self.lo & !lo,
            hi: self.hi & !hi,
        }
    }
}

/// The features that the driver asks for on a device of version 1 and later.
///
/// `HOST_UFO` is asked for as other drivers do, and not used: the stack has no UDP fragmentation to
/// leave to a device any more.
pub(crate) const SUPPORTED: [u32; 36] = [
    bit::CSUM,
    bit::GUEST_CSUM,
    bit::CTRL_GUEST_OFFLOADS,
    bit::MTU,
    bit::MAC,
    bit::GUEST_TSO4,
    bit::GUEST_TSO6,
    bit::GUEST_ECN,
    bit::GUEST_UFO,
    bit::HOST_TSO4,
    bit::HOST_TSO6,
    bit::HOST_ECN,
    bit::HOST_UFO,
    bit::MRG_RXBUF,
    bit::STATUS,
    bit::CTRL_VQ,
    bit::CTRL_RX,
    bit::CTRL_VLAN,
    bit::GUEST_ANNOUNCE,
    bit::MQ,
    bit::CTRL_MAC_ADDR,
    bit::DEVICE_STATS,
    bit::VQ_NOTF_COAL,
    bit::NOTF_COAL,
    bit::GUEST_USO4,
    bit::GUEST_USO6,
    bit::HOST_USO,
    bit::HASH_REPORT,
    bit::GUEST_HDRLEN,
    bit::RSS,
    bit::STANDBY,
    bit::SPEED_DUPLEX,
    bit::GUEST_UDP_TUNNEL_GSO,
    bit::GUEST_UDP_TUNNEL_GSO_CSUM,
    bit::HOST_UDP_TUNNEL_GSO,
    bit::HOST_UDP_TUNNEL_GSO_CSUM,
];

/// The features that the driver asks for on a legacy device.
///
/// Those of [`SUPPORTED`] that fit into the 32 feature bits of the legacy interface,
/// and `GSO` and `ANY_LAYOUT`, which only exist there.
pub(crate) const SUPPORTED_LEGACY: [u32; 23] = [
    bit::CSUM,
    bit::GUEST_CSUM,
    bit::CTRL_GUEST_OFFLOADS,
    bit::MTU,
    bit::MAC,
    bit::GUEST_TSO4,
    bit::GUEST_TSO6,
    bit::GUEST_ECN,
    bit::GUEST_UFO,
    bit::HOST_TSO4,
    bit::HOST_TSO6,
    bit::HOST_ECN,
    bit::HOST_UFO,
    bit::MRG_RXBUF,
    bit::STATUS,
    bit::CTRL_VQ,
    bit::CTRL_RX,
    bit::CTRL_VLAN,
    bit::GUEST_ANNOUNCE,
    bit::MQ,
    bit::CTRL_MAC_ADDR,
    bit::GSO,
    bit::ANY_LAYOUT,
];

/// What features require (5.1.3.1): each row is a feature and a list of which at least one has to
/// be there.
///
/// A feature that requires several others at once has several rows.
///
/// `HASH_REPORT` (5.1.4.2: not to be negotiated without `CTRL_VQ`), `CTRL_RX_EXTRA` (the same),
/// `CTRL_GUEST_OFFLOADS` and `DEVICE_STATS` are listed because they are useless without the queue
/// that their commands travel on. `STANDBY` names its primary by MAC address.
const REQUIREMENTS: &[(u32, &[u32])] = &[
    (bit::GUEST_TSO4, &[bit::GUEST_CSUM]),
    (bit::GUEST_TSO6, &[bit::GUEST_CSUM]),
    (bit::GUEST_UFO, &[bit::GUEST_CSUM]),
    (bit::GUEST_USO4, &[bit::GUEST_CSUM]),
    (bit::GUEST_USO6, &[bit::GUEST_CSUM]),
    (bit::GUEST_ECN, &[bit::GUEST_TSO4, bit::GUEST_TSO6]),
    (bit::GSO, &[bit::CSUM]),
    (bit::HOST_TSO4, &[bit::CSUM]),
    (bit::HOST_TSO6, &[bit::CSUM]),
    (bit::HOST_UFO, &[bit::CSUM]),
    (bit::HOST_USO, &[bit::CSUM]),
    (bit::HOST_ECN, &[bit::HOST_TSO4, bit::HOST_TSO6]),
    (bit::RSC_EXT, &[bit::HOST_TSO4, bit::HOST_TSO6]),
    (bit::CTRL_GUEST_OFFLOADS, &[bit::CTRL_VQ]),
    (bit::CTRL_RX, &[bit::CTRL_VQ]),
    (bit::CTRL_VLAN, &[bit::CTRL_VQ]),
    (bit::CTRL_RX_EXTRA, &[bit::CTRL_VQ]),
    (bit::GUEST_ANNOUNCE, &[bit::CTRL_VQ]),
    (bit::MQ, &[bit::CTRL_VQ]),
    (bit::CTRL_MAC_ADDR, &[bit::CTRL_VQ]),
    (bit::DEVICE_STATS, &[bit::CTRL_VQ]),
    (bit::VQ_NOTF_COAL, &[bit::CTRL_VQ]),
    (bit::NOTF_COAL, &[bit::CTRL_VQ]),
    (bit::HASH_REPORT, &[bit::CTRL_VQ]),
    (bit::RSS, &[bit::CTRL_VQ]),
    (bit::HASH_TUNNEL, &[bit::CTRL_VQ]),
    (bit::HASH_TUNNEL, &[bit::RSS, bit::HASH_REPORT]),
    (bit::RSS_CONTEXT, &[bit::CTRL_VQ]),
    (bit::RSS_CONTEXT, &[bit::RSS]),
    (bit::STANDBY, &[bit::MAC]),
    (bit::GUEST_UDP_TUNNEL_GSO, &[bit::GUEST_TSO4]),
    (bit::GUEST_UDP_TUNNEL_GSO, &[bit::GUEST_TSO6]),
    (bit::GUEST_UDP_TUNNEL_GSO, &[bit::GUEST_USO4]),
    (bit::GUEST_UDP_TUNNEL_GSO, &[bit::GUEST_USO6]),
    (bit::GUEST_UDP_TUNNEL_GSO_CSUM, &[bit::GUEST_UDP_TUNNEL_GSO]),
    (bit::HOST_UDP_TUNNEL_GSO, &[bit::HOST_TSO4]),
    (bit::HOST_UDP_TUNNEL_GSO, &[bit::HOST_TSO6]),
    (bit::HOST_UDP_TUNNEL_GSO, &[bit::HOST_USO]),
    (bit::HOST_UDP_TUNNEL_GSO_CSUM, &[bit::HOST_UDP_TUNNEL_GSO]),
];

/// Splits what was negotiated into (accepted, refused).
///
/// Refused are the features of which a requirement (5.1.3.1) is not accepted, however indirectly;
/// all others, unknown ones among them, are accepted. The two are disjoint and together are
/// `negotiated`.
pub(crate) fn resolve(negotiated: Features) -> (Features, Features) {
    let mut accepted = negotiated;
    loop {
        let before = accepted;
        for (bit, any_of) in REQUIREMENTS {
            if !any_of.iter().any(|needed| accepted.has(*needed)) {
                accepted = accepted.without(*bit);
            }
        }
        // Each further round has removed at least one bit.
        if accepted == before {
            break;
        }
    }
    let refused = Features {
        lo: negotiated.lo & !accepted.lo,
        hi: negotiated.hi & !accepted.hi,
    };
    (accepted, refused)
}

/// Returns the set without all that lets a device give packets to the driver that no wire would
/// carry: merged ones, and those with a partial checksum.
///
/// Returns `None` if headers would have another length for that ([`hdr_len`]).
pub(crate) fn without_receive_offloads(f: Features) -> Option<Features> {
    // The others require this one.
    let (plain, _) = resolve(f.without(bit::GUEST_CSUM));
    (hdr_len(plain) == hdr_len(f)).then_some(plain)
}

/// Returns whether feature `bit` only says something about packets of another feature, so that
/// without that one nothing is lost with it.
///
/// Devices are common that clear the other bits only, for instance all of TSO but ECN.
pub(crate) const fn is_detail(bit: u32) -> bool {
    matches!(
        bit,
        bit::GUEST_ECN
            | bit::HOST_ECN
            | bit::RSC_EXT
            | bit::GUEST_UDP_TUNNEL_GSO_CSUM
            | bit::HOST_UDP_TUNNEL_GSO_CSUM
    )
}

/// Returns the bit by which receive offload `feature` is named in `GUEST_OFFLOADS_SET` (5.1.6.5.8):
/// its own number, and for those beyond the 64 bits of that command the one that the
/// specification gives them.
pub(crate) const fn offload_bit(feature: u32) -> u64 {
    match feature {
        bit::GUEST_UDP_TUNNEL_GSO => 1 << 46,
        bit::GUEST_UDP_TUNNEL_GSO_CSUM => 1 << 47,
        0..=63 => 1 << feature,
        _ => 0,
    }
}

/// Returns the name of a feature bit without prefix, `"?"` for one that [`bit`] does not list.
pub(crate) const fn name(bit: u32) -> &'static str {
    match bit {
        bit::CSUM => "CSUM",
        bit::GUEST_CSUM => "GUEST_CSUM",
        bit::CTRL_GUEST_OFFLOADS => "CTRL_GUEST_OFFLOADS",
        bit::MTU => "MTU",
        bit::MAC => "MAC",
        bit::GSO => "GSO",
        bit::GUEST_TSO4 => "GUEST_TSO4",
        bit::GUEST_TSO6 => "GUEST_TSO6",
        bit::GUEST_ECN => "GUEST_ECN",
        bit::GUEST_UFO => "GUEST_UFO",
        bit::HOST_TSO4 => "HOST_TSO4",
        bit::HOST_TSO6 => "HOST_TSO6",
        bit::HOST_ECN => "HOST_ECN",
        bit::HOST_UFO => "HOST_UFO",
        bit::MRG_RXBUF => "MRG_RXBUF",
        bit::STATUS => "STATUS",
        bit::CTRL_VQ => "CTRL_VQ",
        bit::CTRL_RX => "CTRL_RX",
        bit::CTRL_VLAN => "CTRL_VLAN",
        bit::CTRL_RX_EXTRA => "CTRL_RX_EXTRA",
        bit::GUEST_ANNOUNCE => "GUEST_ANNOUNCE",
        bit::MQ => "MQ",
        bit::CTRL_MAC_ADDR => "CTRL_MAC_ADDR",
        bit::ANY_LAYOUT => "ANY_LAYOUT",
        bit::VERSION_1 => "VERSION_1",
        bit::ACCESS_PLATFORM => "ACCESS_PLATFORM",
        bit::RING_RESET => "RING_RESET",
        bit::DEVICE_STATS => "DEVICE_STATS",
        bit::HASH_TUNNEL => "HASH_TUNNEL",
        bit::VQ_NOTF_COAL => "VQ_NOTF_COAL",
        bit::NOTF_COAL => "NOTF_COAL",
        bit::GUEST_USO4 => "GUEST_USO4",
        bit::GUEST_USO6 => "GUEST_USO6",
        bit::HOST_USO => "HOST_USO",
        bit::HASH_REPORT => "HASH_REPORT",
        bit::GUEST_HDRLEN => "GUEST_HDRLEN",
        bit::RSS => "RSS",
        bit::RSC_EXT => "RSC_EXT",
        bit::STANDBY => "STANDBY",
        bit::SPEED_DUPLEX => "SPEED_DUPLEX",
        bit::RSS_CONTEXT => "RSS_CONTEXT",
        bit::GUEST_UDP_TUNNEL_GSO => "GUEST_UDP_TUNNEL_GSO",
        bit::GUEST_UDP_TUNNEL_GSO_CSUM => "GUEST_UDP_TUNNEL_GSO_CSUM",
        bit::HOST_UDP_TUNNEL_GSO => "HOST_UDP_TUNNEL_GSO",
        bit::HOST_UDP_TUNNEL_GSO_CSUM => "HOST_UDP_TUNNEL_GSO_CSUM",
        _ => "?",
    }
}

/// Returns the length in bytes of the header in front of every packet (5.1.6), in both directions.
///
/// Each form has the fields of those before it. The header has 10 bytes without any of the
/// following; 12 with mergeable buffers or version 1, which both add the number of buffers; 20 with
/// `HASH_REPORT`, which adds the hash; and 24 with UDP tunnels in either direction, which add where
/// the headers are.
pub(crate) fn hdr_len(f: Features) -> usize {
    if f.has(bit::GUEST_UDP_TUNNEL_GSO) || f.has(bit::HOST_UDP_TUNNEL_GSO) {
        24
    } else if f.has(bit::HASH_REPORT) {
        20
    } else if f.has(bit::MRG_RXBUF) || f.has(bit::VERSION_1) {
        12
    } else {
        10
    }
}
