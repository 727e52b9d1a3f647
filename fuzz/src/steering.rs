// SPDX-License-Identifier: GPL-2.0

//! `pure/rss.rs`: which packets go where.

use crate::pure::features::{bit, Features};
use crate::pure::rss::{self, Fields, Flow, Limits, Proto, KEY_LEN};

const FLOWS: [(bool, Proto); 8] = [
    (false, Proto::Tcp),
    (false, Proto::Udp),
    (false, Proto::Other),
    (false, Proto::Any),
    (true, Proto::Tcp),
    (true, Proto::Udp),
    (true, Proto::Other),
    (true, Proto::Any),
];

fn flow(n: u8) -> Flow {
    let (v6, proto) = FLOWS[usize::from(n) % FLOWS.len()];
    Flow { v6, proto }
}

/// What a device says it can do, by chance: nothing is made of nonsense.
pub fn device(f: u64, key: u8, table: u16, types: u32) {
    let limits = Limits { key, table, types };
    let before = Features::from_words(f, 0);
    let (after, why) = rss::usable(before, limits);
    assert_eq!(after.words().0 & !f, 0);
    assert_eq!(why.is_some(), after != before);
    // Once is enough.
    assert_eq!(rss::usable(after, limits), (after, None));
    let (rss, report) = (after.has(bit::RSS), after.has(bit::HASH_REPORT));
    match rss::caps(after, limits) {
        Some(c) => {
            assert!(rss || report);
            assert_eq!(c.report, report);
            assert!(c.types != 0 && c.types & !(types & 0x3f) == 0);
            assert!(usize::from(key) >= KEY_LEN);
            assert!(c.table <= table && c.table <= 8192);
            assert_eq!(c.table != 0, rss);
            assert!(
                c.table == 0 || c.table.is_power_of_two() && table / 2 < c.table || c.table == 8192
            );
        }
        None => assert!(!rss && !report),
    }
}

/// A table spreads over the queues there are.
pub fn table(index: u16, pairs: u16) {
    let q = rss::indir_default(index, pairs);
    assert!(q < pairs || q == 0);
}

/// Changing what a kind of packets is hashed over does that and nothing to the others, with types that the device has.
pub fn hash_fields(types: u32, supported: u32, kind: u8, want: u8) {
    let (flow, types) = (flow(kind), types & supported & 0x3f);
    let want = [Fields::None, Fields::Addrs, Fields::AddrsPorts][usize::from(want) % 3];
    let Some(new) = rss::set_fields(types, supported & 0x3f, flow, want) else {
        // What is already so can always be asked for.
        assert_ne!(rss::fields(types, flow), want);
        return;
    };
    assert_eq!(new & !(supported & 0x3f), 0);
    assert_eq!(rss::fields(new, flow), want);
    for (v6, proto) in FLOWS {
        let other = Flow { v6, proto };
        let own = matches!(proto, Proto::Tcp | Proto::Udp);
        if v6 != flow.v6
            || own && proto != flow.proto && matches!(flow.proto, Proto::Tcp | Proto::Udp)
        {
            assert_eq!(rss::fields(new, other), rss::fields(types, other));
        }
    }
}

/// The command has what was put in, where the specification wants it.
pub fn command(types: u32, log: u8, pairs: u16, seed: u8) {
    let entries: Vec<u16> = (0..1u16 << (log % 14))
        .map(|i| rss::indir_default(i, pairs))
        .collect();
    let key: [u8; KEY_LEN] = core::array::from_fn(|i| seed.wrapping_mul(i as u8));
    let mut b = Vec::new();
    let whole = rss::rss_config(types, &entries, pairs, &key, |part| {
        b.extend(part);
        Ok::<(), ()>(())
    });
    assert!(whole.is_ok());
    let le16 = |at: usize| u16::from_le_bytes([b[at], b[at + 1]]);
    assert_eq!(b[..4], types.to_le_bytes());
    assert_eq!(usize::from(le16(4)) + 1, entries.len());
    assert_eq!(le16(6), 0);
    assert!(entries
        .iter()
        .enumerate()
        .all(|(i, q)| le16(8 + 2 * i) == *q));
    let at = 8 + 2 * entries.len();
    assert_eq!(le16(at), pairs);
    assert_eq!(usize::from(b[at + 2]), KEY_LEN);
    assert_eq!(b[at + 3..], key);
    // An error of the one who writes ends it, wherever it comes.
    let mut left = usize::from(seed) % 8;
    let parts = 5 + entries.len() + 1;
    let result = rss::rss_config(types, &entries, pairs, &key, |_| {
        left = left.checked_sub(1).ok_or(())?;
        Ok::<(), ()>(())
    });
    assert_eq!(result.is_ok(), usize::from(seed) % 8 >= parts);
    let hash = rss::hash_config(types);
    assert_eq!(hash[..4], types.to_le_bytes());
    assert!(hash[4..12].iter().all(|b| *b == 0));
    assert_eq!(usize::from(hash[12]), KEY_LEN);
}

/// A reported hash has its value, and is none if its kind is none of ours.
pub fn report(bytes: [u8; 8]) {
    let kind = u16::from_le_bytes([bytes[4], bytes[5]]);
    match rss::report(bytes) {
        Some(h) => {
            assert!((1..=6).contains(&kind));
            assert_eq!(h.value.to_le_bytes(), bytes[..4]);
            assert_eq!(h.ports(), kind != 1 && kind != 4);
        }
        None => assert!(kind == 0 || kind > 6),
    }
}
