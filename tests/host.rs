// SPDX-License-Identifier: GPL-2.0

//! Tests of `pure/` on the build host:
//!
//! ```sh
//! rustc --edition=2021 --test tests/host.rs -o host && ./host
//! ```
//!
//! Expected values come from tables and models that are written down here independently of the code
//! under test.

#![allow(dead_code)]

#[path = "../pure/mod.rs"]
mod pure;

mod host_coalesce;
mod host_stats;

/// A small generator of pseudo-random numbers (xorshift64), the same on each run.
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn u64(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn u32(&mut self) -> u32 {
        (self.u64() >> 32) as u32
    }

    fn u16(&mut self) -> u16 {
        (self.u64() >> 48) as u16
    }

    fn u8(&mut self) -> u8 {
        (self.u64() >> 56) as u8
    }

    /// Any magnitude is as likely as any other.
    fn magnitude(&mut self) -> u32 {
        let bits = self.u32() % 33;
        if bits == 0 {
            0
        } else {
            self.u32() >> (32 - bits)
        }
    }
}

/// Values at which 32-bit arithmetic tends to break.
const EDGES: [u32; 22] = [
    0,
    1,
    2,
    3,
    13,
    14,
    15,
    63,
    64,
    65,
    127,
    128,
    4095,
    4096,
    65535,
    65536,
    1 << 24,
    i32::MAX as u32,
    1 << 31,
    (1 << 31) + 1,
    u32::MAX - 1,
    u32::MAX,
];

mod eth {
    use super::pure::eth::frame_len;

    #[test]
    fn a_frame_has_header_and_tag_beside_what_it_carries() {
        assert_eq!(frame_len(0), 18);
        assert_eq!(frame_len(1500), 1518);
        assert_eq!(frame_len(u32::MAX - 18), u32::MAX);
        assert_eq!(frame_len(u32::MAX), u32::MAX);
    }
}

mod affinity {
    use super::pure::affinity::{order, pair_cpus, pair_of_rank, CpuTopology};
    use super::{Random, EDGES};

    /// Sorted by place, slices are of neighbours.
    #[test]
    fn slices_are_of_neighbours() {
        // 2 nodes of 1 package each, 4 cores each, 2 threads each, numbered as firmware likes to:
        // first one thread of each core, the nodes in turn.
        let mut topology: Vec<CpuTopology> = (0..16)
            .map(|cpu| CpuTopology {
                node: cpu % 2,
                package: cpu % 2,
                core: cpu / 2 % 4,
                cpu: cpu as u32,
            })
            .collect();
        order(&mut topology);
        let cpus: Vec<u32> = topology.iter().map(|cpu| cpu.cpu).collect();
        assert_eq!(cpus, [0, 8, 2, 10, 4, 12, 6, 14, 1, 9, 3, 11, 5, 13, 7, 15]);
        let shared = |pairs: u32, same: fn(&CpuTopology) -> (i32, i32)| {
            (0..pairs).all(|pair| {
                let range = pair_cpus(pair, pairs, 16);
                let slice = &topology[range.start as usize..range.end as usize];
                slice.iter().all(|place| same(place) == same(&slice[0]))
            })
        };
        // Two pairs: one for each node. Eight: one for each core.
        assert!(shared(2, |cpu| (cpu.node, 0)));
        assert!(shared(4, |cpu| (cpu.node, 0)));
        assert!(shared(8, |cpu| (cpu.node, cpu.core)));
        // Where there is nothing to tell them apart, the numbers do.
        let mut plain: Vec<CpuTopology> = [3, 1, 2, 0]
            .map(|cpu| CpuTopology {
                node: -1,
                package: 0,
                core: 0,
                cpu,
            })
            .to_vec();
        order(&mut plain);
        assert!(plain.iter().map(|cpu| cpu.cpu).eq(0..4));
    }

    /// The numbers of the online CPUs, ascending: what gives a rank its CPU.
    fn online(mask: u128) -> Vec<u32> {
        (0..128).filter(|cpu| mask >> cpu & 1 != 0).collect()
    }

    /// What each pair is bound to, as a mask of CPU numbers, through the code under test.
    fn bound(mask: u128, pairs: u32) -> Vec<u128> {
        let cpus = online(mask);
        (0..pairs)
            .map(|pair| {
                pair_cpus(pair, pairs, cpus.len() as u32)
                    .map(|rank| 1 << cpus[rank as usize])
                    .fold(0, |set: u128, cpu: u128| {
                        assert_eq!(set & cpu, 0);
                        set | cpu
                    })
            })
            .collect()
    }

    /// The same by dealing out.
    fn model(mask: u128, pairs: u32) -> Vec<u128> {
        let mut sets = vec![0; pairs as usize];
        if mask == 0 || pairs == 0 {
            return sets;
        }
        if pairs >= mask.count_ones() {
            // Walk round and round the mask.
            let mut rest = mask;
            for set in &mut sets {
                if rest == 0 {
                    rest = mask;
                }
                *set = rest & rest.wrapping_neg();
                rest &= rest - 1;
            }
            return sets;
        }
        // Deal the number of CPUs out one by one, then hand out that many in order.
        let mut sizes = vec![0; pairs as usize];
        for card in 0..mask.count_ones() {
            sizes[(card % pairs) as usize] += 1;
        }
        let mut rest = mask;
        for (set, size) in sets.iter_mut().zip(sizes) {
            for _ in 0..size {
                *set |= rest & rest.wrapping_neg();
                rest &= rest - 1;
            }
        }
        sets
    }

    #[test]
    fn all_small_cases() {
        for cpus in 1..=64u32 {
            for pairs in 1..=64u32 {
                let ranges: Vec<_> = (0..pairs).map(|p| pair_cpus(p, pairs, cpus)).collect();

                let mut holders = vec![0u32; cpus as usize];
                let mut lowest = vec![None; cpus as usize];
                for (pair, range) in (0..).zip(&ranges) {
                    assert!(range.start < range.end && range.end <= cpus);
                    for rank in range.clone() {
                        holders[rank as usize] += 1;
                        lowest[rank as usize].get_or_insert(pair);
                    }
                }
                assert!(holders.iter().all(|n| *n > 0), "{pairs} pairs, {cpus} CPUs");

                let sizes: Vec<u32> = ranges.iter().map(|r| r.end - r.start).collect();
                let (min, max) = (*sizes.iter().min().unwrap(), *sizes.iter().max().unwrap());
                assert!(max - min <= 1);
                assert!(sizes.windows(2).all(|w| w[0] >= w[1]));
                if pairs <= cpus {
                    assert!(holders.iter().all(|n| *n == 1));
                    assert_eq!(ranges[0].start, 0);
                    assert!(ranges.windows(2).all(|w| w[0].end == w[1].start));
                    assert_eq!(ranges[pairs as usize - 1].end, cpus);
                } else {
                    assert_eq!(max, 1);
                    let (least, most) = (
                        *holders.iter().min().unwrap(),
                        *holders.iter().max().unwrap(),
                    );
                    assert!(most - least <= 1);
                }

                for rank in 0..cpus {
                    assert_eq!(pair_of_rank(rank, pairs, cpus), lowest[rank as usize]);
                }
                assert_eq!(pair_of_rank(cpus, pairs, cpus), None);
                assert_eq!(pair_of_rank(u32::MAX, pairs, cpus), None);
                assert!(pair_cpus(pairs, pairs, cpus).is_empty());
                assert!(pair_cpus(u32::MAX, pairs, cpus).is_empty());
            }
        }
    }

