// SPDX-License-Identifier: GPL-2.0

//! How often a device may be reset because it asks for it.

#![forbid(unsafe_code)]

/// Resets that a device gets within [`WINDOW_S`]. One that needs more is beyond help, and would keep
/// the machine busy with nothing else.
const MOST: usize = 3;

/// Seconds in which at most [`MOST`] resets happen.
pub(crate) const WINDOW_S: u64 = 60;

/// When a device was reset last, for each of the latest resets.
#[derive(Clone, Copy)]
pub(crate) struct ResetLimit {
    /// Seconds of a clock that never goes back; none if there were fewer resets. In a circle.
    at: [Option<u64>; MOST],
    /// The oldest entry.
    next: usize,
    /// It asked in vain since.
    refused: bool,
}

/// What a device gets that asks for a reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// The reset.
    Reset,
    /// Nothing, for the first time since its last reset.
    Refused,
    /// Nothing, once more.
    RefusedAgain,
}

impl ResetLimit {
    /// No reset so far.
    pub(crate) const fn new() -> Self {
        Self {
            at: [None; MOST],
            next: 0,
            refused: false,
        }
    }

    /// Whether the device may be reset at `now`, in seconds; if so, that is counted.
    pub(crate) fn ask(&mut self, now: u64) -> Verdict {
        match self.at.get_mut(self.next) {
            Some(oldest) if oldest.is_none_or(|at| now.saturating_sub(at) >= WINDOW_S) => {
                *oldest = Some(now);
                self.next = self.next.wrapping_add(1) % MOST;
                self.refused = false;
                Verdict::Reset
            }
            _ if core::mem::replace(&mut self.refused, true) => Verdict::RefusedAgain,
            _ => Verdict::Refused,
        }
    }
}
