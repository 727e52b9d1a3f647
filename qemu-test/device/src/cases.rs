// SPDX-License-Identifier: GPL-2.0

//! The catalogue: everything that this device can do wrong, or in an unusual way, by name.

use std::time::Duration;

use crate::evil::{gso, Case, Done, Expect, Flicker, Rx, Stage, Stimulus, NONE};
use crate::net::Net;
use crate::rng::Rng;
use crate::spec::{hdr, Config, Hdr, S_ANNOUNCE, S_LINK_UP};

const LENGTH: Expect = Expect::Count("rx[0-9]+_drop_length");
const BUFFERS: Expect = Expect::Count("rx[0-9]+_drop_num_buffers");
const HEADER: Expect = Expect::Count("rx[0-9]+_(drop_header|xdp_drop_merged)");
/// The core of virtio finds these, says so, and takes the ring out of service.
const BAD_ID: Expect = Expect::Log("id [0-9]+ (out of range|is not a head)");
const NO_ANSWER: Expect = Expect::Log("not answered within");
const MALFORMED: Expect = Expect::Log("malformed answer");

/// Features of the receive modes; the default is mergeable buffers.
const BIG: &str = "-MRG_RXBUF";
const SMALL: &str = "-MRG_RXBUF-GUEST_TSO4-GUEST_TSO6-GUEST_ECN-GUEST_USO4-GUEST_USO6";
/// What only some drivers take, so that its commands are sent.
const EXTRAS: &str = "+NOTF_COAL+VQ_NOTF_COAL+DEVICE_STATS+RSS+HASH_REPORT";

const fn rx(
    name: &'static str,
    what: &'static str,
    expect: Expect,
    change: fn(&mut Rx, &mut Rng),
) -> Case {
    Case {
        name,
        what,
        expect,
        rx: Some(change),
        ..NONE
    }
}

const fn tx(
    name: &'static str,
    what: &'static str,
    expect: Expect,
    change: fn(&mut Done, u16, &mut Rng),
) -> Case {
    Case {
        name,
        what,
        expect,
        tx: Some(change),
        ..NONE
    }
}

const fn ctrl(
    name: &'static str,
    what: &'static str,
    expect: Expect,
    change: fn(&mut Done, u16, &mut Rng),
) -> Case {
    Case {
        name,
        what,
        expect,
        stimulus: Stimulus::Commands,
        ctrl: Some(change),
        ..NONE
    }
}

const fn config(
    name: &'static str,
    what: &'static str,
    expect: Expect,
    change: fn(&mut Config, u64, &mut Rng),
) -> Case {
    Case {
        name,
        what,
        expect,
        stage: Stage::Bind,
        stimulus: Stimulus::All,
        config: Some(change),
        ..NONE
    }
}

const fn features(
    name: &'static str,
    what: &'static str,
    expect: Expect,
    features: &'static str,
) -> Case {
    Case {
        name,
        what,
        expect,
        stage: Stage::Plug,
        stimulus: Stimulus::All,
        features,
        ..NONE
    }
}

const fn tick(
    name: &'static str,
    what: &'static str,
    expect: Expect,
    every: u64,
    act: fn(&mut Net, u64, &mut Rng),
) -> Case {
    Case {
        name,
        what,
        expect,
        stimulus: Stimulus::All,
        tick: Some(act),
        every,
        ..NONE
    }
}

const fn quick(case: Case) -> Case {
    Case {
        quick: true,
        ..case
    }
}

/// Only the first events: what breaks a ring needs no second time.
const fn once(case: Case) -> Case {
    Case { limit: 1, ..case }
}

const fn with(features: &'static str, case: Case) -> Case {
    Case {
        features,
        stage: Stage::Plug,
        ..case
    }
}

fn posted(r: &Rx) -> u32 {
    r.chains.first().map_or(0, |c| c.room()) as u32
}

fn set_len(r: &mut Rx, len: u32) {
    if let Some(u) = r.used.first_mut() {
        u.1 = len;
    }
}

fn set_id(r: &mut Rx, id: u32) {
    if let Some(u) = r.used.first_mut() {
        u.0 = id;
    }
}

/// A segmentation header that is right but for what `change` does.
fn bad_gso(r: &mut Rx, change: fn(&mut Hdr)) {
    let n = r.hdr.num_buffers;
    r.hdr = gso(&r.data);
    r.hdr.num_buffers = n;
    change(&mut r.hdr);
}

/// The first used buffer says that there are more or fewer.
fn set_buffers(r: &mut Rx, n: u16) {
    r.hdr.num_buffers = n;
}

fn first(d: &mut Done) -> Option<&mut (u32, u32)> {
    d.used.first_mut()
}

fn storm(net: &mut Net) {
    for vq in &mut net.vqs {
        for _ in 0..20 {
            vq.interrupt();
        }
    }
}

/// Changes one thing of every other received packet, whatever it is, and seldom breaks the ring.
fn fuzz_rx(r: &mut Rx, g: &mut Rng) {
    // What breaks the ring ends the fun, so it is rare.
    if change_rx(r, g) && g.one_in(300) {
        break_rx(r, g);
    }
}

