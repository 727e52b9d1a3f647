// SPDX-License-Identifier: GPL-2.0

//! What the specification demands of the driver, checked packet by packet and buffer by buffer. What breaks a rule is
//! kept with the section, so that a test can fail on it.

use crate::spec::{f, hdr, Hdr};
use crate::stack::{self, TCP, UDP};

/// Broken rules: each text once, with how often.
#[derive(Default)]
pub struct Violations {
    pub list: Vec<(String, u64)>,
    pub total: u64,
    /// The device misbehaves, so what the driver does proves nothing.
    pub muted: bool,
}

impl Violations {
    /// Notes that a rule was broken.
    pub fn add(&mut self, text: String) {
        if self.muted {
            return;
        }
        self.total += 1;
        if let Some(v) = self.list.iter_mut().find(|v| v.0 == text) {
            v.1 += 1;
        } else if self.list.len() < 50 {
            eprintln!("rule broken: {text}");
            self.list.push((text, 1));
        }
    }

    pub fn text(&self) -> String {
        let mut out = format!("{}", self.total);
        for (text, n) in &self.list {
            out += &format!("\n{n} x {text}");
        }
        out
    }
}

/// Looks at a packet that the driver sends; `mtu` is the device's or the largest.
pub fn transmit(h: &Hdr, p: &[u8], features: u64, mtu: u32, mut bad: impl FnMut(String)) {
    let has = |bit: u64| features & bit != 0;
    if p.len() < 14 {
        return bad(format!("5.1.6.2: a packet of {} bytes", p.len()));
    }
    if h.num_buffers != 0 {
        bad("5.1.6.2.1: num_buffers is not 0 on transmit".into());
    }
    if h.flags & !hdr::NEEDS_CSUM != 0 {
        bad(format!("5.1.6.2.1: flags {:#x} on transmit", h.flags));
    }
    let partial = h.flags & hdr::NEEDS_CSUM != 0;
    if partial && !has(f::CSUM) {
        bad("5.1.6.2.1: NEEDS_CSUM without the feature CSUM".into());
    }
    let lay = stack::layout(p);
    let gso = h.gso_type & !hdr::GSO_ECN;
    let ecn = h.gso_type & hdr::GSO_ECN != 0;
    let (feature, proto) = match gso {
        hdr::GSO_NONE => (0, 0),
        hdr::GSO_TCPV4 => (f::HOST_TSO4, TCP),
        hdr::GSO_TCPV6 => (f::HOST_TSO6, TCP),
        hdr::GSO_UDP_L4 => (f::HOST_USO, UDP),
        hdr::GSO_UDP => (f::HOST_UFO, UDP),
        _ => return bad(format!("5.1.6.2.1: gso_type {:#x}", h.gso_type)),
    };
    if gso == hdr::GSO_NONE {
        if ecn {
            bad("5.1.6.2.1: the ECN bit without segmentation".into());
        }
        // A VLAN tag may come on top.
        let tag = if p[12..14] == [0x81, 0] { 4 } else { 0 };
        if p.len() > mtu as usize + 14 + tag {
            bad(format!(
                "5.1.4.2: {} bytes in a frame with an MTU of {mtu}",
                p.len()
            ));
        }
    } else {
        if !has(feature) {
            bad(format!("5.1.6.2.1: gso_type {gso} was not negotiated"));
        }
        if ecn && (!has(f::HOST_ECN) || proto != TCP) {
            bad("5.1.6.2.1: the ECN bit without HOST_ECN or TCP".into());
        }
        if !partial {
            bad("5.1.6.2.1: segmentation without NEEDS_CSUM".into());
        }
        if h.gso_size == 0 {
            bad("5.1.6.2.1: segmentation with a gso_size of 0".into());
        }
        match lay {
            Some(l) if l.proto == proto => {
                let headers = l.headers(p);
                let family = match gso {
                    hdr::GSO_TCPV4 => !l.v6,
                    hdr::GSO_TCPV6 => l.v6,
                    _ => true,
                };
                if !family {
                    bad(format!(
                        "5.1.6.2.1: gso_type {gso} on the other version of IP"
                    ));
                }
                let given = usize::from(h.hdr_len);
                if has(f::GUEST_HDRLEN) && given != headers {
                    bad(format!("5.1.6.2.1: hdr_len is {given}, the headers have {headers} bytes (GUEST_HDRLEN)"));
                } else if given < headers {
                    bad(format!(
                        "5.1.6.2.1: hdr_len is {given}, the headers have {headers} bytes"
                    ));
                }
                if !ecn && proto == TCP && p.get(l.l4 + 13).is_some_and(|fl| fl & 0x80 != 0) {
                    bad("5.1.6.2.1: segmentation of a packet with CWR, without the ECN bit".into());
                }
                if p.len() > 65535 + l.l3 {
                    bad(format!("5.1.6.2: {} bytes to segment", p.len()));
                }
            }
            _ => bad(format!(
                "5.1.6.2.1: gso_type {gso} on a packet of another protocol"
            )),
        }
    }
    if partial {
        let (start, offset) = (usize::from(h.csum_start), usize::from(h.csum_offset));
        if start + offset + 2 > p.len() {
            return bad(format!(
                "5.1.6.2.1: checksum at {start}+{offset} in a packet of {} bytes",
                p.len()
            ));
        }
        if let Some(l) = lay.filter(|l| !l.fragment && l.l4 < p.len()) {
            if let Some(off) = l.csum_offset() {
                // The place of an inner packet's checksum is further back; those aren't taken apart here.
                if start == l.l4 {
                    if h.csum_offset != off {
                        bad(format!(
                            "5.1.6.2.1: csum_offset {offset} for protocol {}",
                            l.proto
                        ));
                    }
                    let stored = u16::from_be_bytes([p[start + offset], p[start + offset + 1]]);
                    // The length in it is the packet's, or (before segmentation) may be any.
                    if gso == hdr::GSO_NONE && stored != l.pseudo(p, l.end - l.l4) {
                        bad(
                            "5.1.6.2.1: the checksum's place doesn't hold the pseudo header's sum"
                                .into(),
                        );
                    }
                } else if start < l.l4 {
                    bad(format!(
                        "5.1.6.2.1: csum_start {start} before the transport header at {}",
                        l.l4
                    ));
                }
            }
        }
    } else if !stack::csum_good(p) {
        bad("5.1.6.2.1: a wrong checksum, without NEEDS_CSUM".into());
    }
}

