// SPDX-License-Identifier: GPL-2.0

//! A `struct net_device` with private data and queues.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    driver::Driver,
    ethtool,
    handle::Handle,
    ops,
    queue::{
        PairInit,
        QueuePair, //
    },
    rtnl::Rtnl,
    rtnl::RtnlGuard,
    rx_queue::RxPoll,
    rxfh,
    skb::{
        ReceivedSkb,
        SkBuff,
        TxSkb, //
    },
    sysfs,
    xdp::{
        Prog,
        ProgSlot,
        XdpFeatures, //
    },
    xdp_meta,
    DropReason, //
};
use crate::{
    bindings,
    pure::coalesce::Moderation,
    sync::{
        cpus::CpusHeld,
        fail,
        host::{
            Entrance,
            Host, //
        }, //
    }, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull,
    sync::atomic::AtomicU32, //
};
use kernel::{
    prelude::*,
    sync::aref::ARef,
    types::Opaque, //
};

/// A set of features (`netdev_features_t`), by bit.
///
/// Context: any.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Features(pub(super) u64);

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident = $bit:ident;)*) => {
        impl Features {
            $(
                $(#[$doc])*
                // CAST: Bit numbers are below 64.
                pub(crate) const $name: Self = Self(1 << (bindings::$bit as u32));
            )*
        }
    };
}

features! {
    /// Scatter-gather of packets.
    SG = NETIF_F_SG_BIT;
    /// Checksums of any protocol.
    HW_CSUM = NETIF_F_HW_CSUM_BIT;
    /// Packets in high memory.
    HIGHDMA = NETIF_F_HIGHDMA_BIT;
    /// TCP segmentation, IPv4.
    TSO = NETIF_F_TSO_BIT;
    /// TCP segmentation with ECN.
    TSO_ECN = NETIF_F_TSO_ECN_BIT;
    /// TCP segmentation, IPv6.
    TSO6 = NETIF_F_TSO6_BIT;
    /// Segmentation of UDP.
    USO = NETIF_F_GSO_UDP_L4_BIT;
    /// GSO packets from untrusted sources.
    GSO_ROBUST = NETIF_F_GSO_ROBUST_BIT;
    /// Checksums of received packets.
    RXCSUM = NETIF_F_RXCSUM_BIT;
    /// Received packets that may be several on the wire, merged by the device.
    GRO_HW = NETIF_F_GRO_HW_BIT;
    /// Hashes of received packets by the device.
    RXHASH = NETIF_F_RXHASH_BIT;
    /// Segmentation of TCP and UDP in UDP tunnels without outer checksum.
    UDP_TUNNEL = NETIF_F_GSO_UDP_TUNNEL_BIT;
    /// Segmentation of TCP and UDP in UDP tunnels with outer checksum.
    UDP_TUNNEL_CSUM = NETIF_F_GSO_UDP_TUNNEL_CSUM_BIT;
    /// Filter of VLANs.
    VLAN_FILTER = NETIF_F_HW_VLAN_CTAG_FILTER_BIT;
}

impl Features {
    /// The set without any feature.
    pub(crate) const NONE: Self = Self(0);

    /// Returns what is in one of both sets.
    pub(crate) const fn or(self, o: Self) -> Self {
        Self(self.0 | o.0)
    }

    /// Returns what is in both sets.
    pub(crate) const fn and(self, o: Self) -> Self {
        Self(self.0 & o.0)
    }

    /// Returns all features but `o`.
    pub(crate) const fn without(self, o: Self) -> Self {
        Self(self.0 & !o.0)
    }

    /// Returns the set with `o` added if `cond`.
    pub(crate) const fn or_if(self, cond: bool, o: Self) -> Self {
        if cond {
            self.or(o)
        } else {
            self
        }
    }

    /// Returns whether all of `o` are in the set.
    pub(crate) const fn has(self, o: Self) -> bool {
        self.0 & o.0 == o.0
    }
}

/// The MTUs of a device.
pub(crate) struct Mtu {
    /// The smallest MTU.
    pub(crate) min: u32,
    /// The largest MTU.
    pub(crate) max: u32,
    /// The MTU to start with.
    pub(crate) initial: u32,
}

/// Flags of an interface that say what it receives beside what is addressed to it.
#[derive(Clone, Copy)]
pub(crate) struct RxFlags {
    /// Whether it receives every packet.
    pub(crate) promisc: bool,
    /// Whether it receives every multicast packet.
    pub(crate) allmulti: bool,
}

