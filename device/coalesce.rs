// SPDX-License-Identifier: GPL-2.0

//! Interrupt moderation: what was asked for, what each queue has, and telling the device (specification
//! 5.1.6.5.9).

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

/// The two directions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Receiving.
    Rx,
    /// Sending.
    Tx,
}

impl Params {
    /// One direction of them.
    fn of(&self, direction: Direction) -> Moderation {
        match direction {
            Direction::Rx => self.rx,
            Direction::Tx => self.tx,
        }
    }
}

/// What one queue pair is to have, and what its receive queue has.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    /// What was asked for.
    pub(crate) requested: Params,
    /// Other than `requested.rx` if chosen by the traffic.
    pub(crate) rx_applied: Moderation,
}

impl Pair {
    /// What a pair has after a reset.
    pub(crate) const INITIAL: Self = Self {
        requested: Params::INITIAL,
        rx_applied: Params::INITIAL.rx,
    };

    /// As `ethtool` shows it.
    pub(crate) fn shown(&self) -> Params {
        Params {
            rx: self.rx_applied,
            ..self.requested
        }
    }

    /// What a queue of the pair has.
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

/// Whether values for all queues of a direction can be told at once.
pub(crate) fn has_notf_coal(f: &Negotiated) -> bool {
    f.has(bit::NOTF_COAL)
}

/// Whether values for single queues can be told.
pub(crate) fn has_vq_notf_coal(f: &Negotiated) -> bool {
    f.has(bit::VQ_NOTF_COAL)
}

/// Tells the device what all queues of a direction are to have. Process context.
fn send(control: Control<'_>, direction: Direction, m: Moderation) -> Result {
    match direction {
        Direction::Rx => control.exec(&NotfCoalRxSet(m)),
        Direction::Tx => control.exec(&NotfCoalTxSet(m)),
    }
}

/// Tells the device what one queue, of pair `i`, is to have. Process context.
///
/// # Errors
///
/// The device's.
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

/// What was asked for.
pub(crate) struct State {
    /// For the interface.
    pub(crate) all: Params,
    /// For each pair that exists; none on devices that can't.
    pub(crate) pairs: KVVec<Pair>,
    /// The device was told something since its reset.
    pub(crate) configured: bool,
}

impl State {
    /// What a device has after its reset.
    pub(crate) const fn new() -> Self {
        Self {
            all: Params::INITIAL,
            pairs: KVVec::new(),
            configured: false,
        }
    }

    /// The first `active` pairs, with their numbers.
    fn active(&self, active: u16) -> impl Iterator<Item = (u16, &Pair)> {
        (0..active).zip(&self.pairs)
    }

    /// Gives all queues of a direction `m`, those of the first `active` pairs one by one if need be. False: they
    /// had it. Process context.
    ///
    /// # Errors
    ///
    /// The device's. All queues have what is written down then, unless it refuses that, too, of which
    /// `not_restored` is told.
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
            if self.all.of(direction) == m && same {
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

    /// Gives the queues before that of pair `end` what is written down again, those that have `m` instead.
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

    /// Gives all queues of a direction what is written down, those of the first `active` pairs one by one if need
    /// be. Process context.
    ///
    /// # Errors
    ///
    /// The device's.
    pub(crate) fn resend(&self, control: Control<'_>, active: u16, direction: Direction) -> Result {
        let all = self.all.of(direction);
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