    #[test]
    fn examples() {
        let table: [(u32, u32, &[core::ops::Range<u32>]); 6] = [
            (6, 4, &[0..1, 1..2, 2..3, 3..4, 0..1, 1..2]),
            (3, 8, &[0..3, 3..6, 6..8]),
            (4, 4, &[0..1, 1..2, 2..3, 3..4]),
            (5, 3, &[0..1, 1..2, 2..3, 0..1, 1..2]),
            (2, 3, &[0..2, 2..3]),
            (3, 1, &[0..1, 0..1, 0..1]),
        ];
        for (pairs, cpus, expected) in table {
            let got: Vec<_> = (0..pairs).map(|p| pair_cpus(p, pairs, cpus)).collect();
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn all_masks_of_11_cpus() {
        for mask in 0..1 << 11 {
            for pairs in 0..=13 {
                assert_eq!(bound(mask, pairs), model(mask, pairs), "{mask:#b}, {pairs}");
            }
        }
    }

    #[test]
    fn wide_masks() {
        let mut masks = vec![
            // Odd CPUs only, even ones only, every third.
            0xaaaa_aaaa_aaaa_aaaa,
            0x5555_5555_5555_5555,
            0x9249_2492_4924_9249,
            // A hole, the first and the last one missing.
            0xffff_0000_ffff,
            0xffff_ffff_ffff_fffe,
            0x7fff_ffff_ffff_ffff,
            // Far ones, all.
            1 << 127 | 1,
            u128::MAX << 64,
            u128::MAX,
        ];
        masks.extend((0..128).map(|cpu| 1 << cpu));
        masks.extend((0..128).map(|cpu| !(1 << cpu)));
        let mut random = Random::new();
        for _ in 0..50 {
            let mask = u128::from(random.u64()) << 64 | u128::from(random.u64());
            masks.extend([mask, mask & mask >> 7]);
        }
        for mask in masks {
            for pairs in [1, 2, 3, 7, 8, 63, 64, 127, 128, 129, 200] {
                assert_eq!(bound(mask, pairs), model(mask, pairs), "{mask:#b}, {pairs}");
            }
        }
    }

    #[test]
    fn nothing_to_bind() {
        for value in EDGES {
            assert!(pair_cpus(0, 0, value).is_empty());
            assert!(pair_cpus(value, 0, value).is_empty());
            assert!(pair_cpus(0, value, 0).is_empty());
            assert!(pair_cpus(value, value, 5).is_empty());
            assert_eq!(pair_of_rank(value, 0, value), None);
            assert_eq!(pair_of_rank(value, value, 0), None);
            assert_eq!(pair_of_rank(value, 5, value), None);
        }
    }

    /// Each pair's range holds the CPUs that map back to it, anywhere in 32 bits.
    #[test]
    fn extremes() {
        let check = |pair: u32, pairs: u32, cpus: u32| {
            let range = pair_cpus(pair, pairs, cpus);
            if pair >= pairs || cpus == 0 {
                assert!(range.is_empty());
                return;
            }
            assert!(range.start < range.end && range.end <= cpus);
            let size = u64::from(range.end - range.start);
            let (cpus64, pairs64) = (u64::from(cpus), u64::from(pairs));
            if pairs >= cpus {
                assert_eq!((size, range.start), (1, pair % cpus));
                assert_eq!(pair_of_rank(range.start, pairs, cpus), Some(pair % cpus));
            } else {
                assert!(size == cpus64 / pairs64 || size == cpus64.div_ceil(pairs64));
                assert_eq!(pair_of_rank(range.start, pairs, cpus), Some(pair));
                assert_eq!(pair_of_rank(range.end - 1, pairs, cpus), Some(pair));
                if pair + 1 == pairs {
                    assert_eq!(range.end, cpus);
                } else {
                    assert_eq!(range.end, pair_cpus(pair + 1, pairs, cpus).start);
                }
            }
        };
        for pair in EDGES {
            for pairs in EDGES {
                for cpus in EDGES {
                    check(pair, pairs, cpus);
                    check(pairs.saturating_sub(1), pairs, cpus);
                }
            }
        }
        let mut random = Random::new();
        for _ in 0..100_000 {
            let pairs = random.magnitude();
            let cpus = random.magnitude();
            check(random.u32() % pairs.max(1), pairs, cpus);
        }
    }
}

mod features {
    use super::pure::features::{
        bit, hdr_len, is_detail, name, offload_bit, resolve, without_receive_offloads, Features,
        SUPPORTED, SUPPORTED_LEGACY,
    };
    use super::Random;

    fn set(bits: &[u32]) -> Features {
        bits.iter().fold(Features::EMPTY, |f, bit| f.with(*bit))
    }

    /// Numbers and names, from the specification.
    const NAMES: [(u32, u32, &str); 45] = [
        (0, bit::CSUM, "CSUM"),
        (1, bit::GUEST_CSUM, "GUEST_CSUM"),
        (2, bit::CTRL_GUEST_OFFLOADS, "CTRL_GUEST_OFFLOADS"),
        (3, bit::MTU, "MTU"),
        (5, bit::MAC, "MAC"),
        (6, bit::GSO, "GSO"),
        (7, bit::GUEST_TSO4, "GUEST_TSO4"),
        (8, bit::GUEST_TSO6, "GUEST_TSO6"),
        (9, bit::GUEST_ECN, "GUEST_ECN"),
        (10, bit::GUEST_UFO, "GUEST_UFO"),
        (11, bit::HOST_TSO4, "HOST_TSO4"),
        (12, bit::HOST_TSO6, "HOST_TSO6"),
        (13, bit::HOST_ECN, "HOST_ECN"),
        (14, bit::HOST_UFO, "HOST_UFO"),
        (15, bit::MRG_RXBUF, "MRG_RXBUF"),
        (16, bit::STATUS, "STATUS"),
        (17, bit::CTRL_VQ, "CTRL_VQ"),
        (18, bit::CTRL_RX, "CTRL_RX"),
        (19, bit::CTRL_VLAN, "CTRL_VLAN"),
        (20, bit::CTRL_RX_EXTRA, "CTRL_RX_EXTRA"),
        (21, bit::GUEST_ANNOUNCE, "GUEST_ANNOUNCE"),
        (22, bit::MQ, "MQ"),
        (23, bit::CTRL_MAC_ADDR, "CTRL_MAC_ADDR"),
        (27, bit::ANY_LAYOUT, "ANY_LAYOUT"),
        (32, bit::VERSION_1, "VERSION_1"),
        (33, bit::ACCESS_PLATFORM, "ACCESS_PLATFORM"),
        (40, bit::RING_RESET, "RING_RESET"),
        (50, bit::DEVICE_STATS, "DEVICE_STATS"),
        (51, bit::HASH_TUNNEL, "HASH_TUNNEL"),
        (52, bit::VQ_NOTF_COAL, "VQ_NOTF_COAL"),
        (53, bit::NOTF_COAL, "NOTF_COAL"),
        (54, bit::GUEST_USO4, "GUEST_USO4"),
        (55, bit::GUEST_USO6, "GUEST_USO6"),
        (56, bit::HOST_USO, "HOST_USO"),
        (57, bit::HASH_REPORT, "HASH_REPORT"),
        (59, bit::GUEST_HDRLEN, "GUEST_HDRLEN"),
        (60, bit::RSS, "RSS"),
        (61, bit::RSC_EXT, "RSC_EXT"),
        (62, bit::STANDBY, "STANDBY"),
        (63, bit::SPEED_DUPLEX, "SPEED_DUPLEX"),
        (64, bit::RSS_CONTEXT, "RSS_CONTEXT"),
        (65, bit::GUEST_UDP_TUNNEL_GSO, "GUEST_UDP_TUNNEL_GSO"),
        (
            66,
            bit::GUEST_UDP_TUNNEL_GSO_CSUM,
            "GUEST_UDP_TUNNEL_GSO_CSUM",
        ),
        (67, bit::HOST_UDP_TUNNEL_GSO, "HOST_UDP_TUNNEL_GSO"),
        (
            68,
            bit::HOST_UDP_TUNNEL_GSO_CSUM,
            "HOST_UDP_TUNNEL_GSO_CSUM",
        ),
    ];

    #[test]
    fn names() {
        for number in (0..200).chain([u32::MAX - 1, u32::MAX]) {
            let known = NAMES.iter().find(|row| row.0 == number);
            assert_eq!(name(number), known.map_or("?", |row| row.2));
        }
        for (number, constant, _) in NAMES {
            assert_eq!(number, constant);
        }
    }

    #[test]
    fn single_bits() {
        for bit in 0..128 {
            let f = Features::EMPTY.with(bit);
            let (lo, hi) = f.words();
            assert_eq!(u128::from(hi) << 64 | u128::from(lo), 1 << bit);
            assert_eq!(Features::from_words(lo, hi), f);
            for other in 0..200 {
                assert_eq!(f.has(other), other == bit);
            }
            assert_eq!(f.with(bit), f);
            assert_eq!(f.without(bit), Features::EMPTY);
            assert_eq!(f.without((bit + 64) % 128), f);
            let all = Features::from_words(u64::MAX, u64::MAX);
            assert!(all.has(bit) && !all.without(bit).has(bit));
            assert_eq!(all.without(bit).with(bit), all);
        }
    }

    #[test]
    fn bits_that_do_not_exist() {
        let some = Features::from_words(0x1234, 0x5678);
        for bit in [128, 129, 191, 192, 255, 256, 1 << 31, u32::MAX] {
            assert!(!Features::from_words(u64::MAX, u64::MAX).has(bit));
            assert_eq!(some.with(bit), some);
            assert_eq!(some.without(bit), some);
        }
    }

    #[test]
    fn usable_in_constants() {
        const F: Features = Features::from_words(1, 0).with(64).with(2).without(0);
        const WORDS: (u64, u64) = F.words();
        const HAS: bool = F.has(64);
        const NAME: &str = name(22);
        assert_eq!((WORDS, HAS, NAME), ((4, 1), true, "MQ"));
    }

    #[test]
    fn supported() {
        let mut sorted = SUPPORTED.to_vec();
        sorted.sort_unstable();
        let modern = [
            0, 1, 2, 3, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 23, 50, 52, 53,
            54, 55, 56, 57, 59, 60, 62, 63, 65, 66, 67, 68,
        ];
        assert_eq!(sorted, modern);

        let mut legacy: Vec<u32> = sorted.into_iter().filter(|bit| *bit < 32).collect();
        legacy.extend([6, 27]);
        legacy.sort_unstable();
        let mut sorted = SUPPORTED_LEGACY.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, legacy);

        // All that is asked for is named and, all together, complete.
        for bits in [&SUPPORTED[..], &SUPPORTED_LEGACY[..]] {
            assert!(bits.iter().all(|bit| name(*bit) != "?"));
            assert_eq!(resolve(set(bits)), (set(bits), Features::EMPTY));
        }
    }

    /// The requirements again, as conditions on bit numbers.
    fn complete(bit: u32, has: impl Fn(u32) -> bool) -> bool {
        match bit {
            7 | 8 | 10 | 54 | 55 => has(1),
            9 => has(7) || has(8),
            6 | 11 | 12 | 14 | 56 => has(0),
            13 | 61 => has(11) || has(12),
            2 | 18 | 19 | 20 | 21 | 22 | 23 | 50 | 52 | 53 | 57 | 60 => has(17),
            51 => has(17) && (has(60) || has(57)),
            62 => has(5),
            64 => has(17) && has(60),
            65 => has(7) && has(8) && has(54) && has(55),
            66 => has(65),
            67 => has(11) && has(12) && has(56),
            68 => has(67),
            _ => true,
        }
    }

    /// The greatest complete subset, one feature at a time.
    fn model(negotiated: u128) -> u128 {
        let mut accepted = negotiated;
        'again: loop {
            for bit in 0..128 {
                if accepted >> bit & 1 != 0 && !complete(bit, |b| accepted >> b & 1 != 0) {
                    accepted &= !(1 << bit);
                    continue 'again;
                }
            }
            return accepted;
        }
    }

    fn check(negotiated: u128) {
        let (accepted, refused) = resolve(Features::from_words(
            negotiated as u64,
            (negotiated >> 64) as u64,
        ));
        let number = |f: Features| u128::from(f.words().1) << 64 | u128::from(f.words().0);
        assert_eq!(number(accepted), model(negotiated), "{negotiated:#x}");
        assert_eq!(number(accepted) | number(refused), negotiated);
        assert_eq!(number(accepted) & number(refused), 0);
        // Doing it again changes nothing.
        assert_eq!(resolve(accepted), (accepted, Features::EMPTY));
    }

    #[test]
    fn requirements_against_the_model() {
        check(0);
        check(u128::MAX);
        for a in 0..128 {
            check(1 << a);
            check(!(1 << a));
            for b in 0..a {
                check(1 << a | 1 << b);
                check(!(1 << a | 1 << b));
            }
        }
        let mut random = Random::new();
        for round in 0..8_000 {
            let mut word = || u128::from(random.u64()) << 64 | u128::from(random.u64());
            let (a, b, c) = (word(), word(), word());
            check([a, a & b, a | b, a | b | c][round % 4]);
        }
    }

    #[test]
    fn requirements_by_example() {
        let table: [(&[u32], &[u32]); 9] = [
            // Chains go down to the end.
            (&[bit::GUEST_TSO4, bit::GUEST_ECN], &[]),
            (&[bit::HOST_TSO6, bit::HOST_ECN, bit::RSC_EXT], &[]),
            (
                &[bit::CSUM, bit::HOST_TSO6, bit::HOST_ECN],
                &[bit::CSUM, bit::HOST_TSO6, bit::HOST_ECN],
            ),
            // The other direction does not help.
            (&[bit::CSUM, bit::GUEST_TSO4], &[bit::CSUM]),
            (&[bit::GUEST_CSUM, bit::HOST_USO], &[bit::GUEST_CSUM]),
            (
                &[bit::MQ, bit::RSS, bit::CTRL_GUEST_OFFLOADS, bit::MAC],
                &[bit::MAC],
            ),
            (&[bit::STANDBY], &[]),
            (
                &[
                    bit::GUEST_CSUM,
                    bit::GUEST_TSO4,
                    bit::GUEST_TSO6,
                    bit::GUEST_USO4,
                    bit::GUEST_UDP_TUNNEL_GSO,
                    bit::GUEST_UDP_TUNNEL_GSO_CSUM,
                ],
                &[
                    bit::GUEST_CSUM,
                    bit::GUEST_TSO4,
                    bit::GUEST_TSO6,
                    bit::GUEST_USO4,
                ],
            ),
            // Those without a requirement stay, known or not.
            (
                &[bit::MTU, bit::VERSION_1, bit::RING_RESET, 29, 127],
                &[bit::MTU, bit::VERSION_1, bit::RING_RESET, 29, 127],
            ),
        ];
        for (negotiated, accepted) in table {
            assert_eq!(resolve(set(negotiated)).0, set(accepted), "{negotiated:?}");
        }
    }

    #[test]
    fn details() {
        let details: Vec<u32> = (0..128).filter(|b| is_detail(*b)).collect();
        assert_eq!(
            details,
            [
                bit::GUEST_ECN,
                bit::HOST_ECN,
                bit::RSC_EXT,
                bit::GUEST_UDP_TUNNEL_GSO_CSUM,
                bit::HOST_UDP_TUNNEL_GSO_CSUM
            ]
        );
        let all = (0..128).fold(Features::EMPTY, |f, b| f.with(b));
        for b in details {
            // It needs another one, and no other one needs it.
            assert_eq!(resolve(set(&[b])), (Features::EMPTY, set(&[b])));
            assert_eq!(resolve(all.without(b)), (all.without(b), Features::EMPTY));
        }
    }

    #[test]
    fn offload_bits() {
        assert_eq!(offload_bit(bit::GUEST_TSO4), 0x80);
        assert_eq!(offload_bit(bit::GUEST_USO6), 0x0080_0000_0000_0000);
        assert_eq!(offload_bit(bit::GUEST_UDP_TUNNEL_GSO), 0x4000_0000_0000);
        assert_eq!(
            offload_bit(bit::GUEST_UDP_TUNNEL_GSO_CSUM),
            0x8000_0000_0000
        );
        assert_eq!(offload_bit(bit::HOST_UDP_TUNNEL_GSO), 0);
        assert_eq!(offload_bit(200), 0);
    }

    #[test]
    fn header_length() {
        assert_eq!(hdr_len(Features::EMPTY), 10);
        assert_eq!(hdr_len(set(&[bit::MRG_RXBUF])), 12);
        assert_eq!(hdr_len(set(&[bit::VERSION_1])), 12);
        assert_eq!(hdr_len(set(&[bit::MRG_RXBUF, bit::VERSION_1])), 12);
        assert_eq!(hdr_len(set(&[bit::HASH_REPORT])), 20);
        assert_eq!(hdr_len(set(&[bit::VERSION_1, bit::HASH_REPORT])), 20);
        let all = Features::from_words(u64::MAX, u64::MAX);
        assert_eq!(hdr_len(all), 24);
        let others = all.without(bit::MRG_RXBUF).without(bit::VERSION_1);
        let others = others.without(bit::GUEST_UDP_TUNNEL_GSO);
        assert_eq!(hdr_len(others), 24);
        let others = others.without(bit::HOST_UDP_TUNNEL_GSO);
        assert_eq!(hdr_len(others), 20);
        assert_eq!(hdr_len(others.without(bit::HASH_REPORT)), 10);
        let tunnel = set(&[bit::VERSION_1, bit::GUEST_UDP_TUNNEL_GSO]);
        assert_eq!(hdr_len(tunnel), 24);
    }

