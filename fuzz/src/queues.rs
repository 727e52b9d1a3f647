// SPDX-License-Identifier: GPL-2.0

//! `pure/affinity.rs`, `pure/config.rs`, `pure/features.rs` and `pure/recovery.rs`: how many queues, where, with which
//! features, and how often a device is reset.

use crate::pure::affinity::{order, pair_cpus, CpuTopology};
use crate::pure::config;
use crate::pure::features::{hdr_len, name, offload_bit, resolve, Features, SUPPORTED};
use crate::pure::recovery::{Cure, Pace, ResetLimit, Sent, Stuck, Verdict, WINDOW_S};

/// All CPUs have a pair and all pairs a CPU; with fewer pairs than CPUs each CPU has one, and no pair has two more than
/// another.
pub fn spread(pairs: u16, cpus: u16) {
    let (pairs, cpus) = (u32::from(pairs), u32::from(cpus));
    let mut seen = vec![0u32; cpus as usize];
    let mut sizes = Vec::new();
    let mut end = 0;
    for pair in 0..pairs {
        let range = pair_cpus(pair, pairs, cpus);
        if pairs < cpus {
            assert_eq!(range.start, end);
            end = range.end;
        }
        sizes.push(range.len());
        for rank in range {
            seen[rank as usize] += 1;
        }
    }
    assert!(pair_cpus(pairs, pairs, cpus).is_empty());
    if pairs == 0 || cpus == 0 {
        assert!(seen.iter().all(|n| *n == 0));
        return;
    }
    let (least, most) = (*sizes.iter().min().unwrap(), *sizes.iter().max().unwrap());
    assert!(least >= 1 && most - least <= 1);
    let (least, most) = (*seen.iter().min().unwrap(), *seen.iter().max().unwrap());
    assert!(least >= 1 && most - least <= 1);
    if pairs <= cpus {
        assert_eq!(most, 1);
    }
    assert!(sizes.is_sorted_by(|a, b| a >= b));
}

/// Sorting loses nobody.
pub fn topology(cpus: &[(i8, i8, i8, u32)]) {
    let mut topology: Vec<CpuTopology> = cpus
        .iter()
        .map(|(node, package, core, cpu)| CpuTopology {
            node: (*node).into(),
            package: (*package).into(),
            core: (*core).into(),
            cpu: *cpu,
        })
        .collect();
    let mut model = topology.clone();
    model.sort();
    order(&mut topology);
    assert_eq!(topology, model);
}

/// The configuration, by chance.
pub fn configuration(
    f: u64,
    pairs: u16,
    mtu: u16,
    speed: u32,
    mac: [u8; 6],
    cpus: u32,
    param: u32,
) {
    let max = config::max_queue_pairs(Features::from_words(f, 0), pairs);
    assert!((1..=0x8000).contains(&max) && (max == 1 || max == pairs));
    let first = config::default_pairs(max, cpus, param);
    assert!((1..=max).contains(&first));
    if param != 0 {
        assert!(u32::from(first) <= param);
    }
    if let Some(m) = config::check_mtu(mtu) {
        assert!(m == mtu && m >= 68);
    }
    let [_, duplex, ..] = mac;
    let link = config::link_settings(speed, duplex);
    assert_eq!(link.speed.is_some(), speed <= i32::MAX as u32);
    assert_eq!(
        link.duplex,
        [Some(false), Some(true)]
            .get(usize::from(duplex))
            .copied()
            .flatten()
    );
    if config::mac_usable(mac) {
        assert!(mac[0] & 1 == 0 && mac.iter().any(|b| *b != 0));
    }
}

/// What is accepted and what is refused are all that was negotiated, once; what is accepted needs nothing else, and offering
/// more never takes a feature away.
pub fn features(lo: u64, hi: u64, more_lo: u64, more_hi: u64) {
    let (yes, no) = resolve(Features::from_words(lo, hi));
    let (y, n) = (yes.words(), no.words());
    assert_eq!((y.0 | n.0, y.1 | n.1), (lo, hi));
    assert_eq!((y.0 & n.0, y.1 & n.1), (0, 0));
    assert_eq!(resolve(yes), (yes, Features::from_words(0, 0)));
    let (more, _) = resolve(Features::from_words(lo | more_lo, hi | more_hi));
    assert_eq!((y.0 & !more.words().0, y.1 & !more.words().1), (0, 0));
    assert!(matches!(hdr_len(yes), 10 | 12 | 20 | 24));
    assert!(hdr_len(yes) <= hdr_len(more));
    for bit in 0..=200 {
        assert_eq!(
            yes.has(bit),
            bit < 128 && (u128::from(y.1) << 64 | u128::from(y.0)) >> bit & 1 != 0
        );
        assert!(!yes.without(bit).has(bit));
    }
    for bit in SUPPORTED {
        assert_ne!(name(bit), "?");
        assert!(offload_bit(bit).count_ones() <= 1);
    }
}

/// In no window are more than three resets, none is refused that could be had, and only the first refusal since a reset is
/// the first. `steps` are the seconds between requests.
pub fn resets(steps: &[u16]) {
    let mut limit = ResetLimit::new();
    let mut done: Vec<u64> = Vec::new();
    let mut refused = false;
    let mut now = 0;
    for step in steps {
        now += u64::from(*step);
        assert_eq!(
            limit.rest(now) == 0,
            done.iter().filter(|t| now - **t < WINDOW_S).count() < 3
        );
        let late = done.iter().filter(|t| now - **t < WINDOW_S).count();
        match limit.ask(now) {
            Verdict::Reset => {
                assert!(late < 3);
                done.push(now);
                refused = false;
            }
            v => {
                assert!(late == 3);
                assert_eq!(v == Verdict::RefusedAgain, refused);
                refused = true;
            }
        }
    }
}

/// A queue that is stuck again and again: a reset of one kind is never sooner than 5 s after the one before of that kind, nor
/// kept back for more than a minute; where others work and it doesn't, there is one at most. `steps`: the seconds since the
/// last look, whether the queue has sent something since, whether others have.
pub fn stuck(alone: bool, steps: &[(u8, bool, bool)]) {
    let (mut q, mut pace) = (Stuck::new(), Pace::new());
    let (mut now, mut sent, mut at) = (0, Sent::default(), None);
    let mut last = [None; 2];
    for (step, mine, theirs) in steps {
        now += u64::from(*step);
        sent.queue += u64::from(*mine);
        sent.others += u64::from(*theirs);
        let cure = q.cure(now, sent, alone, &mut pace);
        let dead = at.is_some_and(|at: Sent| at.queue == sent.queue);
        let others = at.is_some_and(|at: Sent| at.others != sent.others);
        assert_eq!(
            dead && others,
            matches!(cure, Cure::Unserved | Cure::UnservedAgain)
        );
        let kind = match cure {
            Cure::Queue => 0,
            Cure::Device => 1,
            Cure::Wait => {
                let i = usize::from(dead || !alone);
                assert!(last[i].is_some_and(|l| now - l < 60));
                continue;
            }
            _ => continue,
        };
        assert!(kind == 1 || alone && !dead);
        assert!(last[kind].is_none_or(|l| now - l >= 5));
        last[kind] = Some(now);
        q.was_reset(sent);
        at = Some(sent);
    }
}
