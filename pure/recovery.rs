// SPDX-License-Identifier: GPL-2.0

//! When a device is reset, or a queue of it, and when not any more.

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

    /// Seconds from `now` until it may be reset again; 0: now.
    pub(crate) fn rest(&self, now: u64) -> u64 {
        match self.at.get(self.next) {
            Some(Some(at)) => WINDOW_S.saturating_sub(now.saturating_sub(*at)),
            _ => 0,
        }
    }
}

/// How often a reset that failed is tried again soon. Memory may have been short.
const RETRIES: u32 = 4;

/// Milliseconds to the first time; each further one takes twice as long.
const RETRY_MS: u32 = 500;

/// Milliseconds from one to the next after that, for ever.
pub(crate) const SLOW_RETRY_MS: u32 = 30_000;

/// When to try again after `failed` resets that failed, one after the other: in how many milliseconds, and
/// whether nothing is to be hoped for soon.
pub(crate) fn retry(failed: u32) -> (u32, bool) {
    match failed {
        0 => (RETRY_MS, false),
        1..=RETRIES => (RETRY_MS.wrapping_shl(failed.wrapping_sub(1)), false),
        _ => (SLOW_RETRY_MS, true),
    }
}

/// Seconds from a reset after which the next may follow, at first; doubled with each.
const FIRST_S: u64 = 5;

/// The most that it becomes.
const MOST_S: u64 = 60;

/// Seconds without a reset after which it starts anew.
const CALM_S: u64 = 300;

/// How far apart resets of one thing are, if they don't help.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    last: Option<u64>,
    wait: u64,
}

impl Pace {
    /// No reset so far.
    pub(crate) const fn new() -> Self {
        Self {
            last: None,
            wait: FIRST_S,
        }
    }

    /// Whether it may be reset at `now`, in seconds; if so, that is counted.
    pub(crate) fn ask(&mut self, now: u64) -> bool {
        let since = self.last.map(|last| now.saturating_sub(last));
        self.wait = match since {
            Some(since) if since < self.wait => return false,
            Some(since) if since < CALM_S => self.wait.saturating_mul(2).min(MOST_S),
            _ => FIRST_S,
        };
        self.last = Some(now);
        true
    }
}

/// What is done about a transmit queue that is stuck.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cure {
    /// It is reset, alone.
    Queue,
    /// The device is reset.
    Device,
    /// Nothing yet.
    Wait,
    /// Nothing: nobody serves it, and others work. For the first time.
    Unserved,
    /// The same, once more.
    UnservedAgain,
}

/// What is known of a transmit queue that was stuck.
#[derive(Clone, Copy)]
pub(crate) struct Stuck {
    /// Packets that this queue, and all others, had sent when it was reset for being stuck.
    at: Option<(u64, u64)>,
    pace: Pace,
    told: bool,
}

impl Stuck {
    /// It never was.
    pub(crate) const fn new() -> Self {
        Self {
            at: None,
            pace: Pace::new(),
            told: false,
        }
    }

    /// It has been stuck for long at `now`, in seconds, having sent `mine` packets so far, and all others
    /// `theirs`. `alone`: a single queue can be reset. `device`: resets of the device. A reset that is allowed
    /// is counted.
    ///
    /// A queue of which nothing came since its last reset isn't helped by another one: its backend doesn't
    /// know it, perhaps. Where others work, that would only throw away what they have.
    pub(crate) fn cure(
        &mut self,
        now: u64,
        (mine, theirs): (u64, u64),
        alone: bool,
        device: &mut Pace,
    ) -> Cure {
        let (served, others) = match self.at {
            Some(at) => (mine != at.0, theirs != at.1),
            None => (true, true),
        };
        self.told = self.told && !served;
        match (served, others) {
            (false, true) if core::mem::replace(&mut self.told, true) => Cure::UnservedAgain,
            (false, true) => Cure::Unserved,
            (true, _) if alone => {
                if self.pace.ask(now) {
                    self.was_reset((mine, theirs));
                    Cure::Queue
                } else {
                    Cure::Wait
                }
            }
            _ if device.ask(now) => Cure::Device,
            _ => Cure::Wait,
        }
    }

    /// The queue is reset, alone or with the device, because it or another one is stuck.
    pub(crate) fn was_reset(&mut self, at: (u64, u64)) {
        self.at = Some(at);
    }
}