/// Changes one thing of every other received packet; returns whether this was one.
pub fn change_rx(r: &mut Rx, g: &mut Rng) -> bool {
    if g.one_in(2) {
        return false;
    }
    let room = posted(r);
    match g.below(14) {
        0 => set_len(r, g.odd32(room)),
        1 => set_len(r, g.odd32(12)),
        2 => set_buffers(r, g.odd16(1)),
        3 => set_buffers(r, g.below(70) as u16),
        4 => r.hdr.flags = g.next() as u8,
        5 => bad_gso(r, |_| {}),
        6 => {
            bad_gso(r, |_| {});
            r.hdr.gso_size = g.odd16(r.data.len() as u16);
        }
        7 => {
            bad_gso(r, |_| {});
            r.hdr.csum_start = g.odd16(r.data.len() as u16);
            r.hdr.csum_offset = g.odd16(16);
        }
        8 => {
            bad_gso(r, |_| {});
            r.hdr.gso_type = g.next() as u8;
        }
        9 => {
            for _ in 0..1 + g.below(8) {
                let at = g.below(r.data.len() as u64) as usize;
                r.data[at] = g.next() as u8;
            }
        }
        10 => {
            // The IP header is the most interesting part.
            let at = 12 + g.below(44) as usize;
            if let Some(b) = r.data.get_mut(at) {
                *b = g.next() as u8;
            }
            bad_gso(r, |_| {});
        }
        11 => {
            let n = g.below(r.data.len() as u64) as u32;
            set_len(r, 12 + n);
        }
        12 => {
            let bytes: Vec<u8> = (0..12).map(|_| g.next() as u8).collect();
            r.hdr = Hdr::parse(&bytes);
        }
        _ => {
            for u in r.used.iter_mut().skip(1) {
                u.1 = g.odd32(u.1);
            }
        }
    }
    true
}

/// Uses what the driver didn't give, or more than there is, or in another order.
pub fn break_rx(r: &mut Rx, g: &mut Rng) {
    match g.below(3) {
        0 => set_id(r, g.odd32(256)),
        1 => r.advance = r.advance.wrapping_add(g.odd16(0)),
        _ => r.used.reverse(),
    }
}

fn fuzz_done(d: &mut Done, size: u16, g: &mut Rng) {
    if let Some(u) = d.used.first_mut() {
        match g.below(40) {
            0..=9 => u.1 = g.odd32(u.1),
            10 => d.hold = Some(Duration::from_millis(g.below(300))),
            11 if g.one_in(20) => u.0 = g.odd32(size.into()),
            12 if g.one_in(20) => d.advance = g.odd16(1),
            _ => {}
        }
    }
}

fn fuzz_ctrl(d: &mut Done, size: u16, g: &mut Rng) {
    fuzz_done(d, size, g);
    fuzz_reply(d, g);
}

/// Changes most answers to commands.
pub fn fuzz_reply(d: &mut Done, g: &mut Rng) {
    match g.below(6) {
        0 => d.reply = vec![g.next() as u8],
        1 => d.reply.clear(),
        2 => {
            for b in d.reply.iter_mut().skip(1) {
                *b = if g.one_in(4) { g.next() as u8 } else { *b };
            }
        }
        3 => d.reply = vec![0],
        _ => {}
    }
}

fn fuzz_config(c: &mut Config, _n: u64, g: &mut Rng) {
    match g.below(12) {
        0 => c.status = g.odd16(1),
        1 => c.max_pairs = g.odd16(c.max_pairs),
        2 => c.mtu = g.odd16(1500),
        3 => c.speed = g.odd32(10000),
        4 => c.mac[g.below(6) as usize] = g.next() as u8,
        5 => c.rss_key = g.next() as u8,
        6 => c.rss_table = g.odd16(c.rss_table),
        7 => c.hash_types = g.next() as u32,
        _ => {}
    }
}

pub fn fuzz_tick(net: &mut Net, n: u64, g: &mut Rng) {
    match g.below(12) {
        0 => net.config_irq(),
        1 => storm(net),
        2 => {
            let i = g.below(net.vqs.len() as u64) as usize;
            net.vqs[i].mute ^= true;
        }
        3 => net.config.status ^= S_ANNOUNCE,
        4 => net.config.status ^= S_LINK_UP,
        _ => {}
    }
    // Not for ever: something has to be left to break.
    if n.is_multiple_of(10) {
        net.config.status |= S_LINK_UP;
        for vq in &mut net.vqs {
            vq.mute = false;
        }
        net.config_irq();
    }
}

const fn fuzz(name: &'static str, what: &'static str, features: &'static str) -> Case {
    Case {
        name,
        what,
        features,
        stage: Stage::Plug,
        stimulus: Stimulus::All,
        rx: Some(fuzz_rx),
        tx: Some(fuzz_done),
        ctrl: Some(fuzz_ctrl),
        config: Some(fuzz_config),
        tick: Some(fuzz_tick),
        carry_out: true,
        ..NONE
    }
}

