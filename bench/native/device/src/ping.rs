// SPDX-License-Identifier: GPL-2.0

//! How long a cache line takes to another CPU and back. On a virtual machine this tells where the host has put its CPUs
//! right now, and nothing else does.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::sys;

/// Round trips that are timed as one, and how often that is done. The shortest of them counts.
const TRIPS: u64 = 500;
const TIMES: u64 = 10;
/// How long the other CPU may take to begin, and to answer.
const LIMIT: Duration = Duration::from_secs(2);

/// A line (and the one that is fetched with it) that nothing else is in.
#[repr(align(128))]
#[derive(Default)]
struct Line(AtomicU64);

#[derive(Default)]
struct Shared {
    line: Line,
    ready: AtomicBool,
    over: AtomicBool,
}

impl Shared {
    /// Waits for a value; false if it doesn't come.
    fn wait(&self, value: u64) -> bool {
        let mut n = 0u32;
        let mut since = None;
        while self.line.0.load(Ordering::Acquire) != value {
            n = n.wrapping_add(1);
            if n.is_multiple_of(1 << 16) {
                let since = *since.get_or_insert_with(Instant::now);
                if self.over.load(Ordering::Relaxed) || since.elapsed() > LIMIT {
                    return false;
                }
            }
        }
        true
    }
}

/// The other side.
fn answer(s: &Shared, cpu: usize) {
    if sys::pin(cpu).is_err() {
        return;
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
    let s = Arc::new(Shared::default());
    let other = s.clone();
    let thread = thread::spawn(move || answer(&other, cpu));
    let result = measure(&s, cpu);
    s.over.store(true, Ordering::Relaxed);
    if result.is_ok() {
        let _ = thread.join();
    }
    result
}

fn measure(s: &Shared, cpu: usize) -> Result<u64, String> {
    let busy = || format!("CPU {cpu} doesn't exist or doesn't answer");
    let begin = Instant::now();
    while !s.ready.load(Ordering::Acquire) {
        if begin.elapsed() > LIMIT {
            return Err(busy());
        }
        // The other thread may start on this CPU.
        thread::sleep(Duration::from_micros(20));
        spin_loop();
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
    fn there_and_nowhere() {
        assert!(ping(4096).is_err());
        // On the same CPU it would take time slices; any other that there is will do.
        if sys::pin(0).is_ok() && thread::available_parallelism().is_ok() {
            assert!(ping(1).is_ok_and(|ns| ns > 0) || ping(1).is_err());
        }
    }
}
