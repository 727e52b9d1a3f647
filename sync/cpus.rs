// SPDX-License-Identifier: GPL-2.0

//! CPU masks, the hotplug lock and hotplug callbacks.
//!
//! C headers: [`include/linux/cpuhotplug.h`](srctree/include/linux/cpuhotplug.h),
//! [`include/linux/cpu.h`](srctree/include/linux/cpu.h)

use super::host::Host;
use crate::{
    bindings,
    pure::affinity::{
        order,
        CpuTopology, //
    }, //
};
use core::{
    marker::{
        PhantomData,
        PhantomPinned, //
    },
    sync::atomic::{
        AtomicBool,
        AtomicI32,
        AtomicPtr,
        AtomicU32,
        Ordering, //
    },
};
use kernel::{
    cpu::CpuId,
    cpumask::CpumaskVar,
    error::to_result,
    prelude::*,
    sync::Mutex,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

/// Proof that the set of online CPUs holds still: `cpus_read_lock` is held, or a hotplug
/// callback is running.
pub(crate) struct CpusHeld(NotThreadSafe);

/// Holds `cpus_read_lock` until dropped.
///
/// Context: process.
pub(crate) struct CpusReadGuard(CpusHeld);

impl CpusReadGuard {
    /// Takes the lock.
    ///
    /// Context: process, outside of a hotplug callback, in which it would deadlock.
    pub(crate) fn new() -> Self {
        // SAFETY: Process context; may sleep.
        unsafe { bindings::cpus_read_lock() };
        Self(CpusHeld(NotThreadSafe))
    }
}

impl core::ops::Deref for CpusReadGuard {
    type Target = CpusHeld;
    fn deref(&self) -> &CpusHeld {
        &self.0
    }
}

impl Drop for CpusReadGuard {
    fn drop(&mut self) {
        // SAFETY: `new` took it, in the same thread as the type is not `Send`.
        unsafe { bindings::cpus_read_unlock() };
    }
}

/// Returns the number of online CPUs right now.
///
/// Context: any.
pub(crate) fn num_online_cpus() -> u32 {
    // SAFETY: Reads an atomic.
    unsafe { bindings::num_online_cpus() }
}

/// Returns the online CPUs in ascending order, less `leaving` if there is one.
fn online_cpus(_held: &CpusHeld, leaving: Option<u32>) -> impl Iterator<Item = u32> {
    let mut at: i32 = -1;
    core::iter::from_fn(move || {
        // SAFETY: Reads the online mask, which holds still while `_held` exists.
        let next = unsafe { bindings::cpumask_next_online(at) };
        if next >= kernel::cpu::nr_cpu_ids() {
            return None;
        }
        at = i32::try_from(next).ok()?;
        Some(next)
    })
    .filter(move |&cpu| Some(cpu) != leaving)
}

/// Returns the online CPUs, less `leaving` if there is one, in the order of their topology.
///
/// Neighbours in the list share a core, a package, a node, as far as possible.
///
/// Context: process.
///
/// # Errors
///
/// Returns `ENOMEM`.
pub(crate) fn cpus_by_topology(
    held: &CpusHeld,
    leaving: Option<u32>,
) -> Result<KVVec<CpuTopology>> {
    let mut all = KVVec::new();
    for cpu in online_cpus(held, leaving) {
        let (mut node, mut package, mut core) = (0, 0, 0);
        // SAFETY: The CPU is online, and stays so while `held` exists; the rest is written.
        unsafe { bindings::cpu_place(cpu, &mut node, &mut package, &mut core) };
        let topology = CpuTopology {
            node,
            package,
            core,
            cpu,
        };
        all.push(topology, GFP_KERNEL)?;
    }
    order(&mut all);
    Ok(all)
}

/// A mask that may be kept in shared data.
pub(crate) struct KeptMask(CpumaskVar);

// SAFETY: A mask is plain memory with one owner.
unsafe impl Send for KeptMask {}

impl KeptMask {
    /// Makes a copy of `mask`.
    ///
    /// Context: process.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`.
    pub(crate) fn new(mask: &CpumaskVar) -> Result<Self> {
        Ok(Self(CpumaskVar::try_clone(mask)?))
    }

    /// Becomes a copy of `mask`.
    ///
    /// Context: any.
    pub(crate) fn copy_from(&mut self, mask: &CpumaskVar) {
        mask.copy(&mut self.0);
    }

    /// Returns the mask that is kept.
    ///
    /// Context: any.
    pub(crate) fn get(&self) -> &CpumaskVar {
        &self.0
    }
}

/// Makes an empty mask.
///
/// Context: process.
///
/// # Errors
///
/// Returns `ENOMEM`.
pub(crate) fn new_mask() -> Result<CpumaskVar> {
    Ok(CpumaskVar::new_zero(GFP_KERNEL)?)
}

/// Adds `cpu` to `mask`, unless it is one that can't exist.
///
/// Context: any.
pub(crate) fn mask_set(mask: &mut CpumaskVar, cpu: u32) {
    if let Some(cpu) = CpuId::from_u32(cpu) {
        mask.set(cpu);
    }
}

/// A dynamic hotplug state (`CPUHP_AP_ONLINE_DYN`) whose instances are [`HotplugNode`]s.
///
/// The core knows it while there is a [`HotplugRegistration`] or a node on its list.
///
/// # Invariants
///
/// While `users` isn't 0, `state` was returned by `cpuhp_setup_state_multi` for callbacks of `T`. `users` counts the
/// registration and the nodes on the list.
pub(crate) struct HotplugState<T: Host> {
    name: &'static CStr,
    state: AtomicI32,
    users: AtomicU32,
    claimed: AtomicBool,
    _t: PhantomData<fn(&T)>,
}

impl<T: Host + 'static> HotplugState<T> {
    /// Makes a state that isn't registered.
    ///
    /// Context: any.
    pub(crate) const fn new(name: &'static CStr) -> Self {
        Self {
            name,
            state: AtomicI32::new(0),
            users: AtomicU32::new(0),
            claimed: AtomicBool::new(false),
            _t: PhantomData,
        }
    }

    /// Registers the state.
    ///
    /// Context: process.
    ///
    /// # Errors
    ///
    /// Returns `EBUSY` if it is registered, and the errors of `cpuhp_setup_state_multi`.
    pub(crate) fn register(&'static self) -> Result<HotplugRegistration<T>> {
        if self.claimed.swap(true, Ordering::AcqRel) {
            return Err(EBUSY);
        }
        // SAFETY: The name is static; both callbacks are for nodes embedded in `HotplugNode<T>`,
        // and only such are added.
        let state = unsafe {
            bindings::cpuhp_setup_state_multi(
                self.name.as_char_ptr(),
                Some(Self::online),
                Some(Self::offline),
            )
        };
        to_result(state.min(0)).inspect_err(|_| self.claimed.store(false, Ordering::Release))?;
        self.state.store(state, Ordering::Relaxed);
        // INVARIANT: Just returned; the registration is the first user.
        self.users.store(1, Ordering::Release);
        Ok(HotplugRegistration(self))
    }

    /// Counts one more user, unless there is none, and returns the state's number.
    fn get(&self) -> Option<i32> {
        self.users
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |n| {
                if n == 0 {
                    None
                } else {
                    n.checked_add(1)
                }
            })
            .ok()?;
        Some(self.state.load(Ordering::Relaxed))
    }

    /// Counts one user less.
    fn put(&self) {
        if self.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: Registered by the type invariant; no instance is left, and none can be added any more.
            unsafe { bindings::cpuhp_remove_multi_state(self.state.load(Ordering::Relaxed)) };
            self.claimed.store(false, Ordering::Release);
        }
    }

    /// # Safety
    ///
    /// Called by the hotplug core with a node that `HotplugNode::add` registered.
    unsafe fn call(node: *mut bindings::hlist_node, leaving: Option<u32>) -> core::ffi::c_int {
        // CAST: `Opaque` has the layout of what it holds.
        let node = node.cast::<Opaque<bindings::hlist_node>>();
        // SAFETY: By this function's contract; the node is removed before it is dropped.
        let this = unsafe { &*kernel::container_of!(node, HotplugNode<T>, node) };
        // SAFETY: `add` stored what holds this node, whose drop waits for this function, so its entrance is there, and the
        // rest while the entrance lets somebody in.
        let host = unsafe { &*this.host.load(Ordering::Relaxed) };
        host.entrance()
            .run(|| (this.func)(host, &CpusHeld(NotThreadSafe), leaving));
        0
    }

    /// # Safety
    ///
    /// Called by the hotplug core with the node of a `HotplugNode<T>` that was added.
    unsafe extern "C" fn online(_: u32, node: *mut bindings::hlist_node) -> core::ffi::c_int {
        // SAFETY: Called by the hotplug core with one of our nodes.
        unsafe { Self::call(node, None) }
    }

    /// # Safety
    ///
    /// Called by the hotplug core with the node of a `HotplugNode<T>` that was added.
    unsafe extern "C" fn offline(cpu: u32, node: *mut bindings::hlist_node) -> core::ffi::c_int {
        // SAFETY: Called by the hotplug core with one of our nodes.
        unsafe { Self::call(node, Some(cpu)) }
    }
}

