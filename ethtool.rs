// SPDX-License-Identifier: GPL-2.0

//! What ethtool shows and sets.

#![forbid(unsafe_code)]

use crate::{
    channels,
    device::{
        Net,
        VirtnetInfo, //
    },
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

    fn stats_count(dev: &Net) -> u32 {
        let each = RxStats::NAMES.len().saturating_add(TxStats::NAMES.len());
        u32::from(dev.data().pairs()).saturating_mul(u32::try_from(each).unwrap_or(0))
    }

    fn stats_names(dev: &Net, out: &mut Strings<'_>) {
        let pairs = dev.data().pairs();
        for i in 0..pairs {
            for name in RxStats::NAMES {
                out.push(format_args!("rx{i}_{name}"));
            }
        }
        for i in 0..pairs {
            for name in TxStats::NAMES {
                out.push(format_args!("tx{i}_{name}"));
            }
        }
    }

    fn stats_values(dev: &Net, out: &mut dyn Iterator<Item = &mut u64>) {
        let pairs = usize::from(dev.data().pairs());
        for pair in dev.pairs().take(pairs) {
            for v in pair.rx.shared().values() {
                if let Some(to) = out.next() {
                    *to = v;
                }
            }
        }
        for pair in dev.pairs().take(pairs) {
            for v in pair.tx.shared().values() {
                if let Some(to) = out.next() {
                    *to = v;
                }
            }
        }
    }

    fn link(dev: &Net) -> Link {
        dev.data().settings.lock().link
    }

    fn set_link(dev: &Net, link: Link, _rtnl: &mut Rtnl) -> Result {
        dev.data().settings.lock().link = link;
        Ok(())
    }
}
