// SPDX-License-Identifier: GPL-2.0

//! What calls the driver by itself: its works, and CPUs that come and go.
//!
//! The functions belong to files above this one; `probe` hands them in.
//!
//! Context: any.

#![forbid(unsafe_code)]

use crate::{
    affinity::HOTPLUG,
    device::Net,
    net::rtnl::RtnlGuard,
    sync::{
        cpus::{
            CpusHeld,
            HotplugNode, //
        },
        fail,
        gate::Gate,
        work::Work, //
    }, //
};
use core::sync::atomic::{
    AtomicBool,
    Ordering, //
};
use kernel::{
    prelude::*,
    sync::static_lock_class,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// What the works do.
///
/// Context: process.
pub(crate) struct Functions {
    /// Handles a change of the device's configuration.
    pub(crate) config: fn(&Net),
    /// Resets the device and sets it up again, or looks whether that is called for.
    pub(crate) reset: fn(&Net),
    /// Notifies the device of queues once more.
    pub(crate) notify: fn(&Net),
    /// Looks for an answer that is late.
    pub(crate) late: fn(&Net),
    /// Gives queues to CPUs anew, because `leaving` goes offline or, without it, a CPU has come.
    ///
    /// Context: process, the hotplug lock held.
    pub(crate) cpus: fn(&Net, held: &CpusHeld, leaving: Option<u32>),
}

/// The works of an interface, and its place on the list of those that are called when CPUs come and
/// go.
#[pin_data]
pub(crate) struct Works {
    #[pin]
    config: Work<Net>,
    #[pin]
    reset: Work<Net>,
    #[pin]
    notify: Work<Net>,
    #[pin]
    late: Work<Net>,
    #[pin]
    hotplug: HotplugNode<Net>,
    /// What the reset work calls.
    reset_function: fn(&Net),
    /// What the reset work has entered while it runs.
    gate: Gate,
    /// Whether somebody has asked for a reset since [`Net::take_reset_asked`].
    reset_asked: AtomicBool,
}

impl Works {
    /// Makes works that aren't queued, and a node on no list.
    pub(crate) fn new(f: Functions) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            config <- Work::new(static_lock_class!(), f.config),
            reset <- Work::new(static_lock_class!(), Net::run_reset_work),
            notify <- Work::new(static_lock_class!(), f.notify),
            late <- Work::new(static_lock_class!(), f.late),
            hotplug <- HotplugNode::new(f.cpus),
            reset_function: f.reset,
            gate: Gate::new(),
            reset_asked: AtomicBool::new(false),
        })
    }
}

impl Net {
    fn run_reset_work(&self) {
        let works = self.deferred();
        if works.gate.enter() {
            (works.reset_function)(self);
            works.gate.leave();
        }
    }

    /// Runs the config work soon.
    pub(crate) fn schedule_config_work(&self) {
        self.deferred().config.schedule(self);
    }

    /// Runs the reset work now, which finds that a reset was asked for.
    pub(crate) fn schedule_reset_work(&self) {
        self.ask_for_reset();
        self.schedule_reset_check();
    }

    /// Runs the reset work in `ms` milliseconds, or before if it is to run anyway, which finds that
    /// a reset was asked for.
    pub(crate) fn schedule_reset_work_after(&self, ms: u32) {
        self.ask_for_reset();
        self.schedule_reset_check_after(ms);
    }

    /// Runs the reset work now, which looks whether a reset is called for.
    pub(crate) fn schedule_reset_check(&self) {
        self.deferred().reset.hasten(self);
    }

    /// Runs the reset work in `ms` milliseconds, or before if it is to run anyway, which looks
    /// whether a reset is called for.
    pub(crate) fn schedule_reset_check_after(&self, ms: u32) {
        self.deferred().reset.schedule_after(self, ms);
    }

    /// Lets the next run of the reset work find that a reset was asked for.
    pub(crate) fn ask_for_reset(&self) {
        self.deferred().reset_asked.store(true, Ordering::Release);
    }