    #[test]
    fn without_receive_offloads_packets_are_as_on_a_wire() {
        let rest = [
            bit::CSUM,
            bit::HOST_TSO4,
            bit::HOST_TSO6,
            bit::HOST_USO,
            bit::MRG_RXBUF,
            bit::GUEST_HDRLEN,
            bit::VERSION_1,
        ];
        let offloads = [
            bit::GUEST_CSUM,
            bit::GUEST_TSO4,
            bit::GUEST_TSO6,
            bit::GUEST_ECN,
            bit::GUEST_UFO,
            bit::GUEST_USO4,
            bit::GUEST_USO6,
        ];
        let both = set(&[&rest[..], &offloads[..]].concat());
        assert_eq!(without_receive_offloads(both), Some(set(&rest)));
        assert_eq!(without_receive_offloads(set(&rest)), Some(set(&rest)));
        // A header with tunnel fields stays only as it is, for what is sent.
        let tunnel = both.with(bit::GUEST_UDP_TUNNEL_GSO);
        assert_eq!(without_receive_offloads(tunnel), None);
        let plain = set(&rest).with(bit::HOST_UDP_TUNNEL_GSO);
        let tunnels = tunnel
            .with(bit::HOST_UDP_TUNNEL_GSO)
            .with(bit::GUEST_UDP_TUNNEL_GSO_CSUM);
        assert_eq!(without_receive_offloads(tunnels), Some(plain));
    }

    #[test]
    fn what_all_devices_have_stays() {
        let all = Features::from_words(u64::MAX, u64::MAX);
        for b in 0..128 {
            let common = (24..50).contains(&b);
            assert_eq!(all.with_type_of(Features::EMPTY).has(b), common, "{b}");
            assert_eq!(Features::EMPTY.with_type_of(all).has(b), !common, "{b}");
        }
    }
}

mod config {
    use super::pure::config::{
        check_mtu, ctrl_vq, default_pairs, link_settings, mac_usable, max_queue_pairs,
        pairs_with_vectors, rx_vq, tx_vq, LinkSettings,
    };
    use super::pure::features::{bit, Features};
    use super::EDGES;

    #[test]
    fn numbers_of_virtqueues() {
        assert_eq!([rx_vq(0), tx_vq(0), rx_vq(1), tx_vq(1)], [0, 1, 2, 3]);
        assert_eq!(ctrl_vq(1), 2);
        assert_eq!(ctrl_vq(0x8000), 0x10000);
    }

    #[test]
    fn pairs_of_the_device() {
        let f = |mq: bool, rss: bool, ctrl: bool| {
            let mut f = Features::EMPTY;
            for (there, bit) in [(mq, bit::MQ), (rss, bit::RSS), (ctrl, bit::CTRL_VQ)] {
                if there {
                    f = f.with(bit);
                }
            }
            f
        };
        for config in 0..=u16::MAX {
            let legal = match config {
                0 | 0x8001..=u16::MAX => 1,
                n => n,
            };
            assert_eq!(max_queue_pairs(f(true, false, true), config), legal);
            assert_eq!(max_queue_pairs(f(false, true, true), config), legal);
            assert_eq!(max_queue_pairs(f(true, true, true), config), legal);
            assert_eq!(max_queue_pairs(f(true, true, false), config), 1);
            assert_eq!(max_queue_pairs(f(false, false, true), config), 1);
            assert_eq!(max_queue_pairs(f(false, false, false), config), 1);
        }
    }

    #[test]
    fn pairs_by_vectors() {
        // Device, vectors, expected.
        let table = [
            (4, 0, 4),
            (4, 1, 4),
            (4, 2, 4),
            (4, 3, 1),
            (4, 4, 1),
            (4, 5, 2),
            (4, 8, 3),
            (4, 9, 4),
            (4, 10, 4),
            (4, u32::MAX, 4),
            (1, 2, 1),
            (1, 3, 1),
            (0x8000, 2048, 1023),
            (0x8000, 65537, 0x8000),
            (u16::MAX, u32::MAX, u16::MAX),
        ];
        for (max, vectors, expected) in table {
            assert_eq!(
                pairs_with_vectors(max, vectors),
                expected,
                "{max} {vectors}"
            );
        }
        // What shares interrupts has a limit: 32768 pairs are legal, and a device may claim them.
        for (max, expected) in [(1022, 1022), (1023, 1023), (1024, 1023), (0x8000, 1023)] {
            for vectors in 0..3 {
                assert_eq!(
                    pairs_with_vectors(max, vectors),
                    expected,
                    "{max} {vectors}"
                );
            }
        }
        for max in 1..100 {
            for vectors in 0..300 {
                let n = pairs_with_vectors(max, vectors);
                assert!((1..=max).contains(&n));
                // Each queue of a limited number has its vector, and one pair more wouldn't.
                if n < max {
                    assert!(1 + 2 * u32::from(n) <= vectors);
                    assert!(1 + 2 * (u32::from(n) + 1) > vectors);
                }
            }
        }
    }

    #[test]
    fn pairs_at_first() {
        // Device, online CPUs, parameter, expected.
        let table = [
            (8, 4, 0, 4),
            (4, 8, 0, 4),
            (4, 4, 0, 4),
            (1, 64, 0, 1),
            (8, 0, 0, 1),
            (0, 0, 0, 1),
            (0, 4, 4, 1),
            (8, 4, 1, 1),
            (8, 4, 6, 6),
            (8, 4, 8, 8),
            (8, 4, 9, 8),
            (8, 4, u32::MAX, 8),
            (0x8000, u32::MAX, 0, 0x8000),
            (0x8000, 65536, 0, 0x8000),
            (0x8000, 4, 65536, 0x8000),
            (0x8000, 4, 65537, 0x8000),
            (u16::MAX, u32::MAX, u32::MAX, u16::MAX),
        ];
        for (max, online, param, expected) in table {
            assert_eq!(
                default_pairs(max, online, param),
                expected,
                "{max} {online} {param}"
            );
        }
        for max in EDGES.map(|v| v.min(65535) as u16) {
            for online in EDGES {
                for param in EDGES {
                    let wanted = if param == 0 { online } else { param };
                    let expected = wanted.clamp(1, u32::from(max).max(1));
                    assert_eq!(u32::from(default_pairs(max, online, param)), expected);
                }
            }
        }
    }

    #[test]
    fn mtu() {
        for mtu in 0..68 {
            assert_eq!(check_mtu(mtu), None);
        }
        for mtu in 68..=u16::MAX {
            assert_eq!(check_mtu(mtu), Some(mtu));
        }
    }

    #[test]
    fn link() {
        let full = Some(true);
        let table = [
            (0, 0, Some(0), Some(false)),
            (10_000, 1, Some(10_000), full),
            (0x7fff_ffff, 1, Some(0x7fff_ffff), full),
            (0x8000_0000, 1, None, full),
            (u32::MAX, 0xff, None, None),
        ];
        for (speed, duplex, expected_speed, expected_duplex) in table {
            let expected = LinkSettings {
                speed: expected_speed,
                duplex: expected_duplex,
            };
            assert_eq!(link_settings(speed, duplex), expected);
        }
        for duplex in 2..=u8::MAX {
            assert_eq!(link_settings(1, duplex).duplex, None);
        }
    }

    #[test]
    fn mac() {
        let table = [
            ([0, 0, 0, 0, 0, 0], false),
            ([0, 0, 0, 0, 0, 1], true),
            ([0x52, 0x54, 0, 0x12, 0x34, 0x56], true),
            ([0x02, 0, 0, 0, 0, 0], true),
            ([0x01, 0, 0x5e, 0, 0, 1], false),
            ([0x33, 0x33, 0, 0, 0, 1], false),
            ([0xff; 6], false),
            ([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff], true),
        ];
        for (mac, usable) in table {
            assert_eq!(mac_usable(mac), usable, "{mac:x?}");
        }
        for first in 0..=u8::MAX {
            assert_eq!(mac_usable([first, 1, 2, 3, 4, 5]), first % 2 == 0);
        }
    }
}

mod rx {
    use super::pure::rx::{
        cont_len, mergeable_shape, min_buf_len, num_buffers, payload_len, short_above,
        short_above_single, xdp_shape, BufShape, Ewma, LenError, PayloadLens, Sizes, MAX_MERGED,
    };
    use super::{Random, EDGES};

    #[test]
    fn first_buffer() {
        use LenError::{Long, Short};
        // Used, posted, header, expected.
        let table = [
            (0, 1536, 12, Err(Short)),
            (11, 1536, 12, Err(Short)),
            (12, 1536, 12, Err(Short)),
            (25, 1536, 12, Err(Short)),
            (26, 1536, 12, Ok(14)),
            (23, 1536, 10, Err(Short)),
            (24, 1536, 10, Ok(14)),
            (1535, 1536, 12, Ok(1523)),
            (1536, 1536, 12, Ok(1524)),
            (1537, 1536, 12, Err(Long)),
            (u32::MAX, 1536, 12, Err(Long)),
            (26, 26, 12, Ok(14)),
            (27, 26, 12, Err(Long)),
            (25, 0, 12, Err(Short)),
            (26, 0, 12, Err(Long)),
            (u32::MAX, u32::MAX, 12, Ok(u32::MAX - 12)),
            (u32::MAX, u32::MAX, u32::MAX, Err(Short)),
            (u32::MAX, u32::MAX, u32::MAX - 13, Err(Short)),
            (u32::MAX, u32::MAX, u32::MAX - 14, Ok(14)),
        ];
        for (used, posted, hdr_len, expected) in table {
            assert_eq!(
                payload_len(used, posted, hdr_len),
                expected,
                "{used} {posted}"
            );
            let lens = PayloadLens::new(posted, hdr_len);
            assert_eq!(lens.payload(used), expected.ok(), "{used} {posted}");
        }
    }

    /// Against 64-bit arithmetic.
    fn check(used: u32, posted: u32, hdr_len: u32) {
        let least = u64::from(hdr_len) + 14;
        let expected = if u64::from(used) < least {
            Err(LenError::Short)
        } else if used > posted {
            Err(LenError::Long)
        } else {
            Ok(used - hdr_len)
        };
        assert_eq!(payload_len(used, posted, hdr_len), expected);
        let lens = PayloadLens::new(posted, hdr_len);
        assert_eq!(lens.payload(used), expected.ok());

        let expected = if used == 0 {
            Err(LenError::Short)
        } else if used > posted {
            Err(LenError::Long)
        } else {
            Ok(used)
        };
        assert_eq!(cont_len(used, posted), expected);
    }

    #[test]
    fn lengths_against_the_model() {
        for used in EDGES {
            for posted in EDGES {
                for hdr_len in EDGES {
                    check(used, posted, hdr_len);
                }
            }
        }
        for used in 0..300 {
            for posted in 0..300 {
                check(used, posted, 10);
                check(used, posted, 12);
            }
        }
        let mut random = Random::new();
        for _ in 0..100_000 {
            check(random.magnitude(), random.magnitude(), random.magnitude());
        }
    }

    #[test]
    fn number_of_buffers() {
        assert_eq!(MAX_MERGED, 64);
        for ring_size in EDGES {
            for n in 0..=u16::MAX {
                let legal = n != 0 && u32::from(n) <= ring_size && n <= 64;
                assert_eq!(num_buffers(n, ring_size), legal.then_some(n));
            }
        }
        assert_eq!(num_buffers(64, 256), Some(64));
        assert_eq!(num_buffers(65, 256), None);
        assert_eq!(num_buffers(16, 16), Some(16));
        assert_eq!(num_buffers(17, 16), None);
    }

    #[test]
    fn average_settles_exactly() {
        for initial in EDGES {
            for len in EDGES {
                let mut avg = Ewma::new(initial);
                assert_eq!(avg.read(), initial);
                let mut last = initial;
                // The distance shrinks by 1/64 each time, from at most 2^32.
                for _ in 0..2_300 {
                    avg.add(len);
                    let now = avg.read();
                    // Towards the new length, never past it.
                    let (low, high) = (last.min(len), last.max(len));
                    assert!((low..=high).contains(&now));
                    last = now;
                }
                assert_eq!(last, len, "from {initial}");
            }
        }
    }

    #[test]
    fn average_stays_within_its_input() {
        let mut random = Random::new();
        for _ in 0..50 {
            let initial = random.magnitude();
            let (mut low, mut high) = (initial, initial);
            let mut avg = Ewma::new(initial);
            for _ in 0..1_000 {
                let len = random.magnitude();
                (low, high) = (low.min(len), high.max(len));
                avg.add(len);
                assert!((low..=high).contains(&avg.read()));
            }
        }
    }

