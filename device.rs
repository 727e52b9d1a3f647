// SPDX-License-Identifier: GPL-2.0

//! The private data of an interface.
//!
//! Context: process.

#![forbid(unsafe_code)]

pub(crate) mod affinity;
pub(crate) mod coalesce;
pub(crate) mod control;
pub(crate) mod features;
pub(crate) mod filter;
pub(crate) mod hw_stats;
pub(crate) mod rss;

use crate::{
    ctrl_vq::CtrlVq,
    device::{
        control::Control,
        features::Negotiated,
        filter::RxFilter,
        hw_stats::HwStats,
        rss::Rss, //
    },
    net::{
        self,
        failover::Failover,
        NetDevice, //
    },
    pure::recovery::{
        Pace,
        ResetLimit, //
    },
    receive_queue::Mode,
    virtio::{
        bound::BoundRef,
        VirtqueueSet, //
    }, //
};
use core::sync::atomic::AtomicU32;
use kernel::{
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// The net device of this driver.
pub(crate) type Net = NetDevice<VirtnetInfo>;

/// How many queue pairs there are.
#[derive(Clone, Copy)]
pub(crate) struct PairLimits {
    /// Pairs that the device has.
    pub(crate) device: u16,
    /// Pairs that can be used.
    pub(crate) usable: u16,
}

/// Sizes of a pair's rings, in descriptors.
#[derive(Clone, Copy)]
pub(crate) struct RingSizes {
    /// Size of receive rings.
    pub(crate) rx: u32,
    /// Size of transmit rings.
    pub(crate) tx: u32,
}

/// What is set at run time and replayed after a reset.
///
/// RTNL guards it in effect; the mutex makes it visible to the type system, and to the works that
/// run without RTNL.
pub(crate) struct Settings {
    /// Queue pairs in use.
    pub(crate) pairs: u16,
    /// Link settings that `ethtool` shows.
    pub(crate) link: net::ethtool::LinkSettings,
    /// Receive filter as the device has it.
    pub(crate) filter: RxFilter,
    /// Ring sizes, or `None` if they were never changed.
    pub(crate) rings: Option<RingSizes>,
    /// Receive offloads that the user wants, by feature bit, or `None` if they were never changed.
    pub(crate) guest_offloads: Option<u64>,
    /// With an XDP program, for which receive offloads are off, the largest MTU without it.
    pub(crate) xdp_max_mtu: Option<u32>,
    /// Whether the device was last set up without receive offloads ([`crate::renegotiate`]).
    pub(crate) plain: bool,
    /// Whether the device couldn't be set up like that.
    pub(crate) insists: bool,
    /// Whether the log says why there is no zero copy for AF_XDP.
    pub(crate) xsk_told: bool,
    /// Whether the device didn't switch receive offloads off, and the log says so.
    pub(crate) offloads_stay: bool,
    /// Resets that the device asked for.
    pub(crate) resets: ResetLimit,
    /// Whether the address was changed, so that it must be sent after a reset.
    pub(crate) mac_set: bool,
    /// Whether the device is being frozen, or is frozen and not being restored yet, or was left for
    /// good.
    pub(crate) freezing: bool,
    /// Whether the device is frozen and not restored yet, so that the config work is disabled.
    pub(crate) frozen: bool,
    /// Whether the reset work is disabled.
    pub(crate) no_reset_work: bool,
    /// Resets by the driver itself that failed, one after the other.
    pub(crate) failed_resets: u32,
    /// Resets of the device for queues that are stuck.
    pub(crate) pace: Pace,
    /// Whether the device is of no use for now, so that there is no carrier, whatever it says.
    pub(crate) gave_up: bool,
    /// What the driver has changed by itself, and not notified anybody of yet.
    pub(crate) changed: net::ethtool::Changed,
}

/// The private data of an interface.
///
/// Locking: `settings` and `vqs` are written under RTNL; lock order RTNL, hotplug lock, `affinity`,
/// and RTNL, `coalesce`, `settings` or `rss`, `ctrl`.
///
/// Drop order: the queues' handles are given up in [`net::Driver::released`], before this.
#[pin_data]
pub(crate) struct VirtnetInfo {
    /// The virtio device.
    pub(crate) vdev: BoundRef,
    /// The features that were negotiated.
    pub(crate) f: Negotiated,
    /// How packets are received.
    pub(crate) mode: Mode,
    /// Queue pairs that the device has, which is also where the control virtqueue is.
    pub(crate) device_pairs: u16,
    /// Queue pairs that can be used: the first ones, each queue with an interrupt of its own unless
    /// all share one.
    pub(crate) max_pairs: u16,
    /// The control virtqueue.
    #[pin]
    pub(crate) ctrl: CtrlVq,
    /// What can be set at run time.
    #[pin]
    pub(crate) settings: Mutex<Settings>,
    /// Steering by hash, and reported hashes.
    #[pin]
    pub(crate) rss: Rss,
    /// The virtqueues, or `None` while the device is reset.
    #[pin]
    pub(crate) vqs: Mutex<Option<Arc<VirtqueueSet>>>,
    /// The interface on top, if the device is a standby (STANDBY).
    ///
    /// It is dropped after the interface was unregistered, as all of this.
    #[pin]
    pub(crate) failover: Mutex<Option<Failover>>,
    /// Which CPUs serve which pair.
    #[pin]
    pub(crate) affinity: Mutex<affinity::State>,
    /// Interrupt moderation of all queues.
    #[pin]
    pub(crate) coalesce: Mutex<coalesce::State>,
    /// Statistics that the device keeps.
    pub(crate) hw_stats: HwStats,
    /// With an XDP program, the length of the largest packet that buffers should hold; else 0.
    pub(crate) xdp_len: AtomicU32,
}

impl VirtnetInfo {
    /// Makes private data without queues, of which `pairs` pairs are to be used out of those that
    /// there are.
    ///
    /// Context: any.
    pub(crate) fn new(
        vdev: BoundRef,
        f: Negotiated,
        mode: Mode,
        rss: impl PinInit<Rss>,
        limits: PairLimits,
        pairs: u16,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            vdev,
            f,
            mode,
            device_pairs: limits.device,
            max_pairs: limits.usable,
            ctrl <- CtrlVq::new(),
            settings <- kernel::new_mutex!(
                Settings {
                    pairs,
                    link: net::ethtool::LinkSettings::default(),
                    filter: RxFilter::new(),
                    rings: None,
                    guest_offloads: None,
                    xdp_max_mtu: None,
                    plain: false,
                    insists: false,
                    xsk_told: false,
                    offloads_stay: false,
                    resets: ResetLimit::new(),
                    mac_set: false,
                    freezing: false,
                    frozen: false,
                    no_reset_work: false,
                    failed_resets: 0,
                    pace: Pace::new(),
                    gave_up: false,
                    changed: net::ethtool::Changed::default(),
                },
                "virtio_net_mq::settings"
            ),
            rss <- rss,
            vqs <- kernel::new_mutex!(None, "virtio_net_mq::vqs"),
            failover <- kernel::new_mutex!(None, "virtio_net_mq::failover"),
            affinity <- kernel::new_mutex!(affinity::State::new(), "virtio_net_mq::affinity"),
            coalesce <- kernel::new_mutex!(coalesce::State::new(), "virtio_net_mq::coalesce"),
            hw_stats: HwStats::new(),
            xdp_len: AtomicU32::new(0),
        })
    }

    /// Returns what a command to the device takes.
    ///
    /// Context: any.
    pub(crate) fn control(&self) -> Control<'_> {
        Control::new(&self.vdev, &self.f, &self.ctrl)
    }

    /// Returns how many queue pairs are in use.
    pub(crate) fn pairs(&self) -> u16 {
        self.settings.lock().pairs
    }

    /// Returns the virtqueues, or `None` while the device is reset.
    pub(crate) fn vqs(&self) -> Option<Arc<VirtqueueSet>> {
        self.vqs.lock().clone()
    }
}

/// Resets the device if a command failed with `e` because it was not answered in time.
///
/// Nobody knows then what the device does with it, and a reset brings both sides to the same
/// settings again.
pub(crate) fn resync(dev: &Net, e: Error) {
    if e == ETIMEDOUT {
        dev.schedule_reset_work();
    }
}

/// Has a late answer looked for from now on (`late.rs`), if a command has failed because the device
/// owes an answer, or did.
pub(crate) fn watch_late(dev: &Net) {
    if let Some(ms) = dev.data().ctrl.look_after_ms() {
        dev.schedule_late_work(ms);
    }
}
