// SPDX-License-Identifier: GPL-2.0

//! From a virtio device to a network interface: features, private data, queues, registration.
//!
//! Context: process.

#![forbid(unsafe_code)]

use crate::{
    affinity,
    channels,
    coalesce,
    device::{
        coalesce::has_vq_notf_coal,
        features::Negotiated,
        rss::Rss,
        watch_late,
        Net,
        PairLimits,
        VirtnetInfo, //
    },
    ethtool,
    filter,
    hw_stats,
    late,
    link,
    net::{
        device::{
            Features as NetFeatures,
            Mtu,
            Setup, //
        },
        failover::Failover,
        net_info,
        net_warn,
        queue::PairInit,
        rtnl::RtnlGuard,
        sysfs::RxQueueGroup,
        Rtnl, //
    },
    notify,
    pure::{
        config::{
            check_mtu,
            default_pairs,
            is_shared,
            mac_usable,
            max_queue_pairs,
            offset,
            pairs_with_vectors,
            MIN_MTU, //
        },
        eth::{
            frame_len,
            ETH_DATA_LEN, //
        },
        features::{
            self,
            bit,
            Features, //
        },
        rss::Caps, //
    },
    receive_queue::{
        Mode,
        ReceiveQueue, //
    },
    refill,
    reset::{
        self,
        FreezeReason, //
    },
    rss,
    stats::{
        RxStats,
        TxStats, //
    },
    sync::{
        cpus::num_online_cpus,
        params, //
    },
    tx::SendQueue,
    virtio::{
        binding::{
            Binding,
            NetDriver, //
        },
        driver::Driver,
        id_table::IdTable,
        irq::VqCallback,
        Device, //
    },
    vqs,
    works::{
        Functions,
        Works, //
    },
    xdp,
    xsk, //
};
use kernel::{
    device::{
        Bound,
        Core, //
    },
    prelude::*, //
};

/// The largest MTU of Ethernet over virtio.
const MAX_MTU: u32 = 65535;

/// The driver, as the virtio bus sees it.
pub(crate) struct VirtioNet;

#[vtable]
impl Driver for VirtioNet {
    type Data = Binding<Self>;

    const IDS: &'static IdTable = &crate::ID_TABLE;
    const FEATURES: &'static [u32] = &features::SUPPORTED;
    const FEATURES_LEGACY: &'static [u32] = &features::SUPPORTED_LEGACY;

    fn validate(dev: &Device<Core<'_>>, offered: Features) -> Result<Features> {
        let (mut accepted, refused) = features::resolve(offered);
        for b in (0..128).filter(|b| refused.has(*b)) {
            let name = features::name(b);
            if features::is_detail(b) {
                dev_dbg!(
                    dev.dev(),
                    "{name} is of no use without what it belongs to\n"
                );
            } else {
                dev_warn!(
                    dev.dev(),
                    "{name} refused: it needs a feature that is missing\n"
                );
            }
        }
        // An MTU that no packet fits is as good as none.
        if accepted.has(bit::MTU) && check_mtu(dev.cread16(offset::MTU)).is_none() {
            dev_warn!(dev.dev(), "the device's MTU is below {MIN_MTU}: ignored\n");
            accepted = accepted.without(bit::MTU);
        }
        Ok(rss::validate(dev, accepted))
    }

    fn probe(dev: &Device<Core<'_>>) -> impl PinInit<Binding<Self>, Error> {
        probe(dev)
    }

    fn unbind(_dev: &Device<Core<'_>>, binding: Pin<&Binding<Self>>) {
        if let Ok(net) = binding.net() {
            net.quiesce();
        }
    }

    fn shutdown(dev: &Device<Core<'_>>, binding: Pin<&Binding<Self>>) {
        // Ends commands that are under way.
        dev.break_queues();
        if let Ok(net) = binding.net() {
            net.shut_works(|| dev.break_queues());
        }
    }

    fn freeze(dev: &Device<Core<'_>>, binding: Pin<&Binding<Self>>) -> Result {
        reset::freeze(dev, binding.net()?, FreezeReason::Suspend)
    }

    fn restore(dev: &Device<Core<'_>>, binding: Pin<&Binding<Self>>) -> Result {
        reset::restore(dev, binding.net()?, FreezeReason::Suspend)
    }

