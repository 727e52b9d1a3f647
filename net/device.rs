// SPDX-License-Identifier: GPL-2.0

//! `struct net_device` with private data and queues.

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

/// `netdev_features_t`, by bit.
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
    /// Scatter-gather.
    SG = NETIF_F_SG_BIT;
    /// Checksums of any protocol.
    HW_CSUM = NETIF_F_HW_CSUM_BIT;
    /// High memory.
    HIGHDMA = NETIF_F_HIGHDMA_BIT;
    /// TCP segmentation, IPv4.
    TSO = NETIF_F_TSO_BIT;
    /// TCP segmentation with ECN.
    TSO_ECN = NETIF_F_TSO_ECN_BIT;
    /// TCP segmentation, IPv6.
    TSO6 = NETIF_F_TSO6_BIT;
    /// UDP segmentation.
    USO = NETIF_F_GSO_UDP_L4_BIT;
    /// GSO packets from untrusted sources.
    GSO_ROBUST = NETIF_F_GSO_ROBUST_BIT;
    /// Receive checksums.
    RXCSUM = NETIF_F_RXCSUM_BIT;
    /// Received packets may be several on the wire, merged by the device.
    GRO_HW = NETIF_F_GRO_HW_BIT;
    /// The device's hash of received packets.
    RXHASH = NETIF_F_RXHASH_BIT;
    /// Segmentation of TCP and UDP in UDP tunnels without outer checksum.
    UDP_TUNNEL = NETIF_F_GSO_UDP_TUNNEL_BIT;
    /// The same with outer checksum.
    UDP_TUNNEL_CSUM = NETIF_F_GSO_UDP_TUNNEL_CSUM_BIT;
    /// VLAN filter.
    VLAN_FILTER = NETIF_F_HW_VLAN_CTAG_FILTER_BIT;
}

impl Features {
    /// None.
    pub(crate) const NONE: Self = Self(0);

    /// Both sets.
    pub(crate) const fn or(self, o: Self) -> Self {
        Self(self.0 | o.0)
    }

    /// What is in both sets.
    pub(crate) const fn and(self, o: Self) -> Self {
        Self(self.0 & o.0)
    }

    /// All but `o`.
    pub(crate) const fn without(self, o: Self) -> Self {
        Self(self.0 & !o.0)
    }

    /// `o` added if `cond`.
    pub(crate) const fn or_if(self, cond: bool, o: Self) -> Self {
        if cond {
            self.or(o)
        } else {
            self
        }
    }

    /// Whether all of `o` are in.
    pub(crate) const fn has(self, o: Self) -> bool {
        self.0 & o.0 == o.0
    }
}

/// The MTUs of a device.
pub(crate) struct Mtu {
    /// The smallest.
    pub(crate) min: u32,
    /// The largest.
    pub(crate) max: u32,
    /// The one to start with.
    pub(crate) initial: u32,
}

/// Flags of an interface that say what it receives beside what is addressed to it.
#[derive(Clone, Copy)]
pub(crate) struct RxFlags {
    /// Every packet.
    pub(crate) promisc: bool,
    /// Every multicast packet.
    pub(crate) allmulti: bool,
}

