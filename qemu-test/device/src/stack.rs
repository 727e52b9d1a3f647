// SPDX-License-Identifier: GPL-2.0

//! A host's answers, as much of them as a test needs: ARP, neighbour discovery, echo over ICMP and UDP; and what the
//! checks need to know of a packet.

/// The host's addresses on the test network; those of the bridge that other guests have.
pub const HOST_MAC: [u8; 6] = [0x52, 0x54, 0x00, 0xaa, 0x00, 0x01];
pub const HOST4: [u8; 4] = [192, 0, 2, 1];
pub const HOST6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub const GUEST4: [u8; 4] = [192, 0, 2, 2];

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;

/// Sum of 16-bit words, folded but not inverted (RFC 1071).
pub fn sum(data: &[u8], start: u32) -> u16 {
    let mut s = u64::from(start);
    let mut it = data.chunks_exact(2);
    for w in &mut it {
        s += u64::from(u16::from_be_bytes([w[0], w[1]]));
    }
    if let [last] = it.remainder() {
        s += u64::from(*last) << 8;
    }
    while s > 0xffff {
        s = (s & 0xffff) + (s >> 16);
    }
    s as u16
}

/// Where things are in a frame; all offsets from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub v6: bool,
    /// Start of the IP header, and of what it carries.
    pub l3: usize,
    pub l4: usize,
    /// End of the IP packet (without padding).
    pub end: usize,
    pub proto: u8,
    pub fragment: bool,
}

/// Finds IPv4 or IPv6 (without extension headers), perhaps behind a VLAN tag.
pub fn layout(p: &[u8]) -> Option<Layout> {
    let be = |i: usize| Some(u16::from_be_bytes([*p.get(i)?, *p.get(i + 1)?]));
    let mut l3 = 14;
    let mut ty = be(12)?;
    if ty == 0x8100 {
        ty = be(16)?;
        l3 = 18;
    }
    match ty {
        0x0800 => {
            let ihl = usize::from(p.get(l3)? & 15) * 4;
            let frag = be(l3 + 6)? & 0x3fff;
            Some(Layout {
                v6: false,
                l3,
                l4: l3 + ihl,
                end: (l3 + usize::from(be(l3 + 2)?)).min(p.len()),
                proto: *p.get(l3 + 9)?,
                fragment: frag != 0,
            })
        }
        0x86dd => Some(Layout {
            v6: true,
            l3,
            l4: l3 + 40,
            end: (l3 + 40 + usize::from(be(l3 + 4)?)).min(p.len()),
            proto: *p.get(l3 + 6)?,
            fragment: false,
        }),
        _ => None,
    }
}

impl Layout {
    /// The pseudo header's sum for a payload of `len` bytes.
    pub fn pseudo(&self, p: &[u8], len: usize) -> u16 {
        let addrs = if self.v6 {
            p.get(self.l3 + 8..self.l3 + 40)
        } else {
            p.get(self.l3 + 12..self.l3 + 20)
        };
        let len = len as u32;
        sum(
            addrs.unwrap_or(&[]),
            u32::from(self.proto) + (len & 0xffff) + (len >> 16),
        )
    }

    /// Offset of the checksum in the transport header.
    pub fn csum_offset(&self) -> Option<u16> {
        match self.proto {
            TCP => Some(16),
            UDP => Some(6),
            _ => None,
        }
    }

    /// Length of all headers up to the payload.
    pub fn headers(&self, p: &[u8]) -> usize {
        self.l4
            + match self.proto {
                TCP => usize::from(p.get(self.l4 + 12).copied().unwrap_or(0x50) >> 4) * 4,
                UDP => 8,
                _ => 0,
            }
    }
}

/// Completes a checksum the way hardware does: everything from `start` on, result at `start + offset`.
pub fn complete(p: &mut [u8], start: usize, offset: usize) -> bool {
    if start + offset + 2 > p.len() {
        return false;
    }
    let mut c = !sum(&p[start..], 0);
    if c == 0 {
        c = 0xffff;
    }
    p[start + offset..start + offset + 2].copy_from_slice(&c.to_be_bytes());
    true
}

/// Whether the transport checksum of a packet is right; true as well where there is none to verify.
pub fn csum_good(p: &[u8]) -> bool {
    let Some(l) = layout(p) else { return true };
    let Some(off) = l.csum_offset() else {
        return true;
    };
    if l.fragment || l.end < l.l4 {
        return true;
    }
    let Some(data) = p.get(l.l4..l.end) else {
        return true;
    };
    if l.proto == UDP && data.get(usize::from(off)..usize::from(off) + 2) == Some(&[0, 0]) {
        return true;
    }
    sum(data, l.pseudo(p, data.len()).into()) == 0xffff
}

fn ethernet(dst: &[u8], ty: u16) -> Vec<u8> {
    let mut f = dst.to_vec();
    f.extend(HOST_MAC);
    f.extend(ty.to_be_bytes());
    f
}