/// What is set up once, before registration.
///
/// [`Setup::default`] is a plain Ethernet device with a random address.
///
/// # Examples
///
/// The function `new_end` of `samples/loopback.rs`.
pub(crate) struct Setup<T: Driver> {
    /// The interface's name; `%d` stands for the first number that is free.
    pub(crate) name: &'static CStr,
    /// Features in force.
    pub(crate) features: Features,
    /// Features that the user may switch.
    pub(crate) hw_features: Features,
    /// Features for packets that are encapsulated in others.
    pub(crate) enc_features: Features,
    /// MTUs of the device.
    pub(crate) mtu: Mtu,
    /// Bytes that packets to send should leave free before their data.
    pub(crate) needed_headroom: u16,
    /// Address of the interface, or `None` for a random one.
    pub(crate) mac: Option<[u8; 6]>,
    /// Whether the address may change while the interface is up.
    pub(crate) live_mac: bool,
    /// Whether the device filters unicast addresses.
    pub(crate) unicast_filter: bool,
    /// Whether there are profiles of interrupt moderation ([`super::dim`]).
    pub(crate) moderation: bool,
    /// What each receive queue has in sysfs.
    pub(crate) rx_queue_group: Option<sysfs::RxQueueGroup<NetDevice<T>>>,
    /// Sizes of what can be set of receive flow hashing.
    pub(crate) rxfh: rxfh::Sizes,
    /// What of XDP there is.
    pub(crate) xdp: XdpFeatures,
    /// Whether programs can ask for the hash of a packet ([`super::xdp::XdpRoom::set_rx_hash`]).
    pub(crate) xdp_rx_hash: bool,
    /// Buffers that a packet of a socket of AF_XDP's may have; 0 is 1.
    pub(crate) xsk_max_segs: u32,
    /// Whether the device completes checksums of what such sockets send.
    pub(crate) xsk_csum: bool,
}

impl<T: Driver> Default for Setup<T> {
    fn default() -> Self {
        Self {
            name: c"eth%d",
            features: Features::NONE,
            hw_features: Features::NONE,
            enc_features: Features::NONE,
            mtu: Mtu {
                min: bindings::ETH_MIN_MTU,
                max: bindings::ETH_DATA_LEN,
                initial: bindings::ETH_DATA_LEN,
            },
            needed_headroom: 0,
            mac: None,
            live_mac: true,
            unicast_filter: false,
            moderation: false,
            rx_queue_group: None,
            rxfh: rxfh::Sizes::default(),
            xdp: XdpFeatures::NONE,
            xdp_rx_hash: false,
            xsk_max_segs: 0,
            xsk_csum: false,
        }
    }
}

/// The private area of the `net_device`.
///
/// Drop order: what calls into the driver by itself first (nothing new starts), then the driver's
/// data, then the queues.
#[pin_data]
#[repr(C)]
pub(super) struct Private<T: Driver> {
    #[pin]
    deferred: T::Deferred,
    entrance: Entrance,
    handle: Handle<NetDevice<T>>,
    pub(super) rxfh: rxfh::Settable,
    /// The number of statistics that the ethtool core was told last, under RTNL.
    pub(super) stats_count: AtomicU32,
    #[pin]
    data: T,
    prog: ProgSlot,
    pairs: KVVec<Pin<KBox<QueuePair<T>>>>,
}

/// A network device with private data.
///
/// Context: process, unless a function says otherwise.
///
/// # Invariants
///
/// Wraps a valid `struct net_device` whose private area holds an initialised [`Private<T>`]. It
/// stays so while a reference exists: it is taken down by [`UnregisteredNetDevice`]'s drop only.
///
/// Locking: see [`super::queue`] for per-queue state; `T` takes care of its own.
#[repr(transparent)]
pub(crate) struct NetDevice<T: Driver> {
    dev: Opaque<bindings::net_device>,
    _t: PhantomData<T>,
}

// SAFETY: `T` is `Send + Sync`, the queues are, and the wrapped calls may come from any thread.
unsafe impl<T: Driver> Send for NetDevice<T> {}
// SAFETY: As above.
unsafe impl<T: Driver> Sync for NetDevice<T> {}

// SAFETY: Transparent. Its queues have the groups of its own type only (`Setup`).
unsafe impl<T: Driver> sysfs::Wrapper for NetDevice<T> {}

