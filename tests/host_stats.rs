// SPDX-License-Identifier: GPL-2.0

//! Tests of `pure/stats.rs`, with replies as a device should make them and as it shouldn't.

use super::{
    pure::{
        features::{bit, Features},
        stats::{parse, supported, usable, Errors, QueueStats, VqKind, MAX_FIELDS},
    },
    Random,
};

const ALL: u64 = 0x1_000f_000f;

/// The types of the specification: code, queue, counters, size of a reply.
const TABLE: [(u8, VqKind, usize, usize); 9] = [
    (0, VqKind::Rx, 6, 56),
    (1, VqKind::Rx, 4, 40),
    (2, VqKind::Rx, 4, 40),
    (3, VqKind::Rx, 2, 24),
    (16, VqKind::Tx, 6, 56),
    (17, VqKind::Tx, 2, 24),
    (18, VqKind::Tx, 6, 56),
    (19, VqKind::Tx, 2, 24),
    (32, VqKind::Ctrl, 2, 24),
];

/// An entry of a reply with any size in its header, and counters that tell where they are from.
fn entry(code: u8, vq: u16, size: u16, fields: usize) -> Vec<u8> {
    let mut e = vec![code, 0xee];
    e.extend(vq.to_le_bytes());
    e.extend(0xeeee_u16.to_le_bytes());
    e.extend(size.to_le_bytes());
    for i in 0..fields {
        e.extend(value(code, vq, i).to_le_bytes());
    }
    e
}

fn value(code: u8, vq: u16, field: usize) -> u64 {
    u64::from(code) << 56 | u64::from(vq) << 8 | field as u64 | 1 << 40
}

fn good(code: u8, vq: u16) -> Vec<u8> {
    let (_, _, fields, size) = TABLE.iter().find(|t| t.0 == code).unwrap();
    entry(code, vq, *size as u16, *fields)
}

fn errors(bad: u32, missing: u32) -> Errors {
    Errors { bad, missing }
}

/// Whether the type at place `i` of a queue has come as `good` made it.
fn has(q: &QueueStats, i: usize, code: u8, vq: u16) -> bool {
    let fields = TABLE.iter().find(|t| t.0 == code).unwrap().2;
    q.type_values(i)
        .is_some_and(|v| (0..fields).all(|f| v[f] == value(code, vq, f)))
}

#[test]
fn types_are_those_of_the_specification() {
    for kind in [VqKind::Rx, VqKind::Tx, VqKind::Ctrl] {
        let here: Vec<_> = kind
            .types()
            .iter()
            .map(|t| (t.code, kind, t.fields.len(), t.reply_len()))
            .collect();
        let there: Vec<_> = TABLE.iter().filter(|t| t.1 == kind).copied().collect();
        assert_eq!(here, there);
        assert!(here.iter().all(|t| t.2 <= MAX_FIELDS));
        assert_eq!(kind.fields(ALL), there.iter().map(|t| t.2).sum::<usize>());
        assert_eq!(
            kind.reply_len(ALL),
            there.iter().map(|t| t.3).sum::<usize>()
        );
        assert_eq!(kind.fields(0), 0);
        assert_eq!(kind.of(u64::MAX), there.iter().fold(0, |a, t| a | 1 << t.0));
    }
}

#[test]
fn names_fit_into_ethtools() {
    for kind in [VqKind::Rx, VqKind::Tx] {
        for name in kind.types().iter().flat_map(|t| t.fields) {
            // "rx999_hw_", and a zero at the end.
            assert!(name.len() + 9 < 32, "{name}");
        }
    }
}

