// SPDX-License-Identifier: GPL-2.0

//! The callbacks of `struct net_device_ops` and `struct netdev_stat_ops` over [`Driver`].
//!
//! C headers: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h),
//! [`include/net/netdev_queues.h`](srctree/include/net/netdev_queues.h)

use super::{
    addr::AddrList,
    device::{
        Features,
        NetDevice, //
    },
    driver::Driver,
    queue::QueuePair,
    rtnl::Rtnl,
    skb::{
        TxSkb,
        Xmit, //
    },
    stats::{
        LinkStats,
        RxQueueStats,
        TxQueueStats, //
    },
    xdp::{
        Extack,
        NewProg,
        XmitBatch, //
    },
    xsk::XskNew, //
};
use crate::{
    bindings,
    sync::errno::{
        enetdown,
        eopnotsupp, //
    }, //
};
use core::{
    ffi::{
        c_int,
        c_void, //
    },
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// Makes an operation of the table if the driver has it.
macro_rules! op {
    ($has:expr, $op:expr) => {
        if $has {
            Some($op)
        } else {
            None
        }
    };
}
pub(super) use op;

/// How often a driver is asked to let go of a pool.
const XSK_TRIES: u32 = 20;

struct Ops<T>(PhantomData<T>);

/// Returns the function table for `T`.
pub(super) fn table<T: Driver>() -> *const bindings::net_device_ops {
    const { &Ops::<T>::TABLE }
}

/// Returns the statistics table for `T`, null if it counts nothing for each queue.
pub(super) fn stat_table<T: Driver>() -> *const bindings::netdev_stat_ops {
    if Ops::<T>::HAS_QUEUE_STATS {
        const { &Ops::<T>::STATS }
    } else {
        core::ptr::null()
    }
}

impl<T: Driver> Ops<T> {
    const TABLE: bindings::net_device_ops = bindings::net_device_ops {
        ndo_open: Some(Self::open),
        ndo_stop: Some(Self::stop),
        ndo_start_xmit: Some(Self::start_xmit),
        ndo_validate_addr: Some(bindings::eth_validate_addr),
        ndo_features_check: Some(bindings::tunnel_features_check),
        ndo_tx_timeout: op!(T::HAS_TX_TIMEOUT, Self::tx_timeout),
        ndo_set_rx_mode_async: op!(T::HAS_SET_RX_MODE, Self::set_rx_mode),
        ndo_set_mac_address: if T::HAS_SET_MAC_ADDRESS {
            Some(Self::set_mac_address)
        } else {
            Some(bindings::eth_mac_addr)
        },
        ndo_change_mtu: op!(T::HAS_CHANGE_MTU, Self::change_mtu),
        ndo_get_phys_port_name: op!(T::HAS_PHYS_PORT_NAME, Self::phys_port_name),
        ndo_vlan_rx_add_vid: op!(T::HAS_VLAN_FILTER, Self::vlan_add),
        ndo_vlan_rx_kill_vid: op!(T::HAS_VLAN_FILTER, Self::vlan_kill),
        ndo_fix_features: op!(T::HAS_FIX_FEATURES, Self::fix_features),
        ndo_set_features: op!(T::HAS_SET_FEATURES, Self::set_features),
        ndo_get_stats64: op!(T::HAS_STATS64, Self::stats64),
        ndo_bpf: op!(T::HAS_XDP_ATTACH, Self::bpf),
        ndo_xdp_xmit: op!(T::HAS_XDP_XMIT, Self::xdp_xmit),
        ndo_xsk_wakeup: op!(T::HAS_XSK_WAKEUP, Self::xsk_wakeup),
        ..pin_init::zeroed()
    };

    const HAS_QUEUE_STATS: bool = T::HAS_RX_QUEUE_STATS && T::HAS_TX_QUEUE_STATS;

    const STATS: bindings::netdev_stat_ops = bindings::netdev_stat_ops {
        get_queue_stats_rx: op!(Self::HAS_QUEUE_STATS, Self::rx_stats),
        get_queue_stats_tx: op!(Self::HAS_QUEUE_STATS, Self::tx_stats),
        get_base_stats: op!(Self::HAS_QUEUE_STATS, Self::base_stats),
    };

    /// # Safety
    ///
    /// `dev` is a device made by `UnregisteredNetDevice::<T>::new`, valid for the callback.
    unsafe fn dev<'a>(dev: *mut bindings::net_device) -> &'a NetDevice<T> {
        // SAFETY: By this function's contract.
        unsafe { NetDevice::from_raw(dev) }
    }

    /// # Safety
    ///
    /// Called by the networking core as the callback `open` of a device of this driver.
    unsafe extern "C" fn open(dev: *mut bindings::net_device) -> c_int {
        from_result(|| {
            // SAFETY: Called by the core for our device.
            let dev = unsafe { Self::dev(dev) };
            // SAFETY: `ndo_open` is called under RTNL.
            T::open(dev, &mut unsafe { Rtnl::assume_held() })?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the networking core as the callback `stop` of a device of this driver.
    unsafe extern "C" fn stop(dev: *mut bindings::net_device) -> c_int {
        // SAFETY: Called by the core for our device.
        let dev = unsafe { Self::dev(dev) };
        // SAFETY: `ndo_stop` is called under RTNL.
        T::stop(dev, &mut unsafe { Rtnl::assume_held() });
        0
    }

    /// # Safety
    ///
    /// Called by the networking core as the callback `start_xmit` of a device of this driver.
    unsafe extern "C" fn start_xmit(
        skb: *mut bindings::sk_buff,
        dev: *mut bindings::net_device,
    ) -> bindings::netdev_tx_t {
        // SAFETY: Called by the core for our device.
        let dev = unsafe { Self::dev(dev) };
        let Some(skb) = NonNull::new(skb) else {
            return bindings::netdev_tx_NETDEV_TX_OK;
        };
        // SAFETY: The core hands the skb's reference over, until NETDEV_TX_BUSY gives it back.
        let mut skb = unsafe { TxSkb::from_raw(skb) };
        let Some(pair) = dev.pair(skb.queue_mapping()) else {
            // SAFETY: Inside of `ndo_start_xmit`.
            unsafe { Self::end_batch(dev) };
            dev.drop_tx(skb);
            return bindings::netdev_tx_NETDEV_TX_OK;
        };
        // SAFETY: Called by `dev_hard_start_xmit` (the device is not LLTX).
        let xmit = match unsafe { pair.tx.xmit_begin(&mut skb) } {
            Some(tx) => T::start_xmit(dev, skb, tx),
            // SAFETY: As above.
            None => unsafe { Self::xmit_elsewhere(dev, skb, pair) },
        };
        match xmit {
            Xmit::Ok => bindings::netdev_tx_NETDEV_TX_OK,
            Xmit::Busy(skb) => {
                // The core keeps the reference.
                let _ = skb.into_raw();
                bindings::netdev_tx_NETDEV_TX_BUSY
            }
        }
    }

    /// Ends the batch before a packet that isn't for the queue that the core has locked.
    ///
    /// That packet is perhaps the last of a batch: those before it wait for a notification, which
    /// it won't bring.
    ///
    /// # Safety
    ///
    /// Inside of `ndo_start_xmit`, without a token for that queue.
    #[cold]
    unsafe fn end_batch(dev: &NetDevice<T>) {
        for pair in dev.pairs() {
            // SAFETY: By this function's contract; the token is gone at the end of the statement.
            if let Some(tx) = unsafe { pair.tx.locked_by_core() } {
                T::end_batch(tx);
                return;
            }
        }
    }

    /// Sends a packet that belongs to `pair`, while the core holds another queue's lock.
    ///
    /// That one is tried for a while, because another CPU that is here may have it and try ours. If
    /// that fails the core comes again with the right lock. That isn't the rule, because the core
    /// then waits for the wrong queue to be woken if this one is stopped.
    ///
    /// # Safety
    ///
    /// Inside of `ndo_start_xmit`; `pair` isn't locked by this CPU.
    #[cold]
    unsafe fn xmit_elsewhere<'x>(
        dev: &NetDevice<T>,
        mut skb: TxSkb<'x>,
        pair: &QueuePair<T>,
    ) -> Xmit<'x> {
        // SAFETY: By this function's contract.
        unsafe { Self::end_batch(dev) };
        // SAFETY: Softirqs are off in `ndo_start_xmit`.
        let Some(mut tx) = (unsafe { pair.tx.trylock_for_a_while() }) else {
            return Xmit::Busy(skb);
        };
        if pair.tx.is_frozen_or_stopped() {
            dev.drop_tx(skb);
            return Xmit::Ok;
        }
        skb.tx_timestamp();
        T::start_xmit(dev, skb, tx.for_xmit())
    }

    /// # Safety
    ///
    /// Called by the networking core as the callback `tx_timeout` of a device of this driver.
    unsafe extern "C" fn tx_timeout(dev: *mut bindings::net_device, txqueue: u32) {
        // SAFETY: Called by the core for our device.
        T::tx_timeout(unsafe { Self::dev(dev) }, txqueue);
    }

    /// # Safety
    ///
    /// Called by the networking core as the callback `set_rx_mode` of a device of this driver.
    unsafe extern "C" fn set_rx_mode(
        dev: *mut bindings::net_device,
        uc: *mut bindings::netdev_hw_addr_list,
        mc: *mut bindings::netdev_hw_addr_list,
    ) -> c_int {
        from_result(|| {
            // SAFETY: Called by the core for our device, under RTNL, with snapshots that are
            // valid for the call.
            let (dev, uc, mc, mut rtnl) = unsafe {
                (
                    Self::dev(dev),
                    AddrList::from_raw(uc),
                    AddrList::from_raw(mc),
                    Rtnl::assume_held(),
                )
            };
            T::set_rx_mode(dev, uc, mc, &mut rtnl)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the networking core as the callback `set_mac_address` of a device of this driver.
    unsafe extern "C" fn set_mac_address(
        dev: *mut bindings::net_device,
        addr: *mut c_void,
    ) -> c_int {
        from_result(|| {
            // SAFETY: Called by the core for our device with a `struct sockaddr`, under RTNL.
            let (net, mut rtnl) = unsafe { (Self::dev(dev), Rtnl::assume_held()) };
            // SAFETY: As above.
            to_result(unsafe { bindings::eth_prepare_mac_addr_change(dev, addr) })?;
            let mut mac = [0; 6];
            // SAFETY: `sa_data` of a `struct sockaddr` has more than six bytes.
            unsafe {
                let sa = addr.cast::<bindings::sockaddr>();
                core::ptr::copy_nonoverlapping(
                    (&raw const (*sa).sa_data).cast::<u8>(),
                    mac.as_mut_ptr(),
                    6,
                );
            }
            T::set_mac_address(net, mac, &mut rtnl)?;
            // SAFETY: As above.
            unsafe { bindings::eth_commit_mac_addr_change(dev, addr) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the networking core as the callback `phys_port_name` of a device of this driver.
    unsafe extern "C" fn phys_port_name(
        dev: *mut bindings::net_device,
        to: *mut kernel::ffi::c_char,
        len: usize,
    ) -> c_int {
        from_result(|| {
            // SAFETY: Called by the core for our device.
            let net = unsafe { Self::dev(dev) };
            let name = T::phys_port_name(net)
                .ok_or_else(eopnotsupp)?
                .to_bytes_with_nul();
            if name.len() > len {
                return Err(eopnotsupp());
            }
            // SAFETY: The core's buffer has `len` bytes.
            unsafe { core::ptr::copy_nonoverlapping(name.as_ptr(), to.cast(), name.len()) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the networking core as the callback `change_mtu` of a device of this driver.
    unsafe extern "C" fn change_mtu(dev: *mut bindings::net_device, mtu: c_int) -> c_int {
        from_result(|| {
            // SAFETY: Called by the core for our device, under RTNL.
            let (net, mut rtnl) = unsafe { (Self::dev(dev), Rtnl::assume_held()) };
            let mtu = u32::try_from(mtu)?;
            T::change_mtu(net, mtu, &mut rtnl)?;
            // SAFETY: Lockless readers use READ_ONCE; this is the WRITE_ONCE.
            unsafe { (&raw mut (*dev).mtu).write_volatile(mtu) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the networking core as the callback `vlan_add` of a device of this driver.
    unsafe extern "C" fn vlan_add(dev: *mut bindings::net_device, _: u16, vid: u16) -> c_int {
        from_result(|| {
            // SAFETY: Called by the core for our device, under RTNL.
            let (net, mut rtnl) = unsafe { (Self::dev(dev), Rtnl::assume_held()) };
            T::vlan_filter(net, vid, true, &mut rtnl)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the networking core as the callback `vlan_kill` of a device of this driver.
    unsafe extern "C" fn vlan_kill(dev: *mut bindings::net_device, _: u16, vid: u16) -> c_int {
        from_result(|| {
            // SAFETY: Called by the core for our device, under RTNL.
            let (net, mut rtnl) = unsafe { (Self::dev(dev), Rtnl::assume_held()) };
            T::vlan_filter(net, vid, false, &mut rtnl)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the networking core as the callback `fix_features` of a device of this driver.
    unsafe extern "C" fn fix_features(dev: *mut bindings::net_device, wanted: u64) -> u64 {
        // SAFETY: Called by the core for our device.
        T::fix_features(unsafe { Self::dev(dev) }, Features(wanted)).0
    }

    /// # Safety
    ///
    /// Called by the networking core as the callback `set_features` of a device of this driver.
    unsafe extern "C" fn set_features(dev: *mut bindings::net_device, wanted: u64) -> c_int {
        from_result(|| {
            // SAFETY: Called by the core for our device, under RTNL.
            let (net, mut rtnl) = unsafe { (Self::dev(dev), Rtnl::assume_held()) };
            T::set_features(net, Features(wanted), &mut rtnl)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the networking core as the callback `bpf` of a device of this driver.
    unsafe extern "C" fn bpf(
        dev: *mut bindings::net_device,
        bpf: *mut bindings::netdev_bpf,
    ) -> c_int {
        from_result(|| {
            // SAFETY: Called by the core for our device, under RTNL, with a request that is valid for the call.
            unsafe {
                let (dev, rtnl) = (Self::dev(dev), &mut Rtnl::assume_held());
                match (*bpf).command {
                    bindings::bpf_netdev_command_XDP_SETUP_PROG => Self::xdp_setup(dev, bpf, rtnl)?,
                    bindings::bpf_netdev_command_XDP_SETUP_XSK_POOL if T::HAS_XSK_ENABLE => {
                        Self::xsk_setup(dev, bpf, rtnl)?;
                    }
                    _ => return Err(EINVAL),
                }
            }
            Ok(0)
        })
    }

    /// Takes a pool into use, or out of use.
    ///
    /// # Safety
    ///
    /// `bpf` is what the core gave to `ndo_bpf`, with the command `XDP_SETUP_XSK_POOL`.
    unsafe fn xsk_setup(
        dev: &NetDevice<T>,
        bpf: *mut bindings::netdev_bpf,
        rtnl: &mut Rtnl,
    ) -> Result {
        // SAFETY: By this function's contract.
        let (pool, index) = unsafe {
            let request = &(*bpf).__bindgen_anon_1.xsk;
            (request.pool, request.queue_id)
        };
        let pair = dev.pair(index).ok_or(EINVAL)?;
        let Some(pool) = NonNull::new(pool) else {
            Self::xsk_disable(dev, index, pair, rtnl);
            return Ok(());
        };
        let net = NonNull::new(dev.as_raw()).ok_or(EINVAL)?;
        // SAFETY: With success the pool is the device's until a request without one; the device outlives that.
        let pool = unsafe { XskNew::new(pool.cast(), net, index) };
        let done = T::xsk_enable(dev, index, &pool, rtnl);
        if done.is_err() {
            Self::xsk_disable(dev, index, pair, rtnl);
        } else if !pair.has_xsk(rtnl) {
            return Err(EINVAL);
        }
        done
    }

    /// Has the pair use no pool, which the core frees afterwards.
    ///
    /// Context: process, RTNL held.
    fn xsk_disable(dev: &NetDevice<T>, index: u16, pair: &QueuePair<T>, rtnl: &mut Rtnl) {
        for _ in 0..XSK_TRIES {
            if !pair.has_xsk(rtnl) {
                break;
            }
            T::xsk_disable(dev, index, rtnl);
            if pair.has_xsk(rtnl) {
                fsleep(Delta::from_millis(100));
            }
        }
        if pair.has_xsk(rtnl) {
            // Memory that a device may write to isn't given back.
            pr_err!(
                "AF_XDP: the device keeps the memory of a pool (pair {index}), which is lost\n"
            );
            pair.xsk_abandon(dev, rtnl);
        }
        pair.xsk_unmap(rtnl);
    }

    /// # Safety
    ///
    /// Called by the networking core as the callback `xsk_wakeup` of a device of this driver.
    unsafe extern "C" fn xsk_wakeup(
        dev: *mut bindings::net_device,
        index: u32,
        flags: u32,
    ) -> c_int {
        from_result(|| {
            // SAFETY: Called by the core for our device.
            let dev = unsafe { Self::dev(dev) };
            if !dev.is_running() {
                return Err(enetdown());
            }
            let index = u16::try_from(index).map_err(|_| EINVAL)?;
            let has = |flag| flags & flag != 0;
            T::xsk_wakeup(
                dev,
                index,
                has(bindings::XDP_WAKEUP_RX),
                has(bindings::XDP_WAKEUP_TX),
            )?;
            Ok(0)
        })
    }

    /// Attaches a program, or takes the present one away.
    ///
    /// # Safety
    ///
    /// `bpf` is what the core gave to `ndo_bpf`, with the command `XDP_SETUP_PROG`.
    unsafe fn xdp_setup(
        dev: &NetDevice<T>,
        bpf: *mut bindings::netdev_bpf,
        rtnl: &mut Rtnl,
    ) -> Result {
        // SAFETY: By this function's contract.
        let (prog, extack) = unsafe {
            let request = &(*bpf).__bindgen_anon_1.__bindgen_anon_1;
            (request.prog, request.extack)
        };
        let slot = dev.xdp_slot();
        let was_set = slot.is_set(rtnl);
        if let Some(new) = NonNull::new(prog) {
            // SAFETY: Both are valid for the call.
            let (new, extack) = unsafe {
                (
                    NewProg::new(new.cast(), !was_set),
                    Extack::from_raw(extack.cast()),
                )
            };
            T::xdp_attach(dev, &new, &extack, rtnl)?;
        }
        // SAFETY: With success the core's reference is ours.
        unsafe { slot.replace(prog.cast(), rtnl) };
        if prog.is_null() && was_set {
            // SAFETY: Process context. Polls that run the old one are over after it.
            unsafe { bindings::synchronize_net() };
            T::xdp_detached(dev, rtnl);
        }
        Ok(())
    }

    /// # Safety
    ///
    /// Called by the networking core as the callback `xdp_xmit` of a device of this driver.
    unsafe extern "C" fn xdp_xmit(
        dev: *mut bindings::net_device,
        n: c_int,
        frames: *mut *mut bindings::xdp_frame,
        flags: u32,
    ) -> c_int {
        from_result(|| {
            if flags & !bindings::XDP_XMIT_FLUSH != 0 {
                return Err(EINVAL);
            }
            // SAFETY: Called by the core for our device.
            let dev = unsafe { Self::dev(dev) };
            if !dev.is_running() {
                return Err(enetdown());
            }
            // SAFETY: The core's list, with softirqs off.
            let mut batch = unsafe { XmitBatch::new(frames, n) };
            let done = T::xdp_xmit(dev, &mut batch, flags & bindings::XDP_XMIT_FLUSH != 0);
            match (done, batch.frames().taken()) {
                // All frames are the caller's then.
                (Err(e), 0) => Err(e),
                (_, taken) => Ok(taken.cast_signed()),
            }
        })
    }

    /// # Safety
    ///
    /// Called by the networking core as the callback `stats64` of a device of this driver.
    unsafe extern "C" fn stats64(
        dev: *mut bindings::net_device,
        out: *mut bindings::rtnl_link_stats64,
    ) {
        // SAFETY: Called by the core for our device.
        let net = unsafe { Self::dev(dev) };
        let mut stats = bindings::rtnl_link_stats64::default();
        T::stats64(net, &mut LinkStats(&mut stats));
        // The structure may be within a netlink message, where it has the alignment of an attribute: 4.
        // SAFETY: The core gave us a structure to write.
        unsafe { out.write_unaligned(stats) };
    }

    /// # Safety
    ///
    /// Called by the networking core as the callback `rx_stats` of a device of this driver.
    unsafe extern "C" fn rx_stats(
        dev: *mut bindings::net_device,
        index: c_int,
        out: *mut bindings::netdev_queue_stats_rx,
    ) {
        // SAFETY: Called by the core for our device with an initialised structure.
        let (net, out) = unsafe { (Self::dev(dev), &mut *out) };
        if let Ok(index) = u16::try_from(index) {
            T::rx_queue_stats(net, index, &mut RxQueueStats(out));
        }
    }

    /// # Safety
    ///
    /// Called by the networking core as the callback `tx_stats` of a device of this driver.
    unsafe extern "C" fn tx_stats(
        dev: *mut bindings::net_device,
        index: c_int,
        out: *mut bindings::netdev_queue_stats_tx,
    ) {
        // SAFETY: Called by the core for our device with an initialised structure.
        let (net, out) = unsafe { (Self::dev(dev), &mut *out) };
        if let Ok(index) = u16::try_from(index) {
            T::tx_queue_stats(net, index, &mut TxQueueStats(out));
        }
    }

    /// Writes what queues counted that are not in use now, so that the sums never go back.
    ///
    /// # Safety
    ///
    /// Called by the networking core as the callback `base_stats` of a device of this driver.
    unsafe extern "C" fn base_stats(
        dev: *mut bindings::net_device,
        rx: *mut bindings::netdev_queue_stats_rx,
        tx: *mut bindings::netdev_queue_stats_tx,
    ) {
        // SAFETY: Called by the core for our device, under RTNL, with initialised structures.
        let (net, rx, tx, from_rx, from_tx) = unsafe {
            (
                Self::dev(dev),
                &mut *rx,
                &mut *tx,
                (*dev).real_num_rx_queues,
                (*dev).real_num_tx_queues,
            )
        };
        let mut rx_sum = bindings::netdev_queue_stats_rx::default();
        let mut tx_sum = bindings::netdev_queue_stats_tx::default();
        let pairs = u16::try_from(net.pairs().count()).unwrap_or(u16::MAX);
        for i in 0..pairs {
            if u32::from(i) >= from_rx {
                let mut one = bindings::netdev_queue_stats_rx::default();
                T::rx_queue_stats(net, i, &mut RxQueueStats(&mut one));
                rx_sum.add(&one);
            }
            if u32::from(i) >= from_tx {
                let mut one = bindings::netdev_queue_stats_tx::default();
                T::tx_queue_stats(net, i, &mut TxQueueStats(&mut one));
                tx_sum.add(&one);
            }
        }
        // Only what the queues report is reported for the device.
        if pairs > 0 {
            T::rx_queue_stats(net, 0, &mut RxQueueStats(rx));
            T::tx_queue_stats(net, 0, &mut TxQueueStats(tx));
            rx.take_set(&rx_sum);
            tx.take_set(&tx_sum);
        }
    }
}

/// Sums over structures that consist of `u64` counters only; all ones is "not reported".
trait Counters {
    fn words(&self) -> &[u64];
    fn words_mut(&mut self) -> &mut [u64];

    fn add(&mut self, o: &Self) {
        for (a, b) in self.words_mut().iter_mut().zip(o.words()) {
            *a = a.wrapping_add(*b);
        }
    }

    fn take_set(&mut self, sum: &Self) {
        for (a, b) in self.words_mut().iter_mut().zip(sum.words()) {
            if *a != u64::MAX {
                *a = *b;
            }
        }
    }
}

macro_rules! counters {
    ($t:ty) => {
        impl Counters for $t {
            fn words(&self) -> &[u64] {
                const N: usize = core::mem::size_of::<$t>() / 8;
                // SAFETY: `repr(C)` with `u64` fields only.
                unsafe { &*core::ptr::from_ref(self).cast::<[u64; N]>() }
            }
            fn words_mut(&mut self) -> &mut [u64] {
                const N: usize = core::mem::size_of::<$t>() / 8;
                // SAFETY: `repr(C)` with `u64` fields only.
                unsafe { &mut *core::ptr::from_mut(self).cast::<[u64; N]>() }
            }
        }
    };
}

counters!(bindings::netdev_queue_stats_rx);
counters!(bindings::netdev_queue_stats_tx);