/// A UDP datagram from the host to the guest, checksums complete.
pub fn datagram(dst_mac: [u8; 6], sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    let mut f = ethernet(&dst_mac, 0x0800);
    let len = 28 + payload.len();
    f.extend([0x45, 0]);
    f.extend((len as u16).to_be_bytes());
    f.extend([0, 0, 0x40, 0, 64, UDP, 0, 0]);
    f.extend(HOST4);
    f.extend(GUEST4);
    let c = !sum(&f[14..34], 0);
    f[24..26].copy_from_slice(&c.to_be_bytes());
    f.extend(sport.to_be_bytes());
    f.extend(dport.to_be_bytes());
    f.extend(((8 + payload.len()) as u16).to_be_bytes());
    f.extend([0, 0]);
    f.extend(payload);
    udp_csum(&mut f);
    f
}

/// A TCP segment from the host to the guest that belongs to no connection; checksums complete.
pub fn segment(dst_mac: [u8; 6], dport: u16, payload: &[u8]) -> Vec<u8> {
    let mut f = datagram(dst_mac, 9, dport, &[]);
    f[23] = TCP;
    f.truncate(38);
    f.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0x10, 0, 0, 0, 0, 0]);
    f.extend(payload);
    let len = (f.len() - 14) as u16;
    f[16..18].copy_from_slice(&len.to_be_bytes());
    f[24..26].fill(0);
    let c = !sum(&f[14..34], 0);
    f[24..26].copy_from_slice(&c.to_be_bytes());
    fill_csum(&mut f);
    f
}

/// Computes the transport checksum anew.
pub fn fill_csum(f: &mut [u8]) {
    let Some(l) = layout(f) else { return };
    let Some(off) = l.csum_offset() else { return };
    let at = l.l4 + usize::from(off);
    if at + 2 > f.len() {
        return;
    }
    let pseudo = l.pseudo(f, f.len() - l.l4);
    f[at..at + 2].copy_from_slice(&pseudo.to_be_bytes());
    complete(f, l.l4, off.into());
}

fn udp_csum(f: &mut [u8]) {
    fill_csum(f);
}

fn swap(f: &mut [u8], a: usize, b: usize, len: usize) {
    for i in 0..len {
        f.swap(a + i, b + i);
    }
}

/// What the host answers to a frame, if anything; checksums are complete.
pub fn answer(frame: &[u8]) -> Option<Vec<u8>> {
    if frame.len() < 14 {
        return None;
    }
    if frame[12..14] == [0x08, 0x06] {
        return arp(frame);
    }
    let l = layout(frame)?;
    if l.fragment {
        return None;
    }
    let dst = if l.v6 {
        frame.get(l.l3 + 24..l.l3 + 40)?
    } else {
        frame.get(l.l3 + 16..l.l3 + 20)?
    };
    if l.v6 && l.proto == ICMP6 && frame.get(l.l4) == Some(&135) {
        return neighbour(frame, &l);
    }
    if l.v6 && dst != HOST6 || !l.v6 && dst != HOST4 {
        return None;
    }
    let data = frame.get(l.l4..l.end)?;
    let echo = match (l.proto, data.first()?) {
        (ICMP, 8) => 0,
        (ICMP6, 128) => 129,
        (UDP, _) if data.get(2..4)? == [0, 7] => 255,
        _ => return None,
    };
    let mut f = frame[..l.end].to_vec();
    swap(&mut f, 0, 6, 6);
    if l.v6 {
        swap(&mut f, l.l3 + 8, l.l3 + 24, 16);
    } else {
        swap(&mut f, l.l3 + 12, l.l3 + 16, 4);
    }
    if echo == 255 {
        swap(&mut f, l.l4, l.l4 + 2, 2);
        fill_csum(&mut f);
        return Some(f);
    }
    f[l.l4] = echo;
    f.get_mut(l.l4 + 2..l.l4 + 4)?.fill(0);
    let start = if l.v6 {
        l.pseudo(&f, f.len() - l.l4).into()
    } else {
        0
    };
    let c = !sum(&f[l.l4..], start);
    f[l.l4 + 2..l.l4 + 4].copy_from_slice(&c.to_be_bytes());
    Some(f)
}

fn arp(frame: &[u8]) -> Option<Vec<u8>> {
    let a = frame.get(14..42)?;
    // A request for our address that is not about the sender's own.
    if a[6..8] != [0, 1] || a[24..28] != HOST4 {
        return None;
    }
    let mut f = ethernet(&a[8..14], 0x0806);
    f.extend([0, 1, 8, 0, 6, 4, 0, 2]);
    f.extend(HOST_MAC);
    f.extend(HOST4);
    f.extend(&a[8..18]);
    Some(f)
}