    fn reset_prepare(dev: &Device<Core<'_>>, binding: Pin<&Binding<Self>>) -> Result {
        let net = binding.net()?;
        reset::freeze(dev, net, FreezeReason::of_reset(net))
    }

    fn reset_done(dev: &Device<Core<'_>>, binding: Pin<&Binding<Self>>) -> Result {
        let net = binding.net()?;
        reset::restore(dev, net, FreezeReason::of_reset(net))
    }

    fn config_changed(binding: Pin<&Binding<Self>>) {
        if let Ok(net) = binding.net() {
            net.schedule_config_work();
        }
    }
}

impl NetDriver for VirtioNet {
    type Net = VirtnetInfo;

    #[inline]
    fn vq_callback(net: &Net, vq: VqCallback<'_>) {
        let index = vq.index();
        let Some(pair) = u16::try_from(index / 2).ok().and_then(|i| net.pair(i)) else {
            return;
        };
        // Off until NAPI has looked at the ring, but only if the poll is ours to schedule: a poll
        // that runs already on another CPU may be asking for the interrupt at this moment.
        if index % 2 == 0 {
            pair.rx.shared().callbacks.inc();
            pair.rx.schedule(|rq| {
                if let Some(vq) = rq.vq.as_mut() {
                    vq.disable_cb();
                }
            });
        } else {
            pair.tx.shared().callbacks.inc();
            pair.tx.schedule(|| vq.disable_cb());
        }
    }
}

/// Returns how packets will be received, and the largest MTU that the buffers hold.
fn receive_mode(f: &Negotiated, mtu: Option<u16>) -> (Mode, u32) {
    let gso = f.rx.tso4 || f.rx.tso6 || f.rx.ecn || f.rx.ufo || f.rx.uso4 || f.rx.uso6;
    let device_mtu = mtu.map_or(MAX_MTU, u32::from);
    if f.has(bit::MRG_RXBUF) {
        return (Mode::Mergeable, device_mtu);
    }
    let split = if f.layout.any_layout() { 0 } else { f.hdr_len };
    if gso {
        let pages = refill::big_pages_max(f.hdr_len);
        return (Mode::Big { pages, split }, device_mtu);
    }
    match mtu {
        Some(mtu) if u32::from(mtu) > ETH_DATA_LEN => {
            let pages = refill::big_pages(frame_len(mtu.into()), f.hdr_len);
            (Mode::Big { pages, split }, device_mtu)
        }
        // Buffers of one frame: an MTU above Ethernet's would lose every large packet.
        _ if split != 0 => (Mode::Big { pages: 1, split }, device_mtu.min(1500)),
        _ => (Mode::Small, device_mtu.min(1500)),
    }
}

/// The features of the net device.
struct FeatureSets {
    /// Features that are in force at first.
    features: NetFeatures,
    /// Features that the user can switch.
    hw: NetFeatures,
    /// Features for encapsulated packets.
    encapsulated: NetFeatures,
}

/// Works out the net device's features from the negotiated ones and the module's parameters.
fn net_features(f: &Negotiated) -> FeatureSets {
    let csum = f.has(bit::CSUM);
    let tx = NetFeatures::NONE
        .or_if(csum, NetFeatures::SG.or(NetFeatures::HW_CSUM))
        // All that there was when this bit was made.
        .or_if(
            f.has(bit::GSO),
            NetFeatures::TSO
                .or(NetFeatures::TSO6)
                .or(NetFeatures::TSO_ECN),
        )
        .or_if(f.has(bit::HOST_TSO4), NetFeatures::TSO)
        .or_if(f.has(bit::HOST_TSO6), NetFeatures::TSO6)
        .or_if(f.has(bit::HOST_ECN), NetFeatures::TSO_ECN)
        .or_if(f.has(bit::HOST_USO), NetFeatures::USO)
        .or_if(f.has(bit::HOST_UDP_TUNNEL_GSO), NetFeatures::UDP_TUNNEL)
        .or_if(
            f.has(bit::HOST_UDP_TUNNEL_GSO_CSUM),
            NetFeatures::UDP_TUNNEL_CSUM,
        );
    // Shown only if it can be switched off: the stack does that (generic XDP) and complains if it stays on.
    let gro_hw = filter::has_gro_hw(f);
    // What the user doesn't want at first can be switched on later.
    let on = match (params::csum(), params::gso()) {
        (false, _) => NetFeatures::NONE,
        (true, false) => tx.and(NetFeatures::SG.or(NetFeatures::HW_CSUM)),
        (true, true) => tx,
    };
    let features = on
        .or(NetFeatures::HIGHDMA)
        .or_if(f.hash_report, NetFeatures::RXHASH)
        .or_if(csum, NetFeatures::GSO_ROBUST)
        .or(NetFeatures::RXCSUM)
        .or_if(gro_hw, NetFeatures::GRO_HW)
        .or_if(f.has(bit::CTRL_VLAN), NetFeatures::VLAN_FILTER);
    let hw = tx
        .or_if(f.hash_report, NetFeatures::RXHASH)
        .or_if(gro_hw, NetFeatures::GRO_HW);
    // What the device can do to the inner packet of a tunnel.
    let encapsulated = NetFeatures::NONE.or_if(tx.has(NetFeatures::UDP_TUNNEL), tx);
    FeatureSets {
        features,
        hw,
        encapsulated,
    }
}

