// SPDX-License-Identifier: GPL-2.0

//! Frames that are to be received: how many are left, how fast, and how long they took.

/// What there is to do. The first tenth isn't counted.
pub struct Job {
    frame: Vec<u8>,
    left: u64,
    counted: u64,
    /// Nanoseconds between two frames, 0: as fast as they are taken.
    gap: u64,
    /// When the next one is due.
    next: u64,
    started: Option<Started>,
    stalls: u64,
}

struct Started {
    at: u64,
    calls: u64,
}

/// What it came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Done {
    pub ns: u64,
    pub packets: u64,
    pub calls: u64,
    /// How often there was no buffer.
    pub stalls: u64,
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "done ns={} packets={} calls={} stalls={}",
            self.ns, self.packets, self.calls, self.stalls
        )
    }
}

impl Job {
    /// `rate` frames a second, 0: as fast as they are taken.
    pub fn new(frame: Vec<u8>, count: u64, rate: u64, now: u64) -> Self {
        Self {
            frame,
            left: count,
            counted: count - count / 10,
            gap: 1_000_000_000u64.checked_div(rate).unwrap_or(0),
            next: now,
            started: None,
            stalls: 0,
        }
    }

    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// How many frames may be put in now.
    #[inline]
    pub fn due(&self, now: impl FnOnce() -> u64) -> u64 {
        if self.gap == 0 {
            return self.left;
        }
        match now().checked_sub(self.next) {
            Some(late) => self.left.min(late / self.gap + 1),
            None => 0,
        }
    }

    pub fn stall(&mut self) {
        self.stalls += 1;
    }

    /// `n` frames are about to be put in; `calls` interrupts were sent until now.
    #[inline]
    pub fn begin(&mut self, n: u64, calls: u64, now: impl FnOnce() -> u64) {
        if self.started.is_none() && self.left <= self.counted {
            self.started = Some(Started { at: now(), calls });
            self.counted = self.left;
            self.stalls = 0;
        }
        self.left -= n;
        self.next += n * self.gap;
    }

    /// The result, when all are in.
    #[inline]
    pub fn end(&self, calls: u64, now: impl FnOnce() -> u64) -> Option<Done> {
        if self.left > 0 {
            return None;
        }
        let (at, before) = self.started.as_ref().map_or((0, 0), |s| (s.at, s.calls));
        Some(Done {
            ns: now().saturating_sub(at),
            packets: self.counted,
            calls: calls - before,
            stalls: self.stalls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_all_but_the_first() {
        let mut job = Job::new(vec![], 100, 0, 0);
        job.begin(16, 3, || 1000);
        job.stall();
        assert_eq!(job.end(3, || 2000), None);
        assert_eq!(job.due(|| 0), 84);
        job.begin(32, 5, || 3000);
        job.begin(52, 7, || 4000);
        let done = job.end(9, || 5000);
        assert_eq!(
            done,
            Some(Done {
                ns: 2000,
                packets: 84,
                calls: 4,
                stalls: 0
            })
        );
    }

    #[test]
    fn one_is_counted() {
        let mut job = Job::new(vec![], 1, 0, 0);
        job.begin(1, 0, || 10);
        assert_eq!(job.end(0, || 30).map(|d| (d.ns, d.packets)), Some((20, 1)));
    }

    #[test]
    fn paced() {
        // A frame each 1000 ns.
        let mut job = Job::new(vec![], 100, 1_000_000, 5000);
        assert_eq!(job.due(|| 4999), 0);
        assert_eq!(job.due(|| 5000), 1);
        assert_eq!(job.due(|| 7500), 3);
        job.begin(3, 0, || 7500);
        assert_eq!(job.due(|| 7999), 0);
        assert_eq!(job.due(|| 8000), 1);
    }
}
