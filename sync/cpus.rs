// SPDX-License-Identifier: GPL-2.0

//! CPU masks, the hotplug lock and hotplug callbacks.

use crate::{
    bindings,
    pure::affinity::{
        order,
        Place, //
    }, //
};
use core::marker::PhantomPinned;
use kernel::{
    cpu::CpuId,
    cpumask::CpumaskVar,
    prelude::*,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

/// Proof that the set of online CPUs holds still: `cpus_read_lock` is held, or a hotplug
/// callback is running.
pub(crate) struct CpusHeld(NotThreadSafe);

/// Holds `cpus_read_lock` until dropped. Process context.
pub(crate) struct CpusReadGuard(CpusHeld);

impl CpusReadGuard {
    /// Takes the lock. Not inside of a hotplug callback (it would deadlock).
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

/// Number of online CPUs right now.
pub(crate) fn num_online_cpus() -> u32 {
    // SAFETY: Reads an atomic.
    unsafe { bindings::num_online_cpus() }
}

/// The online CPUs in ascending order, less `leaving` if there is one.
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

/// The online CPUs, less `leaving` if there is one, in the order of their places: neighbours in the
/// list share a core, a package, a node, as far as possible. Process context.
///
/// # Errors
///
/// No memory for the list.
pub(crate) fn placed_cpus(held: &CpusHeld, leaving: Option<u32>) -> Result<KVVec<Place>> {
    let mut all = KVVec::new();
    for cpu in online_cpus(held, leaving) {
        let (mut node, mut package, mut core) = (0, 0, 0);
        // SAFETY: The CPU is online, and stays so while `held` exists; the rest is written.
        unsafe { bindings::cpu_place(cpu, &mut node, &mut package, &mut core) };
        let place = Place {
            node,
            package,
            core,
            cpu,
        };
        all.push(place, GFP_KERNEL)?;
    }
    order(&mut all);
    Ok(all)
}

/// A mask that may be kept in shared data.
pub(crate) struct KeptMask(CpumaskVar);

// SAFETY: A mask is plain memory with one owner.
unsafe impl Send for KeptMask {}

impl KeptMask {
    /// A copy of `mask`.
    pub(crate) fn new(mask: &CpumaskVar) -> Result<Self> {
        Ok(Self(CpumaskVar::try_clone(mask)?))
    }

    /// Becomes a copy of `mask`.
    pub(crate) fn copy_from(&mut self, mask: &CpumaskVar) {
        mask.copy(&mut self.0);
    }

    /// The mask.
    pub(crate) fn get(&self) -> &CpumaskVar {
        &self.0
    }
}

/// An empty mask.
pub(crate) fn new_mask() -> Result<CpumaskVar> {
    Ok(CpumaskVar::new_zero(GFP_KERNEL)?)
}

/// Adds `cpu` to `mask`; a CPU that can't exist is ignored.
pub(crate) fn mask_set(mask: &mut CpumaskVar, cpu: u32) {
    if let Some(cpu) = CpuId::from_u32(cpu) {
        mask.set(cpu);
    }
}

/// What wants to know of CPUs that come and go.
pub(crate) trait HotplugTarget: Sync {
    /// The online CPUs change: `leaving` goes offline, or (`None`) one has come. Process
    /// context on the CPU in question, hotplug lock held for writing.
    fn cpus_changed(&self, held: &CpusHeld, leaving: Option<u32>);
}

/// A dynamic hotplug state (`CPUHP_AP_ONLINE_DYN`) whose instances are [`HotplugNode`]s.
///
/// # Invariants
///
/// `state` was returned by `cpuhp_setup_state_multi` for callbacks of `T`.
pub(crate) struct HotplugState<T: HotplugTarget> {
    state: i32,
    _t: core::marker::PhantomData<fn(&T)>,
}

impl<T: HotplugTarget + 'static> HotplugState<T> {
    /// Registers the state. Process context.
    pub(crate) fn new(name: &'static CStr) -> Result<Self> {
        // SAFETY: The name is static; both callbacks are for nodes embedded in `HotplugNode<T>`,
        // and only such are added.
        let state = unsafe {
            bindings::cpuhp_setup_state_multi(
                name.as_char_ptr(),
                Some(Self::online),
                Some(Self::offline),
            )
        };
        kernel::error::to_result(state.min(0))?;
        // INVARIANT: Just returned.
        Ok(Self {
            state,
            _t: core::marker::PhantomData,
        })
    }

    /// The number by which [`HotplugNode::add`] finds it.
    pub(crate) fn id(&self) -> i32 {
        self.state
    }

    /// # Safety
    ///
    /// Called by the hotplug core with a node that `HotplugNode::add` registered.
    unsafe fn call(node: *mut bindings::hlist_node, leaving: Option<u32>) -> core::ffi::c_int {
        // CAST: `Opaque` has the layout of what it holds.
        let node = node.cast::<Opaque<bindings::hlist_node>>();
        // SAFETY: By this function's contract; the node is removed before it is dropped.
        let this = unsafe { &*kernel::container_of!(node, HotplugNode<T>, node) };
        // SAFETY: `add` stored a pointer that is valid until `remove`.
        unsafe { &*this.target.get() }.cpus_changed(&CpusHeld(NotThreadSafe), leaving);
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

impl<T: HotplugTarget> Drop for HotplugState<T> {
    fn drop(&mut self) {
        // SAFETY: Registered by the type invariant; all instances are gone, as their owners (bound
        // devices) are unbound before the module is unloaded.
        unsafe { bindings::cpuhp_remove_multi_state(self.state) };
    }
}

/// One instance of a [`HotplugState`].
///
/// # Invariants
///
/// `state` is nonzero iff the node is on the hotplug core's list; then `target` is valid.
#[pin_data(PinnedDrop)]
pub(crate) struct HotplugNode<T: HotplugTarget> {
    #[pin]
    node: Opaque<bindings::hlist_node>,
    target: core::cell::Cell<*const T>,
    state: core::cell::Cell<i32>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: The cells are written by `add` and `remove` only, which the caller serialises.
unsafe impl<T: HotplugTarget> Send for HotplugNode<T> {}
// SAFETY: As above; callbacks only read them, between `add` and `remove`.
unsafe impl<T: HotplugTarget> Sync for HotplugNode<T> {}

impl<T: HotplugTarget> HotplugNode<T> {
    /// A node that is on no list.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            node <- Opaque::ffi_init(|p: *mut bindings::hlist_node| {
                // SAFETY: `p` is valid for writes; an all-zero node is an unhashed one.
                unsafe { p.write(pin_init::zeroed()) }
            }),
            target: core::cell::Cell::new(core::ptr::null()),
            state: core::cell::Cell::new(0),
            _pin: PhantomPinned,
        })
    }

    /// Puts the node on `state`'s list; no callback runs for CPUs already online.
    ///
    /// # Safety
    ///
    /// `target` is valid until `remove` or drop; calls of `add` and `remove` don't race.
    pub(crate) unsafe fn add(&self, state: i32, target: *const T) -> Result {
        if self.state.get() != 0 {
            return Ok(());
        }
        self.target.set(target);
        // SAFETY: The node is pinned and on no list.
        kernel::error::to_result(unsafe {
            bindings::cpuhp_state_add_instance_nocalls(state, self.node.get())
        })?;
        // INVARIANT: On the list now.
        self.state.set(state);
        Ok(())
    }

    /// Takes the node off the list and waits for a running callback. Process context, outside of
    /// `cpus_read_lock`.
    pub(crate) fn remove(&self) {
        let state = self.state.replace(0);
        if state != 0 {
            // SAFETY: The node is on that state's list by the type invariant.
            unsafe { bindings::cpuhp_state_remove_instance_nocalls(state, self.node.get()) };
        }
    }
}

#[pinned_drop]
impl<T: HotplugTarget> PinnedDrop for HotplugNode<T> {
    fn drop(self: Pin<&mut Self>) {
        self.remove();
    }
}