// SAFETY: `deferred` is pinned, and what is in it begins within its bytes. The drop of `UnregisteredNetDevice` closes the
// entrance, of which nothing is dropped.
unsafe impl<T: Driver> Host for NetDevice<T> {
    fn holds(&self, part: *const ()) -> bool {
        let start = core::ptr::from_ref(self.deferred()).addr();
        part.addr().wrapping_sub(start) < core::mem::size_of::<T::Deferred>()
    }

    fn entrance(&self) -> &Entrance {
        &self.private().entrance
    }
}

impl<T: Driver> NetDevice<T> {
    /// Takes the C object for what it is.
    ///
    /// Context: any.
    ///
    /// # Safety
    ///
    /// The type's invariants hold for `'a`.
    #[inline(always)]
    pub(crate) unsafe fn from_raw<'a>(dev: *mut bindings::net_device) -> &'a Self {
        // SAFETY: By this function's contract; same layout.
        unsafe { &*dev.cast() }
    }

    /// Returns the C object.
    ///
    /// Context: any.
    #[inline(always)]
    pub(crate) fn as_raw(&self) -> *mut bindings::net_device {
        self.dev.get()
    }

    #[inline(always)]
    pub(super) fn private(&self) -> &Private<T> {
        // The C function is `&dev->priv`, a flexible array at the end.
        // SAFETY: Initialised by the type invariant.
        unsafe { &*(&raw const (*self.as_raw()).priv_).cast::<Private<T>>() }
    }

    /// Returns what calls into the driver by itself.
    ///
    /// Context: any.
    #[inline(always)]
    pub(crate) fn deferred(&self) -> &T::Deferred {
        &self.private().deferred
    }

    /// Returns the driver's data.
    ///
    /// Context: any.
    #[inline(always)]
    pub(crate) fn data(&self) -> &T {
        &self.private().data
    }

    /// Returns a way to this device for others.
    ///
    /// Context: any.
    #[allow(dead_code, reason = "for drivers with devices that know each other")]
    pub(crate) fn handle(&self) -> Handle<NetDevice<T>> {
        self.private().handle.clone()
    }

    /// Returns queue pair `index`.
    ///
    /// Context: any.
    #[inline(always)]
    pub(crate) fn pair(&self, index: u16) -> Option<&QueuePair<T>> {
        let pair = self.private().pairs.get(usize::from(index))?;
        Some(pair)
    }

