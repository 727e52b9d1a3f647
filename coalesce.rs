// SPDX-License-Identifier: GPL-2.0

//! Interrupt moderation (specification 5.1.6.5.9): `ethtool -c` and `-C`, for the interface and for
//! single queue pairs, and what the traffic asks for (`adaptive-rx`).
//!
//! A device takes values for all queues of a direction (NOTF_COAL), for single queues
//! (VQ_NOTF_COAL), or both. One mutex guards what was asked for and what each queue has, and is
//! held while commands are sent: what is written down is what the device has agreed to.
//!
//! Context: process.

#![forbid(unsafe_code)]

use crate::{
    device::{
        coalesce::{
            has_notf_coal,
            has_vq_notf_coal,
            send_queue,
            Direction,
            Pair,
            State, //
        },
        watch_late,
        Net,
        VirtnetInfo, //
    },
    net::{
        net_warn,
        ratelimit,
        Rtnl, //
    },
    pure::coalesce::{
        check,
        check_fixed,
        Moderation,
        Params,
        Refused, //
    },
    sync::errno::eopnotsupp, //
};
use core::ops::Range;
use kernel::prelude::*;

/// Returns the error for values that can't be set.
fn refused(why: Refused) -> Error {
    match why {
        Refused::Unsupported => eopnotsupp(),
        Refused::Invalid => EINVAL,
    }
}

/// Makes room for what each pair has, as part of probe.
///
/// # Errors
///
/// Returns `ENOMEM`.
pub(crate) fn init(info: &VirtnetInfo) -> Result {
    if has_notf_coal(&info.f) || has_vq_notf_coal(&info.f) {
        let mut pairs = KVVec::new();
        pairs.resize(usize::from(info.max_pairs), Pair::INITIAL, GFP_KERNEL)?;
        info.coalesce.lock().pairs = pairs;
    }
    Ok(())
}

/// Reports what the device refused to take back.
fn report(dev: &Net, what: Result) {
    if let Err(e) = what {
        net_warn!(dev, "interrupt moderation not restored: {e:?}\n");
    }
}

impl State {
    /// Sends what is written down for both queues of pair `i`, after which the traffic chooses
    /// anew.
    fn resend_pair(&mut self, dev: &Net, i: u16) -> Result {
        let info = dev.data();
        let Some(p) = self.pairs.get_mut(usize::from(i)) else {
            return Ok(());
        };
        p.rx_applied = p.requested.rx;
        if let Some(pair) = dev.pair(i) {
            pair.rx.set_adaptive(p.requested.adaptive_rx);
        }
        send_queue(info.control(), i, Direction::Rx, p.requested.rx)?;
        send_queue(info.control(), i, Direction::Tx, p.requested.tx)
    }

    /// Writes down that each pair has `all`, but receive queues keep what the traffic has chosen.
    fn commit(&mut self, dev: &Net, all: Params) {
        self.configured = true;
        self.all = all;
        for (pair, p) in dev.pairs().zip(&mut self.pairs) {
            p.commit(all);
            if pair.rx.is_adaptive() != all.adaptive_rx {
                pair.rx.set_adaptive(all.adaptive_rx);
            }
        }
    }
}

/// Returns the values of the interface (`ethtool -c`).
pub(crate) fn get(dev: &Net) -> Params {
    let info = dev.data();
    if has_notf_coal(&info.f) || has_vq_notf_coal(&info.f) {
        info.coalesce.lock().all
    } else {
        Params::FIXED
    }
}

/// Gives all pairs `want` from now on, those that had other values included (`ethtool -C`).
///
/// # Errors
///
/// Returns `EOPNOTSUPP`, `EINVAL` (also if the device refuses), or the error of the control queue;
/// then everything is as before.
pub(crate) fn set(dev: &Net, want: Params, _rtnl: &mut Rtnl) -> Result {
    change(dev, want).inspect_err(|_| watch_late(dev))
}

fn change(dev: &Net, want: Params) -> Result {
    let info = dev.data();
    if !has_notf_coal(&info.f) && !has_vq_notf_coal(&info.f) {
        return check_fixed(&want).map_err(refused);
    }
    let mut s = info.coalesce.lock();
    check(&s.all, &want, has_vq_notf_coal(&info.f), |_| false).map_err(refused)?;
    // To a device that is reset `replay` sends them.
    if info.vqs().is_some() {
        s.configured = true;
        let (control, active) = (info.control(), info.pairs());
        let not_restored = |e| report(dev, Err(e));
        let sent = s.send_all(control, active, Direction::Tx, want.tx, not_restored)?;
        if !want.adaptive_rx {
            if let Err(e) = s.send_all(control, active, Direction::Rx, want.rx, not_restored) {
                if sent {
                    report(dev, s.resend(control, active, Direction::Tx));
                }
                return Err(e);
            }
        }
    }
    s.commit(dev, want);
    Ok(())
}

/// Returns the values of one pair (`ethtool --per-queue … --show-coalesce`), which with adaptive
/// moderation are those that the traffic has chosen.
///
/// # Errors
///
/// Returns `EINVAL` if there is no such pair.
pub(crate) fn get_queue(dev: &Net, queue: u32) -> Result<Params> {
    let info = dev.data();
    if queue >= u32::from(info.max_pairs) {
        return Err(EINVAL);
    }
    if !has_vq_notf_coal(&info.f) {
        return Ok(get(dev));
    }
    let s = info.coalesce.lock();
    let p = s.pairs.get(usize::try_from(queue)?).ok_or(EINVAL)?;
    Ok(p.shown())
}

