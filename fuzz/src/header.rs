// SPDX-License-Identifier: GPL-2.0

//! `pure/hdr.rs`: the header of received packets.

use crate::pure::hdr::{
    parse_rx, HdrError, RawHdr, RxCsum, RxMeta, RxOffloads, INNER_LEN, LEN, OUTER_LEN,
};

/// Offloads, a bit each.
fn offloads(bits: u16) -> RxOffloads {
    let has = |n: u16| bits >> n & 1 != 0;
    RxOffloads {
        csum: has(0),
        tso4: has(1),
        tso6: has(2),
        ecn: has(3),
        ufo: has(4),
        uso4: has(5),
        uso6: has(6),
        tunnel: has(7),
        tunnel_csum: has(8),
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]]).into()
}

/// What an accepted header may say, whatever is in it.
fn accepted(b: &[u8; LEN + 4], meta: &RxMeta, off: &RxOffloads, packet_len: u32) {
    let (flags, kind, size) = (b[0], b[1], word(b, 4));
    let (start, offset) = (word(b, 6), word(b, 8));
    assert_eq!(u64::from(meta.num_buffers), word(b, 10));
    assert_eq!(meta.gso, kind != 0);
    match meta.csum {
        RxCsum::Partial {
            start: s,
            offset: o,
        } => {
            assert!(flags & 1 != 0 && off.csum);
            assert_eq!((u64::from(s), u64::from(o)), (start, offset));
            // The two bytes of the checksum are inside of the packet.
            assert!(start + offset + 2 <= u64::from(packet_len));
        }
        RxCsum::Unnecessary => assert!(flags & 3 == 2),
        RxCsum::None => assert!(flags & 3 == 0 && !meta.gso),
    }
    if !meta.gso {
        return;
    }
    assert_ne!(size, 0);
    let (tunnel, inner) = (kind & 0x60, kind & !0x60);
    match inner & 0x7f {
        1 => assert!(off.tso4),
        3 => assert!(off.ufo && tunnel == 0),
        4 => assert!(off.tso6),
        5 => assert!(off.uso4 || off.uso6),
        other => panic!("segmentation of type {other}"),
    }
    if inner & 0x80 != 0 {
        assert!(off.ecn && matches!(inner & 0x7f, 1 | 4));
    }
    if tunnel != 0 {
        // Ethernet, IP, UDP, IP, in this order, each behind the end of the one before.
        let (outer_th, inner_nh) = (word(b, 12), word(b, 14));
        let outer_ip = if tunnel == 0x20 { 20 } else { 40 };
        let inner_ip = if inner & 0x7f == 4 { 40 } else { 20 };
        assert!(off.tunnel && tunnel != 0x60 && flags & 3 == 1);
        assert!(outer_th >= 14 + outer_ip);
        assert!(inner_nh >= outer_th + 8);
        assert!(start >= inner_nh + inner_ip);
    }
}

/// Everything about a header of 12 bytes with 4 of tunnel fields behind it.
pub fn parse(bytes: [u8; LEN + 4], offload_bits: u16, packet_len: u32) {
    let off = offloads(offload_bits);
    let (first, fields) = bytes.split_at(LEN);
    let raw = RawHdr::from_bytes(first.try_into().unwrap());
    assert_eq!(raw.to_bytes()[..LEN], *first);
    assert_eq!(raw.to_bytes()[LEN..], [0; 4]);
    assert_eq!(u64::from(raw.num_buffers()), word(&bytes, 10));

    let known = raw.with_known_flags();
    assert_eq!(known.to_bytes()[0], bytes[0] & 3);
    assert_eq!(known.to_bytes()[1..], raw.to_bytes()[1..]);
    let mut one = first.to_vec();
    one[10..12].copy_from_slice(&[1, 0]);
    assert_eq!(raw.with_one_buffer().to_bytes()[..LEN], one[..]);

    let result = parse_rx(known, &off, packet_len);
    // Neither unknown flags nor the hint count.
    assert_eq!(parse_rx(raw, &off, packet_len), result);
    let mut hint = known.to_bytes();
    hint[2] ^= 0xff;
    let hint = RawHdr::from_bytes(hint.first_chunk().unwrap());
    assert_eq!(parse_rx(hint, &off, packet_len), result);

    let whole = raw.with_tunnel(fields.try_into().unwrap(), &off);
    let tunnelled = parse_rx(whole, &off, packet_len);
    // Outer checksums that weren't negotiated, or have to be completed where there is no outer header.
    let stray = bytes[0] & 1 != 0 && bytes[1] & 0x60 == 0;
    let refused = bytes[0] & 8 != 0 && (stray || !off.tunnel_csum);
    let kind = if refused { 0xff } else { bytes[1] };
    assert_eq!(whole.to_bytes()[1], kind);
    if refused {
        assert_eq!(tunnelled, Err(HdrError::GsoType));
    } else if bytes[1] & 0x60 == 0 {
        assert_eq!(tunnelled, result);
    }

    for (hdr, result) in [(known, result), (whole, tunnelled)] {
        let b = hdr.to_bytes();
        if let Ok(meta) = result {
            accepted(&b, &meta, &off, packet_len);
            // What is right stays right with more offloads, and in a longer packet.
            assert_eq!(parse_rx(hdr, &offloads(!0), packet_len), result);
            assert_eq!(parse_rx(hdr, &off, u32::MAX), result);
        }
        // Something is allowed: a packet without anything special.
        if b[0] & 3 == 0 && b[1] == 0 {
            assert!(result.is_ok());
        }
    }
}

