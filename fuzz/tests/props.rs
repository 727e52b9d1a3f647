// SPDX-License-Identifier: GPL-2.0

//! The properties with values of proptest's, which names the smallest ones that break one. PROPTEST_CASES says how many.

use fuzz::{buffers, commands, header, queues, steering, target};
use proptest::collection::vec;
use proptest::prelude::*;

/// Lengths: any, those that there are, and those at an edge.
fn len() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        0u32..70_000,
        0u32..40,
        (0u32..32, -20i64..20).prop_map(|(bit, by)| ((1i64 << bit) + by) as u32),
        (0u32..20).prop_map(|by| u32::MAX - by),
    ]
}

/// The same in 16 bits.
fn half() -> impl Strategy<Value = u16> {
    prop_oneof![
        any::<u16>(),
        0u16..100,
        (0u16..20).prop_map(|by| u16::MAX - by)
    ]
}

/// Bits: any, few, and most.
fn bits() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        vec(0u32..64, 0..6).prop_map(|v| v.iter().fold(0, |m, b| m | 1 << b)),
        vec(0u32..64, 0..6).prop_map(|v| v.iter().fold(!0, |m, b| m & !(1 << b))),
    ]
}

/// A header: any, and one that is nearly right, tunnelled or not.
fn hdr() -> impl Strategy<Value = [u8; 16]> {
    let kind = prop_oneof![
        Just(0u8),
        Just(1),
        Just(3),
        Just(4),
        Just(5),
        Just(0x81),
        Just(0x84),
        Just(0x85),
        Just(0x21),
        Just(0x24),
        Just(0x25),
        Just(0x41),
        Just(0x45),
        Just(0xa1),
        Just(0x61),
        any::<u8>(),
    ];
    let small = || prop_oneof![0u16..200, any::<u16>()];
    let near = (
        0u8..16,
        kind,
        small(),
        [small(), small(), small()],
        [small(), small()],
    )
        .prop_map(
            |(flags, kind, size, [start, offset, num], [outer, inner])| {
                let mut b = [0; 16];
                (b[0], b[1]) = (flags, kind);
                for (at, v) in [
                    (4, size),
                    (6, start),
                    (8, offset),
                    (10, num),
                    (12, outer),
                    (14, inner),
                ] {
                    b[at..at + 2].copy_from_slice(&v.to_le_bytes());
                }
                b
            },
        );
    prop_oneof![near, any::<[u8; 16]>()]
}

fn asked() -> impl Strategy<Value = Vec<(u16, u64)>> {
    let types = prop_oneof![bits(), Just(0x1_000f_000f)];
    vec((prop_oneof![0u16..12, any::<u16>()], types), 0..8)
}