#[test]
fn only_what_is_known_and_negotiated_is_asked_for() {
    let none = Features::EMPTY;
    assert_eq!(usable(0, none), 0);
    assert_eq!(
        usable(u64::MAX, none),
        1 | 1 << 3 | 1 << 16 | 1 << 19 | 1 << 32
    );
    for (code, features) in [
        (1, &[bit::GUEST_CSUM][..]),
        (2, &[bit::GUEST_TSO4, bit::GUEST_TSO6]),
        (17, &[bit::CSUM]),
        (18, &[bit::HOST_TSO4, bit::HOST_TSO6, bit::HOST_USO]),
    ] {
        assert_eq!(usable(u64::MAX, none) >> code & 1, 0);
        for f in features {
            assert_eq!(usable(u64::MAX, none.with(*f)) >> code & 1, 1, "{code} {f}");
            assert_eq!(usable(!(1 << code), none.with(*f)) >> code & 1, 0);
        }
    }
}

#[test]
fn the_answer_to_a_query() {
    assert_eq!(supported(&[]), None);
    assert_eq!(supported(&[1; 7]), None);
    assert_eq!(
        supported(&[1, 2, 3, 4, 5, 6, 7, 8]),
        Some(0x0807_0605_0403_0201)
    );
    assert_eq!(supported(&[0; 9]), Some(0));
}

#[test]
fn requests() {
    let q = QueueStats::new(0x0102, VqKind::Tx, ALL);
    assert_eq!(
        q.request(),
        [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x0f, 0, 0, 0, 0, 0]
    );
    assert_eq!(q.reply_len(), 56 + 24 + 56 + 24);
    assert_eq!(QueueStats::new(0, VqKind::Tx, 0xf).reply_len(), 0);
    assert_eq!(QueueStats::new(0, VqKind::Tx, 0xf).values().count(), 0);
}

#[test]
fn a_whole_reply_in_any_order() {
    let mut parts = vec![];
    for vq in 0..8 {
        let codes = if vq % 2 == 0 { 0..4 } else { 16..20 };
        parts.extend(codes.map(|code| good(code, vq)));
    }
    parts.push(good(32, 8));
    let mut random = Random::new();
    for _ in 0..50 {
        for i in (1..parts.len()).rev() {
            parts.swap(i, random.u32() as usize % (i + 1));
        }
        let mut queues: Vec<_> = (0..9)
            .map(|vq| {
                let kind = match vq {
                    8 => VqKind::Ctrl,
                    vq if vq % 2 == 0 => VqKind::Rx,
                    _ => VqKind::Tx,
                };
                QueueStats::new(vq, kind, ALL)
            })
            .collect();
        let room: usize = queues.iter().map(|q| q.reply_len()).sum();
        let reply = parts.concat();
        assert_eq!(reply.len(), room);
        assert_eq!(parse(&reply, &mut queues), errors(0, 0));
        for vq in 0..8u16 {
            let q = &queues[usize::from(vq)];
            let first = if vq % 2 == 0 { 0 } else { 16 };
            let mut all = vec![];
            for i in 0..4u8 {
                assert!(has(q, usize::from(i), first + i, vq));
                let fields = TABLE.iter().find(|t| t.0 == first + i).unwrap().2;
                all.extend((0..fields).map(|f| value(first + i, vq, f)));
            }
            assert_eq!(q.values().collect::<Vec<_>>(), all);
        }
        assert!(has(&queues[8], 0, 32, 8));
    }
}

/// Receive queue 4 and transmit queue 5, asked for everything.
fn pair() -> [QueueStats; 2] {
    [
        QueueStats::new(4, VqKind::Rx, ALL),
        QueueStats::new(5, VqKind::Tx, ALL),
    ]
}

