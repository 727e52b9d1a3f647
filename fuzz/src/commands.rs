// SPDX-License-Identifier: GPL-2.0

//! `pure/ctrl.rs`, `pure/coalesce.rs` and `pure/stats.rs`: commands and their answers.

use crate::pure::coalesce::{check, check_fixed, Moderation, Params, MAX_FRAMES, MAX_USECS};
use crate::pure::ctrl::{ack, parts, result_len, Ack, Backoff};
use crate::pure::features::Features;
use crate::pure::stats::{self, QueueStats, VqKind};

/// Only the byte that says so is a success, only the one that was there before is none; no result is longer than what there
/// was room for, or than the device says.
pub fn answer(byte: u8, used_len: u32, room: u32) {
    let want = match byte {
        0 => Ack::Ok,
        0xff => Ack::Missing,
        _ => Ack::Refused,
    };
    assert_eq!(ack(byte), want);
    let len = result_len(used_len, room as usize);
    assert!(len <= room as usize && len <= used_len as usize);
    assert!(len == room as usize || len + 1 == used_len as usize || used_len == 0 && len == 0);
}

/// A command is cut without losing a byte or changing their order; the first part is class and command.
pub fn cut(command: &[u8], cut: usize) {
    let p = parts(command, cut);
    assert_eq!(p.concat(), command);
    assert_eq!(p[0].len(), command.len().min(2));
    assert!(p[1].len() <= cut);
    assert!(p[2].is_empty() || p[1].len() == cut);
}

/// The sleeps make up the deadline, get longer, and none is long.
pub fn backoff(deadline: u32) {
    let sleeps: Vec<u64> = Backoff::new(deadline.into()).map(u64::from).collect();
    assert_eq!(sleeps.iter().sum::<u64>(), u64::from(deadline));
    assert!(sleeps.iter().all(|s| (1..=1000).contains(s)));
    let all_but_last = sleeps.len().saturating_sub(1);
    assert!(sleeps[..all_but_last].is_sorted());
    assert!(sleeps.len() as u64 <= 10 + u64::from(deadline) / 1000);
    // However far away, there is a first one.
    assert_eq!(
        Backoff::new(u64::MAX - u64::from(deadline)).next(),
        Some(20)
    );
}

fn params(v: [u32; 4], adaptive_rx: bool) -> Params {
    let m = |usecs, frames| Moderation { usecs, frames };
    Params {
        rx: m(v[0], v[1]),
        tx: m(v[2], v[3]),
        adaptive_rx,
    }
}

/// Nothing is sent to a device that is out of range, that it can't do, or that contradicts itself.
pub fn moderation(now: [u32; 4], want: [u32; 4], flags: u8) {
    let bit = |n: u8| flags >> n & 1 != 0;
    let (now, want) = (params(now, bit(0)), params(want, bit(1)));
    let (per_queue, chosen) = (bit(2), bit(3));
    let in_range = |m: Moderation| m.usecs <= MAX_USECS && m.frames <= MAX_FRAMES;
    match check(&now, &want, per_queue, |_| chosen) {
        Ok(()) => {
            assert!(in_range(want.tx));
            if want.adaptive_rx {
                assert!(per_queue);
                assert!(want.rx == now.rx || now.adaptive_rx && chosen);
            } else {
                assert!(in_range(want.rx));
            }
        }
        Err(_) => assert!(
            !in_range(want.tx)
                || !want.adaptive_rx && !in_range(want.rx)
                || want.adaptive_rx && (!per_queue || want.rx != now.rx)
        ),
    }
    assert_eq!(check_fixed(&want).is_ok(), want == Params::FIXED);
    let vq = want.tx.usecs as u16;
    let b = want.rx.bytes_for(vq);
    let le = |at: usize| u32::from_le_bytes(*b[at..].first_chunk().unwrap());
    assert_eq!(le(0), u32::from(vq));
    assert_eq!((le(4), le(8)), (want.rx.frames, want.rx.usecs));
    assert_eq!(b[4..], want.rx.bytes());
}

fn kind(n: usize) -> VqKind {
    [VqKind::Rx, VqKind::Tx, VqKind::Ctrl][n % 3]
}