/// Returns the address that the device gives, if it can be that of an interface.
fn device_mac(dev: &Device<Bound>, f: &Negotiated) -> Option<[u8; 6]> {
    if !f.has(bit::MAC) {
        return None;
    }
    let mac = dev.cread_bytes(offset::MAC);
    if mac_usable(mac) {
        return Some(mac);
    }
    dev_warn!(
        dev.dev(),
        "the device's address is not usable: a random one instead\n"
    );
    None
}

/// Returns how many queue pairs the device has, and how many of them can be used.
fn pair_limits(dev: &Device<Core<'_>>, f: &Negotiated) -> PairLimits {
    let config_pairs = if f.has(bit::MQ) || f.has(bit::RSS) {
        dev.cread16(offset::MAX_PAIRS)
    } else {
        1
    };
    let device = max_queue_pairs(f.all, config_pairs);
    let vectors = dev.vectors(u32::from(device).saturating_mul(2).saturating_add(1));
    let usable = pairs_with_vectors(device, vectors);
    if usable < device && is_shared(vectors) {
        dev_warn!(
            dev.dev(),
            "only {usable} of {device} queue pairs are used\n"
        );
    } else if usable < device {
        dev_warn!(
            dev.dev(),
            "{vectors} interrupt vectors are enough for {usable} of {device} queue pairs\n"
        );
    }
    PairLimits { device, usable }
}

/// Returns the device's MTU, if it has one.
///
/// # Errors
///
/// Returns `EINVAL` if it isn't legal: it was in `validate`, and a device that has changed it since
/// is not believed.
fn device_mtu(dev: &Device<Bound>, f: &Negotiated) -> Result<Option<u16>> {
    if !f.has(bit::MTU) {
        return Ok(None);
    }
    Ok(Some(check_mtu(dev.cread16(offset::MTU)).ok_or(EINVAL)?))
}

/// Returns what the net device is to be like, and how packets are received.
///
/// # Errors
///
/// Returns those of [`device_mtu`].
fn net_setup(
    dev: &Device<Bound>,
    f: &Negotiated,
    rss: Option<Caps>,
) -> Result<(Setup<VirtnetInfo>, Mode)> {
    let mtu = device_mtu(dev, f)?;
    let (mode, max_mtu) = receive_mode(f, mtu);
    let FeatureSets {
        features,
        hw,
        encapsulated,
    } = net_features(f);
    let setup = Setup {
        features,
        hw_features: hw,
        enc_features: encapsulated,
        mtu: Mtu {
            min: u32::from(MIN_MTU),
            max: max_mtu,
            initial: mtu.map_or(1500, u32::from),
        },
        needed_headroom: if f.layout.any_layout() {
            u16::try_from(f.hdr_len)?
        } else {
            0
        },
        mac: device_mac(dev, f),
        live_mac: true,
        unicast_filter: f.has(bit::CTRL_RX),
        moderation: has_vq_notf_coal(f),
        rx_queue_group: matches!(mode, Mode::Mergeable)
            .then(RxQueueGroup::of::<refill::BufferSizeFile>),
        rxfh: rss::sizes(rss),
        xdp_rx_hash: f.hash_report,
        xdp: xdp::features(mode).or(xsk::features(dev, f, mode)),
        xsk_max_segs: xsk::max_segs(mode),
        xsk_csum: f.has(bit::CSUM),
        ..Setup::default()
    };
    Ok((setup, mode))
}

