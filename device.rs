// SPDX-License-Identifier: GPL-2.0

//! The private data of an interface.

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
    /// That the device has.
    pub(crate) device: u16,
    /// That can be used.
    pub(crate) usable: u16,
}

/// Sizes of a pair's rings, in descriptors.
#[derive(Clone, Copy)]
pub(crate) struct RingSizes {
    /// Receiving.
    pub(crate) rx: u32,
    /// Sending.
    pub(crate) tx: u32,
}

/// What is set at run time and replayed after a reset. Guarded by RTNL in effect; the mutex makes
/// it visible to the type system, and to the works that run without RTNL.
pub(crate) struct Settings {
    /// Queue pairs in use.
    pub(crate) pairs: u16,
    /// Link settings that `ethtool` shows.
    pub(crate) link: net::ethtool::LinkSettings,
    /// Receive filter as the device has it.
    pub(crate) filter: RxFilter,
    /// Ring sizes; none if never changed.
    pub(crate) rings: Option<RingSizes>,
    /// Receive offloads that the user wants, by feature bit; none if never changed.
    pub(crate) guest_offloads: Option<u64>,
    /// With an XDP program: receive offloads are off, and this is the largest MTU without it.
    pub(crate) xdp_max_mtu: Option<u32>,
    /// The device was set up without receive offloads last ([`crate::renegotiate`]).
    pub(crate) plain: bool,
    /// It didn't let itself be set up like that.
    pub(crate) insists: bool,
    /// The log says why there is no zero copy for AF_XDP.
    pub(crate) xsk_told: bool,
    /// The device didn't switch them off, and the log says so.
    pub(crate) offloads_stay: bool,
    /// Resets that the device asked for.
    pub(crate) resets: ResetLimit,
    /// The address was changed, so the device must be told after a reset.
    pub(crate) mac_set: bool,
    /// Being frozen, or frozen, and not being restored yet; or left for good.
    pub(crate) freezing: bool,
    /// Frozen and not restored yet: the config work is disabled.
    pub(crate) frozen: bool,
    /// The reset work is disabled.
    pub(crate) no_reset_work: bool,
    /// Resets of our own that failed, one after the other.
    pub(crate) failed_resets: u32,
    /// Resets of the device for queues that are stuck.
    pub(crate) pace: Pace,
    /// The device is of no use for now: there is no carrier, whatever it says.
    pub(crate) gave_up: bool,
    /// What the driver has changed by itself, and told nobody yet.
    pub(crate) changed: net::ethtool::Changed,
}

/// Private data of an interface.
///
/// Locking: `settings` and `vqs` are written under RTNL; lock order RTNL, hotplug lock,
/// `affinity`, and RTNL, `coalesce`, `settings` or `rss`, `ctrl`.
///
/// Drop order: the queues' handles are given up in [`net::Driver::released`], before this.
#[pin_data]
pub(crate) struct VirtnetInfo {
    /// The virtio device.
    pub(crate) vdev: BoundRef,
    /// What was negotiated.
    pub(crate) f: Negotiated,
    /// How packets are received.
    pub(crate) mode: Mode,
    /// Queue pairs that the device has; their number is where the control virtqueue is.
    pub(crate) device_pairs: u16,
    /// Queue pairs that can be used: the first ones, each queue with an interrupt of its own unless
    /// all share one.
    pub(crate) max_pairs: u16,
    /// The control virtqueue.
    #[pin]
    pub(crate) ctrl: CtrlVq,
    /// What can be set.
    #[pin]
    pub(crate) settings: Mutex<Settings>,
    /// Steering by hash, and reported hashes.
    #[pin]
    pub(crate) rss: Rss,
    /// The virtqueues, none while the device is reset.
    #[pin]
    pub(crate) vqs: Mutex<Option<Arc<VirtqueueSet>>>,
    /// The interface on top, if the device is a standby (STANDBY). Dropped after the interface was
    /// unregistered, as all of this.
    #[pin]
    pub(crate) failover: Mutex<Option<Failover>>,
    /// Which CPUs serve which pair.
    #[pin]
    pub(crate) affinity: Mutex<affinity::State>,
    /// Interrupt moderation.
    #[pin]
    pub(crate) coalesce: Mutex<coalesce::State>,
    /// Statistics that the device keeps.
    pub(crate) hw_stats: HwStats,
    /// With an XDP program: the length of the largest packet that buffers should hold; else 0.
    pub(crate) xdp_len: AtomicU32,
}

impl VirtnetInfo {
    /// New private data: no queues, `pairs` to be used, of those that there are.
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

    /// What a command to the device takes.
    pub(crate) fn control(&self) -> Control<'_> {
        Control::new(&self.vdev, &self.f, &self.ctrl)
    }

    /// Queue pairs in use.
    pub(crate) fn pairs(&self) -> u16 {
        self.settings.lock().pairs
    }

    /// The virtqueues.
    pub(crate) fn vqs(&self) -> Option<Arc<VirtqueueSet>> {
        self.vqs.lock().clone()
    }
}

/// A command has failed with `e`. After one that was not answered in time nobody knows what the device does
/// with it: a reset brings both sides to the same settings again. Process context.
pub(crate) fn resync(dev: &Net, e: Error) {
    if e == ETIMEDOUT {
        dev.schedule_reset_work();
    }
}

/// A command has failed. If that is because the device owes an answer, or did, it is looked for from now on
/// (`late.rs`). Process context.
pub(crate) fn watch_late(dev: &Net) {
    if let Some(ms) = dev.data().ctrl.look_after_ms() {
        dev.schedule_late_work(ms);
    }
}