/// All cases. Those that break most are at the end of their group.
pub const CASES: &[Case] = &[
    // --- lengths of received packets: the core of virtio doesn't check them -----------------------------------------
    quick(rx("rx-len-0", "used length 0", LENGTH, |r, _| set_len(r, 0))),
    rx("rx-len-1", "used length 1", LENGTH, |r, _| set_len(r, 1)),
    rx("rx-len-below-header", "used length one less than the header", LENGTH, |r, _| set_len(r, 11)),
    rx("rx-len-header", "used length of the header alone", LENGTH, |r, _| set_len(r, 12)),
    quick(rx("rx-len-short", "a byte less than an Ethernet header", LENGTH, |r, _| set_len(r, 25))),
    rx("rx-len-ethernet", "an Ethernet header and nothing else", Expect::Nothing, |r, _| set_len(r, 26)),
    quick(rx("rx-len-more", "one byte more than was posted", LENGTH, |r, _| set_len(r, posted(r) + 1))),
    rx("rx-len-page", "a page more than was posted", LENGTH, |r, _| set_len(r, posted(r) + 4096)),
    rx("rx-len-65536", "used length 65536", LENGTH, |r, _| set_len(r, 65536)),
    rx("rx-len-2g", "used length 2^31", LENGTH, |r, _| set_len(r, 1 << 31)),
    quick(rx("rx-len-max", "used length 2^32-1", LENGTH, |r, _| set_len(r, u32::MAX))),
    rx("rx-len-wrap", "used length that wraps to 0 with the header", LENGTH, |r, _| set_len(r, u32::MAX - 11)),
    rx("rx-len-unwritten", "all of the buffer, though less was written", Expect::Nothing, |r, _| set_len(r, posted(r))),
    with(BIG, rx("big-len-0", "lists of pages: used length 0", LENGTH, |r, _| set_len(r, 0))),
    with(BIG, rx("big-len-more", "lists of pages: one byte more than was posted", LENGTH, |r, _| set_len(r, posted(r) + 1))),
    quick(with(BIG, rx("big-len-page", "lists of pages: a page more than was posted", LENGTH, |r, _| {
        set_len(r, posted(r) + 4096)
    }))),
    with(BIG, rx("big-len-max", "lists of pages: used length 2^32-1", LENGTH, |r, _| set_len(r, u32::MAX))),
    with(BIG, rx("big-len-all", "lists of pages: all of the list", Expect::Nothing, |r, _| set_len(r, posted(r)))),
    with(BIG, rx("big-len-random", "lists of pages: any length", LENGTH, |r, g| set_len(r, g.odd32(posted(r))))),
    with(SMALL, rx("small-len-0", "small buffers: used length 0", LENGTH, |r, _| set_len(r, 0))),
    quick(with(SMALL, rx("small-len-more", "small buffers: one byte more than was posted", LENGTH, |r, _| {
        set_len(r, posted(r) + 1)
    }))),
    with(SMALL, rx("small-len-max", "small buffers: used length 2^32-1", LENGTH, |r, _| set_len(r, u32::MAX))),
    with(SMALL, rx("small-len-random", "small buffers: any length", LENGTH, |r, g| set_len(r, g.odd32(posted(r))))),
    with("+HASH_REPORT", rx("hash-len-short", "hash reports: used length between the two headers' sizes", Expect::Nothing, |r, _| {
        set_len(r, 16)
    })),
    // --- merged buffers ---------------------------------------------------------------------------------------------
    quick(rx("merge-0", "num_buffers 0", BUFFERS, |r, _| set_buffers(r, 0))),
    quick(rx("merge-one-more", "num_buffers one too many", Expect::Nothing, |r, _| set_buffers(r, r.hdr.num_buffers + 1))),
    rx("merge-one-less", "num_buffers one too few for packets of several", Expect::Nothing, |r, _| {
        set_buffers(r, (r.hdr.num_buffers - 1).max(1))
    }),
    rx("merge-65", "num_buffers 65", BUFFERS, |r, _| set_buffers(r, 65)),
    rx("merge-64", "num_buffers 64, which the largest packet may have", Expect::Nothing, |r, _| set_buffers(r, 64)),
    rx("merge-ring", "num_buffers of the ring's size", BUFFERS, |r, _| set_buffers(r, 256)),
    quick(rx("merge-max", "num_buffers 65535", BUFFERS, |r, _| set_buffers(r, 65535))),
    rx("merge-next-0", "further buffers with a used length of 0", LENGTH, |r, _| {
        r.used.iter_mut().skip(1).for_each(|u| u.1 = 0)
    }),
    rx("merge-next-more", "further buffers with more than was posted", LENGTH, |r, _| {
        r.used.iter_mut().skip(1).for_each(|u| u.1 = 65537)
    }),
    rx("merge-next-max", "further buffers with a used length of 2^32-1", LENGTH, |r, _| {
        r.used.iter_mut().skip(1).for_each(|u| u.1 = u32::MAX)
    }),
    rx("merge-crumbs", "the first of several buffers with 14 bytes of the packet", Expect::Nothing, |r, _| set_len(r, 26)),
    // --- the header -------------------------------------------------------------------------------------------------
    rx("hdr-unknown-flags", "flags that nobody knows: to be ignored", Expect::Works, |r, _| r.hdr.flags |= 0xfc),
    rx("hdr-all-flags", "all flags", Expect::Nothing, |r, _| r.hdr.flags = 0xff),
    quick(rx("hdr-csum-end", "checksum that would be stored behind the packet", HEADER, |r, _| {
        r.hdr.flags = hdr::NEEDS_CSUM;
        r.hdr.csum_start = r.data.len() as u16 - 1;
        r.hdr.csum_offset = 0;
    })),
    rx("hdr-csum-last", "checksum in the last two bytes of the packet", Expect::Nothing, |r, _| {
        r.hdr.flags = hdr::NEEDS_CSUM;
        r.hdr.csum_start = r.data.len() as u16 - 2;
    }),
    rx("hdr-csum-offset", "checksum at an offset of 65535", HEADER, |r, _| {
        r.hdr.flags = hdr::NEEDS_CSUM;
        r.hdr.csum_offset = 65535;
    }),
    rx("hdr-csum-start", "checksum from 65535 on", HEADER, |r, _| {
        r.hdr.flags = hdr::NEEDS_CSUM;
        r.hdr.csum_start = 65535;
    }),
    rx("hdr-csum-wrap", "checksum's start and offset wrap to 0", HEADER, |r, _| {
        r.hdr.flags = hdr::NEEDS_CSUM;
        r.hdr.csum_start = 65535;
        r.hdr.csum_offset = 65535;
    }),
    rx("hdr-csum-0", "checksum over the Ethernet header, stored in it", Expect::Nothing, |r, _| r.hdr.flags = hdr::NEEDS_CSUM),
    rx("hdr-csum-odd", "checksum from an odd byte on", Expect::Nothing, |r, _| {
        r.hdr.flags = hdr::NEEDS_CSUM;
        r.hdr.csum_start = 15;
        r.hdr.csum_offset = 3;
    }),
    with(
        "-GUEST_CSUM-GUEST_TSO4-GUEST_TSO6-GUEST_ECN-GUEST_USO4-GUEST_USO6",
        rx("hdr-csum-unasked", "partial checksums that were not negotiated", HEADER, |r, _| {
            r.hdr.flags = hdr::NEEDS_CSUM;
            r.hdr.csum_start = 34;
        }),
    ),
    quick(rx("hdr-gso-unknown", "segmentation of a type that nobody knows", HEADER, |r, _| bad_gso(r, |h| h.gso_type = 0x47))),
    rx("hdr-gso-types", "segmentation of any type", Expect::Nothing, |r, g| {
        bad_gso(r, |_| {});
        r.hdr.gso_type = g.next() as u8;
    }),
    rx("hdr-gso-udp", "UDP fragmentation, which is not negotiated", HEADER, |r, _| bad_gso(r, |h| h.gso_type = hdr::GSO_UDP)),
    rx("hdr-gso-ecn", "the ECN bit alone", HEADER, |r, _| bad_gso(r, |h| h.gso_type = hdr::GSO_ECN)),
    quick(rx("hdr-gso-size-0", "segments of 0 bytes", HEADER, |r, _| bad_gso(r, |h| h.gso_size = 0))),
    rx("hdr-gso-size-1", "segments of 1 byte", Expect::Nothing, |r, _| bad_gso(r, |h| h.gso_size = 1)),
    rx("hdr-gso-size-max", "segments of 65535 bytes", Expect::Nothing, |r, _| bad_gso(r, |h| h.gso_size = 65535)),
    rx("hdr-gso-no-csum", "segmentation without a partial checksum", HEADER, |r, _| bad_gso(r, |h| h.flags = 0)),
    rx("hdr-gso-valid", "segmentation with DATA_VALID instead", Expect::Nothing, |r, _| bad_gso(r, |h| h.flags = hdr::DATA_VALID)),
    rx("hdr-gso-other", "segmentation for the other version of IP", Expect::Nothing, |r, _| {
        bad_gso(r, |h| h.gso_type = hdr::GSO_TCPV6)
    }),
    rx("hdr-gso-crossed", "TCP's segmentation for UDP and the other way round", Expect::Nothing, |r, _| {
        bad_gso(r, |h| h.gso_type = if h.gso_type == hdr::GSO_TCPV4 { hdr::GSO_UDP_L4 } else { hdr::GSO_TCPV4 })
    }),
    rx("hdr-gso-crumb", "segmentation of a packet that is only an Ethernet header", Expect::Nothing, |r, _| {
        bad_gso(r, |_| {});
        set_len(r, 26);
    }),
    rx("hdr-gso-cut", "segmentation of a packet that ends in its own headers", Expect::Nothing, |r, g| {
        bad_gso(r, |_| {});
        let n = 26 + g.below(44) as u32;
        set_len(r, n);
    }),
    rx("hdr-gso-inside", "segmentation with the checksum in the IP header", Expect::Nothing, |r, _| {
        bad_gso(r, |h| {
            h.csum_start = 14;
            h.csum_offset = 10;
        })
    }),
    rx("hdr-gso-ihl", "segmentation of a packet with an IP header of 60 bytes, or of none", Expect::Nothing, |r, g| {
        bad_gso(r, |_| {});
        r.data[14] = if g.one_in(2) { 0x4f } else { 0x40 };
    }),
    rx("hdr-gso-doff", "segmentation of a packet with a TCP header of any length", Expect::Nothing, |r, g| {
        bad_gso(r, |_| {});
        if let Some(b) = r.data.get_mut(46) {
            *b = g.next() as u8;
        }
    }),
    rx("hdr-gso-proto", "segmentation of protocols that nobody knows", Expect::Nothing, |r, g| {
        bad_gso(r, |_| {});
        r.data[23] = g.next() as u8;
    }),
    rx("hdr-hdr-len", "hdr_len 65535: only a hint", Expect::Works, |r, _| r.hdr.hdr_len = 65535),
    quick(rx("hdr-ones", "a header of ones", Expect::Nothing, |r, _| r.hdr = Hdr::parse(&[0xff; 12]))),
    quick(rx("hdr-random", "headers by chance", Expect::Nothing, |r, g| {
        let n = r.hdr.num_buffers;
        let bytes: Vec<u8> = (0..12).map(|_| g.next() as u8).collect();
        r.hdr = Hdr::parse(&bytes);
        r.hdr.num_buffers = n;
    })),
    with(BIG, rx("big-hdr-random", "lists of pages: headers by chance", Expect::Nothing, |r, g| {
        let bytes: Vec<u8> = (0..12).map(|_| g.next() as u8).collect();
        r.hdr = Hdr::parse(&bytes);
    })),
    with(SMALL, rx("small-hdr-random", "small buffers: headers by chance", Expect::Nothing, |r, g| {
        let bytes: Vec<u8> = (0..12).map(|_| g.next() as u8).collect();
        r.hdr = Hdr::parse(&bytes);
    })),
    // --- contents ---------------------------------------------------------------------------------------------------
    rx("frame-random", "packets by chance", Expect::Nothing, |r, g| r.data.iter_mut().for_each(|b| *b = g.next() as u8)),
    rx("frame-ip-lies", "IP headers with lengths by chance", Expect::Nothing, |r, g| {
        for at in [14, 16, 17, 20, 21] {
            r.data[at] = g.next() as u8;
        }
    }),
    rx("frame-vlan", "VLAN tags in VLAN tags, to the end of the packet", Expect::Nothing, |r, _| {
        for (i, b) in r.data.iter_mut().enumerate().skip(12) {
            *b = [0x81, 0, 0, 1][i % 4];
        }
    }),
    quick(rx("flicker-header", "the header changes while the driver looks at it", Expect::Nothing, |r, _| {
        r.flicker = Some(Flicker::Header)
    })),
    rx("flicker-gso", "a header for segmentation changes while the driver looks at it", Expect::Nothing, |r, _| {
        bad_gso(r, |_| {});
        r.flicker = Some(Flicker::Header)
    }),
    rx("flicker-data", "the packet changes while the stack looks at it", Expect::Nothing, |r, _| {
        r.flicker = Some(Flicker::Data)
    }),
    with(SMALL, rx("small-flicker", "small buffers: the header changes while the driver looks at it", Expect::Nothing, |r, _| {
        r.flicker = Some(Flicker::Header)
    })),
    // --- the used ring of receive queues ----------------------------------------------------------------------------
    quick(once(rx("rx-id-size", "used id of the ring's size", BAD_ID, |r, _| set_id(r, 256)))),
    once(rx("rx-id-max", "used id 2^32-1", BAD_ID, |r, _| set_id(r, u32::MAX))),
    once(rx("rx-id-65536", "used id that is right in its lower 16 bits", BAD_ID, |r, _| {
        let id = r.used.first().map_or(0, |u| u.0);
        set_id(r, id | 1 << 16)
    })),
    once(rx("rx-id-replay", "the same used id twice", BAD_ID, |r, _| {
        if let Some(u) = r.used.first().copied() {
            r.used.insert(0, u);
            r.advance += 1;
        }
    })),
    with(BIG, once(rx("rx-id-not-head", "used id in the middle of a chain", Expect::Nothing, |r, _| {
        let id = r.used.first().map_or(0, |u| u.0);
        set_id(r, (id + 1) % 256)
    }))),
    with(
        "-MRG_RXBUF-INDIRECT_DESC",
        once(rx("rx-id-not-head-plain", "the same without indirect descriptors", BAD_ID, |r, _| {
            let id = r.used.first().map_or(0, |u| u.0);
            set_id(r, (id + 1) % 256)
        })),
    ),
    once(rx("rx-id-other", "the used id of a buffer that was not used", Expect::Nothing, |r, _| {
        let id = r.used.first().map_or(0, |u| u.0);
        set_id(r, (id + 100) % 256)
    })),
    once(rx("rx-index-1", "used index one too far", Expect::Nothing, |r, _| r.advance += 1)),
    once(rx("rx-index-size", "used index jumps by the ring's size", Expect::Nothing, |r, _| r.advance += 256)),
    quick(once(rx("rx-index-32768", "used index jumps by 32768", Expect::Nothing, |r, _| r.advance ^= 32768))),
    once(rx("rx-index-back", "used index goes back", Expect::Nothing, |r, _| r.advance = u16::MAX)),
    rx("rx-index-still", "used index never moves", Expect::Nothing, |r, _| r.advance = 0),
    rx("rx-index-random", "used index by chance", Expect::Nothing, |r, g| r.advance = g.next() as u16),
    // --- transmit ---------------------------------------------------------------------------------------------------
    tx("tx-len-max", "used length 2^32-1 of sent packets: to be ignored", Expect::Works, |d, _, _| {
        if let Some(u) = first(d) {
            u.1 = u32::MAX;
        }
    }),
    tx("tx-late", "sent packets are given back after 50 ms", Expect::Works, |d, _, _| d.hold = Some(Duration::from_millis(50))),
    tx("tx-reorder", "sent packets are given back in any order", Expect::Works, |d, _, g| {
        d.hold = Some(Duration::from_millis(g.below(60)))
    }),
    quick(once(tx("tx-id-size", "used id of the ring's size", BAD_ID, |d, size, _| {
        if let Some(u) = first(d) {
            u.0 = size.into();
        }
    }))),
    once(tx("tx-id-max", "used id 2^32-1", BAD_ID, |d, _, _| {
        if let Some(u) = first(d) {
            u.0 = u32::MAX;
        }
    })),
    once(tx("tx-id-replay", "the same used id twice", BAD_ID, |d, _, _| {
        if let Some(u) = d.used.first().copied() {
            d.used.push(u);
            d.advance = 2;
        }
    })),
    once(tx("tx-id-other", "the used id of a packet that was never sent", BAD_ID, |d, size, _| {
        if let Some(u) = first(d) {
            u.0 = (u.0 + 50) % u32::from(size.max(1));
        }
    })),
    once(tx("tx-index-jump", "used index jumps by 1000", Expect::Nothing, |d, _, _| d.advance = 1000)),
    once(tx("tx-index-back", "used index goes back", Expect::Nothing, |d, _, _| d.advance = u16::MAX)),
    // The core goes by that flag: it then counts one descriptor more than there are, until the ring is made anew. (Or until two
    // packets get the same one: then the first is lost, and the count is right again.)
    quick(with("-INDIRECT_DESC", once(tx("tx-chained", "a sent packet's descriptor says that another one follows", Expect::Nothing, |d, _, _| {
        d.chained = true
    })))),
    Case {
        stimulus: Stimulus::Stuck,
        ..tx("tx-never", "sent packets are never given back", Expect::Count("tx[0-9]+_tx_timeouts"), |d, _, _| {
            d.hold = Some(Duration::from_secs(3600))
        })
    },
    // --- notifications ----------------------------------------------------------------------------------------------
    Case {
        stimulus: Stimulus::All,
        mute: true,
        ..rx("irq-none", "no interrupts at all", Expect::Nothing, |_, _| {})
    },
    quick(tick("irq-spurious", "interrupts for nothing", Expect::Works, 20, |net, _, _| {
        net.vqs.iter_mut().for_each(|vq| vq.interrupt())
    })),
    tick("irq-storm", "20 interrupts of each queue a millisecond", Expect::Nothing, 1, |net, _, _| storm(net)),
    tick("irq-config", "a configuration interrupt each 2 ms, nothing changed", Expect::Nothing, 2, |net, _, _| net.config_irq()),
    tick("kick-event", "the index that the device wants to be notified at, by chance", Expect::Nothing, 2, |net, _, g| {
        for i in 0..net.vqs.len() {
            let vq = &net.vqs[i];
            if vq.live() {
                let _ = net.mem.store16(vq.used + 4 + 8 * u64::from(vq.size), g.next() as u16);
            }
        }
    }),
    tick("kick-flags", "flags of the used ring by chance", Expect::Nothing, 2, |net, _, g| {
        for i in 0..net.vqs.len() {
            let vq = &net.vqs[i];
            if vq.live() {
                let _ = net.mem.store16(vq.used, g.next() as u16);
            }
        }
    }),
    // --- the control queue ------------------------------------------------------------------------------------------
    quick(ctrl("ack-err", "all commands are refused", Expect::Nothing, |d, _, _| d.reply = vec![1])),
    ctrl("ack-junk", "an answer that is neither yes nor no", Expect::Nothing, |d, _, _| d.reply = vec![0x55]),
    quick(ctrl("ack-unwritten", "given back without an answer", MALFORMED, |d, _, _| {
        d.reply.clear();
        if let Some(u) = first(d) {
            u.1 = 0;
        }
    })),
    // The length says nothing where there is no result, and real devices get it wrong.
    Case {
        carry_out: true,
        ..ctrl("ack-len-0", "answers with a used length of 0", Expect::Works, |d, _, _| {
            if let Some(u) = first(d) {
                u.1 = 0;
            }
        })
    },
    Case {
        carry_out: true,
        ..ctrl("ack-len-max", "answers with a used length of 2^32-1", Expect::Works, |d, _, _| {
            if let Some(u) = first(d) {
                u.1 = u32::MAX;
            }
        })
    },
    Case {
        carry_out: true,
        ..ctrl("ack-slow", "an answer after 300 ms", Expect::Works, |d, _, _| d.hold = Some(Duration::from_millis(300)))
    },
    Case {
        carry_out: true,
        features: EXTRAS,
        stage: Stage::Plug,
        ..ctrl("reply-random", "results by chance, acknowledged", Expect::Nothing, |d, _, g| {
            d.reply.iter_mut().skip(1).for_each(|b| *b = g.next() as u8)
        })
    },
    Case {
        carry_out: true,
        features: EXTRAS,
        stage: Stage::Plug,
        ..ctrl("reply-ones", "results of ones, acknowledged", Expect::Nothing, |d, _, _| {
            d.reply.iter_mut().skip(1).for_each(|b| *b = 0xff)
        })
    },
    Case {
        carry_out: true,
        features: EXTRAS,
        stage: Stage::Plug,
        ..ctrl("reply-zeros", "results of zeros, acknowledged", Expect::Nothing, |d, _, _| {
            d.reply.iter_mut().skip(1).for_each(|b| *b = 0)
        })
    },
    Case {
        carry_out: true,
        features: EXTRAS,
        stage: Stage::Plug,
        ..ctrl("reply-short", "only the acknowledgement where a result is due", Expect::Nothing, |d, _, _| {
            d.reply.truncate(1);
            if let Some(u) = first(d) {
                u.1 = 1;
            }
        })
    },
    Case {
        carry_out: true,
        features: EXTRAS,
        stage: Stage::Plug,
        ..ctrl("reply-long", "a used length beyond the result", Expect::Works, |d, _, _| {
            if let Some(u) = first(d) {
                u.1 += 4096;
            }
        })
    },
    Case {
        carry_out: true,
        features: EXTRAS,
        stage: Stage::Plug,
        ..ctrl("reply-len-0", "a used length of 0 where a result is due", Expect::Works, |d, _, _| {
            if let Some(u) = first(d) {
                u.1 = 0;
            }
        })
    },
    Case {
        carry_out: true,
        features: EXTRAS,
        stage: Stage::Plug,
        ..ctrl("reply-size", "statistics whose sizes lead out of the buffer, or nowhere", Expect::Nothing, |d, _, g| {
            let n = if g.one_in(2) { 0 } else { 0xff };
            let mut at = 1 + 6;
            while at + 1 < d.reply.len() {
                d.reply[at] = n;
                d.reply[at + 1] = n;
                at += 8;
            }
        })
    },
    once(ctrl("ack-late", "an answer after 4 s", NO_ANSWER, |d, _, _| d.hold = Some(Duration::from_secs(4)))),
    quick(ctrl("ack-never", "no answer", NO_ANSWER, |d, _, _| d.hold = Some(Duration::from_secs(3600)))),
    once(ctrl("ack-twice", "the same answer twice", Expect::Nothing, |d, _, _| {
        if let Some(u) = d.used.first().copied() {
            d.used.push(u);
            d.advance = 2;
        }
    })),
    quick(Case {
        carry_out: true,
        features: EXTRAS,
        stage: Stage::Plug,
        ..ctrl("ack-lingers", "the answer is written over for 25 ms after it was given back", Expect::Heap, |d, _, _| {
            d.linger = Some(Duration::from_millis(25))
        })
    }),
    once(ctrl("ack-id-size", "used id of the ring's size", BAD_ID, |d, size, _| {
        if let Some(u) = first(d) {
            u.0 = size.into();
        }
    })),
    once(ctrl("ack-index-jump", "used index jumps by 1000", Expect::Nothing, |d, _, _| d.advance = 1000)),
    // --- the configuration ------------------------------------------------------------------------------------------
    config("cfg-pairs-0", "0 queue pairs", Expect::Nothing, |c, _, _| c.max_pairs = 0),
    config("cfg-pairs-more", "more queue pairs than there are queues", Expect::Nothing, |c, _, _| c.max_pairs = 100),
    config("cfg-pairs-32768", "32768 queue pairs, the most that are legal", Expect::Nothing, |c, _, _| c.max_pairs = 32768),
    config("cfg-pairs-32769", "32769 queue pairs", Expect::Nothing, |c, _, _| c.max_pairs = 32769),
    config("cfg-pairs-65535", "65535 queue pairs", Expect::Nothing, |c, _, _| c.max_pairs = 65535),
    config("cfg-pairs-fewer", "fewer queue pairs than there are queues: the control queue isn't where it should be", Expect::Nothing,
        |c, _, _| c.max_pairs = 2),
    with("+MTU", config("cfg-mtu-0", "MTU 0", Expect::Works, |c, _, _| c.mtu = 0)),
    with("+MTU", config("cfg-mtu-67", "MTU 67", Expect::Works, |c, _, _| c.mtu = 67)),
    with("+MTU", config("cfg-mtu-68", "MTU 68, the smallest", Expect::Nothing, |c, _, _| c.mtu = 68)),
    with("+MTU", config("cfg-mtu-65535", "MTU 65535", Expect::Works, |c, _, _| c.mtu = 65535)),
    with("+MTU", config("cfg-mtu-moves", "another MTU each time that it is read", Expect::Nothing, |c, _, g| c.mtu = g.odd16(1500))),
    with("+MTU-MRG_RXBUF-GUEST_TSO4-GUEST_TSO6-GUEST_ECN-GUEST_USO4-GUEST_USO6",
        config("small-mtu-moves", "small buffers: another MTU each time that it is read", Expect::Nothing, |c, _, g| {
            c.mtu = g.odd16(1500)
        })),
    config("cfg-mac-zero", "an address of zeros", Expect::Nothing, |c, _, _| c.mac = [0; 6]),
    config("cfg-mac-group", "a multicast address", Expect::Nothing, |c, _, _| c.mac[0] |= 1),
    config("cfg-mac-moves", "another address each time that it is read", Expect::Nothing, |c, _, g| c.mac[5] = g.next() as u8),
    config("cfg-speed", "speed and duplex that there aren't", Expect::Works, |c, _, g| {
        c.speed = g.next() as u32 | 1 << 31;
        c.duplex = 200;
    }),
    config("cfg-status-ones", "all bits of the status", Expect::Nothing, |c, _, _| c.status = 0xffff),
    config("cfg-status-moves", "another status each time that it is read", Expect::Nothing, |c, _, g| c.status = g.next() as u16),
    with(EXTRAS, config("cfg-rss-0", "no room for a table or a key", Expect::Nothing, |c, _, _| (c.rss_table, c.rss_key) = (0, 0))),
    with(EXTRAS, config("cfg-rss-key-255", "a key of 255 bytes", Expect::Nothing, |c, _, _| c.rss_key = 255)),
    with(EXTRAS, config("cfg-rss-key-1", "a key of 1 byte", Expect::Nothing, |c, _, _| c.rss_key = 1)),
    with(EXTRAS, config("cfg-rss-table-3", "a table of 3 entries", Expect::Nothing, |c, _, _| c.rss_table = 3)),
    with(EXTRAS, config("cfg-rss-table-max", "a table of 65535 entries", Expect::Nothing, |c, _, _| c.rss_table = 65535)),
    with(EXTRAS, config("cfg-rss-types", "all types of hashes", Expect::Nothing, |c, _, _| c.hash_types = u32::MAX)),
    with(EXTRAS, config("cfg-rss-moves", "other sizes each time that they are read", Expect::Nothing, |c, _, g| {
        c.rss_table = g.odd16(128);
        c.rss_key = g.next() as u8;
        c.hash_types = g.next() as u32;
    })),
    Case {
        raw: Some(|b, _| b.fill(0xff)),
        ..config("cfg-ones", "a configuration of ones", Expect::Nothing, |_, _, _| {})
    },
    Case {
        raw: Some(|b, _| b.fill(0)),
        ..config("cfg-zeros", "a configuration of zeros", Expect::Nothing, |_, _, _| {})
    },
    Case {
        raw: Some(|b, g| b.iter_mut().for_each(|b| *b = g.next() as u8)),
        ..config("cfg-random", "a configuration by chance each time that it is read", Expect::Nothing, |_, _, _| {})
    },
    quick(Case {
        tick: Some(|net, _, _| net.config_irq()),
        every: 5,
        ..config("announce-probe", "an announcement is asked for while the driver is being bound, and on", Expect::Nothing, |c, _, _| {
            c.status |= S_ANNOUNCE
        })
    }),
    tick("announce-storm", "an announcement is asked for each 5 ms", Expect::Nothing, 5, |net, _, _| {
        net.config.status |= S_ANNOUNCE;
        net.config_irq();
    }),
    tick("link-storm", "the link goes and comes each 5 ms", Expect::Nothing, 5, |net, n, _| {
        net.config.status = if n % 2 == 0 { S_LINK_UP } else { 0 };
        net.config_irq();
    }),
    tick("cfg-runtime", "the configuration changes by chance, with an interrupt", Expect::Nothing, 20, |net, n, g| {
        fuzz_config(&mut net.config, n, g);
        net.config_irq();
    }),
    quick(Case {
        tick: Some(|net, _, _| {
            net.config.status |= S_ANNOUNCE;
            net.config_irq();
        }),
        ..features("announce-no-ctrl", "an announcement is asked for without a control queue", Expect::Works,
            "-CTRL_VQ-CTRL_RX-CTRL_VLAN-GUEST_ANNOUNCE-MQ-CTRL_MAC_ADDR-CTRL_GUEST_OFFLOADS")
    }),
    // --- features ---------------------------------------------------------------------------------------------------
    quick(features("feat-gro-no-csum", "GUEST_TSO, GUEST_USO without GUEST_CSUM", Expect::Works, "-GUEST_CSUM")),
    features("feat-tso-no-csum", "HOST_TSO, HOST_USO without CSUM", Expect::Works, "-CSUM"),
    features("feat-ecn-alone", "GUEST_ECN, HOST_ECN without TSO", Expect::Works, "-GUEST_TSO4-GUEST_TSO6-HOST_TSO4-HOST_TSO6"),
    features("feat-no-ctrl", "everything that needs a control queue, without one", Expect::Nothing, "-CTRL_VQ+NOTF_COAL+VQ_NOTF_COAL+RSS"),
    features("feat-mq-no-ctrl", "MQ without a control queue", Expect::Nothing,
        "-CTRL_VQ-CTRL_RX-CTRL_VLAN-GUEST_ANNOUNCE-CTRL_MAC_ADDR-CTRL_GUEST_OFFLOADS"),
    features("feat-everything", "all features that there are for networks", Expect::Nothing,
        "+MTU+GSO+GUEST_UFO+HOST_UFO+CTRL_RX_EXTRA+GUEST_HDRLEN+NOTF_COAL+VQ_NOTF_COAL+DEVICE_STATS+HASH_REPORT+RSS+RSC_EXT+STANDBY+HASH_TUNNEL"),
    features("feat-unknown", "features that nobody knows", Expect::Works, "+bit42+bit43+bit44+bit45+bit46+bit47+bit48+bit49+bit58"),
    features("feat-least", "nothing but version 1", Expect::Works, "VERSION_1"),
    features("feat-no-event-idx", "no event index", Expect::Works, "-EVENT_IDX"),
    features("feat-no-indirect", "no indirect descriptors", Expect::Works, "-INDIRECT_DESC"),
    features("feat-rx-extra", "CTRL_RX_EXTRA and hash reports, without a control queue", Expect::Nothing,
        "-CTRL_VQ-CTRL_RX-CTRL_VLAN-GUEST_ANNOUNCE-MQ-CTRL_MAC_ADDR-CTRL_GUEST_OFFLOADS+CTRL_RX_EXTRA+HASH_REPORT"),
    features("feat-not-1", "a modern device without version 1", Expect::Refused, "-VERSION_1"),
    // --- everything by chance ---------------------------------------------------------------------------------------
    quick(fuzz("fuzz", "everything by chance", "+NOTF_COAL+VQ_NOTF_COAL+DEVICE_STATS+RSS")),
    fuzz("fuzz-big", "everything by chance, lists of pages", "-MRG_RXBUF+MTU"),
    fuzz("fuzz-small", "everything by chance, small buffers", SMALL),
    fuzz("fuzz-plain", "everything by chance, rings without event index and indirect descriptors", "-EVENT_IDX-INDIRECT_DESC"),
    // --- the end ----------------------------------------------------------------------------------------------------
    quick(Case {
        silent: true,
        stimulus: Stimulus::All,
        ..rx("dead-silent", "nothing is served any more", Expect::Nothing, |_, _| {})
    }),
    Case {
        silent: true,
        ..config("dead-probe", "nothing is served from the first moment on", Expect::Nothing, |_, _, _| {})
    },
    Case {
        stage: Stage::Death,
        stimulus: Stimulus::All,
        ..tick("dead-exit", "the device's process ends", Expect::Nothing, 50, |_, n, _| {
            if n > 4 {
                std::process::exit(0);
            }
        })
    },
];

