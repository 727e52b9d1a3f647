// SPDX-License-Identifier: GPL-2.0

//! How long a cache line takes to another CPU and back. On a virtual machine this tells where the host has put its CPUs
//! right now, and nothing else does.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::sys;

/// Round trips that are timed as one, and how often that is done. The shortest of them counts.
const TRIPS: u64 = 500;
const TIMES: u64 = 10;
/// How long it may take in all: the other CPU may have other things to do.
const LIMIT: Duration = Duration::from_secs(2);

/// A line (and the one that is fetched with it) that nothing else is in.
#[repr(align(128))]
#[derive(Default)]
struct Line(AtomicU64);

struct Shared {
    line: Line,
    ready: AtomicBool,
    over: AtomicBool,
    begin: Instant,
}

impl Shared {
    fn late(&self) -> bool {
        self.over.load(Ordering::Acquire) || self.begin.elapsed() > LIMIT
    }

    /// Waits for a value; false if it doesn't come.
    fn wait(&self, value: u64) -> bool {
        let mut n = 0u32;
        while self.line.0.load(Ordering::Acquire) != value {
            n = n.wrapping_add(1);
            // Seldom, as it takes time.
            if n.is_multiple_of(1 << 16) && self.late() {
                return false;
            }
        }
        true
    }
}

/// The other side.
fn answer(s: &Shared, cpu: usize) {
    if sys::pin(cpu).is_err() {
        return s.over.store(true, Ordering::Release);
    }
    s.ready.store(true, Ordering::Release);
    for i in 0..TRIPS * TIMES {
        if !s.wait(2 * i + 1) {
            return;
        }
        s.line.0.store(2 * i + 2, Ordering::Release);
    }
}

/// Nanoseconds of a round trip between this thread's CPU and another.
///
/// # Errors
///
/// The other CPU doesn't exist, or has something more urgent to do.
pub fn ping(cpu: usize) -> Result<u64, String> {
    let s = Arc::new(Shared {
        line: Line::default(),
        ready: AtomicBool::new(false),
        over: AtomicBool::new(false),
        begin: Instant::now(),
    });
    let other = s.clone();
    let thread = thread::spawn(move || answer(&other, cpu));
    let result = measure(&s, cpu);
    s.over.store(true, Ordering::Release);
    if result.is_ok() {
        let _ = thread.join();
    }
    result
}

fn measure(s: &Shared, cpu: usize) -> Result<u64, String> {
    let busy = || format!("CPU {cpu} doesn't exist or doesn't answer");
    while !s.ready.load(Ordering::Acquire) {
        if s.late() {
            return Err(busy());
        }
        // The other thread may start on this CPU.
        thread::sleep(Duration::from_micros(20));
    }
    let mut best = u64::MAX;
    for round in 0..TIMES {
        let at = Instant::now();
        for i in round * TRIPS..(round + 1) * TRIPS {
            s.line.0.store(2 * i + 1, Ordering::Release);
            if !s.wait(2 * i + 2) {
                return Err(busy());
            }
        }
        best = best.min(at.elapsed().as_nanos() as u64 / TRIPS);
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_that_there_is_not() {
        assert!(ping(1000).is_err());
        assert!(ping(1 << 20).is_err());
    }
}