/// Sets the values of one pair (`ethtool --per-queue … --coalesce`), which gets them when it comes
/// into use.
///
/// # Errors
///
/// Returns the errors of [`set`].
pub(crate) fn set_queue(dev: &Net, queue: u32, want: Params, _rtnl: &mut Rtnl) -> Result {
    change_queue(dev, queue, want).inspect_err(|_| watch_late(dev))
}

fn change_queue(dev: &Net, queue: u32, want: Params) -> Result {
    let info = dev.data();
    let now = get_queue(dev, queue)?;
    if !has_vq_notf_coal(&info.f) {
        if !has_notf_coal(&info.f) {
            check_fixed(&want).map_err(refused)?;
        }
        return if want == now {
            Ok(())
        } else {
            Err(eopnotsupp())
        };
    }
    let i = u16::try_from(queue)?;
    let mut guard = info.coalesce.lock();
    let s = &mut *guard;
    let p = s.pairs.get_mut(usize::from(i)).ok_or(EINVAL)?;
    let now = p.shown();
    check(&now, &want, true, |m| {
        dev.is_moderation(m) || m == p.requested.rx
    })
    .map_err(refused)?;
    if i < info.pairs() && info.vqs().is_some() {
        let rx = !want.adaptive_rx && want.rx != now.rx;
        if rx {
            send_queue(info.control(), i, Direction::Rx, want.rx)?;
        }
        if want.tx != now.tx {
            if let Err(e) = send_queue(info.control(), i, Direction::Tx, want.tx) {
                if rx {
                    report(dev, send_queue(info.control(), i, Direction::Rx, now.rx));
                }
                return Err(e);
            }
        }
    }
    // With adaptive moderation the values are the traffic's, not the user's.
    let rx = if now.adaptive_rx && want.adaptive_rx {
        p.requested.rx
    } else {
        want.rx
    };
    p.commit(Params { rx, ..want });
    if now.adaptive_rx != want.adaptive_rx {
        if let Some(pair) = dev.pair(i) {
            pair.rx.set_adaptive(want.adaptive_rx);
        }
    }
    s.configured = true;
    Ok(())
}

/// Gives receive queue `i` what its traffic asks for.
///
/// Context: process, from a work; takes the coalesce mutex and not RTNL.
pub(crate) fn moderate(dev: &Net, i: u16, to: Moderation) {
    let info = dev.data();
    let mut guard = info.coalesce.lock();
    let s = &mut *guard;
    let in_use = i < info.pairs();
    let Some(p) = s.pairs.get_mut(usize::from(i)) else {
        return;
    };
    if !in_use || !p.requested.adaptive_rx || p.rx_applied == to {
        return;
    }
    match send_queue(info.control(), i, Direction::Rx, to) {
        Ok(()) => {
            p.rx_applied = to;
            s.configured = true;
        }
        Err(e) => {
            if ratelimit() {
                net_warn!(dev, "input.{i}: adaptive moderation refused: {e:?}\n");
            }
            watch_late(dev);
        }
    }
}

/// Sends what pairs have that have come into use, or whose rings were reset, because the device may
/// have forgotten it.
///
/// The device keeps by itself what is for all queues of a direction (5.1.6.5.9).
pub(crate) fn refresh(dev: &Net, pairs: Range<u16>, _rtnl: &mut Rtnl) {
    let info = dev.data();
    if !has_vq_notf_coal(&info.f) {
        return;
    }
    let mut s = info.coalesce.lock();
    if !s.configured {
        return;
    }
    for i in pairs {
        if let Err(e) = s.resend_pair(dev, i) {
            net_warn!(dev, "pair {i}: interrupt moderation not restored: {e:?}\n");
            if e != EINVAL {
                // Nor will the others be. There may be hundreds.
                watch_late(dev);
                return;
            }
        }
    }
}

/// Sends what is written down once more, because the device may have missed it or done it late.
pub(crate) fn resend(dev: &Net, _rtnl: &mut Rtnl) {
    let info = dev.data();
    let s = info.coalesce.lock();
    if s.configured {
        let sent = s.resend(info.control(), info.pairs(), Direction::Tx);
        report(
            dev,
            sent.and_then(|()| s.resend(info.control(), info.pairs(), Direction::Rx)),
        );
    }
}

/// Sends what was asked for after a reset.
///
/// If the device refuses that now it has nothing, and so it is written down.
pub(crate) fn replay(dev: &Net, _rtnl: &mut Rtnl) {
    let info = dev.data();
    let mut s = info.coalesce.lock();
    if !s.configured {
        return;
    }
    for (pair, p) in dev.pairs().zip(&mut s.pairs) {
        p.rx_applied = p.requested.rx;
        pair.rx.set_adaptive(p.requested.adaptive_rx);
    }
    let sent = s
        .resend(info.control(), info.pairs(), Direction::Tx)
        .and_then(|()| s.resend(info.control(), info.pairs(), Direction::Rx));
    if sent.is_err() {
        report(dev, sent);
        s.commit(dev, Params::INITIAL);
        info.settings.lock().changed.coalesce = true;
        watch_late(dev);
    }
}