/// The catalogue, and what is there by name only.
pub fn all() -> impl Iterator<Item = &'static Case> {
    CASES.iter().chain(crate::scale::CASES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{Chain, Seg};
    use crate::spec::{f, parse_features, DEFAULT};

    #[test]
    fn the_catalogue_is_sound() {
        assert!(CASES.len() >= 60);
        for c in all() {
            assert!(!c.name.is_empty() && !c.what.is_empty());
            assert!(
                c.name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{}",
                c.name
            );
            assert!(!c.what.contains(';'), "{}", c.name);
            assert_eq!(all().filter(|d| d.name == c.name).count(), 1, "{}", c.name);
            assert_eq!(c.features.is_empty(), c.stage != Stage::Plug, "{}", c.name);
            let set = parse_features(c.features, DEFAULT).unwrap();
            assert!(c.features.is_empty() || set & f::PROTOCOL_FEATURES == 0);
            assert!(c.every > 0);
        }
    }

    /// No change may stop the device itself, whatever it is given.
    #[test]
    fn changes_never_panic() {
        let mut g = Rng::new(3);
        for c in all() {
            for size in [60usize, 100, 1400, 5000] {
                for _ in 0..200 {
                    let data = if g.one_in(2) {
                        crate::stack::datagram([0; 6], 9, 9, &vec![1; size])
                    } else {
                        crate::stack::segment([0; 6], 9, &vec![1; size])
                    };
                    let chain = Chain {
                        head: g.below(256) as u16,
                        out: Vec::new(),
                        inp: vec![Seg { addr: 0, len: 1536 }],
                    };
                    let mut r = Rx {
                        hdr: Hdr {
                            num_buffers: 1 + g.below(4) as u16,
                            ..Hdr::default()
                        },
                        data,
                        used: vec![(chain.head.into(), 1536); 3],
                        advance: 3,
                        chains: vec![chain],
                        flicker: None,
                    };
                    if let Some(f) = c.rx {
                        f(&mut r, &mut g);
                    }
                    let mut d = Done {
                        used: vec![(5, 1)],
                        advance: 1,
                        reply: vec![0; g.below(300) as usize],
                        hold: None,
                        linger: None,
                        chained: false,
                    };
                    if let Some(f) = c.tx {
                        f(&mut d, 256, &mut g);
                    }
                    if let Some(f) = c.ctrl {
                        f(&mut d, 64, &mut g);
                    }
                }
            }
        }
    }
}