    /// Returns the XDP program, for a poll.
    ///
    /// Context: softirq.
    #[inline(always)]
    pub(crate) fn xdp_prog<'a>(&self, _poll: &RxPoll<'a, T>) -> Option<Prog<'a>> {
        // SAFETY: The token is there inside of a poll only, for `'a`.
        unsafe { self.private().prog.get() }
    }

    /// Returns where the XDP program is.
    pub(super) fn xdp_slot(&self) -> &ProgSlot {
        &self.private().prog
    }

    /// Returns how many transmit queues the stack uses.
    ///
    /// Context: any.
    #[inline]
    pub(crate) fn real_num_tx_queues(&self) -> u32 {
        // SAFETY: By the type invariants the device is valid; others read it so as well.
        unsafe { (&raw const (*self.as_raw()).real_num_tx_queues).read_volatile() }
    }

    /// Returns the MTU in force.
    ///
    /// Context: any.
    pub(crate) fn mtu(&self) -> u32 {
        // SAFETY: By the type invariants the device is valid; lockless readers use READ_ONCE.
        unsafe { (&raw const (*self.as_raw()).mtu).read_volatile() }
    }

    /// Returns the largest MTU that may be set.
    pub(crate) fn max_mtu(&self, _rtnl: &Rtnl) -> u32 {
        // SAFETY: By the type invariants the device is valid; written under RTNL.
        unsafe { (*self.as_raw()).max_mtu }
    }

    /// Sets the largest MTU that may be set.
    pub(crate) fn set_max_mtu(&self, max: u32, _rtnl: &mut Rtnl) {
        // SAFETY: By the type invariants the device is valid; RTNL is held, and who reads it
        // without sees the one or the other.
        unsafe { (&raw mut (*self.as_raw()).max_mtu).write_volatile(max) };
    }

    /// Returns all queue pairs, active or not.
    ///
    /// Context: any.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = &QueuePair<T>> {
        self.private().pairs.iter().map(|p| -> &QueuePair<T> { p })
    }

    /// Waits for polls that have completed NAPI but not returned yet, and for everyone else in an
    /// RCU read-side section (softirq).
    ///
    /// From here on [`super::queue::RxQueue::stopped_state`] gives the state of queues whose NAPI
    /// was disabled before.
    pub(crate) fn synchronize_napi(&self, _rtnl: &mut Rtnl) {
        // SAFETY: Process context.
        unsafe { bindings::synchronize_net() };
        for pair in self.pairs() {
            pair.quiesced();
        }
    }

    /// Sets the stack's number of transmit queues.
    ///
    /// # Errors
    ///
    /// Returns the core's error, after which the number is as it was; lowering it has none.
    pub(crate) fn set_real_num_tx_queues(&self, n: u16, _rtnl: &mut Rtnl) -> Result {
        fail::point()?;
        // SAFETY: By the type invariants the device is valid, RTNL is held.
        kernel::error::to_result(unsafe {
            bindings::netif_set_real_num_tx_queues(self.as_raw(), u32::from(n))
        })
    }

    /// Sets the stack's number of receive queues, which may be no less than the queues that packets
    /// arrive on.
    ///
    /// # Errors
    ///
    /// Returns the core's error, after which the number is as it was; lowering it has none.
    pub(crate) fn set_real_num_rx_queues(&self, n: u16, _rtnl: &mut Rtnl) -> Result {
        // SAFETY: As above.
        kernel::error::to_result(unsafe {
            bindings::netif_set_real_num_rx_queues(self.as_raw(), u32::from(n))
        })
    }

    /// Sets both numbers, where no packets arrive.
    ///
    /// Before registration RTNL may be absent in C; here it is always held.
    ///
    /// # Errors
    ///
    /// Returns the core's error.
    pub(crate) fn set_real_num_queues(&self, n: u16, rtnl: &mut Rtnl) -> Result {
        self.set_real_num_tx_queues(n, rtnl)?;
        self.set_real_num_rx_queues(n, rtnl)
    }

    /// Drops a packet that no queue counts, because there is none, or it is given up.
    ///
    /// Context: any.
    pub(crate) fn drop_tx<S>(&self, skb: SkBuff<S>) {
        // SAFETY: By the type invariants the device is valid; the counter is this CPU's.
        unsafe { bindings::dev_core_stats_tx_dropped_inc(self.as_raw()) };
        skb.drop_with(DropReason::DevReady);
    }

    /// Says whether there is a link.
    ///
    /// Context: any.
    pub(crate) fn set_carrier(&self, up: bool) {
        // SAFETY: By the type invariants the device is valid.
        unsafe {
            if up {
                bindings::netif_carrier_on(self.as_raw())
            } else {
                bindings::netif_carrier_off(self.as_raw())
            }
        }
    }

    /// Notifies everybody of the present carrier now.
    ///
    /// The stack does that by itself, later, but not for an interface that is detached.
    pub(crate) fn sync_carrier(&self, _rtnl: &mut Rtnl) {
        // SAFETY: By the type invariants the device is valid, RTNL is held. Its result is what
        // `has_carrier` says.
        unsafe { bindings::ethtool_op_get_link(self.as_raw()) };
    }

    /// Returns whether there is a link.
    ///
    /// Context: any.
    pub(crate) fn has_carrier(&self) -> bool {
        // SAFETY: By the type invariants the device is valid.
        unsafe { bindings::netif_carrier_ok(self.as_raw()) }
    }

    /// Tells the neighbours where this interface is (gratuitous ARP and the like).
    ///
    /// Context: process, RTNL not held, which this takes.
    pub(crate) fn notify_peers(&self) {
        // SAFETY: By the type invariants the device is valid; process context.
        unsafe { bindings::netdev_notify_peers(self.as_raw()) };
    }

    /// Returns whether the interface is up.
    ///
    /// Context: any.
    pub(crate) fn is_running(&self) -> bool {
        // SAFETY: By the type invariants the device is valid.
        unsafe { bindings::netif_running(self.as_raw()) }
    }

    /// Makes the device invisible for the stack until [`NetDevice::attach`], without sending and
    /// ethtool.
    pub(crate) fn detach(&self, _rtnl: &mut Rtnl) {
        // SAFETY: By the type invariants the device is valid. The lock keeps senders that are past
        // the check out.
        unsafe {
            bindings::netif_tx_lock_all_bh(self.as_raw());
            bindings::netif_device_detach(self.as_raw());
            bindings::netif_tx_unlock_all_bh(self.as_raw());
        }
    }

    /// Undoes a [`NetDevice::detach`].
    pub(crate) fn attach(&self, _rtnl: &mut Rtnl) {
        // SAFETY: By the type invariants the device is valid.
        unsafe {
            bindings::netif_tx_lock_all_bh(self.as_raw());
            bindings::netif_device_attach(self.as_raw());
            bindings::netif_tx_unlock_all_bh(self.as_raw());
        }
    }

    /// Returns `IFF_PROMISC` and `IFF_ALLMULTI`.
    ///
    /// Context: any.
    pub(crate) fn rx_flags(&self) -> RxFlags {
        // SAFETY: By the type invariants the device is valid; a racing change is followed by
        // another call.
        let flags = unsafe { (*self.as_raw()).flags };
        RxFlags {
            promisc: flags & bindings::net_device_flags_IFF_PROMISC != 0,
            allmulti: flags & bindings::net_device_flags_IFF_ALLMULTI != 0,
        }
    }

    /// Returns the features in force.
    ///
    /// Context: any.
    pub(crate) fn features(&self) -> Features {
        // SAFETY: By the type invariants the device is valid.
        Features(unsafe { (*self.as_raw()).features })
    }

    /// Returns the features that the user wants, as far as there could be any.
    pub(crate) fn wanted_features(&self, _rtnl: &Rtnl) -> Features {
        // SAFETY: By the type invariants the device is valid; the field is written under RTNL.
        Features(unsafe { (*self.as_raw()).wanted_features })
    }

    /// Asks [`Driver::fix_features`] again, which says something else than before, and switches
    /// features.
    pub(crate) fn update_features(&self, _rtnl: &mut Rtnl) {
        // SAFETY: By the type invariants the device is valid; RTNL is held.
        unsafe { bindings::netdev_update_features(self.as_raw().cast()) };
    }

    /// Withdraws `what`, which the device turned out not to do: it is off, and the user can't
    /// switch it on.
    pub(crate) fn withdraw_features(&self, what: Features, _rtnl: &mut Rtnl) {
        let d = self.as_raw();
        // SAFETY: By the type invariants the device is valid. These fields are written under RTNL,
        // which is held; those who read them without it see the one set or the other.
        unsafe {
            (*d).hw_features &= !what.0;
            (*d).wanted_features &= !what.0;
            (*d).vlan_features &= !what.0;
            (*d).features &= !what.0;
            bindings::netdev_features_change(d);
        }
    }

    /// Returns the address of the interface.
    ///
    /// Context: any.
    pub(crate) fn mac(&self) -> [u8; 6] {
        let mut mac = [0; 6];
        // SAFETY: `dev_addr` of an Ethernet device has at least six bytes.
        unsafe { core::ptr::copy_nonoverlapping((*self.as_raw()).dev_addr, mac.as_mut_ptr(), 6) };
        mac
    }

    /// Maps the CPUs of `mask` to TX queue `index` (XPS).
    ///
    /// # Errors
    ///
    /// Returns `EINVAL` if there is no such queue, and the core's error.
    pub(crate) fn set_xps(
        &self,
        index: u16,
        mask: &kernel::cpumask::CpumaskVar,
        _held: &CpusHeld,
    ) -> Result {
        let mask: &kernel::cpumask::Cpumask = mask;
        self.pair(index).ok_or(EINVAL)?;
        // SAFETY: By the type invariants the device is valid, and the mask is a reference; the
        // queue exists; the hotplug lock is held.
        kernel::error::to_result(unsafe {
            bindings::__netif_set_xps_queue(
                self.as_raw(),
                mask.as_raw().cast(),
                index,
                bindings::xps_map_type_XPS_CPUS,
            )
        })
    }

    /// Has the core send the receive filter again ([`Driver::set_rx_mode`], soon), if the interface
    /// is up.
    pub(crate) fn refresh_rx_mode(&self, _rtnl: &mut Rtnl) {
        /// The address 224.0.0.1, which an interface has as a rule, so that it is only counted.
        const ALL_HOSTS: [u8; 6] = [0x01, 0x00, 0x5e, 0x00, 0x00, 0x01];
        let (dev, address) = (self.as_raw(), ALL_HOSTS.as_ptr());
        // The function that does this, `__dev_set_rx_mode`, isn't exported; but it is what happens whenever an
        // address comes or goes.
        // SAFETY: By the type invariants the device is valid, and the address as long as an
        // Ethernet device's.
        unsafe {
            if bindings::dev_mc_add(dev, address) == 0 {
                bindings::dev_mc_del(dev, address);
            }
        }
    }

    /// Stops what calls into the driver by itself ([`Driver::quiesce`]).
    ///
    /// Context: process, RTNL not held.
    pub(crate) fn quiesce(&self) {
        T::quiesce(self);
    }
}

