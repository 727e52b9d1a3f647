// SPDX-License-Identifier: GPL-2.0

//! Interrupt moderation (specification 5.1.6.5.9): `ethtool -c` and `-C`, for the interface and for
//! single queue pairs, and what the traffic asks for (`adaptive-rx`).
//!
//! A device takes values for all queues of a direction (NOTF_COAL), for single queues
//! (VQ_NOTF_COAL), or both. One mutex holds what was asked for and what each queue has, and is kept
//! while the device is told: what is written down is what the device has agreed to.

#![forbid(unsafe_code)]

use crate::{
    ctrl_vq::{
        NotfCoalRxSet,
        NotfCoalTxSet,
        NotfCoalVqSet, //
    },
    device::{
        watch_late,
        Negotiated,
        Net,
        VirtnetInfo, //
    },
    net::{
        net_warn,
        ratelimit,
        Rtnl, //
    },
    pure::{
        coalesce::{
            check,
            check_fixed,
            Moderation,
            Params,
            Refused, //
        },
        config::{
            rx_vq,
            tx_vq, //
        },
        features::bit, //
    },
    sync::errno::eopnotsupp, //
};
use core::ops::Range;
use kernel::prelude::*;

impl From<Refused> for Error {
    fn from(why: Refused) -> Self {
        match why {
            Refused::Unsupported => eopnotsupp(),
            Refused::Invalid => EINVAL,
        }
    }
}

/// The two directions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Rx,
    Tx,
}

impl Params {
    /// One direction of them.
    fn side(&self, side: Side) -> Moderation {
        match side {
            Side::Rx => self.rx,
            Side::Tx => self.tx,
        }
    }
}

/// What one queue pair is to have, and what its receive queue has.
#[derive(Clone, Copy)]
struct Pair {
    want: Params,
    /// Other than `want.rx` if chosen by the traffic.
    rx_now: Moderation,
}

impl Pair {
    const INITIAL: Self = Self {
        want: Params::INITIAL,
        rx_now: Params::INITIAL.rx,
    };

    /// As `ethtool` shows it.
    fn shown(&self) -> Params {
        Params {
            rx: self.rx_now,
            ..self.want
        }
    }

    /// What a queue of the pair has.
    fn at_device(&self, side: Side) -> Moderation {
        match side {
            Side::Rx => self.rx_now,
            Side::Tx => self.want.tx,
        }
    }

    /// Writes down what was asked for.
    fn commit(&mut self, want: Params) {
        self.want = want;
        if !want.adaptive_rx {
            self.rx_now = want.rx;
        }
    }
}

/// What was asked for.
pub(crate) struct State {
    /// For the interface.
    all: Params,
    /// For each pair that exists; none on devices that can't.
    pairs: KVVec<Pair>,
    /// The device was told something since its reset.
    touched: bool,
}

impl State {
    /// What a device has after its reset.
    pub(crate) const fn new() -> Self {
        Self {
            all: Params::INITIAL,
            pairs: KVVec::new(),
            touched: false,
        }
    }
}

/// Whether values for all queues of a direction can be told at once.
fn at_once(info: &VirtnetInfo) -> bool {
    info.f.has(bit::NOTF_COAL)
}

/// Whether values for single queues can be told.
pub(crate) fn per_queue(f: &Negotiated) -> bool {
    f.has(bit::VQ_NOTF_COAL)
}

/// Makes room for what each pair has. Probe.
pub(crate) fn init(info: &VirtnetInfo) -> Result {
    if at_once(info) || per_queue(&info.f) {
        let mut pairs = KVVec::new();
        pairs.resize(usize::from(info.max_pairs), Pair::INITIAL, GFP_KERNEL)?;
        info.coalesce.lock().pairs = pairs;
    }
    Ok(())
}

/// Tells the device what all queues of a direction are to have.
fn tell_side(info: &VirtnetInfo, side: Side, m: Moderation) -> Result {
    match side {
        Side::Rx => info.ctrl.exec(&info.vdev, &NotfCoalRxSet(m)),
        Side::Tx => info.ctrl.exec(&info.vdev, &NotfCoalTxSet(m)),
    }
}

/// Tells the device what one queue, of pair `i`, is to have.
fn tell_queue(info: &VirtnetInfo, i: u16, side: Side, m: Moderation) -> Result {
    let vq = match side {
        Side::Rx => rx_vq(i),
        Side::Tx => tx_vq(i),
    };
    info.ctrl
        .exec(&info.vdev, &NotfCoalVqSet((u16::try_from(vq)?, m)))
}

/// Reports what the device refused to take back.
fn report(dev: &Net, what: Result) {
    if let Err(e) = what {
        net_warn!(dev, "interrupt moderation not restored: {e:?}\n");
    }
}