/// Queues to ask about: number and types of each.
fn queues(asked: &[(u16, u64)]) -> Vec<QueueStats> {
    let mut out: Vec<(u16, QueueStats)> = Vec::new();
    for (i, (vq, types)) in asked.iter().enumerate() {
        if out.iter().all(|q| q.0 != *vq) {
            out.push((*vq, QueueStats::new(*vq, kind(i), *types)));
        }
    }
    out.into_iter().map(|q| q.1).collect()
}

/// Any bytes can be the reply: each error is counted, the loop ends, no counter appears out of nothing.
pub fn any_reply(asked: &[(u16, u64)], reply: &[u8]) {
    let mut all = queues(asked);
    let wanted: usize = all.iter().map(|q| q.reply_len()).sum();
    let errors = stats::parse(reply, &mut all);
    assert!(errors.bad as usize <= reply.len() / 8 + 1);
    assert_eq!(errors.total(), errors.bad + errors.missing);
    let mut came = 0;
    for q in &all {
        for i in 0..stats::MAX_TYPES + 1 {
            if let Some(v) = q.type_values(i) {
                assert_eq!(v.len(), stats::MAX_FIELDS);
                came += 1;
            }
        }
    }
    if errors == stats::Errors::default() {
        // Complete and without anything superfluous: then it has the very length.
        assert_eq!(reply.len(), wanted);
    }
    if reply.is_empty() {
        assert_eq!(came, 0);
    }
    assert!(came * 8 <= reply.len());
}

/// What a device says in good order arrives, in whatever order it says it. One byte of it changed, `change` from the front,
/// is either a changed counter or an error.
pub fn good_reply(asked: &[(u16, u64)], seed: u64, change: Option<(u16, u8)>) {
    let mut all = queues(asked);
    let (mut entries, mut want) = (Vec::new(), Vec::new());
    let mut next = seed;
    for q in &all {
        let request = q.request();
        let vq = u16::from_le_bytes([request[0], request[1]]);
        let types = u64::from_le_bytes(*request[8..].first_chunk().unwrap());
        let of = [VqKind::Rx, VqKind::Tx, VqKind::Ctrl]
            .into_iter()
            .find(|s| s.of(types) == types)
            .unwrap();
        assert_eq!(q.reply_len(), of.reply_len(types));
        assert_eq!(q.values().count(), of.fields(types));
        for (_, t) in of.types_in(types) {
            let mut e = vec![t.code, 0];
            e.extend(vq.to_le_bytes());
            e.extend([0, 0]);
            e.extend((t.reply_len() as u16).to_le_bytes());
            for _ in t.fields {
                next = next.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                e.extend(next.to_le_bytes());
                want.push(next);
            }
            entries.push(e);
        }
    }
    if !entries.is_empty() {
        let n = entries.len();
        entries.rotate_left(seed as usize % n);
    }
    let mut reply = entries.concat();
    let mut changed = None;
    if let Some((at, with)) = change {
        let at = usize::from(at) % reply.len().max(1);
        if let Some(b) = reply.get_mut(at).filter(|_| with != 0) {
            *b ^= with;
            changed = Some(at);
        }
    }
    let errors = stats::parse(&reply, &mut all);
    let got: Vec<u64> = all.iter().flat_map(|q| q.values()).collect();
    match changed {
        None => {
            assert_eq!(errors.total(), 0);
            assert_eq!(got, want);
        }
        // The bytes of a header that nobody looks at aside.
        Some(_) if errors.total() == 0 => {
            assert!(got.iter().zip(&want).filter(|(a, b)| a != b).count() <= 1);
        }
        Some(_) => assert!(errors.missing > 0),
    }
}

/// Only types that are known, supported, and whose features were negotiated are asked for.
pub fn types(supported: u64, f: u64) {
    let set = stats::usable(supported, Features::from_words(f, 0));
    assert_eq!(set & !supported, 0);
    assert_eq!(set & !0x1_000f_000f, 0);
    let parts: Vec<u64> = (0..3).map(|n| kind(n).of(set)).collect();
    assert_eq!(parts.iter().sum::<u64>(), set);
    for (i, part) in parts.iter().enumerate() {
        assert!(kind(i).reply_len(*part) < 200);
    }
    let all = stats::usable(supported, Features::from_words(!0, !0));
    assert_eq!(set & !all, 0);
    let bytes = supported.to_le_bytes();
    assert_eq!(stats::supported(&bytes), Some(supported));
    assert_eq!(stats::supported(&bytes[..7]), None);
}