/// A net device that is not registered (yet, or any more).
///
/// Context: process.
///
/// # Invariants
///
/// As for [`NetDevice`], and it is not registered. Dropping it takes everything down.
///
/// The device must not have interrupts that reach it when it is dropped; `virtio::binding` sees to
/// that.
pub(crate) struct UnregisteredNetDevice<T: Driver> {
    dev: NonNull<bindings::net_device>,
    // The drop frees the device before this goes.
    _parent: Option<ARef<kernel::device::Device>>,
    _t: PhantomData<T>,
}

// SAFETY: See `NetDevice`.
unsafe impl<T: Driver> Send for UnregisteredNetDevice<T> {}
// SAFETY: See `NetDevice`.
unsafe impl<T: Driver> Sync for UnregisteredNetDevice<T> {}

/// Frees a `net_device` whose private area is not initialised.
struct RawNetDevice(NonNull<bindings::net_device>);

impl RawNetDevice {
    /// Allocates a device with `pairs` queues of each kind and `size` bytes of private area.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`, and `EINVAL` for a size that no device has.
    fn new(size: usize, name: &CStr, pairs: u16) -> Result<Self> {
        let size = i32::try_from(size)?;
        let n = u32::from(pairs);
        // SAFETY: Any sizes are fine; the name is a string; null on failure.
        let dev = unsafe {
            bindings::alloc_netdev_mqs(
                size,
                name.as_char_ptr(),
                // CAST: 1.
                bindings::NET_NAME_ENUM as u8,
                Some(bindings::ether_setup),
                n,
                n,
            )
        };
        Ok(Self(NonNull::new(dev).ok_or(ENOMEM)?))
    }

