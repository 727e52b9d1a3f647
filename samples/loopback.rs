// SPDX-License-Identifier: GPL-2.0

//! A pair of network devices: what one is to send the other receives, in its NAPI poll.
//!
//! C counterpart: `drivers/net/veth.c`.

#![forbid(unsafe_code)]

use crate::{
    net::{
        device::{
            Features,
            Registration,
            Setup,
            UnregisteredNetDevice, //
        },
        handle::Handle,
        layout,
        queue::{
            ByCore,
            PairInit,
            PairIrqs,
            PollResult,
            RxPoll,
            TxGuard, //
        },
        skb::ReceivedSkb,
        stats::LinkStats,
        Driver,
        DropReason,
        NetDevice,
        Rtnl,
        TxSkb,
        Xmit, //
    },
    sync::counter::Counter, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        SetOnce,
        SpinLock, //
    },
    ThisModule, //
};

/// Packets that may be on their way to one end.
const SLOTS: usize = 256;

/// Packets on their way, first in, first out.
struct Wire {
    slots: [Option<ReceivedSkb>; SLOTS],
    first: usize,
    len: usize,
}

impl Wire {
    fn push(&mut self, skb: ReceivedSkb) -> Result<(), ReceivedSkb> {
        let at = self.first.wrapping_add(self.len) % SLOTS;
        match self.slots.get_mut(at) {
            Some(slot) if self.len < SLOTS => *slot = Some(skb),
            _ => return Err(skb),
        }
        self.len = self.len.wrapping_add(1);
        Ok(())
    }

    fn pop(&mut self) -> Option<ReceivedSkb> {
        let skb = self.slots.get_mut(self.first)?.take()?;
        self.first = self.first.wrapping_add(1) % SLOTS;
        self.len = self.len.wrapping_sub(1);
        Some(skb)
    }
}

/// Packets one way.
struct Count {
    packets: Counter,
    bytes: Counter,
    dropped: Counter,
}

impl Count {
    const fn new() -> Self {
        Self {
            packets: Counter::new(),
            bytes: Counter::new(),
            dropped: Counter::new(),
        }
    }

    fn add(&self, len: u32, delivered: bool) {
        if delivered {
            self.packets.inc();
            self.bytes.add(len.into());
        } else {
            self.dropped.inc();
        }
    }
}

/// The receiving side of an end.
struct Receiver {
    wire: Pin<KBox<SpinLock<Wire>>>,
    count: Count,
}

/// One end. It leads to the other one, which may be gone.
struct End {
    peer: SetOnce<Handle<NetDevice<End>>>,
}

impl End {
    /// Gives a packet to the other end and makes that poll. False if it was dropped, because that end is gone,
    /// is down, or has too many.
    fn pass(&self, skb: TxSkb<'_>) -> bool {
        let mut skb = Some(skb);
        let passed = self.peer.as_ref().and_then(|peer| {
            peer.with(|peer| {
                let pair = peer.pair(0).filter(|_| peer.is_running())?;
                let skb = skb.take()?.forward(peer)?;
                let full = pair.rx.shared().wire.lock().push(skb);
                pair.rx.schedule(|()| {});
                if let Err(skb) = full {
                    skb.drop_with(DropReason::FullRing);
                    return None;
                }
                Some(())
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
    type TxShared = Count;
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
            while let Some(skb) = pair.rx.shared().wire.lock().pop() {
                skb.drop_with(DropReason::DevReady);
            }
        }
    }

    fn start_xmit<'x>(
        dev: &NetDevice<Self>,
        skb: TxSkb<'x>,
        tx: TxGuard<'_, Self, ByCore>,
    ) -> Xmit<'x> {
        let len = skb.len();
        let passed = dev.data().pass(skb);
        tx.queue().shared().add(len, passed);
        Xmit::Ok
    }

    fn poll_rx(_dev: &NetDevice<Self>, mut poll: RxPoll<'_, Self>) -> PollResult {
        let (receiver, budget) = (poll.queue().shared(), poll.budget());
        let mut work = 0;
        if let Some(((), napi)) = poll.state() {
            while work < budget {
                // The lock isn't held while the stack has the packet: it may send an answer.
                let Some(skb) = receiver.wire.lock().pop() else {
                    break;
                };
                receiver.count.add(skb.frame_len(), true);
                napi.gro_receive(skb);
                work = work.wrapping_add(1);
            }
        }
        poll.complete(work)
    }

    fn stats64(dev: &NetDevice<Self>, out: &mut LinkStats<'_>) {
        for pair in dev.pairs() {
            let (rx, tx) = (&pair.rx.shared().count, pair.tx.shared());
            out.rx_packets(rx.packets.get()).rx_bytes(rx.bytes.get());
            out.tx_packets(tx.packets.get()).tx_bytes(tx.bytes.get());
            out.rx_dropped(rx.dropped.get())
                .tx_dropped(tx.dropped.get());
        }
    }
}

/// One end that leads nowhere yet. Packets go as they are: with checksums and segments left to do.
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
    let data = End {
        peer: SetOnce::new(),
    };
    UnregisteredNetDevice::new(None, 1, &setup, Ok(()), Ok(data), |_| {
        let wire = Wire {
            slots: [const { None }; SLOTS],
            first: 0,
            len: 0,
        };
        Ok(PairInit {
            tx: (),
            tx_shared: Count::new(),
            rx: (),
            rx_shared: Receiver {
                wire: KBox::pin_init(new_spinlock!(wire), GFP_KERNEL)?,
                count: Count::new(),
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