/// Tunnel fields that are found in a packet are where its headers are, in their order, and of the header's types; nothing
/// else is changed by taking them over.
pub fn locate(bytes: [u8; LEN], outer: [u8; OUTER_LEN], inner: [u8; INNER_LEN]) {
    let raw = RawHdr::from_bytes(&bytes);
    let start = word(&bytes, 6);
    match raw.inner_at() {
        Some(at) => assert_eq!(u64::from(at) + INNER_LEN as u64, start),
        None => assert!(start < INNER_LEN as u64),
    }
    let Some(fields) = raw.locate(&outer, &inner) else {
        return;
    };
    let (outer_th, inner_nh) = (word(&fields, 0), word(&fields, 2));
    let v6 = bytes[1] & 0x40 != 0;
    let at = if outer[12..14] == [0x81, 0] { 18 } else { 14 };
    let (ip, udp) = (&outer[at..], if v6 { 6 } else { 9 });
    assert_eq!(ip[udp], 17);
    let len = if v6 { 40 } else { u64::from(ip[0] & 0xf) * 4 };
    assert_eq!(ip[0] >> 4, if v6 { 6 } else { 4 });
    assert_eq!(outer_th, at as u64 + len);
    // The inner IP header ends where the transport header begins.
    let len = start - inner_nh;
    let ip = &inner[INNER_LEN - len as usize..];
    let (version, proto) = match bytes[1] & 0x1f {
        1 => (4, 6),
        4 => (6, 6),
        5 => (ip[0] >> 4, 17),
        other => panic!("segmentation of type {other}"),
    };
    assert_eq!(ip[0] >> 4, version);
    assert_eq!(ip[if version == 6 { 6 } else { 9 }], proto);
    assert!(if version == 6 {
        len == 40
    } else {
        len == u64::from(ip[0] & 0xf) * 4 && len >= 20
    });
}

/// The same with headers that are there: they are found. `vlan`, `v6` of the outer and of the inner header, 32-bit words of
/// options, where the transport header is.
pub fn located(kind: u8, vlan: bool, options: (u8, u8), start: u16, noise: u8) {
    let (outer_v6, inner) = (kind & 1 != 0, [1, 4, 5, 5][usize::from(kind >> 1 & 3)]);
    let inner_v6 = inner == 4 || inner == 5 && kind & 8 != 0;
    let (outer_words, inner_words) = (5 + options.0 % 11, 5 + options.1 % 11);
    let mut hdr = [0; LEN];
    hdr[0] = 1;
    hdr[1] = inner | if outer_v6 { 0x40 } else { 0x20 };
    hdr[6..8].copy_from_slice(&start.to_le_bytes());
    let mut outer = [noise; OUTER_LEN];
    let at = if vlan { 18 } else { 14 };
    outer[12..14].copy_from_slice(&[0x81, 0]);
    outer[at - 2..at].copy_from_slice(if outer_v6 { &[0x86, 0xdd] } else { &[8, 0] });
    outer[at] = if outer_v6 { 0x60 } else { 0x40 | outer_words };
    outer[at + if outer_v6 { 6 } else { 9 }] = 17;
    // Nothing before the header may look like one.
    let mut bytes = [0; INNER_LEN];
    let len = if inner_v6 {
        40
    } else {
        usize::from(inner_words) * 4
    };
    let ip = &mut bytes[INNER_LEN - len..];
    ip[0] = if inner_v6 { 0x60 } else { 0x40 | inner_words };
    ip[if inner_v6 { 6 } else { 9 }] = if inner == 5 { 17 } else { 6 };
    let found = RawHdr::from_bytes(&hdr).locate(&outer, &bytes);
    if usize::from(start) < len {
        assert_eq!(found, None);
        return;
    }
    let fields = found.expect("not found");
    let outer_len = if outer_v6 {
        40
    } else {
        usize::from(outer_words) * 4
    };
    assert_eq!(word(&fields, 0), (at + outer_len) as u64);
    assert_eq!(word(&fields, 2), u64::from(start) - len as u64);
    locate(hdr, outer, bytes);
}
