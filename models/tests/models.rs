// SPDX-License-Identifier: GPL-2.0

//! No interleaving breaks what the driver relies on, and each mistake is found.

use models::{hold, late, reset, rx, tx, xsk};
use std::{
    cell::Cell,
    panic::{catch_unwind, set_hook, take_hook, UnwindSafe},
    sync::Once,
};

thread_local!(static SILENT: Cell<bool> = const { Cell::new(false) });
static HOOK: Once = Once::new();

/// Says how many interleavings there were, and that there was more than one.
fn fine(what: &str, interleavings: usize) {
    println!("{what}: {interleavings} interleavings");
    assert!(interleavings > 1);
}

/// That a mistake is found, by one of the properties that it breaks.
fn found(what: &str, breaks: &[&str], f: impl FnOnce() -> usize + UnwindSafe) {
    // What is expected isn't shown.
    SILENT.set(true);
    HOOK.call_once(|| {
        let shown = take_hook();
        set_hook(Box::new(move |info| {
            if !SILENT.get() {
                shown(info);
            }
        }));
    });
    let result = catch_unwind(f);
    SILENT.set(false);
    let Err(why) = result else {
        panic!("{what}: not found");
    };
    let text = why.downcast_ref::<String>().map(String::as_str);
    let text = text.or(why.downcast_ref::<&str>().copied()).unwrap_or("");
    let known = breaks.iter().any(|b| text.contains(b));
    assert!(known, "{what}: found as something else: {text}");
    println!("{what}: found, {text}");
}

const UNTOLD: &str = "the device isn't told";
const UNREAPED: &str = "nobody reaps";
const ASLEEP: &str = "nobody wakes";
const UNPOLLED: &str = "nobody polls";

#[test]
fn packets_are_sent_and_reaped() {
    fine(
        "a ring of 2, 3 packets",
        tx::send(3, 2, false, false, tx::Flaw::None),
    );
}

#[test]
fn a_poll_tells_the_device() {
    fine(
        "left to a poll",
        tx::send(2, 2, true, false, tx::Flaw::None),
    );
}

#[test]
fn the_receive_poll_reaps_as_well() {
    fine(
        "with the receive queue's poll",
        tx::send(2, 2, false, true, tx::Flaw::None),
    );
}

#[test]
fn mistakes_in_sending_are_found() {
    use tx::{send, Flaw};
    let stuck = &[ASLEEP, UNREAPED];
    found("stops blindly", stuck, || {
        send(3, 2, false, false, Flaw::StopsBlindly)
    });
    found("not armed", stuck, || {
        send(3, 2, true, false, Flaw::NotArmed)
    });
    found("no last look", stuck, || {
        send(3, 2, true, false, Flaw::NoLastLook)
    });
    found("no wake", &[ASLEEP], || {
        send(3, 2, false, false, Flaw::NoWake)
    });
    found("a poll keeps kicks", &[UNTOLD], || {
        send(2, 2, true, false, Flaw::PollKeepsKicks)
    });
    found("the receive poll forgets", stuck, || {
        send(2, 2, false, true, Flaw::RxForgets)
    });
}

#[test]
fn polls_that_are_put_off() {
    fine("busy polling", rx::busy_poll(rx::Flaw::None));
}

#[test]
fn mistakes_in_polls_are_found() {
    found("disarms as a stranger", &[UNPOLLED], || {
        rx::busy_poll(rx::Flaw::DisarmsAsStranger)
    });
    found("no last look", &[UNPOLLED], || {
        rx::busy_poll(rx::Flaw::NoLastLook)
    });
}

#[test]
fn notifications_are_left_to_a_poll() {
    fine("softirqs take turns", hold::answer(false, true));
    fine("they don't, and nothing is left", hold::answer(true, false));
}

#[test]
fn softirqs_that_are_preempted_are_found() {
    found(
        "deferred with PREEMPT_RT",
        &[UNTOLD, "that is over"],
        || hold::answer(true, true),
    );
}

#[test]
fn a_reset_drops_nothing() {
    fine("reset", reset::reset(reset::Flaw::None));
}

#[test]
fn mistakes_in_a_reset_are_found() {
    use reset::{reset, Flaw};
    let early = "before it is ready";
    found("detaches first", &["meets no ring", early], || {
        reset(Flaw::DetachesFirst)
    });
    found("takes without lock", &["doesn't know", early], || {
        reset(Flaw::TakesWithoutLock)
    });
    found("starts before ready", &[early], || {
        reset(Flaw::StartsBeforeReady)
    });
}

#[test]
fn a_late_answer_leaves_nothing_undone() {
    fine("a late answer", late::change(late::Flaw::None));
}

#[test]
fn mistakes_about_late_answers_are_found() {
    use late::{change, Flaw};
    let undone = "doesn't do what is wanted";
    found("takes any answer", &["to another command"], || {
        change(Flaw::TakesAnyAnswer)
    });
    found("no watch", &[undone], || change(Flaw::NoWatch));
    found("sends again early", &[undone], || {
        change(Flaw::ResendsEarly)
    });
    found("sends the old again", &[undone], || {
        change(Flaw::ResendsOld)
    });
}

#[test]
fn sockets_wake_the_driver_for_buffers() {
    fine("need_wakeup, received", xsk::receive(xsk::RxFlaw::None));
}

#[test]
fn mistakes_about_buffers_of_sockets_are_found() {
    use xsk::{receive, RxFlaw};
    let left = &["nobody takes a buffer"];
    found("no second look", left, || receive(RxFlaw::NoSecondLook));
    found("no barrier", left, || receive(RxFlaw::NoBarrier));
    found("clears always", left, || receive(RxFlaw::ClearsAlways));
}

#[test]
fn sockets_send() {
    fine("need_wakeup, sent", xsk::send(4, false, xsk::TxFlaw::None));
    fine(
        "with the receive queue's poll",
        xsk::send(3, true, xsk::TxFlaw::None),
    );
}

#[test]
fn mistakes_in_sending_for_sockets_are_found() {
    use xsk::{send, TxFlaw};
    let left = &["nobody sends a packet", UNREAPED];
    found("no more", left, || send(4, false, TxFlaw::NoMore));
    found("not armed", left, || send(3, true, TxFlaw::NotArmed));
    found("no last look", left, || send(4, false, TxFlaw::NoLastLook));
}