    #[test]
    fn average_weight() {
        // One packet of 64 bytes more than the average adds one byte.
        let mut avg = Ewma::new(1000);
        avg.add(1064);
        assert_eq!(avg.read(), 1001);
        // Against floating point.
        let mut random = Random::new();
        let (mut avg, mut exact) = (Ewma::new(1500), 1500.0);
        for _ in 0..10_000 {
            let len = random.u32() % 65536;
            avg.add(len);
            exact += (f64::from(len) - exact) / 64.0;
            assert!((f64::from(avg.read()) - exact).abs() <= 2.0);
        }
        const AVG: Ewma = Ewma::new(7);
        assert_eq!(AVG.read(), 7);
    }

    #[test]
    fn shapes_by_example() {
        let half = BufShape::new(180, 1548, 2048);
        let whole = BufShape::new(0, 4096, 4096);
        let sizes = |page| Sizes {
            page,
            piece: 2048,
            hdr_len: 12,
            headroom: 192,
            shinfo: 320,
        };
        // Average, minimum, expected; header 12, headroom 192, shared info 320, page 4096.
        let table = [
            (0, 128, half),
            (1500, 128, half),
            (64, 1500, half),
            (1536, 128, half),
            (128, 1536, half),
            (1537, 128, whole),
            (128, 1537, whole),
            (4084, 128, whole),
            (9000, 128, whole),
            (u32::MAX, 128, whole),
            (0, u32::MAX, whole),
        ];
        for (avg, min, expected) in table {
            assert!(expected.is_some());
            let got = mergeable_shape(avg, min, sizes(4096));
            assert_eq!(got, expected, "{avg} {min}");
        }
        // Larger pages: what a small packet takes up stays the same.
        for page in [16384, 65536] {
            assert_eq!(mergeable_shape(1500, 1518, sizes(page)), half);
            assert_eq!(xdp_shape(1518, 256, sizes(page)), half);
            let whole = BufShape::new(0, page, page);
            assert_eq!(mergeable_shape(9000, 1518, sizes(page)), whole);
            let whole = BufShape::new(244, page - 564, page);
            assert_eq!(xdp_shape(1537, 256, sizes(page)), whole);
        }
        // A page that makes no pieces.
        let whole = BufShape::new(0, 2048, 2048);
        assert_eq!(mergeable_shape(64, 128, sizes(2048)), whole);
        let page = BufShape::new(244, 1484, 2048);
        assert_eq!(xdp_shape(64, 256, sizes(2048)), page);
        // No room before the packet but for the header, and for nothing.
        let page = BufShape::new(0, 3776, 4096);
        assert_eq!(xdp_shape(9000, 12, sizes(4096)), page);
        assert_eq!(xdp_shape(9000, 11, sizes(4096)), None);
        let bare = Sizes {
            hdr_len: 0,
            ..sizes(4096)
        };
        let whole = BufShape::new(0, 4096, 4096);
        assert_eq!(mergeable_shape(9000, 128, bare), whole);
        assert_eq!(mergeable_shape(0, 0, sizes(0)), None);
        assert_eq!(mergeable_shape(9000, 0, sizes(u32::MAX)), None);
        // With room for XDP: a piece or a page.
        assert_eq!(xdp_shape(1518, 256, sizes(4096)), half);
        assert_eq!(xdp_shape(1536, 256, sizes(4096)), half);
        let page = BufShape::new(244, 3532, 4096);
        assert_eq!(xdp_shape(1537, 256, sizes(4096)), page);
        assert_eq!(xdp_shape(9018, 256, sizes(4096)), page);
        assert_eq!(xdp_shape(9018, 11, sizes(4096)), None);
        assert_eq!(xdp_shape(9018, 256, sizes(576)), None);
    }

    #[test]
    fn shapes_keep_their_promises() {
        for page in [4096, 16384, 65536] {
            for hdr_len in [10, 12, 20] {
                for avg in (0..70_000).step_by(7) {
                    let sizes = Sizes {
                        page,
                        piece: 2048,
                        hdr_len,
                        headroom: 192,
                        shinfo: 320,
                    };
                    let got = mergeable_shape(avg, 1025, sizes).unwrap();
                    assert!(got.posted() >= (hdr_len + 1025.max(avg)).min(page));
                    if got.posted() == page {
                        assert_eq!((got.offset(), got.truesize()), (0, page));
                    } else {
                        assert_eq!((got.offset(), got.truesize()), (192 - hdr_len, 2048));
                        assert_eq!(got.offset() + got.posted() + 320, got.truesize());
                    }
                }
            }
        }
    }

    #[test]
    fn shapes_of_anything() {
        let check = |v: [u32; 7]| {
            let sizes = Sizes {
                hdr_len: v[2],
                headroom: v[3],
                shinfo: v[4],
                page: v[5],
                piece: v[6],
            };
            for got in [
                mergeable_shape(v[0], v[1], sizes),
                xdp_shape(v[0], v[1], sizes),
            ]
            .into_iter()
            .flatten()
            {
                assert!(got.posted() != 0 && got.truesize() <= v[5], "{v:?}");
                assert!(got.offset() + got.posted() <= got.truesize(), "{v:?}");
            }
        };
        const FEW: [u32; 8] = [0, 1, 12, 64, 4096, 1 << 31, u32::MAX - 1, u32::MAX];
        for avg in FEW {
            for min in FEW {
                for hdr_len in FEW {
                    for headroom in FEW {
                        for shinfo in FEW {
                            for page in FEW {
                                for piece in [page / 2, 2048, page] {
                                    check([avg, min, hdr_len, headroom, shinfo, page, piece]);
                                }
                            }
                        }
                    }
                }
            }
        }
        let mut random = Random::new();
        for _ in 0..50_000 {
            check([(); 7].map(|()| random.magnitude()));
        }
    }

    #[test]
    fn least_buffers() {
        // Ring, packet, header, expected.
        let table = [
            (256, 1518, 12, 128),
            (64, 65553, 12, 1025),
            (256, 65553, 12, 1025),
            (32768, 65553, 12, 1025),
            (u32::MAX, 65553, 12, 1025),
            (16, 65553, 12, 4098),
            (1, 65553, 12, 65565),
            (0, 65553, 12, 65565),
            (4, 1518, 10, 382),
            (0, 0, 0, 128),
            (1, 127, 0, 128),
            (1, 128, 0, 128),
            (1, 129, 0, 129),
            (0, u32::MAX, u32::MAX, u32::MAX),
            (2, u32::MAX, 12, 1 << 31),
        ];
        for (ring_size, max_packet, hdr_len, expected) in table {
            assert_eq!(
                min_buf_len(ring_size, max_packet, hdr_len),
                expected,
                "{ring_size} {max_packet}"
            );
        }
    }

    #[test]
    fn what_is_left_of_a_ring_that_is_not_short_holds_the_largest_packet() {
        // Ring, buffer, packet, expected.
        let table = [
            (256, 1600, 65574, 215),
            (128, 1600, 65574, 87),
            // 41 buffers are needed, 17 of a page.
            (64, 1600, 65574, 23),
            (32, 4096, 65574, 15),
            (19, 4096, 65574, 2),
            (17, 4096, 65574, 0),
            (16, 4096, 65574, 0),
            (64, 0, 65574, 0),
            (0, 0, 0, 0),
        ];
        for (ring, len, max, expected) in table {
            assert_eq!(short_above(ring, len, max), expected, "{ring} {len}");
        }
        for ring in 1..=1024 {
            for len in [1, 128, 1600, 4096, 65574] {
                let free = short_above(ring, len, 65574);
                if ring * len >= 65574 {
                    assert!((ring - free) * len >= 65574, "{ring} {len}");
                    // And no more than that.
                    assert!((ring - free - 1) * len < 65574, "{ring} {len}");
                }
            }
        }
        for ring in EDGES {
            for len in EDGES {
                for max in EDGES {
                    assert!(short_above(ring, len, max) <= ring);
                }
            }
        }
    }

    #[test]
    fn a_ring_of_single_buffers_is_short_with_a_sixteenth_left() {
        let table = [
            (0, 0),
            (1, 0),
            (2, 1),
            (15, 14),
            (16, 15),
            (32, 30),
            (256, 240),
        ];
        for (ring, expected) in table {
            assert_eq!(short_above_single(ring), expected, "{ring}");
        }
        for ring in EDGES {
            assert!(short_above_single(ring) <= ring);
        }
    }

    #[test]
    fn a_full_ring_holds_the_largest_packet() {
        for ring_size in (1..=300).chain([512, 1024, 32768]) {
            for max_packet in [0, 68, 1518, 9018, 65553, 65562] {
                for hdr_len in [10, 12, 20] {
                    let len = min_buf_len(ring_size, max_packet, hdr_len);
                    let needed = (max_packet + hdr_len).div_ceil(len);
                    assert!(needed <= ring_size);
                    // So that a device that fills buffers up is never refused.
                    assert_eq!(
                        num_buffers(needed as u16, ring_size),
                        Some(needed as u16),
                        "{ring_size} {max_packet}"
                    );
                    // And no larger than needed.
                    assert!(len == 128 || (len - 1) * ring_size.min(64) < max_packet + hdr_len);
                }
            }
        }
        for ring_size in EDGES {
            for max_packet in EDGES {
                for hdr_len in EDGES {
                    assert!(min_buf_len(ring_size, max_packet, hdr_len) >= 128);
                }
            }
        }
    }

    #[test]
    fn context() {
        const MAX: u32 = BufShape::MAX;
        const MAX_OFFSET: u32 = BufShape::MAX_OFFSET;
        for offset in EDGES.into_iter().chain([MAX_OFFSET, MAX_OFFSET + 1]) {
            for posted in EDGES.into_iter().chain([MAX, MAX + 1]) {
                for truesize in EDGES.into_iter().chain([MAX, MAX + 1]) {
                    let end = u64::from(offset) + u64::from(posted);
                    let legal = posted != 0
                        && offset <= MAX_OFFSET
                        && truesize <= MAX
                        && end <= u64::from(truesize);
                    let shape = BufShape::new(offset, posted, truesize);
                    assert_eq!(shape.is_some(), legal, "{offset} {posted} {truesize}");
                    let Some(shape) = shape else { continue };
                    let parts = (shape.offset(), shape.posted(), shape.truesize());
                    assert_eq!(parts, (offset, posted, truesize));
                    assert_ne!(shape.into_usize(), 0);
                    assert_eq!(BufShape::from_usize(shape.into_usize()), shape);
                }
            }
        }
        // Any word is unpacked, and packed to the same word again.
        let mut random = Random::new();
        for word in (0..10_000)
            .map(|_| random.u64() as usize)
            .chain([0, usize::MAX])
        {
            assert_eq!(BufShape::from_usize(word).into_usize(), word);
        }
    }
}

mod recovery {
    use super::pure::recovery::{
        retry, Cure, Pace, ResetLimit, Retry, Sent, Stuck, Verdict, SLOW_RETRY_MS, WINDOW_S,
    };
    use super::Random;

    #[test]
    fn three_in_a_minute() {
        use Verdict::{Refused, RefusedAgain, Reset};
        let mut limit = ResetLimit::new();
        for (now, expected) in [
            (0, Reset),
            (0, Reset),
            (10, Reset),
            (10, Refused),
            (59, RefusedAgain),
            // The first two are a minute ago.
            (60, Reset),
            (60, Reset),
            (60, Refused),
            (69, RefusedAgain),
            (70, Reset),
            (1000, Reset),
            // A clock that goes back doesn't let more through.
            (900, Reset),
            (900, Reset),
            (900, Refused),
            (900, RefusedAgain),
            (u64::MAX, Reset),
        ] {
            assert_eq!(limit.ask(now), expected, "{now}");
        }
    }

    #[test]
    fn as_many_as_allowed_in_any_minute() {
        let (mut limit, mut random) = (ResetLimit::new(), Random::new());
        let (mut now, mut resets) = (0, Vec::new());
        for _ in 0..10_000 {
            now += u64::from(random.u8() % 30);
            let late: Vec<u64> = resets
                .iter()
                .copied()
                .filter(|at| now - at < WINDOW_S)
                .collect();
            let allowed = limit.ask(now) == Verdict::Reset;
            assert_eq!(allowed, late.len() < 3, "{now} {late:?}");
            if allowed {
                resets.push(now);
            }
        }
        assert!(resets.len() > 1000);
    }

    #[test]
    fn the_rest_of_a_window() {
        let mut limit = ResetLimit::new();
        assert_eq!(limit.rest(5), 0);
        for now in [5, 6, 7] {
            limit.ask(now);
        }
        assert_eq!(limit.rest(7), 58);
        for now in 8..64 {
            assert_ne!(limit.ask(now), Verdict::Reset);
        }
        let mut now = 64;
        now += limit.rest(now);
        assert_eq!((now, limit.rest(now)), (65, 0));
        assert_eq!(limit.ask(now), Verdict::Reset);
        assert_eq!(limit.rest(65), 1);
    }