/// Looks at a receive buffer.
pub fn receive_buffer(
    out: usize,
    room: usize,
    hdr_len: usize,
    features: u64,
    mtu: u32,
    mut bad: impl FnMut(String),
) {
    let has = |bits: u64| features & bits != 0;
    if out != 0 {
        bad("5.1.6.3: a receive buffer with a readable part".into());
    }
    if has(f::MRG_RXBUF) {
        if room < hdr_len {
            bad(format!(
                "5.1.6.3.1: a mergeable buffer of {room} bytes, the header has {hdr_len}"
            ));
        }
        return;
    }
    let gso = has(f::GUEST_TSO4 | f::GUEST_TSO6 | f::GUEST_UFO | f::GUEST_USO4 | f::GUEST_USO6);
    let need = if gso {
        65550 + hdr_len
    } else {
        mtu.max(1500) as usize + 14 + hdr_len
    };
    if room < need {
        bad(format!(
            "5.1.6.3.1: a receive buffer of {room} bytes where {need} may come"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(h: Hdr, p: &[u8], features: u64) -> Vec<String> {
        let mut out = Vec::new();
        transmit(&h, p, features, 1500, |b| out.push(b));
        out
    }

    fn partial(p: &mut [u8]) -> Hdr {
        let l = stack::layout(p).unwrap();
        let off = l.csum_offset().unwrap();
        let at = l.l4 + usize::from(off);
        let sum = l.pseudo(p, l.end - l.l4);
        p[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        Hdr {
            flags: hdr::NEEDS_CSUM,
            csum_start: l.l4 as u16,
            csum_offset: off,
            ..Hdr::default()
        }
    }

    #[test]
    fn good_packets() {
        let mut p = stack::datagram([0; 6], 1, 2, &[5; 100]);
        assert_eq!(check(Hdr::default(), &p, 0), Vec::<String>::new());
        let h = partial(&mut p);
        assert_eq!(check(h, &p, f::CSUM), Vec::<String>::new());
        let mut p = stack::segment([0; 6], 2, &[5; 5000]);
        let h = Hdr {
            gso_type: hdr::GSO_TCPV4,
            gso_size: 1448,
            hdr_len: 54,
            ..partial(&mut p)
        };
        assert_eq!(
            check(h, &p, f::CSUM | f::HOST_TSO4 | f::GUEST_HDRLEN),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_rule_is_seen() {
        let good = stack::datagram([0; 6], 1, 2, &[5; 100]);
        let mut p = good.clone();
        let h = partial(&mut p);
        assert_eq!(check(h, &p, 0).len(), 1);
        assert_eq!(check(Hdr::default(), &p, f::CSUM).len(), 1);
        assert_eq!(check(h, &good, f::CSUM).len(), 1);
        assert_eq!(
            check(
                Hdr {
                    num_buffers: 1,
                    ..Hdr::default()
                },
                &good,
                0
            )
            .len(),
            1
        );
        assert_eq!(
            check(
                Hdr {
                    flags: 2,
                    ..Hdr::default()
                },
                &good,
                0
            )
            .len(),
            1
        );
        assert_eq!(check(Hdr { csum_start: 9, ..h }, &p, f::CSUM).len(), 1);
        assert_eq!(
            check(
                Hdr {
                    csum_start: 900,
                    ..h
                },
                &p,
                f::CSUM
            )
            .len(),
            1
        );
        assert_eq!(check(Hdr::default(), &good[..10], 0).len(), 1);
        assert_eq!(
            check(
                Hdr::default(),
                &stack::datagram([0; 6], 1, 2, &[5; 1473]),
                0
            )
            .len(),
            1
        );
        let mut p = stack::segment([0; 6], 2, &[5; 5000]);
        let h = Hdr {
            gso_type: hdr::GSO_TCPV4,
            gso_size: 1448,
            hdr_len: 54,
            ..partial(&mut p)
        };
        let all = f::CSUM | f::HOST_TSO4 | f::HOST_TSO6 | f::HOST_USO;
        assert_eq!(check(h, &p, f::CSUM).len(), 1);
        assert_eq!(check(Hdr { gso_size: 0, ..h }, &p, all).len(), 1);
        assert_eq!(check(Hdr { hdr_len: 53, ..h }, &p, all).len(), 1);
        assert_eq!(
            check(Hdr { hdr_len: 60, ..h }, &p, all | f::GUEST_HDRLEN).len(),
            1
        );
        assert_eq!(
            check(
                Hdr {
                    gso_type: hdr::GSO_TCPV6,
                    ..h
                },
                &p,
                all
            )
            .len(),
            1
        );
        assert_eq!(
            check(
                Hdr {
                    gso_type: hdr::GSO_UDP_L4,
                    ..h
                },
                &p,
                all
            )
            .len(),
            1
        );
        assert_eq!(
            check(
                Hdr {
                    gso_type: 0x81,
                    ..h
                },
                &p,
                all
            )
            .len(),
            1
        );
        assert_eq!(check(Hdr { gso_type: 7, ..h }, &p, all).len(), 1);
    }

    #[test]
    fn receive_buffers() {
        let n = |out, room, features| {
            let mut n = 0;
            receive_buffer(out, room, 12, features, 1500, |_| n += 1);
            n
        };
        assert_eq!(n(0, 12, f::MRG_RXBUF), 0);
        assert_eq!(n(0, 11, f::MRG_RXBUF), 1);
        assert_eq!(n(1, 100, f::MRG_RXBUF), 1);
        assert_eq!(n(0, 1526, 0), 0);
        assert_eq!(n(0, 1525, 0), 1);
        assert_eq!(n(0, 65562, f::GUEST_TSO4), 0);
        assert_eq!(n(0, 65561, f::GUEST_TSO4), 1);
    }
}