impl State {
    /// Pairs in use, with their numbers.
    fn active(&self, info: &VirtnetInfo) -> impl Iterator<Item = (u16, &Pair)> {
        (0..info.pairs()).zip(&self.pairs)
    }

    /// Gives all queues of a direction `m`. False: they had it.
    ///
    /// # Errors
    ///
    /// The device's. All queues have what is written down then, unless it refuses that, too.
    fn tell_all(&self, dev: &Net, side: Side, m: Moderation) -> Result<bool> {
        let info = dev.data();
        let differs = |(_, p): &(u16, &Pair)| p.at_device(side) != m;
        if at_once(info) {
            if self.all.side(side) == m && self.pairs.iter().all(|p| p.at_device(side) == m) {
                return Ok(false);
            }
            tell_side(info, side, m)?;
            return Ok(true);
        }
        let mut told = false;
        for (i, _) in self.active(info).filter(differs) {
            if let Err(e) = tell_queue(info, i, side, m) {
                for (j, p) in self.active(info).filter(differs).filter(|(j, _)| *j < i) {
                    let back = tell_queue(info, j, side, p.at_device(side));
                    let in_vain = back.is_err_and(|e| e != EINVAL);
                    report(dev, back);
                    if in_vain {
                        // Nor will the others be taken back. There may be hundreds.
                        break;
                    }
                }
                return Err(e);
            }
            told = true;
        }
        Ok(told)
    }

    /// Gives all queues of a direction what is written down.
    fn retell(&self, info: &VirtnetInfo, side: Side) -> Result {
        let all = self.all.side(side);
        if at_once(info) {
            tell_side(info, side, all)?;
        }
        if per_queue(&info.f) {
            for (i, p) in self.active(info) {
                let m = p.at_device(side);
                if !at_once(info) || m != all {
                    tell_queue(info, i, side, m)?;
                }
            }
        }
        Ok(())
    }

    /// Gives both queues of pair `i` what is written down; the traffic chooses anew.
    fn retell_pair(&mut self, dev: &Net, i: u16) -> Result {
        let info = dev.data();
        let Some(p) = self.pairs.get_mut(usize::from(i)) else {
            return Ok(());
        };
        p.rx_now = p.want.rx;
        if let Some(pair) = dev.pair(i) {
            pair.rx.set_adaptive(p.want.adaptive_rx);
        }
        tell_queue(info, i, Side::Rx, p.want.rx)?;
        tell_queue(info, i, Side::Tx, p.want.tx)
    }

    /// Writes down that each pair has `all`; receive queues keep what the traffic has chosen.
    fn commit(&mut self, dev: &Net, all: Params) {
        self.touched = true;
        self.all = all;
        for (pair, p) in dev.pairs().zip(&mut self.pairs) {
            p.commit(all);
            if pair.rx.is_adaptive() != all.adaptive_rx {
                pair.rx.set_adaptive(all.adaptive_rx);
            }
        }
    }
}

/// `ethtool -c`.
pub(crate) fn get(dev: &Net) -> Params {
    let info = dev.data();
    if at_once(info) || per_queue(&info.f) {
        info.coalesce.lock().all
    } else {
        Params::FIXED
    }
}

/// `ethtool -C`: all pairs have `want` from now on, those that had other values included. Process
/// context.
///
/// # Errors
///
/// `EOPNOTSUPP`, `EINVAL` (also if the device refuses) and what the control queue reports: then
/// everything is as before.
pub(crate) fn set(dev: &Net, want: Params, _rtnl: &mut Rtnl) -> Result {
    change(dev, want).inspect_err(|_| watch_late(dev))
}

fn change(dev: &Net, want: Params) -> Result {
    let info = dev.data();
    if !at_once(info) && !per_queue(&info.f) {
        return Ok(check_fixed(&want)?);
    }
    let mut s = info.coalesce.lock();
    check(&s.all, &want, per_queue(&info.f), |_| false)?;
    // A device that is reset is told by `replay`.
    if info.set().is_some() {
        s.touched = true;
        let told = s.tell_all(dev, Side::Tx, want.tx)?;
        if !want.adaptive_rx {
            if let Err(e) = s.tell_all(dev, Side::Rx, want.rx) {
                if told {
                    report(dev, s.retell(info, Side::Tx));
                }
                return Err(e);
            }
        }
    }
    s.commit(dev, want);
    Ok(())
}