    /// Gives the device the callbacks of `T`, and what `setup` says.
    ///
    /// # Safety
    ///
    /// `parent` outlives the device; the device becomes a [`NetDevice`] of `T` before anybody else sees it.
    unsafe fn set_up<T: Driver>(&self, setup: &Setup<T>, parent: Option<&kernel::device::Device>) {
        let dev = self.0.as_ptr();
        // SAFETY: The device was allocated and is freed by the drop only. By this function's contract nobody else sees
        // it yet, and it has a private area for `T` by the time that a callback is called.
        unsafe {
            (*dev).netdev_ops = ops::table::<T>();
            (*dev).stat_ops = ops::stat_table::<T>();
            (*dev).ethtool_ops = ethtool::table::<T>().cast();
            if let Some(group) = &setup.rx_queue_group {
                (*dev).sysfs_rx_queue_group = group.as_raw();
            }
            (*dev).features = setup.features.0;
            (*dev).hw_features = setup.hw_features.0;
            (*dev).hw_enc_features |= setup.enc_features.0;
            (*dev).vlan_features = setup.features.0 & !Features::VLAN_FILTER.0;
            (*dev).min_mtu = setup.mtu.min;
            (*dev).max_mtu = setup.mtu.max;
            (*dev).mtu = setup.mtu.initial;
            (*dev).needed_headroom = setup.needed_headroom;
            (*dev).xdp_features = setup.xdp.0;
            if setup.xdp_rx_hash {
                (*dev).xdp_metadata_ops = &xdp_meta::OPS;
            }
            (*dev).xdp_zc_max_segs = setup.xsk_max_segs.max(1);
            if setup.xsk_csum {
                bindings::netdev_set_xsk_csum(dev);
            }
            if let Some(parent) = parent {
                // CAST: `Device` has the layout of what it wraps.
                let parent = core::ptr::from_ref::<kernel::device::Device>(parent).cast_mut();
                bindings::SET_NETDEV_DEV(dev, parent.cast());
            }
            bindings::net_device_set_iff(dev, setup.live_mac, true, setup.unicast_filter);
            match setup.mac {
                Some(mac) => bindings::eth_hw_addr_set(dev, mac.as_ptr()),
                None => bindings::eth_hw_addr_random(dev),
            }
        }
    }
}

impl Drop for RawNetDevice {
    fn drop(&mut self) {
        // SAFETY: Allocated, not registered.
        unsafe { bindings::free_netdev(self.0.as_ptr()) };
    }
}