/// What is set up once, before registration. [`Setup::default`] is a plain Ethernet device with a random address.
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
    /// MTUs.
    pub(crate) mtu: Mtu,
    /// Bytes that packets to send should leave free before their data.
    pub(crate) needed_headroom: u16,
    /// Address, or none for a random one.
    pub(crate) mac: Option<[u8; 6]>,
    /// The address may change while the interface is up.
    pub(crate) live_mac: bool,
    /// The device filters unicast addresses.
    pub(crate) unicast_filter: bool,
    /// There are profiles of interrupt moderation ([`super::dim`]).
    pub(crate) moderation: bool,
    /// What each receive queue has in sysfs.
    pub(crate) rx_queue_group: Option<sysfs::RxQueueGroup<NetDevice<T>>>,
    /// Sizes of what can be set of receive flow hashing.
    pub(crate) rxfh: rxfh::Sizes,
    /// What of XDP there is.
    pub(crate) xdp: XdpFeatures,
    /// Programs can ask for the hash of a packet ([`super::xdp::XdpRoom::set_rx_hash`]).
    pub(crate) xdp_rx_hash: bool,
    /// Buffers that a packet of a socket of AF_XDP's may have; 0 is 1.
    pub(crate) xsk_max_segs: u32,
    /// Checksums of what such sockets send are completed by the device.
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
/// Drop order: what calls into the driver by itself first (nothing new starts), then the driver's data, then
/// the queues.
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
    /// # Safety
    ///
    /// The type's invariants hold for `'a`.
    #[inline(always)]
    pub(crate) unsafe fn from_raw<'a>(dev: *mut bindings::net_device) -> &'a Self {
        // SAFETY: By this function's contract; same layout.
        unsafe { &*dev.cast() }
    }

    /// The C object.
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

    /// What calls into the driver by itself.
    #[inline(always)]
    pub(crate) fn deferred(&self) -> &T::Deferred {
        &self.private().deferred
    }

    /// The driver's data.
    #[inline(always)]
    pub(crate) fn data(&self) -> &T {
        &self.private().data
    }

    /// A way to this device for others.
    #[allow(dead_code, reason = "for drivers with devices that know each other")]
    pub(crate) fn handle(&self) -> Handle<NetDevice<T>> {
        self.private().handle.clone()
    }

    /// Queue pair `index`.
    #[inline(always)]
    pub(crate) fn pair(&self, index: u16) -> Option<&QueuePair<T>> {
        let pair = self.private().pairs.get(usize::from(index))?;
        Some(pair)
    }

    /// The XDP program, for a poll.
    #[inline(always)]
    pub(crate) fn xdp_prog<'a>(&self, _poll: &RxPoll<'a, T>) -> Option<Prog<'a>> {
        // SAFETY: The token is there inside of a poll only, for `'a`.
        unsafe { self.private().prog.get() }
    }

    /// Where it is.
    pub(super) fn xdp_slot(&self) -> &ProgSlot {
        &self.private().prog
    }

    /// Transmit queues that the stack uses. Any context.
    #[inline]
    pub(crate) fn real_num_tx_queues(&self) -> u32 {
        // SAFETY: The device is valid; others read it so as well.
        unsafe { (&raw const (*self.as_raw()).real_num_tx_queues).read_volatile() }
    }

    /// The MTU.
    pub(crate) fn mtu(&self) -> u32 {
        // SAFETY: The device is valid; lockless readers use READ_ONCE.
        unsafe { (&raw const (*self.as_raw()).mtu).read_volatile() }
    }

    /// The largest MTU that may be set.
    pub(crate) fn max_mtu(&self, _rtnl: &Rtnl) -> u32 {
        // SAFETY: The device is valid; written under RTNL.
        unsafe { (*self.as_raw()).max_mtu }
    }

    /// Sets it.
    pub(crate) fn set_max_mtu(&self, max: u32, _rtnl: &mut Rtnl) {
        // SAFETY: The device is valid; RTNL is held, and who reads it without sees the one or the other.
        unsafe { (&raw mut (*self.as_raw()).max_mtu).write_volatile(max) };
    }

    /// All queue pairs, active or not.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = &QueuePair<T>> {
        self.private().pairs.iter().map(|p| -> &QueuePair<T> { p })
    }

    /// Waits for polls that have completed NAPI but not returned yet, and for everyone else in an
    /// RCU read-side section (softirq). From here on [`super::queue::RxQueue::stopped_state`] gives the
    /// state of queues whose NAPI was disabled before. Process context.
    pub(crate) fn synchronize_napi(&self, _rtnl: &mut Rtnl) {
        // SAFETY: Process context.
        unsafe { bindings::synchronize_net() };
        for pair in self.pairs() {
            pair.quiesced();
        }
    }

    /// Sets the stack's number of transmit queues. An error leaves it as it was; lowering has none.
    /// Process context.
    pub(crate) fn set_real_num_tx_queues(&self, n: u16, _rtnl: &mut Rtnl) -> Result {
        fail::point()?;
        // SAFETY: The device is valid, RTNL is held.
        kernel::error::to_result(unsafe {
            bindings::netif_set_real_num_tx_queues(self.as_raw(), u32::from(n))
        })
    }

    /// Sets the stack's number of receive queues, which may be no less than the queues that packets
    /// arrive on. An error leaves it as it was; lowering has none. Process context.
    pub(crate) fn set_real_num_rx_queues(&self, n: u16, _rtnl: &mut Rtnl) -> Result {
        // SAFETY: As above.
        kernel::error::to_result(unsafe {
            bindings::netif_set_real_num_rx_queues(self.as_raw(), u32::from(n))
        })
    }

    /// Both, where no packets arrive. Before registration RTNL may be absent in C; here it is always
    /// held.
    pub(crate) fn set_real_num_queues(&self, n: u16, rtnl: &mut Rtnl) -> Result {
        self.set_real_num_tx_queues(n, rtnl)?;
        self.set_real_num_rx_queues(n, rtnl)
    }

    /// Drops a packet that no queue is there to count. Any context.
    pub(super) fn drop_tx(&self, skb: TxSkb<'_>) {
        // SAFETY: The device is valid; the counter is this CPU's.
        unsafe { bindings::dev_core_stats_tx_dropped_inc(self.as_raw()) };
        skb.drop_with(DropReason::DevReady);
    }

    /// Says whether there is a link. Any context.
    pub(crate) fn set_carrier(&self, up: bool) {
        // SAFETY: The device is valid.
        unsafe {
            if up {
                bindings::netif_carrier_on(self.as_raw())
            } else {
                bindings::netif_carrier_off(self.as_raw())
            }
        }
    }

    /// Has everybody told of the present carrier now. The stack does that by itself, later, but not for an
    /// interface that is detached.
    pub(crate) fn sync_carrier(&self, _rtnl: &mut Rtnl) {
        // SAFETY: The device is valid, RTNL is held. Its result is what `has_carrier` says.
        unsafe { bindings::ethtool_op_get_link(self.as_raw()) };
    }

    /// Whether there is a link.
    pub(crate) fn has_carrier(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { bindings::netif_carrier_ok(self.as_raw()) }
    }

    /// Tells the neighbours where this interface is (gratuitous ARP and the like). Takes RTNL
    /// itself: not while it is held.
    pub(crate) fn notify_peers(&self) {
        // SAFETY: The device is valid; process context.
        unsafe { bindings::netdev_notify_peers(self.as_raw()) };
    }

    /// Whether the interface is up.
    pub(crate) fn is_running(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { bindings::netif_running(self.as_raw()) }
    }

    /// Makes the device invisible for the stack until [`NetDevice::attach`]: no sending, no
    /// ethtool. Process context.
    pub(crate) fn detach(&self, _rtnl: &mut Rtnl) {
        // SAFETY: The device is valid. The lock keeps senders that are past the check out.
        unsafe {
            bindings::netif_tx_lock_all_bh(self.as_raw());
            bindings::netif_device_detach(self.as_raw());
            bindings::netif_tx_unlock_all_bh(self.as_raw());
        }
    }

    /// Undoes [`NetDevice::detach`]. Process context.
    pub(crate) fn attach(&self, _rtnl: &mut Rtnl) {
        // SAFETY: The device is valid.
        unsafe {
            bindings::netif_tx_lock_all_bh(self.as_raw());
            bindings::netif_device_attach(self.as_raw());
            bindings::netif_tx_unlock_all_bh(self.as_raw());
        }
    }

    /// `IFF_PROMISC` and `IFF_ALLMULTI`.
    pub(crate) fn rx_flags(&self) -> RxFlags {
        // SAFETY: The device is valid; a racing change is followed by another call.
        let flags = unsafe { (*self.as_raw()).flags };
        RxFlags {
            promisc: flags & bindings::net_device_flags_IFF_PROMISC != 0,
            allmulti: flags & bindings::net_device_flags_IFF_ALLMULTI != 0,
        }
    }

    /// Features in force.
    pub(crate) fn features(&self) -> Features {
        // SAFETY: The device is valid.
        Features(unsafe { (*self.as_raw()).features })
    }

    /// Features that the user wants, as far as there could be any.
    pub(crate) fn wanted_features(&self, _rtnl: &Rtnl) -> Features {
        // SAFETY: The device is valid; the field is written under RTNL.
        Features(unsafe { (*self.as_raw()).wanted_features })
    }

    /// What [`NetDriver::fix_features`] says has changed: it is asked again, and features are switched. Process context.
    pub(crate) fn update_features(&self, _rtnl: &mut Rtnl) {
        // SAFETY: The device is valid; RTNL is held.
        unsafe { bindings::netdev_update_features(self.as_raw().cast()) };
    }

    /// The device turned out not to do `what`: it is off, and the user can't switch it on. Process context.
    pub(crate) fn withdraw_features(&self, what: Features, _rtnl: &mut Rtnl) {
        let d = self.as_raw();
        // SAFETY: The device is valid. These fields are written under RTNL, which is held; those who read
        // them without it see the one set or the other.
        unsafe {
            (*d).hw_features &= !what.0;
            (*d).wanted_features &= !what.0;
            (*d).vlan_features &= !what.0;
            (*d).features &= !what.0;
            bindings::netdev_features_change(d);
        }
    }

    /// The address.
    pub(crate) fn mac(&self) -> [u8; 6] {
        let mut mac = [0; 6];
        // SAFETY: `dev_addr` of an Ethernet device has at least six bytes.
        unsafe { core::ptr::copy_nonoverlapping((*self.as_raw()).dev_addr, mac.as_mut_ptr(), 6) };
        mac
    }

    /// Maps the CPUs of `mask` to TX queue `index` (XPS).
    pub(crate) fn set_xps(
        &self,
        index: u16,
        mask: &kernel::cpumask::CpumaskVar,
        _held: &CpusHeld,
    ) -> Result {
        let mask: &kernel::cpumask::Cpumask = mask;
        self.pair(index).ok_or(EINVAL)?;
        // SAFETY: The device and the mask are valid, the queue exists; the hotplug lock is held.
        kernel::error::to_result(unsafe {
            bindings::__netif_set_xps_queue(
                self.as_raw(),
                mask.as_raw().cast(),
                index,
                bindings::xps_map_type_XPS_CPUS,
            )
        })
    }

    /// Has the core send the receive filter again ([`Driver::set_rx_mode`], soon), if the
    /// interface is up. Process context.
    pub(crate) fn refresh_rx_mode(&self, _rtnl: &mut Rtnl) {
        /// 224.0.0.1, which an interface has as a rule: it is only counted.
        const ALL_HOSTS: [u8; 6] = [0x01, 0x00, 0x5e, 0x00, 0x00, 0x01];
        let (dev, address) = (self.as_raw(), ALL_HOSTS.as_ptr());
        // The function that does this, `__dev_set_rx_mode`, isn't exported; but it is what happens whenever an
        // address comes or goes.
        // SAFETY: The device is valid, and the address as long as an Ethernet device's.
        unsafe {
            if bindings::dev_mc_add(dev, address) == 0 {
                bindings::dev_mc_del(dev, address);
            }
        }
    }

    /// Stops what calls into the driver by itself ([`Driver::quiesce`]).
    pub(crate) fn quiesce(&self) {
        T::quiesce(self);
    }
}