fn neighbour(frame: &[u8], l: &Layout) -> Option<Vec<u8>> {
    let asked = frame.get(l.l4 + 8..l.l4 + 24)?;
    let from = frame.get(l.l3 + 8..l.l3 + 24)?;
    if asked != HOST6 || from.iter().all(|b| *b == 0) {
        return None;
    }
    let mut f = ethernet(&frame[6..12], 0x86dd);
    f.extend([0x60, 0, 0, 0, 0, 32, ICMP6, 255]);
    f.extend(HOST6);
    f.extend(from);
    f.extend([136, 0, 0, 0, 0x60, 0, 0, 0]);
    f.extend(HOST6);
    f.extend([2, 1]);
    f.extend(HOST_MAC);
    let l = layout(&f)?;
    let c = !sum(&f[l.l4..], l.pseudo(&f, 32).into());
    f[l.l4 + 2..l.l4 + 4].copy_from_slice(&c.to_be_bytes());
    Some(f)
}

/// The receive-side hash (5.1.6.4.3): Toeplitz over addresses and, if asked for, ports. Returns the report's value for
/// the type of hash with it; 0 if there is none.
pub fn hash(p: &[u8], types: u32, key: &[u8]) -> (u32, u16) {
    let Some(l) = layout(p) else { return (0, 0) };
    let addrs = if l.v6 {
        p.get(l.l3 + 8..l.l3 + 40)
    } else {
        p.get(l.l3 + 12..l.l3 + 20)
    };
    let (Some(addrs), ports) = (addrs, p.get(l.l4..l.l4 + 4)) else {
        return (0, 0);
    };
    // Types in the order of their bits: IPv4, TCPv4, UDPv4, IPv6, TCPv6, UDPv6; reports are the bit's number and 1.
    let base = if l.v6 { 3 } else { 0 };
    let with_ports = match l.proto {
        TCP => Some(base + 1),
        UDP => Some(base + 2),
        _ => None,
    };
    if let (Some(bit), Some(ports), false) = (with_ports, ports, l.fragment) {
        if types & 1 << bit != 0 {
            return (toeplitz(&[addrs, ports].concat(), key), bit as u16 + 1);
        }
    }
    if types & 1 << base != 0 {
        return (toeplitz(addrs, key), base as u16 + 1);
    }
    (0, 0)
}

fn toeplitz(data: &[u8], key: &[u8]) -> u32 {
    let bit = |i: usize| key.get(i / 8).is_some_and(|b| b >> (7 - i % 8) & 1 == 1);
    let mut window = (0..32).fold(0u32, |w, i| w << 1 | u32::from(bit(i)));
    let mut result = 0;
    for (i, byte) in data.iter().enumerate() {
        for j in 0..8 {
            if byte >> (7 - j) & 1 == 1 {
                result ^= window;
            }
            window = window << 1 | u32::from(bit(32 + i * 8 + j));
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

    #[test]
    fn checksums() {
        // RFC 1071's example.
        assert_eq!(
            sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0),
            0xddf2
        );
        assert_eq!(sum(&[0xff], 0), 0xff00);
        let mut d = datagram(MAC, 1, 7, b"hello");
        assert!(csum_good(&d));
        d[44] ^= 1;
        assert!(!csum_good(&d));
        assert!(csum_good(&segment(MAC, 80, &[7; 100])));
    }

    #[test]
    fn answers() {
        // A datagram to the echo port, turned around.
        let mut d = datagram(HOST_MAC, 1000, 7, b"hello");
        d[6..12].copy_from_slice(&MAC);
        swap(&mut d, 26, 30, 4);
        fill_csum(&mut d);
        let a = answer(&d).unwrap();
        assert!(csum_good(&a));
        assert_eq!(a[..6], MAC);
        assert_eq!(a[34..38], [0, 7, 0x03, 0xe8]);
        assert_eq!(a[42..], d[42..]);
        // Another port isn't.
        d[37] = 8;
        assert_eq!(answer(&d), None);
        assert_eq!(answer(&d[..20]), None);
        assert_eq!(answer(&[]), None);
    }

    #[test]
    fn arp_request() {
        let mut r = ethernet(&[0xff; 6], 0x0806);
        r.extend([0, 1, 8, 0, 6, 4, 0, 1]);
        r.extend(MAC);
        r.extend(GUEST4);
        r.extend([0; 6]);
        r.extend(HOST4);
        let a = answer(&r).unwrap();
        assert_eq!(a[..6], MAC);
        assert_eq!(a[20..22], [0, 2]);
        assert_eq!(a[28..32], HOST4);
        assert_eq!(a[38..42], GUEST4);
    }

    #[test]
    fn toeplitz_vector() {
        // The verification suite that comes with the definition of RSS: 66.9.149.187:2794 to 161.142.100.80:1766.
        let key = [
            0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
            0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
            0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
        ];
        let addrs = [66, 9, 149, 187, 161, 142, 100, 80];
        assert_eq!(toeplitz(&addrs, &key), 0x323e8fc2);
        let ports = [66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6];
        assert_eq!(toeplitz(&ports, &key), 0x51ccc178);
    }
}