/// `ethtool --per-queue … --show-coalesce`. With adaptive moderation: what the traffic has chosen.
pub(crate) fn get_queue(dev: &Net, queue: u32) -> Result<Params> {
    let info = dev.data();
    if queue >= u32::from(info.max_pairs) {
        return Err(EINVAL);
    }
    if !per_queue(&info.f) {
        return Ok(get(dev));
    }
    let s = info.coalesce.lock();
    let p = s.pairs.get(usize::try_from(queue)?).ok_or(EINVAL)?;
    Ok(p.shown())
}

/// `ethtool --per-queue … --coalesce`. A pair that is not in use gets its values when it is.
///
/// # Errors
///
/// As for [`set`].
pub(crate) fn set_queue(dev: &Net, queue: u32, want: Params, _rtnl: &mut Rtnl) -> Result {
    change_queue(dev, queue, want).inspect_err(|_| watch_late(dev))
}

fn change_queue(dev: &Net, queue: u32, want: Params) -> Result {
    let info = dev.data();
    let now = get_queue(dev, queue)?;
    if !per_queue(&info.f) {
        if !at_once(info) {
            check_fixed(&want)?;
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
        dev.is_moderation(m) || m == p.want.rx
    })?;
    if i < info.pairs() && info.set().is_some() {
        let rx = !want.adaptive_rx && want.rx != now.rx;
        if rx {
            tell_queue(info, i, Side::Rx, want.rx)?;
        }
        if want.tx != now.tx {
            if let Err(e) = tell_queue(info, i, Side::Tx, want.tx) {
                if rx {
                    report(dev, tell_queue(info, i, Side::Rx, now.rx));
                }
                return Err(e);
            }
        }
    }
    // With adaptive moderation the values are the traffic's, not the user's.
    let rx = if now.adaptive_rx && want.adaptive_rx {
        p.want.rx
    } else {
        want.rx
    };
    p.commit(Params { rx, ..want });
    if now.adaptive_rx != want.adaptive_rx {
        if let Some(pair) = dev.pair(i) {
            pair.rx.set_adaptive(want.adaptive_rx);
        }
    }
    s.touched = true;
    Ok(())
}

/// The traffic of receive queue `i` asks for `to`. Process context, from a work: takes the mutex
/// and not RTNL.
pub(crate) fn moderate(dev: &Net, i: u16, to: Moderation) {
    let info = dev.data();
    let mut guard = info.coalesce.lock();
    let s = &mut *guard;
    let in_use = i < info.pairs();
    let Some(p) = s.pairs.get_mut(usize::from(i)) else {
        return;
    };
    if !in_use || !p.want.adaptive_rx || p.rx_now == to {
        return;
    }
    match tell_queue(info, i, Side::Rx, to) {
        Ok(()) => {
            p.rx_now = to;
            s.touched = true;
        }
        Err(e) => {
            if ratelimit() {
                net_warn!(dev, "input.{i}: adaptive moderation refused: {e:?}\n");
            }
            watch_late(dev);
        }
    }
}

/// Pairs have come into use, or their rings were reset: the device may have forgotten what they are
/// to have. It keeps by itself what is for all queues of a direction (5.1.6.5.9).
pub(crate) fn refresh(dev: &Net, pairs: Range<u16>, _rtnl: &mut Rtnl) {
    let info = dev.data();
    if !per_queue(&info.f) {
        return;
    }
    let mut s = info.coalesce.lock();
    if !s.touched {
        return;
    }
    for i in pairs {
        if let Err(e) = s.retell_pair(dev, i) {
            net_warn!(dev, "pair {i}: interrupt moderation not restored: {e:?}\n");
            if e != EINVAL {
                // Nor will the others be. There may be hundreds.
                watch_late(dev);
                return;
            }
        }
    }
}

/// The device may have missed what it was told, or done it late: it is told what is written down.
pub(crate) fn retell(dev: &Net, _rtnl: &mut Rtnl) {
    let info = dev.data();
    let s = info.coalesce.lock();
    if s.touched {
        let told = s.retell(info, Side::Tx);
        report(dev, told.and_then(|()| s.retell(info, Side::Rx)));
    }
}

/// After a reset: what was asked for. If the device refuses that now it has nothing, and so it is
/// written down.
pub(crate) fn replay(dev: &Net, _rtnl: &mut Rtnl) {
    let info = dev.data();
    let mut s = info.coalesce.lock();
    if !s.touched {
        return;
    }
    for (pair, p) in dev.pairs().zip(&mut s.pairs) {
        p.rx_now = p.want.rx;
        pair.rx.set_adaptive(p.want.adaptive_rx);
    }
    let told = s
        .retell(info, Side::Tx)
        .and_then(|()| s.retell(info, Side::Rx));
    if told.is_err() {
        report(dev, told);
        s.commit(dev, Params::INITIAL);
        info.settings.lock().changed.coalesce = true;
        watch_late(dev);
    }
}
