// SPDX-License-Identifier: GPL-2.0

//! What ethtool shows and sets.
//!
//! Context: process, RTNL held.

#![forbid(unsafe_code)]

use crate::{
    channels,
    coalesce,
    device::{
        Net,
        VirtnetInfo, //
    },
    hw_stats,
    net::{
        ethtool::{
            Channels,
            Drvinfo,
            LinkSettings,
            MaxCur,
            Ops,
            Rings,
            Strings, //
        },
        Rtnl, //
    },
    pure::coalesce::Params,
    rings,
    rss,
    stats::{
        self,
        RxStats,
        TxStats, //
    }, //
};
use core::{
    fmt::Display,
    mem::take,
    slice::ChunksExactMut, //
};
use kernel::prelude::*;

/// Name of the driver on the virtio bus, which is the module's.
const NAME: &str = "virtio_net_mq";
/// Version of the driver, as `ethtool -i` and `modinfo` show it.
const VERSION: &str = "0.2.0";

/// Notifies those who listen (`ethtool --monitor`) of what the driver has changed by itself since
/// the last time.
///
/// Context: process, RTNL held, on an interface that isn't detached.
pub(crate) fn notify_changes(dev: &Net, rtnl: &mut Rtnl) {
    let changed = take(&mut dev.data().settings.lock().changed);
    dev.ethtool_notify(changed, rtnl);
}

/// The driver's callbacks for ethtool.
pub(crate) struct Ethtool;

/// Returns how many counters a receive queue has, the device's included.
fn rx_count(info: &VirtnetInfo) -> usize {
    RxStats::NAMES
        .len()
        .saturating_add(hw_stats::rx_count(info))
}

/// Returns how many counters a transmit queue has, the device's included.
fn tx_count(info: &VirtnetInfo) -> usize {
    TxStats::NAMES
        .len()
        .saturating_add(hw_stats::tx_count(info))
}

/// Writes the names of the counters of receive queue `queue`, or with nothing for the number those
/// of the sums over all.
fn rx_names(info: &VirtnetInfo, queue: &dyn Display, out: &mut Strings<'_>) {
    for name in RxStats::NAMES {
        out.push(format_args!("rx{queue}_{name}"));
    }
    hw_stats::rx_names(info, queue, out);
}

/// Writes the names of the counters of transmit queues, in the same way.
fn tx_names(info: &VirtnetInfo, queue: &dyn Display, out: &mut Strings<'_>) {
    for name in TxStats::NAMES {
        out.push(format_args!("tx{queue}_{name}"));
    }
    hw_stats::tx_names(info, queue, out);
}

/// Returns the first `n` values, and the rest.
fn split(out: &mut [u64], n: usize) -> (&mut [u64], &mut [u64]) {
    out.split_at_mut_checked(n).unwrap_or_default()
}

/// Where the values of one side's queues go: as many queues as there is room for, and all of them
/// into the sums.
struct Queues<'a> {
    sums: &'a mut [u64],
    queues: ChunksExactMut<'a, u64>,
}

impl<'a> Queues<'a> {
    fn new(sums: &'a mut [u64], queues: &'a mut [u64]) -> Self {
        sums.fill(0);
        let each = sums.len().max(1);
        Self {
            sums,
            queues: queues.chunks_exact_mut(each),
        }
    }

    /// Takes what `values` calls its argument with as the values of the next queue.
    fn next(&mut self, values: impl FnOnce(&mut dyn FnMut(u64))) {
        let mut own = self.queues.next().into_iter().flatten();
        let mut sums = self.sums.iter_mut();
        values(&mut |v| {
            if let Some(to) = own.next() {
                *to = v;
            }
            if let Some(to) = sums.next() {
                *to = to.wrapping_add(v);
            }
        });
    }
}

#[vtable]
impl Ops<VirtnetInfo> for Ethtool {
    type Rxfh = rss::Rxfh;

