// SPDX-License-Identifier: GPL-2.0

//! Which features a device offers, and what follows from those that the driver took.

use crate::options::{Format, Mode, Options};
use crate::spec::f;

/// Features beyond the 64 that vhost-user has words for (5.1.3): packets in UDP tunnels.
pub mod high {
    pub const GUEST_UDP_TUNNEL_GSO: u64 = 1 << (65 - 64);
    pub const GUEST_UDP_TUNNEL_GSO_CSUM: u64 = 1 << (66 - 64);
    pub const HOST_UDP_TUNNEL_GSO: u64 = 1 << (67 - 64);
    pub const HOST_UDP_TUNNEL_GSO_CSUM: u64 = 1 << (68 - 64);
}

/// A set of features, 64 bits each.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Features {
    pub low: u64,
    pub high: u64,
}

impl Features {
    /// What a device is to offer.
    pub fn offer(o: &Options) -> Self {
        let mut low = f::CSUM
            | f::MAC
            | f::HOST_TSO4
            | f::HOST_TSO6
            | f::HOST_ECN
            | f::STATUS
            | f::INDIRECT_DESC
            | f::EVENT_IDX;
        let mut high = 0;
        if o.hdr != 10 {
            low |= f::VERSION_1;
        }
        if o.guest {
            low |= f::GUEST_CSUM;
        }
        // A driver that may get large packets, and can't merge buffers, makes each of them large enough.
        if o.guest && o.mode != Mode::Small {
            low |= f::GUEST_TSO4 | f::GUEST_TSO6 | f::GUEST_ECN;
        }
        if o.mode == Mode::Mergeable {
            low |= f::MRG_RXBUF;
        }
        if o.pairs > 1 {
            low |= f::CTRL_VQ | f::MQ;
        }
        if o.ring == Format::Packed {
            low |= f::RING_PACKED;
        }
        if o.hdr == 24 {
            // What the tunnels' features require (5.1.3.1) comes along.
            low |= f::HOST_USO;
            high |= high::HOST_UDP_TUNNEL_GSO | high::HOST_UDP_TUNNEL_GSO_CSUM;
            if o.mode != Mode::Small {
                low |= f::GUEST_USO4 | f::GUEST_USO6;
                high |= high::GUEST_UDP_TUNNEL_GSO | high::GUEST_UDP_TUNNEL_GSO_CSUM;
            }
        }
        Self { low, high }
    }

    pub fn has(&self, low: u64) -> bool {
        self.low & low != 0
    }

    /// Bytes of the header in front of each packet (5.1.6).
    pub fn header(&self) -> usize {
        if self.high & (high::GUEST_UDP_TUNNEL_GSO | high::HOST_UDP_TUNNEL_GSO) != 0 {
            24
        } else if self.has(f::VERSION_1 | f::MRG_RXBUF) {
            12
        } else {
            10
        }
    }
}

impl std::fmt::Display for Features {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{:#x}",
            u128::from(self.high) << 64 | u128::from(self.low)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(text: &str) -> Features {
        Features::offer(&Options::parse(text, 0).unwrap())
    }

    #[test]
    fn headers() {
        assert_eq!(offer("d").header(), 12);
        assert_eq!(offer("d,mode=small").header(), 12);
        assert_eq!(offer("d,mode=small,hdr=10").header(), 10);
        assert_eq!(offer("d,hdr=24").header(), 24);
        assert_eq!(offer("d,hdr=24,mode=small").header(), 24);
        // A driver that took none of the upper ones.
        let low = Features {
            high: 0,
            ..offer("d,hdr=24")
        };
        assert_eq!(low.header(), 12);
    }

    #[test]
    fn modes() {
        let tso = f::GUEST_TSO4 | f::GUEST_TSO6;
        assert!(offer("d").has(f::MRG_RXBUF));
        assert!(!offer("d,mode=big").has(f::MRG_RXBUF));
        assert!(offer("d,mode=big").has(tso));
        assert!(!offer("d,mode=small").has(tso | f::MRG_RXBUF));
        assert!(!offer("d").has(f::MQ | f::CTRL_VQ));
        assert!(offer("d,pairs=2").has(f::MQ));
        let text = offer("d,hdr=24").to_string();
        assert!(text.starts_with("0x1e") && text.len() == 20, "{text}");
    }
}