    #[test]
    fn a_reset_that_failed() {
        let all: Vec<_> = (0..=6).map(retry).collect();
        let slow = Retry {
            after_ms: SLOW_RETRY_MS,
            hopeless: true,
        };
        let soon = [500, 500, 1000, 2000, 4000].map(|after_ms| Retry {
            after_ms,
            hopeless: false,
        });
        assert_eq!(all, [soon.to_vec(), vec![slow, slow]].concat());
        assert_eq!(retry(u32::MAX), slow);
    }

    #[test]
    fn further_and_further_apart() {
        let mut pace = Pace::new();
        let resets: Vec<u64> = (100..420).filter(|now| pace.ask(*now)).collect();
        assert_eq!(resets, [100, 105, 115, 135, 175, 235, 295, 355, 415]);
        // Quiet for long: anew.
        assert!(pace.ask(415 + 300));
        assert!(pace.ask(415 + 305));
        assert!(!pace.ask(415 + 314));
        // A clock that goes back lets nothing through.
        assert!(!pace.ask(0));
    }

    /// A queue of a device of which others work or not, looked at each 5 s; when what was done.
    fn stuck(
        alone: bool,
        mine: impl Fn(u64) -> u64,
        theirs: impl Fn(u64) -> u64,
    ) -> Vec<(u64, Cure)> {
        let (mut q, mut pace) = (Stuck::new(), Pace::new());
        let mut done = Vec::new();
        for now in (0..200).step_by(5) {
            let sent = Sent {
                queue: mine(now),
                others: theirs(now),
            };
            let cure = q.cure(now, sent, alone, &mut pace);
            if cure == Cure::Device {
                q.was_reset(sent);
            }
            if !matches!(cure, Cure::Wait | Cure::UnservedAgain) {
                done.push((now, cure));
            }
        }
        done
    }

    #[test]
    fn a_queue_that_nobody_serves() {
        use Cure::{Device, Queue, Unserved};
        // One reset, and one message.
        assert_eq!(stuck(false, |_| 0, |now| now), [(0, Device), (5, Unserved)]);
        assert_eq!(stuck(true, |_| 9, |now| now), [(0, Queue), (5, Unserved)]);
        // It is served once more, and then not.
        assert_eq!(
            stuck(false, |now| now / 100, |now| now),
            [(0, Device), (5, Unserved), (100, Device), (105, Unserved)]
        );
    }

    #[test]
    fn unserved_from_the_message_on_until_it_is_served() {
        let (mut q, mut pace) = (Stuck::new(), Pace::new());
        let mut cure = |now, queue| {
            let sent = Sent { queue, others: now };
            if q.cure(now, sent, false, &mut pace) == Cure::Device {
                q.was_reset(sent);
            }
            q.is_unserved()
        };
        assert!(!cure(0, 0));
        assert!(cure(5, 0) && cure(10, 0));
        assert!(!cure(100, 1));
    }

    #[test]
    fn a_device_that_does_nothing() {
        use Cure::{Device, Queue};
        let at = |done: &[(u64, Cure)]| done.iter().map(|d| d.0).collect::<Vec<_>>();
        let done = stuck(false, |_| 3, |_| 3);
        assert_eq!(at(&done), [0, 5, 15, 35, 75, 135, 195]);
        assert!(done.iter().all(|d| d.1 == Device));
        // First the queue, then all of it.
        let done = stuck(true, |_| 3, |_| 3);
        assert_eq!(done.first(), Some(&(0, Queue)));
        assert!(done.iter().skip(1).all(|d| d.1 == Device));
        assert_eq!(at(&done), [0, 5, 10, 20, 40, 80, 140]);
    }

    #[test]
    fn a_queue_that_is_slow() {
        // It gets on, and is stuck again each time: further and further apart.
        let done = stuck(false, |now| now, |now| now);
        assert_eq!(done.len(), 7);
        assert!(done.iter().all(|d| d.1 == Cure::Device));
        let done = stuck(true, |now| now, |now| now);
        assert_eq!(done.len(), 7);
        assert!(done.iter().all(|d| d.1 == Cure::Queue));
    }
}

mod hdr {
    use super::pure::features::{bit, Features};
    use super::pure::hdr::{
        HdrError, RawHdr, RxCsum, RxMeta, RxOffloads, INNER_LEN, LEN, OUTER_LEN,
    };
    use super::Random;

    fn parse_rx(bytes: &[u8; LEN], o: &RxOffloads, len: u32) -> Result<RxMeta, HdrError> {
        super::pure::hdr::parse_rx(RawHdr::from_bytes(bytes), o, len)
    }

    #[test]
    fn raw_header() {
        let mut random = Random::new();
        for _ in 0..1000 {
            let bytes = [(); LEN].map(|()| random.u32() as u8);
            let raw = RawHdr::from_bytes(&bytes);
            assert_eq!(raw.to_bytes()[..LEN], bytes);
            assert_eq!(raw.to_bytes()[LEN..], [0; 4]);
            assert_eq!(
                raw.num_buffers(),
                u16::from_le_bytes([bytes[10], bytes[11]])
            );
            let mut known = bytes;
            known[0] &= 3;
            assert_eq!(raw.with_known_flags().to_bytes()[..LEN], known);
            let mut one = bytes;
            [one[10], one[11]] = [1, 0];
            assert_eq!(raw.with_one_buffer().to_bytes()[..LEN], one);
        }
    }

    #[test]
    fn a_partial_checksum_is_told_and_completed() {
        let mut random = Random::new();
        for _ in 0..1000 {
            let bytes = [(); LEN].map(|()| random.u32() as u8);
            let raw = RawHdr::from_bytes(&bytes);
            let start = u16::from_le_bytes([bytes[6], bytes[7]]);
            let offset = u16::from_le_bytes([bytes[8], bytes[9]]);
            let partial = (bytes[0] & 1 != 0).then_some((start, offset));
            assert_eq!(raw.partial_csum(), partial);
            let mut complete = bytes;
            complete[0] &= !1;
            let done = raw.with_complete_csum();
            assert_eq!(done.to_bytes()[..LEN], complete);
            assert_eq!(done.partial_csum(), None);
        }
    }

    #[test]
    fn the_longest_form_has_the_tunnel_fields_at_its_end() {
        let mut random = Random::new();
        for _ in 0..1000 {
            let bytes = [(); LEN].map(|()| random.u32() as u8);
            let fields = [(); 4].map(|()| random.u32() as u8);
            let raw = RawHdr::from_bytes(&bytes).with_tunnel(fields, &ALL);
            let long = raw.to_tunnel_bytes();
            assert_eq!(long[..LEN], raw.to_bytes()[..LEN]);
            assert_eq!(long[LEN..20], [0; 8]);
            assert_eq!(long[20..], fields);
        }
    }

    #[test]
    fn plain_header() {
        let mut random = Random::new();
        let mut found = 0;
        for _ in 0..10000 {
            let mut bytes = [(); LEN].map(|()| random.u32() as u8);
            // Few bits, so that often there are none.
            for byte in &mut bytes[..2] {
                *byte &= random.u32() as u8 & random.u32() as u8;
            }
            [bytes[10], bytes[11]] = [random.u32() as u8 % 3, random.u32() as u8 & 1];
            let raw = RawHdr::from_bytes(&bytes);
            let plain = bytes[0] & !2 == 0 && bytes[1] == 0 && bytes[10..] == [1, 0];
            assert_eq!(raw.is_plain(), plain, "{bytes:?}");
            if !plain {
                continue;
            }
            found += 1;
            assert_eq!(raw.with_known_flags().to_bytes(), raw.to_bytes());
            assert_eq!(raw.with_one_buffer().to_bytes(), raw.to_bytes());
            assert!(raw.partial_csum().is_none() && !raw.is_gso());
            let again = RawHdr::plain(raw.flags());
            assert!(again.is_plain() && again.flags() == bytes[0]);
            let fields = [(); 4].map(|()| random.u32() as u8);
            for o in [ALL, NONE] {
                let parse = |raw| super::pure::hdr::parse_rx(raw, &o, 60);
                assert_eq!(parse(raw.with_tunnel(fields, &o)), parse(raw));
                assert_eq!(parse(again), parse(raw));
            }
        }
        assert!(found > 20, "{found}");
        for flags in 0..=255 {
            assert!(RawHdr::plain(flags).is_plain());
        }
    }

    const ALL: RxOffloads = RxOffloads {
        csum: true,
        tso4: true,
        tso6: true,
        ecn: true,
        ufo: true,
        uso4: true,
        uso6: true,
        tunnel: true,
        tunnel_csum: true,
    };

    const NONE: RxOffloads = RxOffloads {
        csum: false,
        tso4: false,
        tso6: false,
        ecn: false,
        ufo: false,
        uso4: false,
        uso6: false,
        tunnel: false,
        tunnel_csum: false,
    };