    fn drvinfo(dev: &Net) -> Drvinfo<'_> {
        Drvinfo {
            driver: NAME.as_bytes(),
            version: VERSION.as_bytes(),
            bus_info: dev.data().vdev.bus_info(),
        }
    }

    fn channels(dev: &Net) -> Channels {
        let info = dev.data();
        Channels {
            combined: MaxCur {
                max: u32::from(info.max_pairs),
                cur: u32::from(info.pairs()),
            },
            ..Channels::default()
        }
    }

    /// Sets the number of combined channels, the only one that can be set.
    ///
    /// The core refuses more than the most of the others, which is 0.
    fn set_channels(dev: &Net, requested: Channels, rtnl: &mut Rtnl) -> Result {
        if requested.rx.cur != 0 || requested.tx.cur != 0 || requested.other.cur != 0 {
            return Err(EINVAL);
        }
        channels::set_pairs(dev, u16::try_from(requested.combined.cur)?, rtnl)
    }

    fn rings(dev: &Net) -> Rings {
        let sizes = |i| {
            dev.data().vqs().map_or(MaxCur::default(), |vqs| MaxCur {
                max: vqs.size_max(i),
                cur: vqs.size(i),
            })
        };
        Rings {
            rx: sizes(0),
            tx: sizes(1),
        }
    }

    fn set_rings(dev: &Net, want: Rings, rtnl: &mut Rtnl) -> Result {
        rings::set(dev, want, rtnl)
    }

    fn coalesce(dev: &Net) -> Params {
        coalesce::get(dev)
    }

    fn set_coalesce(dev: &Net, want: Params, rtnl: &mut Rtnl) -> Result {
        coalesce::set(dev, want, rtnl)
    }

    fn queue_coalesce(dev: &Net, queue: u32) -> Result<Params> {
        coalesce::get_queue(dev, queue)
    }

    fn set_queue_coalesce(dev: &Net, queue: u32, want: Params, rtnl: &mut Rtnl) -> Result {
        coalesce::set_queue(dev, queue, want, rtnl)
    }

    fn stats_count(dev: &Net) -> u32 {
        let info = dev.data();
        // Each queue's, and their sums.
        let all = usize::from(info.pairs())
            .saturating_add(1)
            .saturating_mul(rx_count(info).saturating_add(tx_count(info)))
            .saturating_add(hw_stats::common_count(info));
        u32::try_from(all).unwrap_or(0)
    }

    /// Writes the names in the in-tree driver's order: sums, what belongs to no pair, receive
    /// queues, transmit queues.
    fn stats_names(dev: &Net, out: &mut Strings<'_>) {
        let info = dev.data();
        let pairs = info.pairs();
        rx_names(info, &"", out);
        tx_names(info, &"", out);
        hw_stats::common_names(info, out);
        for i in 0..pairs {
            rx_names(info, &i, out);
        }
        for i in 0..pairs {
            tx_names(info, &i, out);
        }
    }

    fn stats_values(dev: &Net, out: &mut [u64]) {
        let info = dev.data();
        let (rx, tx) = (rx_count(info), tx_count(info));
        let (rx_sums, out) = split(out, rx);
        let (tx_sums, out) = split(out, tx);
        let (common, out) = split(out, hw_stats::common_count(info));
        let (rx_queues, tx_queues) = split(out, rx.saturating_mul(usize::from(info.pairs())));
        let mut common = common.iter_mut();
        hw_stats::common_values(info, &mut |v| {
            if let Some(to) = common.next() {
                *to = v;
            }
        });
        // The sums are over all pairs that there are, so that they don't go back when one goes out of use.
        let known = stats::pairs_known(dev);
        let mut device = hw_stats::Reader::rx(info, known);
        let mut to = Queues::new(rx_sums, rx_queues);
        for (i, pair) in (0..info.max_pairs).zip(dev.pairs()) {
            to.next(|put| {
                pair.rx.shared().values().into_iter().for_each(&mut *put);
                if i < known {
                    device.next_queue(put);
                }
            });
        }
        let mut device = hw_stats::Reader::tx(info, known);
        let mut to = Queues::new(tx_sums, tx_queues);
        for (i, pair) in (0..info.max_pairs).zip(dev.pairs()) {
            to.next(|put| {
                pair.tx.shared().values().into_iter().for_each(&mut *put);
                if i < known {
                    device.next_queue(put);
                }
            });
        }
    }

    fn link(dev: &Net) -> LinkSettings {
        dev.data().settings.lock().link
    }

    fn set_link(dev: &Net, link: LinkSettings, _rtnl: &mut Rtnl) -> Result {
        dev.data().settings.lock().link = link;
        Ok(())
    }
}