impl<T: Driver> UnregisteredNetDevice<T> {
    /// Allocates an Ethernet device with `pairs` queue pairs, all of them inactive.
    ///
    /// `parent` is the device that it is an interface of, if there is one.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`, and what `deferred`, `data` and `pair_init` return.
    pub(crate) fn new(
        parent: Option<&kernel::device::Device>,
        pairs: u16,
        setup: &Setup<T>,
        deferred: impl PinInit<T::Deferred, Error>,
        data: impl PinInit<T, Error>,
        mut pair_init: impl FnMut(u16) -> Result<PairInit<T>>,
    ) -> Result<Self> {
        fail::point()?;
        let raw = RawNetDevice::new(core::mem::size_of::<Private<T>>(), setup.name, pairs)?;
        let dev = raw.0;
        // Kept for as long as the device points to it.
        let parent: Option<ARef<kernel::device::Device>> = parent.map(ARef::from);
        // SAFETY: The reference is kept with the device, whose private area is filled below.
        unsafe { raw.set_up(setup, parent.as_deref()) };
        // `netdev_priv` is aligned to a cache line.
        const { assert!(core::mem::align_of::<Private<T>>() <= 64) };
        // SAFETY: The private area is that large, and so aligned.
        let slot = unsafe { bindings::netdev_priv(dev.as_ptr()) }.cast::<Private<T>>();
        let init = try_pin_init!(Private {
            deferred <- deferred,
            entrance: Entrance::new(),
            handle: Handle::new()?,
            rxfh: rxfh::Settable::new(setup.rxfh),
            stats_count: AtomicU32::new(0),
            data <- data,
            prog: ProgSlot::new(),
            pairs: KVVec::with_capacity(usize::from(pairs), GFP_KERNEL)?,
        }? Error);
        // SAFETY: The slot is valid, and pinned until `free_netdev`.
        unsafe { crate::sync::init::init_at(slot, init)? };
        core::mem::forget(raw);
        // INVARIANT: Initialised, not registered. From here on its `Drop` takes it down.
        let this = Self {
            dev,
            _parent: parent,
            _t: PhantomData,
        };
        let net: &NetDevice<T> = &this;
        // SAFETY: The drop calls `clear` first, and `synchronize_net` before it drops the data.
        unsafe { net.private().handle.set(net) };
        if setup.moderation {
            // SAFETY: By the type invariants the device is valid and nobody else sees it; its drop
            // frees them.
            kernel::error::to_result(unsafe { bindings::net_dim_init_rx(dev.as_ptr()) })?;
        }
        for i in 0..pairs {
            fail::point()?;
            // SAFETY: The device has that many queues. Nobody else looks at the list yet.
            unsafe {
                let pair = QueuePair::new(dev, i, pair_init(i)?)?;
                // There is room: allocated above.
                if let Err(e) = (*slot).pairs.push_within_capacity(pair) {
                    drop(e);
                    return Err(ENOMEM);
                }
            }
        }
        Ok(this)
    }

    /// Registers the device: userspace sees it, and `open` may come as soon as RTNL is released.
    ///
    /// # Errors
    ///
    /// Returns the device, with the core's error.
    pub(crate) fn register(self, _rtnl: &mut Rtnl) -> Result<Registration<T>, (Self, Error)> {
        if let Err(e) = fail::point() {
            return Err((self, e));
        }
        // SAFETY: By the type invariants it is valid and not registered; RTNL is held.
        match kernel::error::to_result(unsafe { bindings::register_netdevice(self.dev.as_ptr()) }) {
            // INVARIANT: Registered.
            Ok(()) => Ok(Registration(Some(self))),
            Err(e) => Err((self, e)),
        }
    }
}

impl<T: Driver> UnregisteredNetDevice<T> {
    /// Registers the device where RTNL isn't held, which is taken.
    ///
    /// A device that can't be registered is taken down.
    ///
    /// # Errors
    ///
    /// Returns the core's error.
    #[allow(dead_code, reason = "for drivers that register on their own")]
    pub(crate) fn register_netdev(self) -> Result<Registration<T>> {
        let registered = self.register(&mut RtnlGuard::new());
        // RTNL is released, which the drop takes.
        registered.map_err(|(_, e)| e)
    }
}

impl<T: Driver> core::ops::Deref for UnregisteredNetDevice<T> {
    type Target = NetDevice<T>;
    fn deref(&self) -> &NetDevice<T> {
        // SAFETY: By the type invariant.
        unsafe { NetDevice::from_raw(self.dev.as_ptr()) }
    }
}

