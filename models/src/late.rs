// SPDX-License-Identifier: GPL-2.0

//! Commands that a device answers late: each waits for its answer for a while, and what it meant to set is sent again once the
//! answer has come (`ctrl_vq.rs`, `late.rs`).
//!
//! The setting is one that the stack keeps, as the receive filter is: it is what the user wanted last, whether the command failed
//! or not.

use loom::sync::{
    atomic::{
        AtomicBool,
        AtomicUsize,
        Ordering::{AcqRel, Acquire, Release}, //
    },
    Arc, Mutex, MutexGuard,
};

/// A mistake that the model can be given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// A command is sent though the device owes an answer, and takes the first that comes for its own.
    TakesAnyAnswer,
    /// Who has sent a command in vain doesn't have the answer looked for.
    NoWatch,
    /// The settings are sent again while the device still owes an answer: they fail, and it was the last time.
    ResendsEarly,
    /// What is sent again is what the command that failed had, not what is wanted by then.
    ResendsOld,
}

/// How many commands there may be in one run.
const MOST: usize = 8;

/// What the control queue's mutex guards.
struct State {
    /// Commands that were put into the ring, and answers that were taken out of it.
    sent: usize,
    taken: usize,
    late: bool,
    was_late: bool,
}

/// What RTNL guards.
struct Settings {
    wanted: usize,
    failed: usize,
}

struct Device {
    commands: [AtomicUsize; MOST],
    avail: AtomicUsize,
    used: AtomicUsize,
    /// What it does.
    value: AtomicUsize,
}

struct Driver {
    flaw: Flaw,
    device: Device,
    state: Mutex<State>,
    rtnl: Mutex<Settings>,
    /// The late work is queued.
    work: AtomicBool,
    /// The device answers before anybody's patience ends.
    prompt: AtomicBool,
}

impl Device {
    /// Does and answers one command, if there is one.
    fn step(&self) {
        let used = self.used.load(Acquire);
        if used < self.avail.load(Acquire) {
            self.value.store(self.commands[used].load(Acquire), Release);
            self.used.store(used + 1, Release);
        }
    }
}

impl Driver {
    fn new(flaw: Flaw) -> Self {
        Self {
            flaw,
            device: Device {
                commands: std::array::from_fn(|_| AtomicUsize::new(0)),
                avail: AtomicUsize::new(0),
                used: AtomicUsize::new(0),
                value: AtomicUsize::new(0),
            },
            state: Mutex::new(State {
                sent: 0,
                taken: 0,
                late: false,
                was_late: false,
            }),
            rtnl: Mutex::new(Settings {
                wanted: 0,
                failed: 0,
            }),
            work: AtomicBool::new(false),
            prompt: AtomicBool::new(false),
        }
    }

    /// `Virtqueue::get_buf`.
    fn get_buf(&self, s: &mut State) -> bool {
        let there = s.taken < self.device.used.load(Acquire);
        s.taken += usize::from(there);
        there
    }

    /// `State::collect`: whether the device owes nothing.
    fn collect(&self, s: &mut State) -> bool {
        if s.late && self.get_buf(s) {
            s.late = false;
        }
        !s.late
    }

    /// `CtrlVq::exec`; true if the device has done it.
    fn exec(&self, value: usize) -> bool {
        let mut guard: MutexGuard<'_, State> = self.state.lock().unwrap();
        let s = &mut *guard;
        if self.flaw != Flaw::TakesAnyAnswer && !self.collect(s) {
            return false;
        }
        self.device.commands[s.sent].store(value, Release);
        s.sent += 1;
        self.device.avail.store(s.sent, Release);
        if self.prompt.load(Acquire) {
            self.device.step();
        }
        // The driver sleeps between its looks, of which there is one here.
        loom::thread::yield_now();
        if self.get_buf(s) {
            assert_eq!(
                self.device.value.load(Acquire),
                value,
                "an answer to another command is taken for this one's"
            );
            return true;
        }
        s.late = true;
        s.was_late = true;
        false
    }

    /// `watch_late`.
    fn watch(&self) {
        if self.flaw != Flaw::NoWatch && self.state.lock().unwrap().was_late {
            self.work.swap(true, AcqRel);
        }
    }

    /// The user changes the setting.
    fn set(&self, value: usize) {
        let mut settings = self.rtnl.lock().unwrap();
        settings.wanted = value;
        if !self.exec(value) {
            settings.failed = value;
            self.watch();
        }
    }

    /// `late::work`, if it is queued.
    fn run_work(&self) {
        if !self.work.swap(false, AcqRel) {
            return;
        }
        let owes = !self.collect(&mut self.state.lock().unwrap());
        if owes && self.flaw != Flaw::ResendsEarly {
            self.work.swap(true, AcqRel);
            return;
        }
        let settings = self.rtnl.lock().unwrap();
        if !std::mem::take(&mut self.state.lock().unwrap().was_late) {
            return;
        }
        let value = if self.flaw == Flaw::ResendsOld {
            settings.failed
        } else {
            settings.wanted
        };
        if !self.exec(value) {
            self.watch();
        }
    }
}

/// The setting is changed twice, and the late work runs, while the device answers one command or two.
pub fn change(flaw: Flaw) -> usize {
    crate::explore(move || {
        let d = Arc::new(Driver::new(flaw));
        let device = loom::thread::spawn({
            let d = d.clone();
            move || {
                d.device.step();
                // That is no preemption, of which there are few.
                loom::thread::yield_now();
                d.device.step();
            }
        });
        let work = loom::thread::spawn({
            let d = d.clone();
            move || d.run_work()
        });
        d.set(1);
        d.set(2);
        device.join().unwrap();
        work.join().unwrap();
        // From now on it answers at once.
        d.prompt.store(true, Release);
        for _ in 0..3 {
            d.device.step();
            d.run_work();
        }
        assert!(
            !d.work.load(Acquire),
            "the work has no end though the device answers"
        );
        assert_eq!(
            d.device.value.load(Acquire),
            d.rtnl.lock().unwrap().wanted,
            "the device doesn't do what is wanted"
        );
    })
}