/// A net device that is not registered (yet, or any more).
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
    /// `ENOMEM`, `EINVAL` for a size that no device has.
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
    /// Allocates an Ethernet device with `pairs` queue pairs, all of them inactive. `parent` is the device that it
    /// is an interface of, if there is one.
    ///
    /// # Errors
    ///
    /// No memory, or what `deferred`, `data` and `pair_init` return.
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
            // SAFETY: The device is valid and nobody else sees it; its drop frees them.
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

    /// Registers the device: userspace sees it, `open` may come as soon as RTNL is released.
    ///
    /// # Errors
    ///
    /// The device back, with the core's error.
    pub(crate) fn register(self, _rtnl: &mut Rtnl) -> Result<Registration<T>, (Self, Error)> {
        if let Err(e) = fail::point() {
            return Err((self, e));
        }
        // SAFETY: Valid, not registered; RTNL is held.
        match kernel::error::to_result(unsafe { bindings::register_netdevice(self.dev.as_ptr()) }) {
            // INVARIANT: Registered.
            Ok(()) => Ok(Registration(Some(self))),
            Err(e) => Err((self, e)),
        }
    }
}

impl<T: Driver> UnregisteredNetDevice<T> {
    /// The same without RTNL held, which is taken. A device that can't be registered is taken down.
    ///
    /// # Errors
    ///
    /// The core's.
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

/// A registered net device. Dropping it unregisters, then takes everything down.
///
/// # Invariants
///
/// Registered while `Some`.
pub(crate) struct Registration<T: Driver>(Option<UnregisteredNetDevice<T>>);

impl<T: Driver> Registration<T> {
    /// The device.
    pub(crate) fn net(&self) -> Option<&NetDevice<T>> {
        self.0.as_deref()
    }