impl<T: Driver> Drop for UnregisteredNetDevice<T> {
    fn drop(&mut self) {
        let net: &NetDevice<T> = self;
        net.private().handle.clear();
        net.quiesce();
        net.entrance().close();
        T::released(net);
        {
            // The interface is down, so this finds nothing to do unless the driver forgot one.
            let mut rtnl = RtnlGuard::new();
            for p in net.pairs() {
                p.napi_disable(&mut rtnl);
            }
            net.synchronize_napi(&mut rtnl);
            for p in net.pairs() {
                if let Some((_, mut napi)) = p.rx.stopped_state(&mut rtnl) {
                    napi.destroy_pool();
                }
            }
            // SAFETY: RTNL is held. Nobody moderates with NAPI disabled, and ethtool has no way to
            // the device any more.
            unsafe { bindings::net_dim_free(self.dev.as_ptr()) };
        }
        // SAFETY: Process context. Polls, list walks and uses of handles are over afterwards, and nobody looks at a NAPI
        // instance for a page pool that was destroyed before (`page_pool_napi_local`).
        unsafe { bindings::synchronize_net() };
        // SAFETY: Initialised by the invariant, dropped once; no reference is left. Then the
        // memory goes.
        unsafe {
            let slot = bindings::netdev_priv(self.dev.as_ptr()).cast::<Private<T>>();
            core::ptr::drop_in_place(slot);
            bindings::free_netdev(self.dev.as_ptr());
        }
    }
}

/// A registered net device, which is unregistered and then taken down if this is dropped.
///
/// Context: process, RTNL not held.
///
/// # Invariants
///
/// Registered while `Some`.
pub(crate) struct Registration<T: Driver>(Option<UnregisteredNetDevice<T>>);

impl<T: Driver> Registration<T> {
    /// Returns the device.
    ///
    /// Context: any.
    pub(crate) fn net(&self) -> Option<&NetDevice<T>> {
        self.0.as_deref()
    }

    /// Unregisters the device: when this returns the interface is down, and nobody calls `ndo` or
    /// ethtool functions any more.
    pub(crate) fn unregister(mut self) -> Option<UnregisteredNetDevice<T>> {
        let net = self.0.take()?;
        // SAFETY: Registered by the invariant, once.
        unsafe { bindings::unregister_netdev(net.dev.as_ptr()) };
        Some(net)
    }
}

impl<T: Driver> Drop for Registration<T> {
    fn drop(&mut self) {
        if let Some(net) = self.0.take() {
            // SAFETY: Registered by the invariant.
            unsafe { bindings::unregister_netdev(net.dev.as_ptr()) };
        }
    }
}

impl<T: Driver> NetDevice<T> {
    /// Returns what receive profile `index` stands for, or `None` if there are no profiles or not
    /// so many.
    ///
    /// Context: process or softirq.
    pub(crate) fn moderation(&self, index: u8) -> Option<Moderation> {
        let (mut usecs, mut frames) = (0, 0);
        // SAFETY: By the type invariants the device is valid; the two places are ours.
        let found =
            unsafe { bindings::net_dim_rx_profile(self.as_raw(), index, &mut usecs, &mut frames) };
        found.then_some(Moderation { usecs, frames })
    }

    /// Returns whether one of the receive profiles is `m`.
    ///
    /// Context: process or softirq.
    pub(crate) fn is_moderation(&self, m: Moderation) -> bool {
        (0..=u8::MAX)
            .map_while(|i| self.moderation(i))
            .any(|p| p == m)
    }
}

impl TxSkb<'_> {
    /// Makes what was to be sent a packet that `to` received, as of a cable between two interfaces.
    ///
    /// Returns `None` if `to` is down, the packet is too long for it, or there is no memory: then
    /// it was dropped and counted there.
    ///
    /// Context: softirq, as in `ndo_start_xmit`.
    #[allow(dead_code)] // Not each driver does.
    pub(crate) fn forward<T: Driver>(self, to: &NetDevice<T>) -> Option<ReceivedSkb> {
        // SAFETY: By the type invariant the reference is ours, and goes; `to` is a valid device.
        let skb = unsafe { bindings::dev_forward_skb_to(to.as_raw(), self.into_raw().as_ptr()) };
        // INVARIANT: `__dev_forward_skb` ends with `eth_type_trans`, which the helper made sure has a header.
        // SAFETY: The reference came back.
        Some(unsafe { ReceivedSkb::from_raw(NonNull::new(skb)?) })
    }
}