    /// Returns whether a reset was asked for since the last time.
    pub(crate) fn take_reset_asked(&self) -> bool {
        self.deferred().reset_asked.swap(false, Ordering::AcqRel)
    }

    /// Runs the notify work in `ms` milliseconds, if that isn't to happen anyway.
    pub(crate) fn schedule_notify_work(&self, ms: u32) {
        self.deferred().notify.schedule_after(self, ms);
    }

    /// Runs the late work in `ms` milliseconds, if that isn't to happen anyway.
    pub(crate) fn schedule_late_work(&self, ms: u32) {
        self.deferred().late.schedule_after(self, ms);
    }

    /// Keeps the config work from running and waits for it.
    ///
    /// Context: process, without RTNL, which the work takes.
    pub(crate) fn disable_config_work(&self) {
        self.deferred().config.disable_sync();
    }

    /// Undoes one [`Net::disable_config_work`].
    pub(crate) fn enable_config_work(&self) {
        self.deferred().config.enable();
    }

    /// Keeps the reset work from running and waits for it.
    ///
    /// Context: process, without RTNL, which the work takes.
    pub(crate) fn disable_reset_work(&self) {
        self.deferred().reset.disable_sync();
    }

    /// Undoes one [`Net::disable_reset_work`].
    pub(crate) fn enable_reset_work(&self) {
        self.deferred().reset.enable();
    }

    /// Returns whether the caller is called by the reset work.
    pub(crate) fn in_reset_work(&self) -> bool {
        self.deferred().reset.is_running_here()
    }

    /// Starts to listen for CPUs that come and go.
    ///
    /// Context: process, outside of the hotplug lock.
    ///
    /// # Errors
    ///
    /// Returns those of `cpuhp_state_add_instance`.
    pub(crate) fn hotplug_add(&self) -> Result {
        fail::point()?;
        self.deferred().hotplug.add(&HOTPLUG, self)
    }

    /// Stops to listen for CPUs, and waits for a callback.
    ///
    /// Context: process, without RTNL and the hotplug lock.
    pub(crate) fn hotplug_remove(&self) {
        self.deferred().hotplug.remove();
    }

    /// Calls `wait`, which waits for others and changes nothing.
    ///
    /// Returns `None` if the reset work is the caller and the machine ends meanwhile, which doesn't
    /// wait for the work then: it must touch nothing any more.
    ///
    /// Context: process.
    pub(crate) fn wait_for<R>(&self, wait: impl FnOnce() -> R) -> Option<R> {
        if self.in_reset_work() {
            self.deferred().gate.pause(wait)
        } else {
            Some(wait())
        }
    }

    /// Takes RTNL, or returns `None` as [`Net::wait_for`] does.
    ///
    /// Context: process, RTNL not held.
    pub(crate) fn lock_rtnl(&self) -> Option<RtnlGuard> {
        self.wait_for(RtnlGuard::new)
    }

    /// Stops all works and the hotplug callback.
    ///
    /// Context: process, without a lock that a work takes.
    pub(crate) fn stop_works(&self) {
        // First the reset work: it removes and adds the hotplug node itself.
        self.disable_reset_work();
        self.hotplug_remove();
        self.disable_config_work();
        self.deferred().notify.disable_sync();
        self.deferred().late.disable_sync();
    }

    /// Keeps works from bringing the device back to life, because the machine ends.
    ///
    /// Works that wait for others, for RTNL say, aren't waited for; only the reset work is while it
    /// is at the device, which `hurry`, called again and again, is to make short.
    ///
    /// Context: process.
    pub(crate) fn shut_works(&self, hurry: impl Fn()) {
        let works = self.deferred();
        works.config.disable();
        works.notify.disable();
        works.late.disable();
        works.reset.disable();
        while !works.gate.close() {
            hurry();
            fsleep(Delta::from_millis(5));
        }
        // The reset work adds and removes the node, but not any more.
        self.hotplug_remove();
    }
}
