// SPDX-License-Identifier: GPL-2.0

//! Tests of `pure/coalesce.rs`.

use super::pure::coalesce::{
    check, check_fixed, Moderation, Params, Refused, MAX_FRAMES, MAX_USECS,
};

fn m(usecs: u32, frames: u32) -> Moderation {
    Moderation { usecs, frames }
}

fn params(rx: (u32, u32), tx: (u32, u32), adaptive_rx: bool) -> Params {
    Params {
        rx: m(rx.0, rx.1),
        tx: m(tx.0, tx.1),
        adaptive_rx,
    }
}

#[test]
fn commands_have_packets_before_usecs() {
    let v = m(0x0102_0304, 0x0506_0708);
    assert_eq!(v.bytes(), [8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(
        v.bytes_for(0xa0b0),
        [0xb0, 0xa0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]
    );
}

#[test]
fn limits() {
    for (usecs, frames, ok) in [
        (0, 0, true),
        (0, 1, true),
        (MAX_USECS, MAX_FRAMES, true),
        (MAX_USECS + 1, 0, false),
        (0, MAX_FRAMES + 1, false),
        (u32::MAX, u32::MAX, false),
    ] {
        assert_eq!(m(usecs, frames).is_valid(), ok, "{usecs} {frames}");
        let (now, ok) = (
            Params::INITIAL,
            if ok { Ok(()) } else { Err(Refused::Invalid) },
        );
        for per_queue in [false, true] {
            let none = |_| false;
            let rx = params((usecs, frames), (0, 1), false);
            let tx = params((0, 0), (usecs, frames), false);
            assert_eq!(check(&now, &rx, per_queue, none), ok);
            assert_eq!(check(&now, &tx, per_queue, none), ok);
        }
    }
}

#[test]
fn without_the_feature_only_what_is() {
    assert_eq!(check_fixed(&Params::FIXED), Ok(()));
    let unsupported = [
        params((1, 1), (0, 1), false),
        params((0, 1), (1, 1), false),
        params((0, 1), (0, 1), true),
        // Sending without NAPI.
        params((0, 1), (0, 0), false),
    ];
    for p in unsupported {
        assert_eq!(check_fixed(&p), Err(Refused::Unsupported), "{p:?}");
    }
    for p in [
        params((0, 0), (0, 1), false),
        params((0, 2), (0, 1), false),
        params((0, 1), (0, 2), false),
    ] {
        assert_eq!(check_fixed(&p), Err(Refused::Invalid), "{p:?}");
    }
}

#[test]
fn adaptive_needs_single_queues_and_leaves_the_values() {
    let now = params((10, 20), (30, 40), false);
    let on = Params {
        adaptive_rx: true,
        ..now
    };
    let chosen = |v| v == m(64, 256);
    assert_eq!(check(&now, &on, true, chosen), Ok(()));
    assert_eq!(
        check(&now, &on, false, chosen),
        Err(Refused::Unsupported),
        "no values for single queues"
    );
    for rx in [m(11, 20), m(10, 21), m(64, 256)] {
        let other = Params { rx, ..on };
        assert_eq!(
            check(&now, &other, true, chosen),
            Err(Refused::Invalid),
            "switched on with another value: {rx:?}"
        );
    }
    // On already: what the driver has chosen is as good as what was shown.
    for (rx, ok) in [
        (m(10, 20), Ok(())),
        (m(64, 256), Ok(())),
        (m(64, 255), Err(Refused::Invalid)),
    ] {
        assert_eq!(check(&on, &Params { rx, ..on }, true, chosen), ok);
    }
    // Off again, with any valid value.
    assert_eq!(
        check(&on, &params((1, 2), (3, 4), false), true, chosen),
        Ok(())
    );
    // Transmit values are always the user's.
    let tx = Params { tx: m(5, 6), ..on };
    assert_eq!(check(&on, &tx, true, chosen), Ok(()));
    let tx = Params {
        tx: m(MAX_USECS + 1, 6),
        ..on
    };
    assert_eq!(check(&on, &tx, true, chosen), Err(Refused::Invalid));
}