fn probe(dev: &Device<Core<'_>>) -> Result<Binding<VirtioNet>> {
    let f = Negotiated::new(dev.features());
    let limits = pair_limits(dev, &f);
    let pairs = default_pairs(limits.usable, num_online_cpus(), params::queue_pairs());
    if !params::napi_tx() {
        dev_info!(
            dev.dev(),
            "napi_tx=0 has no effect: sent packets are reaped by NAPI\n"
        );
    }
    let rss_caps = rss::caps(dev, f.all)?;
    let (setup, mode) = net_setup(dev, &f, rss_caps)?;
    let rss = Rss::new(rss_caps, pairs)?;
    let mut binding = Binding::<VirtioNet>::new(
        dev,
        limits.usable,
        &setup,
        Works::new(Functions {
            config: link::config_work,
            reset: reset::work,
            notify: notify::work,
            late: late::work,
            cpus: affinity::apply,
        }),
        VirtnetInfo::new(dev.into(), f, mode, rss, limits, pairs),
        |_| {
            Ok(PairInit {
                tx: SendQueue::new(),
                tx_shared: TxStats::new(),
                rx: ReceiveQueue::new(),
                rx_shared: RxStats::new(),
            })
        },
    )?;
    // From here on dropping the binding undoes everything.
    if f.has(bit::STANDBY) {
        let net = binding.net()?;
        let failover = Failover::new(net)?;
        *net.data().failover.lock() = Some(failover);
    }
    coalesce::init(binding.net()?.data())?;
    register(&mut binding, dev, setup.mac.is_none())?;
    dev.config_enable();
    let net = binding.net()?;
    net.hotplug_add()?;
    link::update(net);
    net_info!(
        net,
        "{} of {} queue pairs, {} mode\n",
        net.data().pairs(),
        limits.usable,
        match mode {
            Mode::Mergeable => "mergeable",
            Mode::Big { .. } => "big",
            Mode::Small => "small",
        }
    );
    Ok(binding)
}

/// Finds the queues, registers the interface and sends the device its settings, a `random_mac` too.
///
/// # Errors
///
/// Returns those of the virtio core and of the stack. Dropping the binding undoes what was done.
fn register(binding: &mut Binding<VirtioNet>, dev: &Device<Core<'_>>, random_mac: bool) -> Result {
    let found = vqs::find(dev, binding.net()?.data())?;
    let mut guard = RtnlGuard::new();
    let rtnl = &mut *guard;
    let net = binding.net()?;
    vqs::attach(net, found, rtnl)?;
    net.set_real_num_queues(net.data().pairs(), rtnl)?;
    net.set_carrier(false);
    // Before anyone can open the interface. RTNL keeps users out; but a standby is opened while it is
    // registered, by the interface on top, if that is up already.
    dev.ready();
    binding.register(rtnl)?;
    set_up(binding.net()?, random_mac, rtnl)
}

/// Sends the device the settings that it must have before the interface is used.
fn set_up(net: &Net, random_mac: bool, rtnl: &mut Rtnl) -> Result {
    let info = net.data();
    let pairs = info.pairs();
    let sent = channels::send_pairs(net, pairs, rtnl).or_else(|e| {
        if e == EINVAL && rss::disable(net, rtnl) {
            channels::send_pairs(net, pairs, rtnl)
        } else {
            Err(e)
        }
    });
    if let Err(e) = sent {
        net_warn!(net, "{pairs} queue pairs refused: {e:?}; using 1\n");
        // A standby is up: the interface on top opened it when it was registered.
        channels::leave(net, 1..pairs, e != ETIMEDOUT, rtnl);
        channels::use_one_pair(net, rtnl)?;
    }
    rss::withdraw_if_refused(net, rtnl);
    if random_mac {
        // A device that can't be told still works.
        if let Err(e) = filter::send_mac(info.control(), net.mac()) {
            net_warn!(net, "random address refused: {e:?}\n");
        }
        info.settings.lock().mac_set = true;
    }
    hw_stats::query(net);
    watch_late(net);
    affinity::set_pairs(net, info.pairs());
    ethtool::notify_changes(net, rtnl);
    Ok(())
}
