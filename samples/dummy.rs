// SPDX-License-Identifier: GPL-2.0

//! A network device that counts the packets that it is to send, and drops them.
//!
//! C counterpart: `drivers/net/dummy.c`.

#![forbid(unsafe_code)]

use crate::{
    net::{
        device::{
            Registration,
            Setup,
            UnregisteredNetDevice, //
        },
        layout,
        queue::{
            ByCore,
            PairInit,
            TxGuard, //
        },
        stats::LinkStats,
        Driver,
        NetDevice,
        Rtnl,
        TxSkb,
        Xmit, //
    },
    sync::counter::Counter, //
};
use kernel::{
    prelude::*,
    ThisModule, //
};

/// The driver. It has no data of its own.
struct Dummy;

/// What a queue was given.
struct Sent {
    packets: Counter,
    bytes: Counter,
}

#[vtable]
impl Driver for Dummy {
    type Tx = ();
    type Rx = ();
    type TxShared = Sent;
    type RxShared = ();
    type Deferred = ();
    type Ethtool = ();

    fn open(_dev: &NetDevice<Self>, _rtnl: &mut Rtnl) -> Result {
        Ok(())
    }

    fn stop(_dev: &NetDevice<Self>, _rtnl: &mut Rtnl) {}

    fn start_xmit<'x>(
        _dev: &NetDevice<Self>,
        skb: TxSkb<'x>,
        tx: TxGuard<'_, Self, ByCore>,
    ) -> Xmit<'x> {
        let sent = tx.queue().shared();
        sent.packets.inc();
        sent.bytes.add(skb.len().into());
        skb.consume();
        Xmit::Ok
    }

    fn stats64(dev: &NetDevice<Self>, out: &mut LinkStats<'_>) {
        let (mut packets, mut bytes) = (0u64, 0u64);
        for sent in dev.pairs().map(|pair| pair.tx.shared()) {
            packets = packets.wrapping_add(sent.packets.get());
            bytes = bytes.wrapping_add(sent.bytes.get());
        }
        out.tx_packets(packets).tx_bytes(bytes);
    }
}

/// The module, with one device, `rsdummy0`.
pub(crate) struct RustDummy {
    _dev: Registration<Dummy>,
}

impl kernel::Module for RustDummy {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        layout::check()?;
        let setup = Setup {
            name: c"rsdummy%d",
            ..Setup::default()
        };
        let dev = UnregisteredNetDevice::new(None, 1, &setup, Ok(()), Ok(Dummy), |_| {
            Ok(PairInit {
                tx: (),
                tx_shared: Sent {
                    packets: Counter::new(),
                    bytes: Counter::new(),
                },
                rx: (),
                rx_shared: (),
            })
        })?;
        Ok(Self {
            _dev: dev.register_netdev()?,
        })
    }
}