/// A registered [`HotplugState`], to which nodes can't be added any more after its drop.
pub(crate) struct HotplugRegistration<T: Host + 'static>(&'static HotplugState<T>);

impl<T: Host + 'static> Drop for HotplugRegistration<T> {
    fn drop(&mut self) {
        self.0.put();
    }
}

/// What wants to be called when CPUs come and go: one instance of a [`HotplugState`].
///
/// # Invariants
///
/// The node is on the list of the state in `on`, and on none without. While it is on one, `host` is what holds this
/// ([`Host`]).
#[pin_data(PinnedDrop)]
pub(crate) struct HotplugNode<T: Host + 'static> {
    #[pin]
    node: Opaque<bindings::hlist_node>,
    host: AtomicPtr<T>,
    func: fn(&T, held: &CpusHeld, leaving: Option<u32>),
    #[pin]
    on: Mutex<Option<&'static HotplugState<T>>>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: The hotplug core serialises what is done to the node, and `on` the rest.
unsafe impl<T: Host> Send for HotplugNode<T> {}
// SAFETY: As above.
unsafe impl<T: Host> Sync for HotplugNode<T> {}

impl<T: Host + 'static> HotplugNode<T> {
    /// Makes a node that is on no list.
    ///
    /// `func` is called when the online CPUs change: `leaving` goes offline, or (`None`) one has
    /// come. That is in process context on the CPU in question, with the hotplug lock held for
    /// writing.
    ///
    /// Context: any.
    pub(crate) fn new(
        func: fn(&T, held: &CpusHeld, leaving: Option<u32>),
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            node <- Opaque::ffi_init(|p: *mut bindings::hlist_node| {
                // SAFETY: `ffi_init` gives a `p` that is valid for writes; an all-zero node is an
                // unhashed one.
                unsafe { p.write(pin_init::zeroed()) }
            }),
            host: AtomicPtr::new(core::ptr::null_mut()),
            func,
            on <- kernel::new_mutex!(None, "HotplugNode::on"),
            _pin: PhantomPinned,
        })
    }

    /// Puts the node on `state`'s list, unless it is on one; nothing is called for CPUs that are
    /// online already.
    ///
    /// Context: process, outside of `cpus_read_lock`.
    ///
    /// # Errors
    ///
    /// Returns `EINVAL` if `host` isn't what holds the node, `ENODEV` if the state isn't
    /// registered, and the errors of `cpuhp_state_add_instance`.
    pub(crate) fn add(&self, state: &'static HotplugState<T>, host: &T) -> Result {
        let mut on = self.on.lock();
        if on.is_some() {
            return Ok(());
        }
        if !host.holds(core::ptr::from_ref(self).cast()) {
            return Err(EINVAL);
        }
        let number = state.get().ok_or(ENODEV)?;
        self.host
            .store(core::ptr::from_ref(host).cast_mut(), Ordering::Relaxed);
        // SAFETY: The node is pinned and on no list, which the lock keeps.
        to_result(unsafe { bindings::cpuhp_state_add_instance_nocalls(number, self.node.get()) })
            .inspect_err(|_| state.put())?;
        // INVARIANT: On the list now.
        *on = Some(state);
        Ok(())
    }

    /// Takes the node off the list and waits for a running callback.
    ///
    /// Context: process, outside of `cpus_read_lock`.
    pub(crate) fn remove(&self) {
        let mut on = self.on.lock();
        if let Some(state) = on.take() {
            let number = state.state.load(Ordering::Relaxed);
            // SAFETY: The node is on that state's list by the type invariant; the lock is held.
            unsafe { bindings::cpuhp_state_remove_instance_nocalls(number, self.node.get()) };
            state.put();
        }
    }
}

#[pinned_drop]
impl<T: Host> PinnedDrop for HotplugNode<T> {
    fn drop(self: Pin<&mut Self>) {
        self.remove();
    }
}