    /// Puts a header together; the header length is a hint and made absurd.
    fn header(flags: u8, gso_type: u8, gso_size: u16, start: u16, offset: u16) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[0] = flags;
        bytes[1] = gso_type;
        bytes[2..4].copy_from_slice(&0xffffu16.to_le_bytes());
        bytes[4..6].copy_from_slice(&gso_size.to_le_bytes());
        bytes[6..8].copy_from_slice(&start.to_le_bytes());
        bytes[8..10].copy_from_slice(&offset.to_le_bytes());
        bytes[10..12].copy_from_slice(&0x0102u16.to_le_bytes());
        bytes
    }

    fn ok(csum: RxCsum, gso: bool) -> Result<RxMeta, HdrError> {
        Ok(RxMeta {
            csum,
            gso,
            num_buffers: 0x0102,
        })
    }

    #[test]
    fn offloads_of_features() {
        assert_eq!(RxOffloads::from_features(Features::EMPTY), NONE);
        let all = Features::from_words(u64::MAX, u64::MAX);
        assert_eq!(RxOffloads::from_features(all), ALL);
        for number in 0..128 {
            let expected = RxOffloads {
                csum: number == bit::GUEST_CSUM,
                tso4: number == bit::GUEST_TSO4,
                tso6: number == bit::GUEST_TSO6,
                ecn: number == bit::GUEST_ECN,
                ufo: number == bit::GUEST_UFO,
                uso4: number == bit::GUEST_USO4,
                uso6: number == bit::GUEST_USO6,
                tunnel: number == bit::GUEST_UDP_TUNNEL_GSO,
                tunnel_csum: number == bit::GUEST_UDP_TUNNEL_GSO_CSUM,
            };
            let f = Features::EMPTY.with(number);
            assert_eq!(RxOffloads::from_features(f), expected);
        }
    }

    #[test]
    fn fields_are_little_endian() {
        let bytes = [
            1, 1, 0xaa, 0xbb, 0xb4, 0x05, 0x22, 0x00, 0x10, 0x00, 0x03, 0x01,
        ];
        let expected = RxMeta {
            csum: RxCsum::Partial {
                start: 0x22,
                offset: 0x10,
            },
            gso: true,
            num_buffers: 0x0103,
        };
        assert_eq!(parse_rx(&bytes, &ALL, 60), Ok(expected));
    }

    #[test]
    fn checksums() {
        let partial = RxCsum::Partial {
            start: 34,
            offset: 16,
        };
        let plain = |flags| header(flags, 0, 0, 34, 16);
        for flags in 0..=u8::MAX {
            let with = parse_rx(&plain(flags), &ALL, 60);
            let without = parse_rx(&plain(flags), &NONE, 60);
            match flags & 3 {
                0 => assert_eq!((with, without), (ok(RxCsum::None, false), with)),
                2 => assert_eq!((with, without), (ok(RxCsum::Unnecessary, false), with)),
                _ => {
                    assert_eq!(with, ok(partial, false));
                    assert_eq!(without, Err(HdrError::CsumNotNegotiated));
                }
            }
        }
    }

    #[test]
    fn checksum_range() {
        // Start, offset, packet, whether it is inside.
        let table = [
            (0, 0, 2, true),
            (0, 0, 1, false),
            (0, 0, 0, false),
            (34, 16, 52, true),
            (34, 16, 51, false),
            (0xffff, 0, 0x10001, true),
            (0xffff, 0, 0x10000, false),
            (0, 0xffff, 0x10001, true),
            (0, 0xffff, 0x10000, false),
            (0xffff, 0xffff, 0x20000, true),
            (0xffff, 0xffff, 0x1ffff, false),
            (0xffff, 0xffff, u32::MAX, true),
            // What wraps around in 16 bits.
            (0xffff, 1, 60, false),
            (0xfffe, 0, 60, false),
        ];
        for (start, offset, packet, inside) in table {
            let expected = if inside {
                ok(RxCsum::Partial { start, offset }, false)
            } else {
                Err(HdrError::CsumRange)
            };
            let bytes = header(1, 0, 0, start, offset);
            assert_eq!(parse_rx(&bytes, &ALL, packet), expected, "{start} {offset}");
            // Of no interest without the flag.
            for flags in [0, 2] {
                assert!(parse_rx(&header(flags, 0, 0, start, offset), &ALL, packet).is_ok());
            }
        }
    }

    #[test]
    fn segmentation_types() {
        let partial = RxCsum::Partial {
            start: 34,
            offset: 16,
        };
        for gso_type in 0..=u8::MAX {
            let got = parse_rx(&header(1, gso_type, 1448, 34, 16), &ALL, 4000);
            let expected = match gso_type {
                0 => ok(partial, false),
                1 | 3 | 4 | 5 | 0x81 | 0x84 => ok(partial, true),
                // In a tunnel whose headers don't fit.
                0x21 | 0x24 | 0x25 | 0xa1 | 0xa4 => Err(HdrError::TunnelRange),
                0x41 | 0x44 | 0x45 | 0xc1 | 0xc4 => Err(HdrError::TunnelRange),
                // A tunnel's inner type stands before its ECN.
                0xa5 | 0xc5 => Err(HdrError::TunnelRange),
                _ => Err(HdrError::GsoType),
            };
            assert_eq!(got, expected, "{gso_type:#x}");
        }
    }

    #[test]
    fn segmentation_needs_negotiation() {
        // Type and which sets of tso4, tso6, ecn, uso4, uso6, ufo (bits 0 to 5) allow it.
        type Row = (u8, fn(u8) -> bool);
        let table: [Row; 7] = [
            (0, |_| true),
            (1, |s| s & 1 != 0),
            (4, |s| s & 2 != 0),
            (0x81, |s| s & 5 == 5),
            (0x84, |s| s & 6 == 6),
            (5, |s| s & 24 != 0),
            (3, |s| s & 32 != 0),
        ];
        for set in 0..64u8 {
            let offloads = RxOffloads {
                csum: true,
                tso4: set & 1 != 0,
                tso6: set & 2 != 0,
                ecn: set & 4 != 0,
                uso4: set & 8 != 0,
                uso6: set & 16 != 0,
                ufo: set & 32 != 0,
                ..NONE
            };
            for (gso_type, allowed) in table {
                let got = parse_rx(&header(1, gso_type, 1, 0, 0), &offloads, 14);
                if allowed(set) {
                    assert!(got.is_ok(), "{gso_type:#x} {set:#b}");
                } else {
                    assert_eq!(got, Err(HdrError::GsoNotNegotiated), "{gso_type:#x}");
                }
            }
        }
    }

    #[test]
    fn segmentation_needs_size_and_checksum() {
        for gso_type in [1, 3, 4, 5, 0x81, 0x84] {
            let size_0 = header(1, gso_type, 0, 0, 0);
            assert_eq!(parse_rx(&size_0, &ALL, 60), Err(HdrError::GsoSize));
            for flags in [0, 4, 0xfc] {
                let bytes = header(flags, gso_type, 1448, 0, 0);
                assert_eq!(parse_rx(&bytes, &ALL, 60), Err(HdrError::GsoType));
            }
            let vouched_for = header(2, gso_type, 1448, 0, 0);
            assert_eq!(
                parse_rx(&vouched_for, &ALL, 60),
                ok(RxCsum::Unnecessary, true)
            );
            for size in [1, 2, 0x00ff, 0x0100, 0xff00, 0xffff] {
                assert!(parse_rx(&header(1, gso_type, size, 0, 0), &ALL, 60).is_ok());
            }
            let far = header(1, gso_type, 1448, 59, 0);
            assert_eq!(parse_rx(&far, &ALL, 60), Err(HdrError::CsumRange));
            let no_csum = RxOffloads { csum: false, ..ALL };
            let bytes = header(1, gso_type, 1448, 0, 0);
            let got = parse_rx(&bytes, &no_csum, 60);
            assert_eq!(got, Err(HdrError::CsumNotNegotiated));
        }
        // Without segmentation the size is of no interest.
        assert!(parse_rx(&header(0, 0, 0, 0, 0), &NONE, 60).is_ok());
        assert!(parse_rx(&header(0, 0, 0xffff, 0, 0), &NONE, 60).is_ok());
    }

    /// A header with tunnel fields, as it is read.
    fn tunnelled(
        bytes: [u8; LEN],
        outer_th: u16,
        inner_nh: u16,
        o: &RxOffloads,
        len: u32,
    ) -> Result<RxMeta, HdrError> {
        let [a, b] = outer_th.to_le_bytes();
        let [c, d] = inner_nh.to_le_bytes();
        let raw = RawHdr::from_bytes(&bytes).with_tunnel([a, b, c, d], o);
        assert_eq!(raw.to_bytes()[LEN..], [a, b, c, d]);
        super::pure::hdr::parse_rx(raw, o, len)
    }

    #[test]
    fn tunnels() {
        // Ethernet, outer IP and UDP, 8 bytes of VXLAN, Ethernet, inner IP.
        let at = |outer: u16, inner: u16| {
            let outer_th = 14 + outer;
            let inner_nh = outer_th + 8 + 8 + 14;
            (outer_th, inner_nh, inner_nh + inner)
        };
        let no_csum = RxOffloads {
            tunnel_csum: false,
            ..ALL
        };
        let no_tunnel = RxOffloads {
            tunnel: false,
            tunnel_csum: false,
            ..ALL
        };
        for (tunnel, outer) in [(0x20u8, 20u16), (0x40, 40)] {
            for (inner_type, inner) in [(1u8, 20u16), (4, 40), (5, 20), (5, 40), (0x81, 20)] {
                let (th, nh, start) = at(outer, inner);
                let gso_type = tunnel | inner_type;
                let hdr = |flags| header(flags, gso_type, 1448, start, 16);
                let partial = RxCsum::Partial { start, offset: 16 };
                for flags in [1, 9, 0xfd] {
                    assert_eq!(
                        tunnelled(hdr(flags), th, nh, &ALL, 4000),
                        if flags & 2 == 0 {
                            ok(partial, true)
                        } else {
                            Err(HdrError::GsoType)
                        }
                    );
                }
                // D5: both kinds.
                let both = header(1, 0x60 | inner_type, 1448, start, 16);
                let got = tunnelled(both, th, nh, &ALL, 4000);
                assert_eq!(got, Err(HdrError::GsoType));
                // D6: no partial checksum, or a validated one, or nothing to be segmented.
                for flags in [0, 2, 3, 8, 10, 11] {
                    let got = tunnelled(hdr(flags), th, nh, &ALL, 4000);
                    assert_eq!(got, Err(HdrError::GsoType), "{flags}");
                }
                for wrong in [0, 3, 2, 6, 0x80, 0x83, 0x85] {
                    let got = tunnelled(
                        header(1, tunnel | wrong, 1448, start, 16),
                        th,
                        nh,
                        &ALL,
                        4000,
                    );
                    assert_eq!(got, Err(HdrError::GsoType), "{wrong:#x}");
                }
                // What was not negotiated.
                let got = tunnelled(hdr(1), th, nh, &no_tunnel, 4000);
                assert_eq!(got, Err(HdrError::GsoNotNegotiated));
                assert!(tunnelled(hdr(1), th, nh, &no_csum, 4000).is_ok());
                let got = tunnelled(hdr(9), th, nh, &no_csum, 4000);
                assert_eq!(got, Err(HdrError::GsoType));
                // The inner packet's own rules.
                let no_inner = RxOffloads {
                    tunnel: true,
                    csum: true,
                    ..NONE
                };
                let got = tunnelled(hdr(1), th, nh, &no_inner, 4000);
                assert_eq!(got, Err(HdrError::GsoNotNegotiated));
                let size_0 = header(1, gso_type, 0, start, 16);
                let got = tunnelled(size_0, th, nh, &ALL, 4000);
                assert_eq!(got, Err(HdrError::GsoSize));
                let got = tunnelled(hdr(1), th, nh, &ALL, u32::from(start) + 17);
                assert_eq!(got, Err(HdrError::CsumRange));
                // Headers that overlap: the inner type of UDP may be over either IP.
                let least = if inner_type == 5 { 20 } else { inner };
                for (th, nh, start) in [
                    (th - 1, nh, start),
                    (th, th + 7, th + 7 + least),
                    (th, nh, nh + least - 1),
                    (u16::MAX, u16::MAX, u16::MAX),
                    (th, u16::MAX, u16::MAX),
                    (u16::MAX, nh, start),
                    (th, 0, start),
                    (0, 0, 0),
                ] {
                    let bytes = header(1, gso_type, 1448, start, 16);
                    let got = tunnelled(bytes, th, nh, &ALL, 1 << 20);
                    assert_eq!(got, Err(HdrError::TunnelRange), "{th} {nh} {start}");
                }
                let tight = header(1, gso_type, 1448, th + 8 + least, 16);
                assert!(tunnelled(tight, th, th + 8, &ALL, 4000).is_ok());
            }
        }
        // A tunnelled packet that needs no segmentation: the device has looked at both checksums.
        let vouched_for = header(10, 0, 0, 0, 0);
        let got = tunnelled(vouched_for, 0, 0, &ALL, 60);
        assert_eq!(got, ok(RxCsum::Unnecessary, false));
        let got = tunnelled(vouched_for, 0, 0, &no_csum, 60);
        assert_eq!(got, Err(HdrError::GsoType));
        // D7: an outer checksum to be completed, and no tunnel.
        for gso_type in [0, 1, 0x81] {
            for flags in [9, 11, 0xff] {
                let got = tunnelled(header(flags, gso_type, 1448, 34, 16), 0, 0, &ALL, 4000);
                assert_eq!(got, Err(HdrError::GsoType));
            }
            let got = tunnelled(header(1, gso_type, 1448, 34, 16), 0, 0, &ALL, 4000);
            assert!(got.is_ok());
        }
        // Flags that nobody knows yet are taken out, this one not.
        let raw = RawHdr::from_bytes(&header(0xff, 0, 0, 0, 0)).with_tunnel([0; 4], &ALL);
        assert_eq!(raw.to_bytes()[0], 11);
    }

    /// The headers of a packet in VXLAN: outer and inner IP version, VLAN tag, bytes of options of the
    /// inner IPv4 header, inner protocol. With it where outer UDP, inner IP and inner transport are.
    fn vxlan(
        outer: u8,
        vlan: bool,
        inner: u8,
        options: usize,
        protocol: u8,
    ) -> (Vec<u8>, [usize; 3]) {
        fn ip(p: &mut Vec<u8>, version: u8, options: usize, protocol: u8) {
            let at = p.len();
            if version == 4 {
                p.resize(at + 20 + options, 0);
                p[at] = 0x45 + (options / 4) as u8;
                p[at + 9] = protocol;
                p[at + 12..at + 16].copy_from_slice(&[198, 18, 0, 2]);
            } else {
                p.resize(at + 40, 0);
                p[at] = 0x60;
                p[at + 6] = protocol;
                p[at + 8] = 0xfd;
                p[at + 24] = 0xfd;
            }
        }
        let ether_type = |version: u8| if version == 4 { [8, 0] } else { [0x86, 0xdd] };
        let mut p = vec![0x52; 12];
        if vlan {
            p.extend([0x81, 0, 0, 7]);
        }
        p.extend(ether_type(outer));
        ip(&mut p, outer, 0, 17);
        let outer_th = p.len();
        p.extend([0xc0, 0x01, 0x12, 0xb5, 0, 0, 0, 0]);
        p.extend([8, 0, 0, 0, 0, 0, 7, 0]);
        p.extend([0x52; 12]);
        p.extend(ether_type(inner));
        let inner_nh = p.len();
        ip(&mut p, inner, options, protocol);
        let inner_th = p.len();
        p.resize(inner_th + 40, 0x45);
        (p, [outer_th, inner_nh, inner_th])
    }

    /// What [`RawHdr::locate`] finds in a packet whose header has these types and this `csum_start`.
    fn locate(p: &[u8], gso_type: u8, start: usize) -> Option<[u8; 4]> {
        let raw = RawHdr::from_bytes(&header(1, gso_type, 1448, start as u16, 16));
        let inner = raw.inner_at()? as usize;
        raw.locate(
            p[..OUTER_LEN].try_into().unwrap(),
            p[inner..inner + INNER_LEN].try_into().unwrap(),
        )
    }

    /// A device that leaves the tunnel fields as they were in the buffer: zero, or something of an
    /// earlier packet.
    #[test]
    fn tunnels_without_fields() {
        for (outer, tunnel) in [(4, 0x20), (6, 0x40)] {
            for vlan in [false, true] {
                for (inner, inner_type, options, protocol) in [
                    (4, 1, 0, 6),
                    (4, 0x81, 4, 6),
                    (4, 1, 40, 6),
                    (6, 4, 0, 6),
                    (4, 5, 0, 17),
                    (4, 5, 12, 17),
                    (6, 5, 0, 17),
                ] {
                    let (p, [outer_th, inner_nh, start]) =
                        vxlan(outer, vlan, inner, options, protocol);
                    let gso_type = tunnel | inner_type;
                    let bytes = header(1, gso_type, 1448, start as u16, 16);
                    let parse = |fields| {
                        let raw = RawHdr::from_bytes(&bytes).with_tunnel(fields, &ALL);
                        super::pure::hdr::parse_rx(raw, &ALL, 4000)
                    };
                    for stale in [[0; 4], [0, 0, 8, 0], [0x6d, 0x45, 0x86, 0xdd]] {
                        assert_eq!(parse(stale), Err(HdrError::TunnelRange));
                    }
                    let found = locate(&p, gso_type, start).unwrap();
                    assert_eq!(
                        found,
                        [outer_th as u8, 0, inner_nh as u8, 0],
                        "{outer} {inner} {options}"
                    );
                    let partial = RxCsum::Partial {
                        start: start as u16,
                        offset: 16,
                    };
                    assert_eq!(parse(found), ok(partial, true));
                    // Other types than the header says, or other headers between them.
                    assert_eq!(locate(&p, gso_type ^ 0x60, start), None);
                    for other in [1, 4, 5, 0, 3, 6] {
                        if other != inner_type & 0x7f {
                            assert_eq!(locate(&p, tunnel | other, start), None);
                        }
                    }
                    let mut q = p.clone();
                    q[if vlan { 16 } else { 12 }] ^= 0x10;
                    assert_eq!(locate(&q, gso_type, start), None);
                    let mut q = p.clone();
                    q[outer_th - if outer == 4 { 11 } else { 34 }] = 44;
                    assert_eq!(locate(&q, gso_type, start), None);
                    let mut q = p.clone();
                    q[inner_nh + if inner == 4 { 9 } else { 6 }] = 0;
                    assert_eq!(locate(&q, gso_type, start), None);
                }
            }
        }
        // Nothing before the checksum that could be a header.
        let raw = |start| RawHdr::from_bytes(&header(1, 0x21, 1448, start, 16));
        assert_eq!(raw(0).inner_at(), None);
        assert_eq!(raw(59).inner_at(), None);
        assert_eq!(raw(60).inner_at(), Some(0));
        assert_eq!(raw(u16::MAX).inner_at(), Some(65475));
        // Whatever the bytes: what is found is in order, or the range check says so.
        let mut random = Random::new();
        for _ in 0..100_000 {
            let mut outer = [(); OUTER_LEN].map(|()| random.u8());
            let inner = [(); INNER_LEN].map(|()| random.u8() % 0x48);
            outer[12..15].copy_from_slice(&[8, 0, 0x45]);
            outer[23] = 17;
            let start = random.u32() as u16;
            let raw = RawHdr::from_bytes(&header(1, 0x21, 1448, start, 16));
            if let Some([a, b, c, d]) = raw.locate(&outer, &inner) {
                assert_eq!(u16::from_le_bytes([a, b]), 34);
                assert!(u16::from_le_bytes([c, d]) + 20 <= start);
            }
        }
    }

    /// Whatever comes, what is let through keeps to what was negotiated.
    #[test]
    fn anything_goes_in_and_only_sense_comes_out() {
        let mut random = Random::new();
        let mut passed = 0;
        for _ in 0..200_000 {
            let mut bytes = [(); LEN].map(|()| random.u8());
            if random.u8() & 1 != 0 {
                bytes[1] &= 0x87;
                bytes[7] &= 0x01;
                bytes[9] &= 0x01;
            }
            let set = random.u8();
            let offloads = RxOffloads {
                csum: set & 1 != 0,
                tso4: set & 2 != 0,
                tso6: set & 4 != 0,
                ecn: set & 8 != 0,
                uso4: set & 16 != 0,
                uso6: set & 32 != 0,
                ufo: set & 64 != 0,
                ..NONE
            };
            let packet_len = random.magnitude();
            let Ok(meta) = parse_rx(&bytes, &offloads, packet_len) else {
                continue;
            };
            passed += 1;
            assert_eq!(meta.num_buffers, u16::from_le_bytes([bytes[10], bytes[11]]));
            assert_eq!(meta.gso, bytes[1] != 0);
            match meta.csum {
                RxCsum::Partial { start, offset } => {
                    assert!(offloads.csum && bytes[0] & 1 != 0);
                    let end = u64::from(start) + u64::from(offset) + 2;
                    assert!(end <= u64::from(packet_len));
                }
                RxCsum::Unnecessary => assert_eq!(bytes[0] & 3, 2),
                RxCsum::None => assert_eq!((bytes[0] & 3, meta.gso), (0, false)),
            }
            if meta.gso {
                assert!(bytes[4] != 0 || bytes[5] != 0);
                assert!(!matches!(meta.csum, RxCsum::None));
                assert!(match bytes[1] & 0x7f {
                    1 => offloads.tso4,
                    3 => offloads.ufo && bytes[1] & 0x80 == 0,
                    4 => offloads.tso6,
                    5 => (offloads.uso4 || offloads.uso6) && bytes[1] & 0x80 == 0,
                    _ => false,
                });
                assert!(bytes[1] & 0x80 == 0 || offloads.ecn);
            }
        }
        assert!(passed > 1_000);
    }
}

