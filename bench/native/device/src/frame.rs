// SPDX-License-Identifier: GPL-2.0

//! The frame that is received again and again: a UDP datagram.

const ETH: usize = 14;
const IP: usize = 20;
const UDP: usize = 8;

/// What there is at least.
pub const MIN: usize = ETH + IP + UDP;
/// And at most: an IPv4 packet with its Ethernet header.
pub const MAX: usize = ETH + 65535;

/// Who sends it, and whom the guest sends a forwarded one to.
const PEER_MAC: [u8; 6] = [0x52, 0x54, 0, 0x99, 0, 2];
const SOURCE: [u8; 4] = [198, 18, 2, 2];

/// Whom it is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum To {
    /// The guest itself.
    Socket,
    /// Somebody behind it.
    Fwd,
}

impl To {
    fn address(self) -> [u8; 4] {
        match self {
            Self::Socket => [198, 18, 2, 1],
            Self::Fwd => [198, 18, 3, 2],
        }
    }
}

/// The Internet checksum of a header.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|c| u32::from(c[0]) << 8 | u32::from(c.get(1).copied().unwrap_or(0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A frame of `size` bytes (`MIN` to `MAX`), behind a header of `hdr`.
pub fn frame(hdr: usize, size: usize, mac: [u8; 6], to: To) -> Vec<u8> {
    let mut f = vec![0; hdr];
    // A driver that merges buffers is told how many; any other modern one 1 (5.1.6.4.1).
    if let Some(num_buffers) = f.get_mut(10) {
        *num_buffers = 1;
    }
    f.extend(mac);
    f.extend(PEER_MAC);
    f.extend([8, 0]);
    let total = ((size - ETH) as u16).to_be_bytes();
    // Don't fragment, 64 hops, UDP.
    let mut ip = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 17, 0, 0];
    ip.extend(SOURCE);
    ip.extend(to.address());
    let sum = checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
    f.extend(ip);
    // From port 5000 to 9000, without a checksum.
    let len = ((size - ETH - IP) as u16).to_be_bytes();
    f.extend([0x13, 0x88, 0x23, 0x28, len[0], len[1], 0, 0]);
    f.resize(hdr + size, 0);
    f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        for (hdr, size) in [(10, MIN), (12, 60), (24, 1514), (12, MAX)] {
            let f = frame(hdr, size, [1, 2, 3, 4, 5, 6], To::Fwd);
            assert_eq!(f.len(), hdr + size);
            assert!(hdr == 10 || f[10] == 1, "one buffer");
            assert_eq!(f[hdr..hdr + 6], [1, 2, 3, 4, 5, 6]);
            let ip = &f[hdr + ETH..hdr + ETH + IP];
            assert_eq!(checksum(ip), 0, "a header with its checksum");
            assert_eq!(usize::from(u16::from_be_bytes([ip[2], ip[3]])), size - ETH);
            assert_eq!(ip[16..], [198, 18, 3, 2]);
        }
    }

    #[test]
    fn checksums() {
        // The example of RFC 1071.
        assert_eq!(!checksum(&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
    }
}
