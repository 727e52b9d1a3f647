// SPDX-License-Identifier: GPL-2.0

//! A pair of network devices: what one is to send the other receives, in its NAPI poll.
//!
//! C counterpart: `drivers/net/veth.c`.

#![forbid(unsafe_code)]

use crate::net::{
    handle::Handle,
    layout,
    prelude::*,
    skb_queue::SkbQueue,
    stats::Traffic, //
};
use kernel::{
    prelude::*,
    sync::SetOnce,
    ThisModule, //
};

/// Packets that may be on their way to one end.
const ON_THE_WAY: u32 = 256;

/// The receiving side of an end.
struct Receiver {
    wire: SkbQueue,
    traffic: Traffic,
}

/// One end, which leads to the other one, which may be gone.
struct End {
    peer: SetOnce<Handle<NetDevice<End>>>,
}

impl End {
    /// Gives a packet to the other end and makes that poll.
    ///
    /// Returns false if it was dropped, because that end is gone, is down, or has too many.
    fn pass(&self, skb: TxSkb<'_>) -> bool {
        let mut skb = Some(skb);
        let passed = self.peer.as_ref().and_then(|peer| {
            peer.with(|peer| {
                let pair = peer.pair(0).filter(|_| peer.is_running())?;
                let full = pair.rx.shared().wire.push(skb.take()?.forward(peer)?);
                pair.rx.schedule(|()| {});
                full.map_err(|skb| skb.drop_with(DropReason::FullRing)).ok()
            })
        });
        if let Some(skb) = skb {
            skb.drop_with(DropReason::DevReady);
        }
        passed.flatten().is_some()
    }
}

#[vtable]
impl Driver for End {
    type Tx = ();
    type Rx = ();
    type TxShared = Traffic;
    type RxShared = Receiver;
    type Deferred = ();
    type Ethtool = ();

    fn open(dev: &NetDevice<Self>, rtnl: &mut Rtnl) -> Result {
        for pair in dev.pairs() {
            pair.napi_enable(PairIrqs::default(), rtnl);
        }
        Ok(())
    }

    fn stop(dev: &NetDevice<Self>, rtnl: &mut Rtnl) {
        for pair in dev.pairs() {
            pair.napi_disable(rtnl);
        }
        dev.synchronize_napi(rtnl);
        // Nobody puts anything on the wire of an end that is down.
        for pair in dev.pairs() {
            pair.rx.shared().wire.clear(DropReason::DevReady);
        }
    }

    fn start_xmit<'x>(
        dev: &NetDevice<Self>,
        skb: TxSkb<'x>,
        tx: TxGuard<'_, Self, ByCore>,
    ) -> Xmit<'x> {
        let (len, sent) = (skb.len(), tx.queue().shared());
        if dev.data().pass(skb) {
            sent.count(len);
        } else {
            sent.count_drop();
        }
        Xmit::Ok
    }

    fn poll_rx(_dev: &NetDevice<Self>, mut poll: RxPoll<'_, Self>) -> PollResult {
        let (receiver, budget) = (poll.queue().shared(), poll.budget());
        let mut work = 0;
        if let Some(((), napi)) = poll.state() {
            while work < budget {
                let Some(skb) = receiver.wire.pop() else {
                    break;
                };
                receiver.traffic.count(skb.frame_len());
                napi.gro_receive(skb);
                work = work.wrapping_add(1);
            }
        }
        poll.complete(work)
    }

    fn stats64(dev: &NetDevice<Self>, out: &mut LinkStats<'_>) {
        for pair in dev.pairs() {
            out.add_rx(&pair.rx.shared().traffic);
            out.add_tx(pair.tx.shared());
        }
    }
}

/// Makes an end that leads nowhere yet.
///
/// Packets go as they are, with checksums and segments left to do.
fn new_end() -> Result<UnregisteredNetDevice<End>> {
    let features = Features::SG
        .or(Features::HW_CSUM)
        .or(Features::HIGHDMA)
        .or(Features::RXCSUM)
        .or(Features::TSO)
        .or(Features::TSO6);
    let setup = Setup {
        name: c"rsloop%d",
        features,
        hw_features: features,
        ..Setup::default()
    };
    let peer = SetOnce::new();
    UnregisteredNetDevice::new(None, 1, &setup, Ok(()), Ok(End { peer }), |_| {
        Ok(PairInit {
            tx: (),
            tx_shared: Traffic::default(),
            rx: (),
            rx_shared: Receiver {
                wire: SkbQueue::new(ON_THE_WAY)?,
                traffic: Traffic::default(),
            },
        })
    })
}

/// The module, with two ends, `rsloop0` and `rsloop1`.
pub(crate) struct RustLoopback {
    _ends: [Registration<End>; 2],
}

impl kernel::Module for RustLoopback {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        layout::check()?;
        let (a, b) = (new_end()?, new_end()?);
        a.data().peer.populate(b.handle());
        b.data().peer.populate(a.handle());
        Ok(Self {
            _ends: [a.register_netdev()?, b.register_netdev()?],
        })
    }
}