mod ctrl {
    use super::pure::ctrl::{
        self, ack, class, parts, result_len, rx_steps, Ack, Backoff, RxMode, RxStep,
    };
    use super::Random;

    #[test]
    fn numbers() {
        let classes = [
            class::RX,
            class::MAC,
            class::VLAN,
            class::ANNOUNCE,
            class::MQ,
            class::GUEST_OFFLOADS,
        ];
        assert_eq!(classes, [0, 1, 2, 3, 4, 5]);
        assert_eq!((ctrl::RX_PROMISC, ctrl::RX_ALLMULTI), (0, 1));
        assert_eq!((ctrl::MAC_TABLE_SET, ctrl::MAC_ADDR_SET), (0, 1));
        assert_eq!((ctrl::VLAN_ADD, ctrl::VLAN_DEL), (0, 1));
        assert_eq!((ctrl::ANNOUNCE_ACK, ctrl::MQ_VQ_PAIRS_SET), (0, 0));
        assert_eq!((ctrl::MQ_RSS_CONFIG, ctrl::MQ_HASH_CONFIG), (1, 2));
        assert_eq!(ctrl::GUEST_OFFLOADS_SET, 0);
        assert_eq!((ctrl::ACK_OK, ctrl::NO_ANSWER), (0, 0xff));
    }

    /// What a device lets through: of a unicast and a multicast packet that are in the tables, of such
    /// that are in none, and of one that only the new tables have.
    fn accepted(promisc: bool, allmulti: bool, new_table: bool) -> [bool; 5] {
        [
            true,
            true,
            promisc,
            promisc || allmulti,
            promisc || allmulti || new_table,
        ]
    }

    fn mode<T>((promisc, allmulti): (T, T)) -> RxMode<T> {
        RxMode { promisc, allmulti }
    }

    #[test]
    fn receive_modes() {
        let three = [None, Some(false), Some(true)];
        let two = [false, true];
        for was in three.iter().flat_map(|p| three.map(|a| (*p, a))) {
            for want in two.iter().flat_map(|p| two.map(|a| (*p, a))) {
                for table in two {
                    // A device that was told nothing is promiscuous.
                    let (mut promisc, mut allmulti) =
                        (was.0.unwrap_or(true), was.1.unwrap_or(false));
                    let mut new_table = false;
                    let before = accepted(promisc, allmulti, new_table);
                    let after = accepted(want.0, want.1, table);
                    let mut told = (was.0, was.1, !table);
                    let (was, want) = (mode(was), mode(want));
                    for step in rx_steps(was, want, table) {
                        match step {
                            RxStep::Promisc(on) => {
                                assert_ne!(told.0, Some(on));
                                (promisc, told.0) = (on, Some(on));
                            }
                            RxStep::Allmulti(on) => {
                                assert_ne!(told.1, Some(on));
                                (allmulti, told.1) = (on, Some(on));
                            }
                            RxStep::Table => {
                                assert!(!told.2);
                                (new_table, told.2) = (true, true);
                            }
                        }
                        let now = accepted(promisc, allmulti, new_table);
                        for ((b, a), now) in before.iter().zip(after).zip(now) {
                            assert!(now || !b || !a, "{was:?} {want:?} {table}: after {step:?}");
                        }
                    }
                    assert_eq!(told, (Some(want.promisc), Some(want.allmulti), true));
                }
            }
        }
    }

    #[test]
    fn answers() {
        assert_eq!(ack(ctrl::ACK_OK), Ack::Ok);
        assert_eq!(ack(ctrl::NO_ANSWER), Ack::Missing);
        for byte in 1..u8::MAX {
            assert_eq!(ack(byte), Ack::Refused);
        }
    }

    #[test]
    fn results_end_where_the_room_does() {
        // What the device says that it wrote, the room behind the answer, what is a result.
        let table: [(u32, usize, usize); 8] = [
            (0, 8, 0),
            (1, 8, 0),
            (2, 8, 1),
            (9, 8, 8),
            (10, 8, 8),
            (u32::MAX, 8, 8),
            (u32::MAX, 0, 0),
            (u32::MAX, usize::MAX, 0xffff_fffe),
        ];
        for (used_len, room, expected) in table {
            assert_eq!(result_len(used_len, room), expected, "{used_len} of {room}");
        }
    }

    #[test]
    fn commands_are_cut_for_their_descriptors() {
        let all = usize::MAX;
        let none: &[u8] = &[];
        assert_eq!(parts(&[3, 0], all), [&[3, 0], none, none]);
        assert_eq!(parts(&[4, 0, 7, 8], all), [&[4, 0], &[7, 8], none]);
        assert_eq!(parts(&[1, 0, 7, 8, 9], 1), [&[1, 0], &[7][..], &[8, 9]]);
        assert_eq!(parts(&[1, 0, 7], 1), [&[1, 0], &[7][..], none]);
        assert_eq!(parts(&[1, 0, 7], 0), [&[1, 0], none, &[7]]);
        // No command is that short; nothing panics either.
        assert_eq!(parts(&[1], 5), [&[1], none, none]);
        assert_eq!(parts(none, 0), [none, none, none]);
    }

    #[test]
    fn sleeps() {
        let steps = [20, 40, 80, 160, 320, 640, 1000, 1000, 1000];
        let got: Vec<u32> = Backoff::new(u64::MAX).take(steps.len()).collect();
        assert_eq!(got, steps);

        let table: [(u64, &[u32]); 7] = [
            (0, &[]),
            (1, &[1]),
            (19, &[19]),
            (20, &[20]),
            (21, &[20, 1]),
            (1260, &[20, 40, 80, 160, 320, 640]),
            (2261, &[20, 40, 80, 160, 320, 640, 1000, 1]),
        ];
        for (deadline, expected) in table {
            let mut backoff = Backoff::new(deadline);
            let mut got = Vec::new();
            for sleep in backoff.by_ref() {
                got.push(sleep);
            }
            assert_eq!(got, expected);
            // Once over, it stays over.
            assert_eq!((backoff.next(), backoff.next()), (None, None));
        }
    }

    #[test]
    fn sleeps_that_take_longer_count_as_that() {
        // µs that each takes more than was asked for; how many there are in 100 ms (105 as asked).
        let table = [
            (0, 105),
            (500, 70),
            (1000, 53),
            (9000, 11),
            (16_000, 7),
            (u64::MAX / 2, 7),
        ];
        for (more, expected) in table {
            let mut backoff = Backoff::new(100_000);
            let mut n = 0;
            while let Some(asked) = backoff.next() {
                backoff.took(asked, u64::from(asked) + more);
                n += 1;
            }
            assert_eq!(n, expected, "{more}");
        }
        // Whatever a clock says, there is an end and nothing wraps.
        for us in [0, 1, u64::MAX] {
            let mut backoff = Backoff::new(3);
            assert_eq!(backoff.next(), Some(3));
            backoff.took(3, us);
            assert_eq!(backoff.next(), None);
        }
    }

