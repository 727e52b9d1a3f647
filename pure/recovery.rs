// SPDX-License-Identifier: GPL-2.0

//! Rules for resets: when a device or a queue of it is reset, and when it isn't any more.

#![forbid(unsafe_code)]

/// Resets that a device gets within [`WINDOW_S`].
///
/// One that needs more is beyond help, and would keep the machine busy with nothing else.
const MOST: usize = 3;

/// Seconds in which at most [`MOST`] resets happen.
pub(crate) const WINDOW_S: u64 = 60;

/// When a device was reset last, for each of the latest resets.
#[derive(Clone, Copy)]
pub(crate) struct ResetLimit {
    /// Times of a clock that never goes back, in seconds, in a circle; `None` if there were fewer
    /// resets.
    at: [Option<u64>; MOST],
    /// Index of the oldest entry.
    next: usize,
    /// Whether the device has asked in vain since its last reset.
    refused: bool,
}

/// What a device gets that asks for a reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// The device is reset.
    Reset,
    /// The device isn't reset, for the first time since its last reset.
    Refused,
    /// The device isn't reset, once more.
    RefusedAgain,
}

impl ResetLimit {
    /// Makes a limit for a device without a reset so far.
    pub(crate) const fn new() -> Self {
        Self {
            at: [None; MOST],
            next: 0,
            refused: false,
        }
    }

    /// Decides whether the device may be reset at `now`, in seconds, and counts a reset that is
    /// allowed.
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

    /// Returns the seconds from `now` until the device may be reset again, 0 if it may now.
    pub(crate) fn rest(&self, now: u64) -> u64 {
        match self.at.get(self.next) {
            Some(Some(at)) => WINDOW_S.saturating_sub(now.saturating_sub(*at)),
            _ => 0,
        }
    }
}

/// How often a reset that failed is tried again soon, because memory may have been short.
const RETRIES: u32 = 4;

/// Milliseconds to the first retry; each further one takes twice as long.
const RETRY_MS: u32 = 500;

/// Milliseconds from one retry to the next after that, for ever.
pub(crate) const SLOW_RETRY_MS: u32 = 30_000;

/// When a reset that failed is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Retry {
    /// Milliseconds until the retry.
    pub(crate) after_ms: u32,
    /// Whether nothing is to be hoped for soon.
    pub(crate) hopeless: bool,
}

/// Returns when to try again after `failed` resets that failed, one after the other.
pub(crate) fn retry(failed: u32) -> Retry {
    let after_ms = match failed {
        0 => RETRY_MS,
        1..=RETRIES => RETRY_MS.wrapping_shl(failed.wrapping_sub(1)),
        _ => SLOW_RETRY_MS,
    };
    Retry {
        after_ms,
        hopeless: failed > RETRIES,
    }
}

/// Seconds from a reset after which the next may follow, at first; doubled with each.
const FIRST_S: u64 = 5;

/// The most seconds that this time becomes.
const MOST_S: u64 = 60;

/// Seconds without a reset after which the time starts anew.
const CALM_S: u64 = 300;

/// How far apart resets of one thing are, if they don't help.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    last: Option<u64>,
    wait: u64,
}

impl Pace {
    /// Makes a pace for something without a reset so far.
    pub(crate) const fn new() -> Self {
        Self {
            last: None,
            wait: FIRST_S,
        }
    }

    /// Decides whether the thing may be reset at `now`, in seconds, and counts a reset that is
    /// allowed.
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
    /// The queue is reset alone.
    Queue,
    /// The whole device is reset.
    Device,
    /// Nothing is done yet.
    Wait,
    /// Nothing is done, because nobody serves the queue while others work; that is said for the
    /// first time.
    Unserved,
    /// Nothing is done for the same reason, once more.
    UnservedAgain,
}

/// Packets that the device has sent so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sent {
    /// Packets of the queue in question.
    pub(crate) queue: u64,
    /// Packets of all other queues.
    pub(crate) others: u64,
}

/// What is known of a transmit queue that was stuck.
#[derive(Clone, Copy)]
pub(crate) struct Stuck {
    /// What was sent when the queue was reset for being stuck.
    at_reset: Option<Sent>,
    pace: Pace,
    /// Whether it has been reported that nobody serves the queue.
    reported: bool,
}

impl Stuck {
    /// Makes the state of a queue that was never stuck.
    pub(crate) const fn new() -> Self {
        Self {
            at_reset: None,
            pace: Pace::new(),
            reported: false,
        }
    }

    /// Decides what is done about a queue that has been stuck for long at `now`, in seconds, and
    /// counts a reset that is allowed.
    ///
    /// `sent` is what has been sent by then, `alone` is whether a single queue can be reset, and
    /// `device` has the resets of the device.
    ///
    /// A queue of which nothing came since its last reset isn't helped by another one: its backend
    /// doesn't know it, perhaps. Where others work, that would only throw away what they have.
    pub(crate) fn cure(&mut self, now: u64, sent: Sent, alone: bool, device: &mut Pace) -> Cure {
        let served = self.at_reset.is_none_or(|at| sent.queue != at.queue);
        let others_served = self.at_reset.is_none_or(|at| sent.others != at.others);
        self.reported = self.reported && !served;
        match (served, others_served) {
            (false, true) if core::mem::replace(&mut self.reported, true) => Cure::UnservedAgain,
            (false, true) => Cure::Unserved,
            (true, _) if alone => {
                if self.pace.ask(now) {
                    self.was_reset(sent);
                    Cure::Queue
                } else {
                    Cure::Wait
                }
            }
            _ if device.ask(now) => Cure::Device,
            _ => Cure::Wait,
        }
    }

    /// Returns whether nobody serves the queue, as far as is known, so that what is in there stays
    /// there until the device is reset.
    pub(crate) fn is_unserved(&self) -> bool {
        self.reported
    }

    /// Notes that the queue is reset, alone or with the device, because it or another one is stuck.
    pub(crate) fn was_reset(&mut self, sent: Sent) {
        self.at_reset = Some(sent);
    }
}