#[test]
fn entries_that_nobody_asked_for_are_stepped_over() {
    for stray in [
        good(0, 6),                            // another queue
        good(0, 5),                            // the other kind of queue
        good(16, 4),                           // the same the other way round
        good(32, 4),                           // the control queue's on another
        entry(4, 4, 56, 6),                    // no such type
        entry(255, 4, 56, 6),                  // no such type
        entry(0, 4, 48, 5),                    // a counter less
        entry(0, 4, 64, 7),                    // a counter more
        entry(0, 4, 8, 0),                     // none at all
        [entry(0, 4, 9, 0), vec![0]].concat(), // not even a whole one
    ] {
        let mut queues = pair();
        let reply = [stray.clone(), good(1, 4), stray.clone(), good(17, 5)].concat();
        assert_eq!(parse(&reply, &mut queues), errors(2, 6), "{stray:?}");
        assert!(has(&queues[0], 1, 1, 4) && has(&queues[1], 1, 17, 5));
        assert!(queues[0].type_values(0).is_none());
        // What didn't come is 0, in its place.
        let values: Vec<_> = queues[0].values().collect();
        assert_eq!(values.len(), 16);
        assert_eq!(values[..6], [0; 6]);
        assert_eq!(values[6], value(1, 4, 0));
        assert_eq!(values[10..], [0; 6]);
    }
}

#[test]
fn the_first_of_two_counts() {
    let mut queues = pair();
    let mut second = good(3, 4);
    second[8..].fill(0xff);
    let reply = [good(3, 4), second].concat();
    assert_eq!(parse(&reply, &mut queues), errors(1, 7));
    assert!(has(&queues[0], 3, 3, 4));
}

#[test]
fn a_size_that_leads_nowhere_is_the_end() {
    for size in [0, 1, 7, 57 + 40, 0x8000, 0xffff] {
        let mut queues = pair();
        let reply = [good(1, 4), entry(0, 4, size, 6), good(17, 5)].concat();
        // The last entry is not looked for: nobody knows where it begins.
        assert_eq!(parse(&reply, &mut queues), errors(1, 7), "size {size}");
        assert!(has(&queues[0], 1, 1, 4));
        assert!(queues[1].type_values(1).is_none());
    }
}

#[test]
fn cut_off_replies() {
    let whole = [good(0, 4), good(1, 4), good(16, 5)].concat();
    for len in 0..=whole.len() {
        let mut queues = pair();
        let got = parse(&whole[..len], &mut queues);
        let came = [56, 96, 152].iter().filter(|end| len >= **end).count() as u32;
        let bad = u32::from(![0, 56, 96, 152].contains(&len));
        assert_eq!(got, errors(bad, 8 - came), "{len} bytes");
        assert_eq!(got.total(), bad + 8 - came);
    }
}

#[test]
fn random_replies_end_and_give_no_more_than_was_asked_for() {
    let mut random = Random::new();
    for _ in 0..20_000 {
        let len = random.u32() as usize % 700;
        let mut reply: Vec<u8> = (0..len).map(|_| random.u8()).collect();
        // Mostly plausible headers, so that it gets somewhere.
        let mut at = 0;
        while at + 8 <= len && random.u32() % 8 != 0 {
            let t = TABLE[random.u32() as usize % TABLE.len()];
            let size = if random.u32() % 4 == 0 {
                random.u16() % 64
            } else {
                t.3 as u16
            };
            reply[at] = t.0;
            reply[at + 2..at + 4].copy_from_slice(&(random.u16() % 8).to_le_bytes());
            reply[at + 6..at + 8].copy_from_slice(&size.to_le_bytes());
            at += usize::from(size).max(8);
        }
        let set = random.u64() & ALL;
        let mut queues = [
            QueueStats::new(4, VqKind::Rx, set),
            QueueStats::new(5, VqKind::Tx, set),
            QueueStats::new(6, VqKind::Ctrl, set),
        ];
        let got = parse(&reply, &mut queues);
        let mut came = 0;
        for (q, kind) in queues.iter().zip([VqKind::Rx, VqKind::Tx, VqKind::Ctrl]) {
            assert_eq!(q.values().count(), kind.fields(set));
            for (i, t) in kind.types().iter().enumerate() {
                let values = q.type_values(i);
                assert!(values.is_none() || set & t.bit() != 0);
                came += u32::from(values.is_some());
            }
            assert!(q.type_values(4).is_none());
        }
        assert_eq!(came + got.missing, set.count_ones());
        assert!(got.bad <= len as u32 / 8 + 1);
    }
}
