// SPDX-License-Identifier: GPL-2.0

//! Interrupt moderation: what was asked for, what each queue has, and the commands for it
//! (specification 5.1.6.5.9).
//!
//! Context: process.

#![forbid(unsafe_code)]

use super::{
    control::Control,
    features::Negotiated, //
};
use crate::{
    ctrl_vq::{
        NotfCoalRxSet,
        NotfCoalTxSet,
        NotfCoalVqSet, //
    },
    pure::{
        coalesce::{
            Moderation,
            Params, //
        },
        config::{
            rx_vq,
            tx_vq, //
        },
        features::bit, //
    }, //
};
use kernel::prelude::*;

/// The direction of a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The queue receives.
    Rx,
    /// The queue sends.
    Tx,
}

/// Returns the values of one direction.
fn one_way(params: &Params, direction: Direction) -> Moderation {
    match direction {
        Direction::Rx => params.rx,
        Direction::Tx => params.tx,
    }
}

/// What one queue pair is to have, and what its receive queue has.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    /// What was asked for.
    pub(crate) requested: Params,
    /// What the receive queue has, which is not `requested.rx` if the traffic has chosen it.
    pub(crate) rx_applied: Moderation,
}

impl Pair {
    /// What a pair has after a reset.
    pub(crate) const INITIAL: Self = Self {
        requested: Params::INITIAL,
        rx_applied: Params::INITIAL.rx,
    };

    /// Returns the values as `ethtool` shows them.
    pub(crate) fn shown(&self) -> Params {
        Params {
            rx: self.rx_applied,
            ..self.requested
        }
    }

    /// Returns what a queue of the pair has.
    fn at_device(&self, direction: Direction) -> Moderation {
        match direction {
            Direction::Rx => self.rx_applied,
            Direction::Tx => self.requested.tx,
        }
    }

    /// Writes down what was asked for.
    pub(crate) fn commit(&mut self, requested: Params) {
        self.requested = requested;
        if !requested.adaptive_rx {
            self.rx_applied = requested.rx;
        }
    }
}

/// Returns whether the device takes values for all queues of a direction at once.
pub(crate) fn has_notf_coal(f: &Negotiated) -> bool {
    f.has(bit::NOTF_COAL)
}

/// Returns whether the device takes values for single queues.
pub(crate) fn has_vq_notf_coal(f: &Negotiated) -> bool {
    f.has(bit::VQ_NOTF_COAL)
}

/// Sends what all queues of a direction are to have.
fn send(control: Control<'_>, direction: Direction, m: Moderation) -> Result {
    match direction {
        Direction::Rx => control.exec(&NotfCoalRxSet(m)),
        Direction::Tx => control.exec(&NotfCoalTxSet(m)),
    }
}

/// Sends what one queue, of pair `i`, is to have.
///
/// # Errors
///
/// Returns the errors of the control queue.
pub(crate) fn send_queue(
    control: Control<'_>,
    i: u16,
    direction: Direction,
    m: Moderation,
) -> Result {
    let vq = match direction {
        Direction::Rx => rx_vq(i),
        Direction::Tx => tx_vq(i),
    };
    control.exec(&NotfCoalVqSet((u16::try_from(vq)?, m)))
}

/// What was asked for, and what the queues have.
pub(crate) struct State {
    /// Values of the interface.
    pub(crate) all: Params,
    /// Values of each pair that exists, or none for devices that take none.
    pub(crate) pairs: KVVec<Pair>,
    /// Whether the device was sent values since its reset.
    pub(crate) configured: bool,
}

impl State {
    /// Makes the state that a device has after its reset.
    pub(crate) const fn new() -> Self {
        Self {
            all: Params::INITIAL,
            pairs: KVVec::new(),
            configured: false,
        }
    }

    /// Returns the first `active` pairs, with their numbers.
    fn active(&self, active: u16) -> impl Iterator<Item = (u16, &Pair)> {
        (0..active).zip(&self.pairs)
    }

    /// Gives all queues of a direction `m`, those of the first `active` pairs one by one if need
    /// be, and returns false if they had it.
    ///
    /// # Errors
    ///
    /// Returns the errors of the control queue. All queues have what is written down then, unless
    /// the device refuses that, too, for which `not_restored` is called.
    pub(crate) fn send_all(
        &self,
        control: Control<'_>,
        active: u16,
        direction: Direction,
        m: Moderation,
        not_restored: impl Fn(Error),
    ) -> Result<bool> {
        let differs = |(_, p): &(u16, &Pair)| p.at_device(direction) != m;
        if has_notf_coal(control.f) {
            let same = self.pairs.iter().all(|p| p.at_device(direction) == m);
            if one_way(&self.all, direction) == m && same {
                return Ok(false);
            }
            send(control, direction, m)?;
            return Ok(true);
        }
        let mut sent = false;
        for (i, _) in self.active(active).filter(differs) {
            if let Err(e) = send_queue(control, i, direction, m) {
                self.take_back(control, i, direction, m, not_restored);
                return Err(e);
            }
            sent = true;
        }
        Ok(sent)
    }

    /// Sends what is written down for the queues before that of pair `end` again, which have `m`
    /// instead.
    fn take_back(
        &self,
        control: Control<'_>,
        end: u16,
        direction: Direction,
        m: Moderation,
        not_restored: impl Fn(Error),
    ) {
        for (i, p) in self.active(end) {
            let was = p.at_device(direction);
            if was == m {
                continue;
            }
            if let Err(e) = send_queue(control, i, direction, was) {
                not_restored(e);
                if e != EINVAL {
                    // Nor will the others be taken back. There may be hundreds.
                    return;
                }
            }
        }
    }

    /// Sends what is written down for all queues of a direction, those of the first `active` pairs
    /// one by one if need be.
    ///
    /// # Errors
    ///
    /// Returns the errors of the control queue.
    pub(crate) fn resend(&self, control: Control<'_>, active: u16, direction: Direction) -> Result {
        let all = one_way(&self.all, direction);
        let at_once = has_notf_coal(control.f);
        if at_once {
            send(control, direction, all)?;
        }
        if has_vq_notf_coal(control.f) {
            for (i, p) in self.active(active) {
                let m = p.at_device(direction);
                if !at_once || m != all {
                    send_queue(control, i, direction, m)?;
                }
            }
        }
        Ok(())
    }
}