proptest! {
    #[test]
    fn used_lengths(used in len(), posted in len(), hdr in len()) {
        buffers::payload_len(used, posted, hdr);
    }

    #[test]
    fn used_lengths_near_what_was_posted(posted in len(), more in 0u32..4, hdr in 10u32..25) {
        buffers::payload_len(posted.wrapping_add(more).wrapping_sub(2), posted, hdr);
    }

    #[test]
    fn merged_packets(num in half(), ring in len(), hdr in 10u32..25, parts in vec((len(), len()), 0..70)) {
        buffers::merged(num, ring, hdr, &parts);
    }

    #[test]
    fn averages(initial in len(), lens in vec(len(), 0..64)) {
        buffers::average(initial, &lens);
    }

    #[test]
    fn shapes(offset in len(), posted in len(), size in len(), word in any::<u64>()) {
        buffers::shape(offset, posted, size);
        buffers::context(word);
    }

    #[test]
    fn mergeable_buffers(avg in len(), min in len(), hdr in len(), room in len(), shinfo in len(), page in len()) {
        buffers::mergeable(avg, min, hdr, room, shinfo, page);
        buffers::mergeable(avg % 70_000, min % 70_000, hdr % 25, room % 1000, shinfo % 1000, 4096);
    }

    #[test]
    fn least_buffers(ring in len(), packet in len(), hdr in len(), free in len(), frags in any::<u8>()) {
        buffers::min_buf_len(ring, packet, hdr);
        buffers::room(free, frags);
        buffers::room(u32::from(frags) + free % 5, frags);
    }

    #[test]
    fn headers(bytes in hdr(), offloads in prop_oneof![any::<u16>(), Just(!0)], packet in len()) {
        header::parse(bytes, offloads, packet);
    }

    #[test]
    fn tunnels(kind in any::<u8>(), vlan in any::<bool>(), options in any::<(u8, u8)>(), start in half(), noise in any::<u8>()) {
        header::located(kind, vlan, options, start, noise);
    }

    #[test]
    fn tunnels_that_are_none(hdr in hdr(), outer in vec(any::<u8>(), 38), inner in vec(any::<u8>(), 60)) {
        let hdr = *hdr.first_chunk().unwrap();
        header::locate(hdr, outer.try_into().unwrap(), inner.try_into().unwrap());
    }

    #[test]
    fn answers(byte in prop_oneof![Just(0u8), any::<u8>()], used in len(), room in len()) {
        commands::answer(byte, used, room);
        commands::answer(byte, room.wrapping_add(used % 4), room);
    }

    #[test]
    fn commands_in_parts(command in vec(any::<u8>(), 0..40), cut in 0usize..50) {
        commands::cut(&command, cut);
    }

    #[test]
    fn deadlines(us in 0u32..20_000_000) {
        commands::backoff(us);
    }

    #[test]
    fn moderation(now in any::<[u32; 4]>(), want in any::<[u32; 4]>(), flags in any::<u8>()) {
        commands::moderation(now, want, flags);
        commands::moderation(want.map(|n| n % 40_000), want.map(|n| n % 40_000), flags);
    }

    #[test]
    fn statistics_of_any_bytes(asked in asked(), reply in vec(any::<u8>(), 0..400)) {
        commands::any_reply(&asked, &reply);
    }

    #[test]
    fn statistics_as_they_should_be(asked in asked(), seed in any::<u64>(), change in prop::option::of((any::<u16>(), any::<u8>()))) {
        commands::good_reply(&asked, seed, change);
    }

    #[test]
    fn statistics_that_are_asked_for(supported in bits(), features in bits()) {
        commands::types(supported, features);
    }

    #[test]
    fn steering_by_hash(f in bits(), key in prop_oneof![36u8..44, any::<u8>()], table in half(), types in bits()) {
        steering::device(f, key, table, types as u32);
        steering::device(f | 1 << 60 | 1 << 57, key, table, types as u32);
    }

    #[test]
    fn hashes(types in any::<u32>(), supported in bits(), flow in any::<u8>(), want in any::<u8>(), report in any::<[u8; 8]>(), kind in 0u8..9) {
        steering::hash_fields(types, supported as u32, flow, want);
        steering::report(report);
        let [a, b, c, d, ..] = report;
        steering::report([a, b, c, d, kind, 0, 0, 0]);
    }

    #[test]
    fn tables(types in any::<u32>(), log in any::<u8>(), pairs in half(), seed in any::<u8>(), index in half()) {
        steering::command(types, log, pairs, seed);
        steering::table(index, pairs);
    }

    #[test]
    fn resets(steps in vec(prop_oneof![0u16..30, any::<u16>()], 0..60)) {
        queues::resets(&steps);
    }

    #[test]
    fn stuck(alone: bool, steps in vec((prop_oneof![0u8..8, any::<u8>()], any::<bool>(), any::<bool>()), 0..80)) {
        queues::stuck(alone, &steps);
    }

    #[test]
    fn cpus(pairs in 0u16..600, cpus in 0u16..600, topology in vec((-1i8..4, 0i8..4, 0i8..4, any::<u32>()), 0..40)) {
        queues::spread(pairs, cpus);
        queues::topology(&topology);
    }

    #[test]
    fn configurations(f in bits(), pairs in half(), mtu in half(), speed in len(), mac in any::<[u8; 6]>(), cpus in len(), param in len()) {
        queues::configuration(f, pairs, mtu, speed, mac, cpus, param);
    }

    #[test]
    fn features(lo in bits(), hi in bits(), more_lo in bits(), more_hi in bits()) {
        queues::features(lo, hi, more_lo, more_hi);
    }

    /// What the fuzzer's targets make of bytes breaks nothing either.
    #[test]
    fn targets(data in vec(any::<u8>(), 0..200)) {
        for target in [target::rx, target::hdr, target::ctrl, target::coalesce, target::stats, target::rss, target::recovery,
            target::affinity, target::features] {
            target(&data);
        }
    }
}
