// SPDX-License-Identifier: GPL-2.0

//! Everything by chance in large numbers: what ends a ring is so rare that tests count how much was used before.

use std::time::Duration;

use crate::cases::{break_rx, change_rx, fuzz_reply, fuzz_tick};
use crate::evil::{Case, Done, Rx, Stage, Stimulus, NONE};
use crate::net::Net;
use crate::rng::Rng;

/// One in so many used buffers breaks its ring.
const BREAKS: u64 = 50_000;
/// One in so many is kept for a while.
const HOLDS: u64 = 1_000;
/// Milliseconds between two batches of packets, and how many batches there are for each of the other events.
const EVERY: u64 = 2;
const BATCHES: u64 = 50;

fn rx(r: &mut Rx, g: &mut Rng) {
    change_rx(r, g);
    if g.one_in(BREAKS) {
        break_rx(r, g);
    }
}

fn done(d: &mut Done, size: u16, g: &mut Rng) {
    if g.one_in(HOLDS) {
        d.hold = Some(Duration::from_millis(g.below(300)));
    }
    let Some(u) = d.used.first_mut() else { return };
    if g.one_in(4) {
        u.1 = g.odd32(u.1);
    }
    if g.one_in(BREAKS) {
        u.0 = g.odd32(size.into());
    }
    if g.one_in(BREAKS) {
        d.advance = g.odd16(1);
    }
}

fn ctrl(d: &mut Done, size: u16, g: &mut Rng) {
    done(d, size, g);
    fuzz_reply(d, g);
}

fn tick(net: &mut Net, n: u64, g: &mut Rng) {
    if n.is_multiple_of(BATCHES) {
        fuzz_tick(net, n / BATCHES, g);
    }
}

const fn scale(name: &'static str, what: &'static str, features: &'static str) -> Case {
    Case {
        name,
        what,
        features,
        stage: Stage::Plug,
        stimulus: Stimulus::Scale,
        rx: Some(rx),
        tx: Some(done),
        ctrl: Some(ctrl),
        tick: Some(tick),
        every: EVERY,
        burst: 8,
        carry_out: true,
        ..NONE
    }
}

/// What tests ask for by name only.
pub const CASES: &[Case] = &[
    scale(
        "scale",
        "much by chance",
        "+NOTF_COAL+VQ_NOTF_COAL+DEVICE_STATS+RSS",
    ),
    scale(
        "scale-big",
        "much by chance, lists of pages",
        "-MRG_RXBUF+NOTF_COAL+DEVICE_STATS+RSS",
    ),
    scale(
        "scale-small",
        "much by chance, small buffers",
        "-MRG_RXBUF-GUEST_TSO4-GUEST_TSO6-GUEST_ECN-GUEST_USO4-GUEST_USO6+NOTF_COAL+DEVICE_STATS+RSS",
    ),
    scale(
        "scale-plain",
        "much by chance, rings without event index and indirect descriptors",
        "-EVENT_IDX-INDIRECT_DESC+NOTF_COAL+DEVICE_STATS+RSS",
    ),
];