    #[test]
    fn sleeps_add_up_to_the_deadline() {
        let mut random = Random::new();
        let drawn = (0..200).map(|_| u64::from(random.u16()) * 31);
        for deadline in (0..3_000).chain(drawn).chain([10_000_000]) {
            let mut sum = 0;
            for sleep in Backoff::new(deadline) {
                assert!((1..=1000).contains(&sleep));
                sum += u64::from(sleep);
                assert!(sum <= deadline);
            }
            assert_eq!(sum, deadline);
        }
        // Beyond 32 bits, from where on it is just as long as it takes.
        let long = u64::from(u32::MAX) + 1;
        assert_eq!(Backoff::new(long).nth(100), Some(1000));
        assert_eq!(Backoff::new(u64::MAX).nth(100_000), Some(1000));
    }
}

mod rss {
    use super::pure::features::{bit, Features};
    use super::pure::rss::{
        caps, fields, hash_config, indir_default, report, rss_config, set_fields, usable, Caps,
        Fields, Flow, Limits, Proto, RxHash, Unusable, KEY_LEN,
    };
    use super::Random;

    fn features(rss: bool, report: bool) -> Features {
        let f = Features::EMPTY.with(bit::MQ).with(bit::CTRL_VQ);
        let f = if rss { f.with(bit::RSS) } else { f };
        if report {
            f.with(bit::HASH_REPORT)
        } else {
            f
        }
    }

    fn limits(key: u8, table: u16, types: u32) -> Limits {
        Limits { key, table, types }
    }

    #[test]
    fn what_a_device_allows() {
        let (both, rss, report, none) = (
            features(true, true),
            features(true, false),
            features(false, true),
            features(false, false),
        );
        let table = [
            // Offered; key, table, types; left; why.
            (both, (40, 128, 0x3f), both, None),
            (both, (255, 65535, u32::MAX), both, None),
            (both, (40, 1, 1), both, None),
            (both, (0, 128, 0x3f), none, Some(Unusable::Key)),
            (both, (39, 128, 0x3f), none, Some(Unusable::Key)),
            (rss, (39, 128, 0x3f), none, Some(Unusable::Key)),
            (report, (39, 0, 0x3f), none, Some(Unusable::Key)),
            (both, (40, 128, 0), none, Some(Unusable::Types)),
            // Nothing but hashes over extension headers, and bits without a meaning.
            (both, (40, 128, 0xffff_ffc0), none, Some(Unusable::Types)),
            (both, (40, 0, 0x3f), report, Some(Unusable::Table)),
            (rss, (40, 0, 0x3f), none, Some(Unusable::Table)),
            // Only devices with RSS have a table.
            (report, (40, 0, 0x3f), report, None),
            (none, (0, 0, 0), none, None),
        ];
        for (offered, (key, len, types), left, why) in table {
            let got = usable(offered, limits(key, len, types));
            assert_eq!(got, (left, why), "{key} {len} {types:#x}");
        }
    }

    #[test]
    fn capabilities() {
        let table = [
            // Table of the device, and what is used of it.
            (1, 1),
            (2, 2),
            (3, 2),
            (127, 64),
            (128, 128),
            (129, 128),
            (255, 128),
            (8191, 4096),
            (8192, 8192),
            (8193, 8192),
            (32768, 8192),
            (65535, 8192),
        ];
        for (device, used) in table {
            for report in [false, true] {
                let got = caps(features(true, report), limits(40, device, 0x1ff));
                let (table, types) = (used, 0x3f);
                assert_eq!(
                    got,
                    Some(Caps {
                        table,
                        types,
                        report
                    })
                );
            }
        }
        let (table, report) = (0, true);
        let got = caps(features(false, true), limits(52, 512, 0x102));
        assert_eq!(
            got,
            Some(Caps {
                table,
                types: 2,
                report
            })
        );
        assert_eq!(caps(features(false, false), limits(40, 128, 0x3f)), None);
        assert_eq!(caps(features(true, true), limits(8, 128, 0x3f)), None);
        assert_eq!(caps(features(true, true), limits(40, 0, 0x3f)), None);
        assert_eq!(caps(features(true, true), limits(40, 128, 0)), None);
    }

    #[test]
    fn whatever_a_device_says_is_legal_for_it() {
        let mut random = Random::new();
        for _ in 0..100_000 {
            let l = limits(
                random.u8(),
                random.u16() >> (random.u8() % 17).min(15),
                random.u32(),
            );
            let f = features(random.u8() & 1 != 0, random.u8() & 1 != 0);
            let (left, _) = usable(f, l);
            assert!(!left.has(bit::RSS) || f.has(bit::RSS));
            assert!(!left.has(bit::HASH_REPORT) || f.has(bit::HASH_REPORT));
            // What is left is usable.
            assert_eq!(usable(left, l), (left, None));
            match caps(left, l) {
                None => assert!(!left.has(bit::RSS) && !left.has(bit::HASH_REPORT)),
                Some(c) => {
                    assert!(l.key >= 40 && c.types != 0 && c.types & !l.types == 0);
                    assert_eq!(c.report, left.has(bit::HASH_REPORT));
                    assert_eq!(c.table != 0, left.has(bit::RSS));
                    assert!(c.table == 0 || c.table.is_power_of_two() && c.table <= l.table);
                }
            }
        }
    }

    #[test]
    fn even_spread() {
        assert_eq!(
            (0..8).map(|i| indir_default(i, 3)).collect::<Vec<_>>(),
            [0, 1, 2, 0, 1, 2, 0, 1]
        );
        assert_eq!(indir_default(65535, 1), 0);
        assert_eq!(indir_default(7, 0), 0);
    }

    const PROTOS: [Proto; 4] = [Proto::Tcp, Proto::Udp, Proto::Other, Proto::Any];

    /// What the specification says of a packet: the first that applies.
    fn model(types: u32, v6: bool, proto: Proto) -> Fields {
        let types = if v6 { types >> 3 } else { types } & 7;
        match (types & 1 != 0, types & 2 != 0, types & 4 != 0, proto) {
            (_, true, _, Proto::Tcp) | (_, _, true, Proto::Udp) => Fields::AddrsPorts,
            (true, ..) => Fields::Addrs,
            _ => Fields::None,
        }
    }

    #[test]
    fn fields_against_the_model() {
        for types in 0..64 {
            for v6 in [false, true] {
                for proto in PROTOS {
                    assert_eq!(fields(types, Flow { v6, proto }), model(types, v6, proto));
                }
            }
        }
    }

    #[test]
    fn a_flow_is_set_without_the_others() {
        const ALL: [Fields; 3] = [Fields::None, Fields::Addrs, Fields::AddrsPorts];
        for supported in 0..64u32 {
            for types in (0..64).filter(|t| t & !supported == 0) {
                for v6 in [false, true] {
                    for proto in PROTOS {
                        for want in ALL {
                            let flow = Flow { v6, proto };
                            let Some(new) = set_fields(types, supported, flow, want) else {
                                // What is as wanted already is never refused.
                                assert_ne!(model(types, v6, proto), want);
                                continue;
                            };
                            assert_eq!(model(new, v6, proto), want);
                            assert_eq!(new & !supported, 0);
                            let own = match proto {
                                Proto::Any => 1,
                                Proto::Tcp => 2,
                                Proto::Udp => 4,
                                Proto::Other => 0,
                            };
                            let own = if v6 { own << 3 } else { own };
                            assert_eq!(new & !own, types & !own);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_flow_is_set_by_example() {
        let v4 = |proto| Flow { v6: false, proto };
        let v6 = |proto| Flow { v6: true, proto };
        use Fields::{Addrs, AddrsPorts, None as Nothing};
        let table = [
            // Types, what can be had, flow, fields; types then.
            (0x3f, 0x3f, v4(Proto::Tcp), Addrs, Some(0x3d)),
            (0x3d, 0x3f, v4(Proto::Tcp), AddrsPorts, Some(0x3f)),
            (0x3f, 0x3f, v6(Proto::Udp), Addrs, Some(0x1f)),
            (0x3f, 0x3f, v4(Proto::Any), Addrs, Some(0x3f)),
            (0x3f, 0x3f, v4(Proto::Any), Nothing, Some(0x3e)),
            (0x3e, 0x3f, v4(Proto::Tcp), Nothing, Some(0x3c)),
            (0x3f, 0x3f, v6(Proto::Any), Nothing, Some(0x37)),
            // TCP can't be left out while all of IPv4 is hashed, nor hashed less than ports alone.
            (0x3f, 0x3f, v4(Proto::Tcp), Nothing, None),
            (0x3e, 0x3f, v4(Proto::Tcp), Addrs, None),
            (0x3f, 0x3f, v4(Proto::Any), AddrsPorts, None),
            (0x3f, 0x3f, v4(Proto::Other), Nothing, None),
            (0x3f, 0x3f, v4(Proto::Other), Addrs, Some(0x3f)),
            // Not among what the device has.
            (0x01, 0x01, v4(Proto::Tcp), AddrsPorts, None),
            (0x02, 0x02, v4(Proto::Any), Addrs, None),
        ];
        for (types, supported, flow, want, then) in table {
            let got = set_fields(types, supported, flow, want);
            assert_eq!(got, then, "{types:#x} {flow:?} {want:?}");
        }
    }

    #[test]
    fn commands() {
        let mut key = [0; KEY_LEN];
        for (i, b) in (0x80..).zip(&mut key) {
            *b = i;
        }
        let mut out = Vec::new();
        let done: Result<(), ()> = rss_config(0x0201_0304, &[0, 1, 2, 0x7ffe], 0x8000, &key, |b| {
            assert!(!b.is_empty());
            out.extend_from_slice(b);
            Ok(())
        });
        assert_eq!(done, Ok(()));
        let head = [
            4, 3, 1, 2, 3, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0xfe, 0x7f, 0, 0x80, 40,
        ];
        assert_eq!(out[..19], head);
        assert_eq!(out[19..], key);

        assert_eq!(
            hash_config(0x3f),
            [0x3f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40]
        );

        // An error of the taker ends it at once.
        let mut calls = 0;
        let failed = rss_config(1, &[0; 128], 1, &key, |_| {
            calls += 1;
            if calls == 3 {
                Err(calls)
            } else {
                Ok(())
            }
        });
        assert_eq!((failed, calls), (Err(3), 3));
    }

    #[test]
    fn a_table_has_a_mask_of_its_length() {
        for log in 0..=13 {
            let table = vec![0; 1 << log];
            let mut out = Vec::new();
            let _: Result<(), ()> = rss_config(0, &table, 1, &[0; KEY_LEN], |b| {
                out.extend_from_slice(b);
                Ok(())
            });
            assert_eq!(u16::from_le_bytes([out[4], out[5]]), (1 << log) - 1);
            assert_eq!(out.len(), 4 + 2 + 2 + (2 << log) + 2 + 1 + 40);
        }
    }

    #[test]
    fn reports() {
        // By the number of the kind.
        let kinds = [
            None,
            Some((false, Proto::Any)),
            Some((false, Proto::Tcp)),
            Some((false, Proto::Udp)),
            Some((true, Proto::Any)),
            Some((true, Proto::Tcp)),
            Some((true, Proto::Udp)),
        ];
        for kind in 0..=u16::MAX {
            let [lo, hi] = kind.to_le_bytes();
            let got = report([0x78, 0x56, 0x34, 0x12, lo, hi, 0xff, 0xff]);
            let flow = kinds.get(usize::from(kind)).copied().flatten();
            let value = 0x1234_5678;
            let flow = flow.map(|(v6, proto)| Flow { v6, proto });
            assert_eq!(got, flow.map(|flow| RxHash { value, flow }));
            assert_eq!(
                got.map(|hash| hash.ports()),
                flow.map(|flow| flow.proto != Proto::Any)
            );
        }
    }
}

mod tx {
    use super::pure::tx::{max_sg, should_stop, should_wake};
    use super::EDGES;

    #[test]
    fn descriptors() {
        const MAX: usize = max_sg(17);
        assert_eq!(MAX, 19);
        assert_eq!(max_sg(0), 2);
        assert_eq!(max_sg(usize::MAX), usize::MAX);
    }

    #[test]
    fn stop_and_wake() {
        let table = [
            (0, 19, true),
            (18, 19, true),
            (19, 19, false),
            (20, 19, false),
            (u32::MAX, 19, false),
            (0, 0, false),
        ];
        for (num_free, max_sg, stop) in table {
            assert_eq!(should_stop(num_free, max_sg), stop);
        }
        for num_free in EDGES {
            for max_sg in EDGES {
                // A queue that may wake need not stop at once, and one of the two always holds.
                assert_ne!(should_stop(num_free, max_sg), should_wake(num_free, max_sg));
            }
        }
    }
}
