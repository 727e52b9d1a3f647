// SPDX-License-Identifier: GPL-2.0

//! What ethtool shows and sets.

#![forbid(unsafe_code)]

use crate::{
    channels,
    coalesce,
    device::{
        Net,
        VirtnetInfo, //
    },
    device_stats,
    net::{
        ethtool::{
            Channels,
            Drvinfo,
            Link,
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
        RxStats,
        TxStats, //
    }, //
};
use kernel::prelude::*;

/// The callbacks.
pub(crate) struct Ethtool;

impl Ops for Ethtool {
    type Net = VirtnetInfo;
    type Rxfh = rss::Rxfh;

    fn drvinfo(dev: &Net, out: &mut dyn FnMut(Drvinfo<'_>)) {
        let parent = dev.data().vdev.bus_info();
        out(Drvinfo {
            driver: crate::NAME.as_bytes(),
            version: crate::VERSION.as_bytes(),
            bus_info: parent,
        });
    }

    fn channels(dev: &Net) -> Channels {
        let info = dev.data();
        Channels {
            combined: (u32::from(info.max_pairs), u32::from(info.pairs())),
            ..Channels::default()
        }
    }

    /// Only `combined` can be set; the core refuses more than the most of the others, which is 0.
    fn set_channels(dev: &Net, want: Channels, rtnl: &mut Rtnl) -> Result {
        if want.rx.1 != 0 || want.tx.1 != 0 || want.other.1 != 0 {
            return Err(EINVAL);
        }
        channels::set_pairs(dev, u16::try_from(want.combined.1)?, rtnl)
    }

    fn rings(dev: &Net) -> Rings {
        let sizes = |i| {
            dev.data()
                .set()
                .map_or((0, 0), |set| (set.size_max(i), set.size(i)))
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
        let each = RxStats::NAMES
            .len()
            .saturating_add(TxStats::NAMES.len())
            .saturating_add(device_stats::pair_count(info));
        let all = usize::from(info.pairs())
            .saturating_mul(each)
            .saturating_add(device_stats::common_count(info));
        u32::try_from(all).unwrap_or(0)
    }

    fn stats_names(dev: &Net, out: &mut Strings<'_>) {
        let info = dev.data();
        let pairs = info.pairs();
        for i in 0..pairs {
            for name in RxStats::NAMES {
                out.push(format_args!("rx{i}_{name}"));
            }
            device_stats::rx_names(info, i, out);
        }
        for i in 0..pairs {
            for name in TxStats::NAMES {
                out.push(format_args!("tx{i}_{name}"));
            }
            device_stats::tx_names(info, i, out);
        }
        device_stats::common_names(info, out);
    }

    fn stats_values(dev: &Net, out: &mut dyn Iterator<Item = &mut u64>) {
        let info = dev.data();
        let n = info.pairs();
        let pairs = usize::from(n);
        let mut put = |v| {
            if let Some(to) = out.next() {
                *to = v;
            }
        };
        let mut device = device_stats::Reader::rx(info, n);
        for pair in dev.pairs().take(pairs) {
            pair.rx.shared().values().into_iter().for_each(&mut put);
            device.next_queue(&mut put);
        }
        let mut device = device_stats::Reader::tx(info, n);
        for pair in dev.pairs().take(pairs) {
            pair.tx.shared().values().into_iter().for_each(&mut put);
            device.next_queue(&mut put);
        }
        device_stats::common_values(info, &mut put);
    }

    fn link(dev: &Net) -> Link {
        dev.data().settings.lock().link
    }

    fn set_link(dev: &Net, link: Link, _rtnl: &mut Rtnl) -> Result {
        dev.data().settings.lock().link = link;
        Ok(())
    }
}
