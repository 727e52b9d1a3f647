// SPDX-License-Identifier: GPL-2.0

//! A network device that counts the packets that it is to send, and drops them.
//!
//! C counterpart: `drivers/net/dummy.c`.

#![forbid(unsafe_code)]

use crate::net::{
    layout,
    prelude::*,
    stats::Traffic, //
};
use kernel::{
    prelude::*,
    ThisModule, //
};

/// The driver, which has no data of its own.
struct Dummy;

#[vtable]
impl Driver for Dummy {
    type Tx = ();
    type Rx = ();
    type TxShared = Traffic;
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
        tx.queue().shared().count(skb.len());
        skb.consume();
        Xmit::Ok
    }

    fn stats64(dev: &NetDevice<Self>, out: &mut LinkStats<'_>) {
        dev.pairs().for_each(|pair| out.add_tx(pair.tx.shared()));
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
            Ok(PairInit::default())
        })?;
        Ok(Self {
            _dev: dev.register_netdev()?,
        })
    }
}