    /// Unregisters: when this returns the interface is down, nobody calls `ndo` or ethtool
    /// functions any more. Process context, RTNL not held.
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
    /// What receive profile `index` stands for, none if there are no profiles or not so many. Process
    /// context or softirq.
    pub(crate) fn moderation(&self, index: u8) -> Option<Moderation> {
        let (mut usecs, mut frames) = (0, 0);
        // SAFETY: The device is valid and so are the two places.
        let found =
            unsafe { bindings::net_dim_rx_profile(self.as_raw(), index, &mut usecs, &mut frames) };
        found.then_some(Moderation { usecs, frames })
    }

    /// Whether one of the receive profiles is `m`.
    pub(crate) fn is_moderation(&self, m: Moderation) -> bool {
        (0..=u8::MAX)
            .map_while(|i| self.moderation(i))
            .any(|p| p == m)
    }
}

impl TxSkb<'_> {
    /// Makes what was to be sent a packet that `to` received, as of a cable between two interfaces. None if
    /// `to` is down, the packet is too long for it, or there is no memory: then it was dropped and counted
    /// there. Softirqs off, as in `ndo_start_xmit`.
    #[allow(dead_code)] // Not each driver does.
    pub(crate) fn forward<T: Driver>(self, to: &NetDevice<T>) -> Option<ReceivedSkb> {
        // SAFETY: By the type invariant the reference is ours, and goes; `to` is a valid device.
        let skb = unsafe { bindings::dev_forward_skb_to(to.as_raw(), self.into_raw().as_ptr()) };
        // INVARIANT: `__dev_forward_skb` ends with `eth_type_trans`, which the helper made sure has a header.
        // SAFETY: The reference came back.
        Some(unsafe { ReceivedSkb::from_raw(NonNull::new(skb)?) })
    }
}
