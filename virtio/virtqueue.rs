// SPDX-License-Identifier: GPL-2.0

//! Virtqueues, and the buffers that they own.
//!
//! [`VirtqueueSet::find`] sets up all queues of a device and returns an [`UnusedVirtqueue`] for
//! each of them, which [`UnusedVirtqueue::with_buffers`] turns into a [`Virtqueue<T>`]: the
//! exclusive right to add and get buffers. A buffer goes in as a `T` that owns its memory, and
//! comes back with the used length.
//!
//! A queue keeps its set alive, so a handle can't dangle; the last handle to go runs `del_vqs`.
//!
//! C headers: [`include/linux/virtio.h`](srctree/include/linux/virtio.h),
//! [`include/linux/virtio_config.h`](srctree/include/linux/virtio_config.h)

use super::{
    bound::BoundRef,
    irq,
    Device, //
};
use crate::{
    bindings,
    sync::fail, //
};
use core::{
    ffi::c_void,
    marker::PhantomData,
    mem::replace,
    ptr::NonNull,
    sync::atomic::{
        AtomicBool,
        Ordering, //
    }, //
};
use kernel::{
    device::{
        Bound,
        Core, //
    },
    prelude::*,
    str::CString,
    sync::{
        Arc,
        UniqueArc, //
    }, //
};

/// What owns the memory of a buffer while the device has it.
///
/// Context: any.
///
/// # Safety
///
/// `from_raw` is the inverse of `into_raw`. The memory that was described to the device with the
/// buffer stays valid for as long as neither `from_raw` nor the buffer's `Drop` has run.
pub(crate) unsafe trait VqBuffer: Sized + Send {
    /// Turns the buffer into what the virtqueue keeps.
    fn into_raw(self) -> NonNull<c_void>;

    /// Turns what the virtqueue kept into the buffer again.
    ///
    /// # Safety
    ///
    /// `p` was returned by `into_raw` and is used once.
    unsafe fn from_raw(p: NonNull<c_void>) -> Self;

    /// Gives up a buffer of a queue that was reset alone; the device is done with it, or never
    /// began.
    fn give_up(self) {}
}

/// How one queue is to be set up.
pub(crate) struct QueueInfo {
    /// Name of the queue, seen in `/proc/interrupts`.
    pub(crate) name: CString,
    /// Whether the device interrupts for this queue.
    pub(crate) interrupt: bool,
    /// Whether each buffer carries a context word, which keeps the queue from using indirect
    /// descriptors.
    pub(crate) ctx: bool,
}

impl QueueInfo {
    /// Describes a queue that interrupts, for buffers without a context word.
    ///
    /// Context: process.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`.
    pub(crate) fn new(name: kernel::fmt::Arguments<'_>) -> Result<Self> {
        Ok(Self {
            name: CString::try_from_fmt(name)?,
            interrupt: true,
            ctx: false,
        })
    }
}

/// All virtqueues of a device.
///
/// Context: process, unless a function says otherwise.
///
/// # Invariants
///
/// `vqs` are the queues that `find_vqs` made, valid until `del_vqs` in `Drop`. `reset` is true
/// only if the device was reset after `find_vqs`, or is gone: it knows none of the queues any more, as a reset disables them.
///
/// Lifetime: reference-counted, by the owner and by each handle of a queue; keeps the device bound.
pub(crate) struct VirtqueueSet {
    dev: BoundRef,
    vqs: KVVec<*mut bindings::virtqueue>,
    _names: KVVec<QueueInfo>,
    reset: AtomicBool,
}

// SAFETY: The pointers are valid by the type invariants, and nothing behind them belongs to a thread.
unsafe impl Send for VirtqueueSet {}
// SAFETY: As above; the methods only call what needs no lock against other users of a queue.
unsafe impl Sync for VirtqueueSet {}

/// The only handle to a virtqueue that has no buffers yet.
///
/// Whoever has no use for the queue drops it.
///
/// # Invariants
///
/// `vq` is a queue of `set`, empty, and there is no other handle to it.
pub(crate) struct UnusedVirtqueue {
    vq: NonNull<bindings::virtqueue>,
    set: Arc<VirtqueueSet>,
}

// SAFETY: As for `VirtqueueSet`.
unsafe impl Send for UnusedVirtqueue {}

impl UnusedVirtqueue {
    /// Uses the queue for buffers of type `T`.
    ///
    /// Context: process.
    pub(crate) fn with_buffers<T: VqBuffer>(self) -> Virtqueue<T> {
        let vq = self.vq;
        // INVARIANT: The only handle to this queue, as this one is used up; the set keeps it valid.
        Virtqueue {
            vq,
            // SAFETY: By the type invariants the queue is valid.
            size: unsafe { bindings::virtqueue_get_vring_size(vq.as_ptr()) },
            set: self.set,
            cb_disabled: false,
            insist: false,
            tag: 0,
            // SAFETY: As above.
            dma: NonNull::new(unsafe { bindings::virtqueue_dma_dev(vq.as_ptr()) }),
            // SAFETY: As above.
            phys: unsafe { bindings::virtqueue_takes_phys(vq.as_ptr()) },
            _t: PhantomData,
        }
    }
}

impl VirtqueueSet {
    /// Sets up one virtqueue for each entry of `infos`, in that order (the order is the queues'
    /// numbers: specification 5.1.2), and returns them with a handle to each, in the same order.
    ///
    /// Interrupts go to the driver's `vq_callback`.
    ///
    /// # Errors
    ///
    /// Returns what the transport reports, `ENOMEM`, and `EBUSY` if the device has virtqueues.
    pub(crate) fn find(
        dev: &Device<Core<'_>>,
        infos: KVVec<QueueInfo>,
    ) -> Result<(Arc<Self>, KVVec<UnusedVirtqueue>)> {
        fail::point()?;
        if dev.has_virtqueues() {
            return Err(EBUSY);
        }
        let n = infos.len();
        let mut vqs: KVVec<*mut bindings::virtqueue> = KVVec::with_capacity(n, GFP_KERNEL)?;
        let mut c_infos: KVVec<bindings::virtqueue_info> = KVVec::with_capacity(n, GFP_KERNEL)?;
        for info in infos.iter() {
            vqs.push(core::ptr::null_mut(), GFP_KERNEL)?;
            c_infos.push(
                bindings::virtqueue_info {
                    name: info.name.as_char_ptr(),
                    callback: info.interrupt.then_some(irq::vq_callback),
                    ctx: info.ctx,
                },
                GFP_KERNEL,
            )?;
        }
        // Everything that can fail comes first: after `find_vqs` there is only room to be filled.
        let mut unused = KVVec::with_capacity(n, GFP_KERNEL)?;
        let room = UniqueArc::new_uninit(GFP_KERNEL)?;
        fail::point()?;
        // SAFETY: Both arrays have `n` entries; the names outlive the queues (kept in the set).
        kernel::error::to_result(unsafe {
            bindings::virtio_find_vqs(
                dev.as_raw(),
                u32::try_from(n)?,
                vqs.as_mut_ptr(),
                c_infos.as_mut_ptr(),
            )
        })?;
        // INVARIANT: `find_vqs` succeeded, the device is not reset.
        let set: Arc<Self> = room
            .write(Self {
                dev: dev.into(),
                vqs,
                _names: infos,
                reset: AtomicBool::new(false),
            })
            .into();
        for vq in set.vqs.iter().filter_map(|vq| NonNull::new(*vq)) {
            // INVARIANT: The queue is new, and each is met once.
            let handle = UnusedVirtqueue {
                vq,
                set: set.clone(),
            };
            // There is room for all of them.
            unused.push(handle, GFP_KERNEL)?;
        }
        Ok((set, unused))
    }

    /// Resets the device, which has no buffer any more then.
    pub(crate) fn reset_device(&self) {
        self.device().reset();
        // INVARIANT: The device was just reset.
        self.reset.store(true, Ordering::Release);
    }

    /// Returns whether the device is gone, so that it owns no buffer any more either, and a reset
    /// would wait for it for ever.
    pub(crate) fn is_gone(&self) -> bool {
        let gone = self.device().is_gone();
        if gone {
            // INVARIANT: Nor does it know any queue.
            self.reset.store(true, Ordering::Release);
        }
        gone
    }

    fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Acquire)
    }

    /// Returns the device that the queues are of.
    ///
    /// Context: any.
    pub(crate) fn device(&self) -> &Device<Bound> {
        &self.dev
    }

    /// Hints that the interrupt of queue `index` belongs on the CPUs of `mask`.
    pub(crate) fn set_affinity(&self, index: u32, mask: &kernel::cpumask::CpumaskVar) {
        if let Some(vq) = self.raw(index) {
            let mask: &kernel::cpumask::Cpumask = mask;
            // SAFETY: By the type invariants the queue is valid, and so is the mask, a reference. A
            // transport that can't is no error.
            unsafe { bindings::virtqueue_set_affinity(vq, mask.as_raw().cast()) };
        }
    }

    /// Returns whether the interrupt of queue `index` goes to the CPUs of `mask` now, or will from
    /// its next one on, which is true where that can't be told.
    pub(crate) fn affinity_is(&self, index: u32, mask: &kernel::cpumask::CpumaskVar) -> bool {
        let mask: &kernel::cpumask::Cpumask = mask;
        // SAFETY: The mask is a reference, and the interrupt is the queue's, so it stays requested, and
        // its descriptor there; the helper takes that one's lock itself.
        self.irq(index)
            .is_none_or(|irq| unsafe { bindings::irq_affinity_is(irq, mask.as_raw().cast()) })
    }

    /// Takes the hint of queue `index` back.
    pub(crate) fn clear_affinity(&self, index: u32) {
        if let Some(vq) = self.raw(index) {
            // SAFETY: By the type invariants the queue is valid; null removes the hint.
            unsafe { bindings::virtqueue_set_affinity(vq, core::ptr::null()) };
        }
    }

    /// Notifies the device of queue `index`, whether it wants to know or not.
    ///
    /// Context: any.
    pub(crate) fn notify(&self, index: u32) {
        if let Some(vq) = self.raw(index) {
            // SAFETY: By the type invariants the queue is valid. Notifying needs no lock against
            // other users of the queue (virtio_ring: `virtqueue_notify`). False is a broken queue,
            // which its owner notices.
            unsafe { bindings::virtqueue_notify(vq) };
        }
    }

    /// Returns whether addresses in queue `index` are those that the DMA API gives for `dev`.
    ///
    /// Context: any.
    pub(crate) fn is_mapped_for(&self, index: u32, dev: &kernel::device::Device) -> bool {
        let dev = core::ptr::from_ref(dev).cast_mut().cast();
        // SAFETY: By the type invariants the queue is valid.
        self.raw(index)
            .is_some_and(|vq| unsafe { bindings::virtqueue_dma_dev(vq) } == dev)
    }

    fn raw(&self, index: u32) -> Option<*mut bindings::virtqueue> {
        let vq = *self.vqs.get(usize::try_from(index).ok()?)?;
        (!vq.is_null()).then_some(vq)
    }

    /// Returns the number of descriptors of queue `index`, 0 if there is none.
    ///
    /// Context: any.
    pub(crate) fn size(&self, index: u32) -> u32 {
        // SAFETY: By the type invariants the queue is valid.
        self.raw(index)
            .map_or(0, |vq| unsafe { bindings::virtqueue_get_vring_size(vq) })
    }

    /// Returns the largest number of descriptors that the device allows for queue `index`.
    ///
    /// Context: any.
    pub(crate) fn size_max(&self, index: u32) -> u32 {
        // SAFETY: By the type invariants the queue is valid.
        self.raw(index).map_or(0, |vq| unsafe { (*vq).num_max })
    }

    /// Returns the interrupt of queue `index`, where the transport is PCI with MSI-X.
    ///
    /// virtio_pci tells nobody which vector a queue has, but its rule is fixed
    /// (`vp_find_vqs_msix`): entry 0 is for config changes; then either each queue that interrupts
    /// has the next one, in order, or all of them share entry 1.
    pub(crate) fn irq(&self, index: u32) -> Option<i32> {
        let parent = self.device().parent();
        // SAFETY: The parent lives as long as the virtio device; the helper checks its bus.
        if !unsafe { bindings::pci_msix_enabled(parent) } {
            return None;
        }
        let wants = |i: &&QueueInfo| i.interrupt;
        let all = u32::try_from(self._names.iter().filter(wants).count()).ok()?;
        let at = usize::try_from(index).ok()?;
        let info = self._names.get(at)?;
        let before = u32::try_from(self._names.iter().take(at).filter(wants).count()).ok()?;
        if !info.interrupt {
            return None;
        }
        // SAFETY: As above. An entry that doesn't exist gives a negative number.
        let entry = |nr| unsafe { bindings::pci_irq_of(parent, nr) };
        let own = entry(all) > 0;
        let irq = entry(if own { before.saturating_add(1) } else { 1 });
        (irq > 0).then_some(irq)
    }

    /// Returns whether each queue has an interrupt of its own.
    pub(crate) fn irq_per_queue(&self) -> bool {
        match (self.irq(0), self.irq(1)) {
            (Some(a), Some(b)) => a != b,
            _ => false,
        }
    }
}

impl Drop for VirtqueueSet {
    fn drop(&mut self) {
        if !self.is_reset() {
            self.reset_device();
        }
        // SAFETY: Process context. Polls that gave their queue up may still look at its ring (`Armed::more`).
        unsafe { bindings::synchronize_rcu() };
        // SAFETY: No handle is left, the device is reset and bound; the queues are deleted once.
        unsafe { bindings::virtio_del_vqs(self.dev.as_raw()) };
    }
}

/// A used buffer, and the length that the device says it wrote (unchecked).
pub(crate) struct Used<T> {
    /// Owner of the buffer.
    pub(crate) buf: T,
    /// Length as the device reports it.
    pub(crate) len: u32,
}

/// The right to use one virtqueue.
///
/// Context: any that the owner of the queue's exclusive state runs in.
///
/// # Invariants
///
/// `vq` is a queue of `set` and this is the only handle to it. Each buffer in it came from
/// `T::into_raw`. `size` is the ring's number of descriptors. `dma` is the queue's
/// `virtqueue_dma_dev`, alive as long as `set`. With `phys` the device takes physical addresses.
///
/// Locking: `&mut self` is whoever owns the queue's exclusive state (TX lock, NAPI). A transmit queue's
/// interrupt runs beside it and only calls `virtqueue_disable_cb`, which C allows; it has scheduled a poll
/// before, which asks for the interrupt again.
pub(crate) struct Virtqueue<T: VqBuffer> {
    vq: NonNull<bindings::virtqueue>,
    size: u32,
    set: Arc<VirtqueueSet>,
    /// Whether the device was asked not to interrupt, and not otherwise since.
    ///
    /// The queue's interrupt may have asked it as well: then this is false and asking again does no
    /// harm.
    cb_disabled: bool,
    /// Whether the next notification is sent, wanted or not.
    insist: bool,
    /// A number that goes with all buffers of the ring.
    ///
    /// It is 0 at first and after a reset of the queue; what it means is up to their type.
    pub(super) tag: u32,
    /// The device that DMA addresses are for, or `None` where it is given physical ones, or others
    /// than the DMA API's.
    dma: Option<NonNull<kernel::bindings::device>>,
    /// Whether physical addresses may be added as if they were mapped.
    phys: bool,
    _t: PhantomData<T>,
}

// SAFETY: The buffers are `Send`, the C functions don't care for the thread.
unsafe impl<T: VqBuffer> Send for Virtqueue<T> {}

impl<T: VqBuffer> Virtqueue<T> {
    /// Returns the device for which memory may be mapped by whoever adds it, or `None` where
    /// nothing is mapped, or not by the DMA API.
    pub(crate) fn dma_dev(&self) -> Option<&kernel::device::Device<kernel::device::Bound>> {
        // SAFETY: Alive as long as `set`, by the type's invariants, and bound: it is the virtio device's
        // parent or that one's, which the driver of this device is bound by way of.
        self.dma
            .map(|dev| unsafe { <kernel::device::Device>::from_raw(dev.as_ptr()).as_bound() })
    }

    /// Returns the same device for C.
    #[inline(always)]
    pub(super) fn dma_raw(&self) -> Option<NonNull<kernel::bindings::device>> {
        self.dma
    }

    /// Returns whether physical addresses may be added as if they were mapped, which saves the way
    /// there by each one's page.
    #[inline(always)]
    pub(super) fn takes_phys(&self) -> bool {
        self.phys
    }

    /// Returns the queue's C object.
    #[inline(always)]
    pub(super) fn as_raw(&self) -> *mut bindings::virtqueue {
        self.vq.as_ptr()
    }

    /// Returns how many descriptors are free (one buffer may take several).
    #[inline(always)]
    pub(crate) fn num_free(&self) -> u32 {
        // SAFETY: By the type invariants the queue is valid; the field is written by the owner of
        // `&mut self` only.
        unsafe { (*self.as_raw()).num_free }
    }

    /// Returns the number of descriptors.
    #[inline(always)]
    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// Returns the index of the next buffer that the device is given, or `None` for a packed ring.
    #[inline]
    pub(crate) fn avail_index(&self) -> Option<u16> {
        // SAFETY: By the type invariants the queue is valid and ours.
        u16::try_from(unsafe { bindings::virtqueue_avail_index(self.as_raw()) }).ok()
    }

    /// Returns how many of the buffers up to that index the device says that it hasn't used, of a
    /// split ring.
    ///
    /// It is less than none if the device has used later ones, or says what it likes.
    #[inline]
    pub(crate) fn unused_before(&self, index: u16) -> i16 {
        // SAFETY: By the type invariants the queue is valid.
        let used = unsafe { bindings::virtqueue_used_index(self.as_raw()) };
        index.wrapping_sub(used).cast_signed()
    }

    /// Returns whether the device has no buffer of this queue.
    #[inline(always)]
    pub(crate) fn is_idle(&self) -> bool {
        self.num_free() == self.size()
    }

    /// Returns whether the device was reset, and doesn't know the queue any more.
    pub(crate) fn is_reset(&self) -> bool {
        self.set.is_reset()
    }

    /// Returns whether the ring was found corrupt, or the device is gone, so that no buffer comes
    /// back any more.
    pub(crate) fn is_broken(&self) -> bool {
        // SAFETY: By the type invariants the queue is valid.
        unsafe { bindings::virtqueue_is_broken(self.as_raw()) }
    }

    /// Takes the next used buffer.
    #[inline(always)]
    pub(crate) fn get_buf(&mut self) -> Option<Used<T>> {
        let mut len = 0;
        // SAFETY: By the type invariants the queue is valid and ours.
        let p = unsafe { bindings::virtqueue_get_buf(self.as_raw(), &mut len) };
        let p = NonNull::new(p)?;
        Some(Used {
            // SAFETY: The virtio core gives each pointer back once, and only for a head that is
            // in use, whatever the device writes into the ring.
            buf: unsafe { T::from_raw(p) },
            len,
        })
    }

    /// Notifies the device of new buffers if it wants to know, and returns whether it did.
    #[inline(always)]
    pub(crate) fn kick(&mut self) -> bool {
        // SAFETY: By the type invariants the queue is valid and ours.
        let wanted = unsafe { bindings::virtqueue_kick_prepare(self.as_raw()) };
        if !wanted && !replace(&mut self.insist, false) {
            return false;
        }
        // SAFETY: As above.
        unsafe { bindings::virtqueue_notify(self.as_raw()) }
    }

    /// Has the device notified of the next buffers though it may not want to know, because what it
    /// says of that may not hold any more.
    pub(crate) fn insist(&mut self) {
        self.insist = true;
    }

    /// Asks the device not to interrupt (a hint), which costs nothing the second time.
    #[inline(always)]
    pub(crate) fn disable_cb(&mut self) {
        if !self.cb_disabled {
            self.cb_disabled = true;
            // SAFETY: By the type invariants the queue is valid.
            unsafe { bindings::virtqueue_disable_cb(self.as_raw()) };
        }
    }

    /// Asks for an interrupt once most of the outstanding buffers are used, or returns false if
    /// they are.
    #[inline(always)]
    pub(crate) fn enable_cb_delayed(&mut self) -> bool {
        self.cb_disabled = false;
        // SAFETY: By the type invariants the queue is valid and ours.
        unsafe { bindings::virtqueue_enable_cb_delayed(self.as_raw()) }
    }

    /// Asks for an interrupt for the next used buffer; [`Virtqueue::was_used_since`] and
    /// [`Armed::more`] tell if one came before.
    #[inline(always)]
    pub(super) fn enable_cb_prepare(&mut self) -> Armed {
        self.cb_disabled = false;
        Armed {
            vq: self.vq,
            // SAFETY: By the type invariants the queue is valid and ours.
            state: unsafe { bindings::virtqueue_enable_cb_prepare(self.as_raw()) },
        }
    }

    /// Returns whether a buffer was used since `armed`, for which no interrupt may come.
    #[inline(always)]
    pub(super) fn was_used_since(&self, armed: Armed) -> bool {
        // SAFETY: By the type invariants the queue is valid, and whatever the number is this only
        // compares it.
        unsafe { bindings::virtqueue_poll(self.as_raw(), armed.state) }
    }

    /// Sets the number of free descriptors.
    ///
    /// Of a split ring the core learns how many a buffer gives back from flags that the device can write
    /// to, and it has a `BUG_ON` that all are free when the last buffer was taken out of a ring. So nobody
    /// gets there with another number; the ring is made anew, or goes, right after that.
    ///
    /// # Safety
    ///
    /// `vq` is valid, the caller's, and reset; or the caller puts the number back.
    unsafe fn set_num_free(vq: *mut bindings::virtqueue, n: u32) {
        // SAFETY: By this function's contract.
        unsafe { (*vq).num_free = n };
    }

    /// Takes the buffers out of a queue whose device was reset, one by one; of any other it takes none.
    pub(super) fn detach_reset(&mut self, each: impl FnMut(T)) {
        if self.set.is_reset() {
            self.detach_all(each);
        }
    }

    /// Takes the buffers out of a ring that the device doesn't use any more, and which isn't used again.
    fn detach_all(&mut self, mut each: impl FnMut(T)) {
        let (vq, size) = (self.as_raw(), self.size);
        let mut free = self.num_free();
        loop {
            // SAFETY: By the type invariants the queue is valid and ours; the device doesn't use it
            // (reset).
            let p = unsafe {
                Self::set_num_free(vq, size);
                bindings::virtqueue_detach_unused_buf(vq)
            };
            let Some(p) = NonNull::new(p) else { break };
            free = free.wrapping_add(self.num_free().wrapping_sub(size));
            // SAFETY: Each pointer comes back once.
            each(unsafe { T::from_raw(p) });
        }
        if free != size {
            self.lost_count();
        }
    }

    /// Reports that the ring has lost count of its descriptors, which only the device can have
    /// done.
    #[cold]
    fn lost_count(&self) {
        // SAFETY: By the type invariants the queue is valid; the field is constant.
        let index = unsafe { (*self.as_raw()).index };
        dev_warn!(
            self.set.device().dev(),
            "virtqueue {index} has lost count of its descriptors: the device changed their flags\n"
        );
    }

    /// Resets this queue alone (`VIRTIO_F_RING_RESET`), which drops all its buffers, and makes it
    /// usable again, empty.
    ///
    /// Context: process; the caller keeps every other user away.
    ///
    /// # Errors
    ///
    /// Returns `ENOENT` if the feature wasn't negotiated, `EIO` if the device was reset, or the
    /// transport's error.
    pub(crate) fn reset(&mut self) -> Result {
        if self.set.is_reset() {
            // The core would enable the queue again.
            return Err(EIO);
        }
        self.cb_disabled = false;
        let free = self.expect_all_free();
        // SAFETY: By the type invariants the queue is valid and ours.
        let err = unsafe { bindings::virtqueue_reset(self.as_raw(), Some(recycle::<T>), None) };
        self.all_were_free(free, err);
        kernel::error::to_result(err)
    }

    /// Gives the queue a ring of `size` descriptors, empty, and drops its buffers.
    ///
    /// Context: process; the caller keeps every other user away.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM` if the ring is empty but as large as before, and `EBUSY` if the queue may
    /// be dead. After `ENOENT`, `E2BIG`, `EINVAL`, `EPERM`, and `EIO` as for [`Virtqueue::reset`],
    /// nothing was done.
    pub(crate) fn resize(&mut self, size: u32) -> Result {
        if self.set.is_reset() {
            return Err(EIO);
        }
        self.cb_disabled = false;
        if size == self.size {
            // The core would do nothing at all.
            return Ok(());
        }
        let free = self.expect_all_free();
        // SAFETY: By the type invariants the queue is valid and ours.
        let err = unsafe {
            let err = bindings::virtqueue_resize(self.as_raw(), size, Some(recycle::<T>), None);
            // INVARIANT: Whatever came of it, this is the size now.
            self.size = bindings::virtqueue_get_vring_size(self.as_raw());
            err
        };
        self.all_were_free(free, err);
        kernel::error::to_result(err)
    }

    /// Prepares for the core to take the buffers out of a ring, and returns the number of free
    /// descriptors that there was.
    ///
    /// The ring may have no buffer, so that nobody sets the number when the last one is out.
    fn expect_all_free(&mut self) -> u32 {
        let free = self.num_free();
        // SAFETY: By the type invariants the queue is valid and ours; `all_were_free` puts it back
        // unless the ring is made anew.
        unsafe { Self::set_num_free(self.as_raw(), self.size) };
        free
    }

    /// Takes note of what the core made of the ring, to which it did nothing with any error but
    /// these two.
    fn all_were_free(&mut self, free: u32, err: core::ffi::c_int) {
        let anew = [0, EBUSY.to_errno(), ENOMEM.to_errno()].contains(&err);
        if anew {
            self.tag = 0;
        } else {
            // SAFETY: By the type invariants the queue is valid and ours, and this is its number.
            unsafe { Self::set_num_free(self.as_raw(), free) };
        }
    }
}

/// # Safety
///
/// Called by the virtio core with a queue that is reset and a buffer of it.
unsafe extern "C" fn recycle<T: VqBuffer>(vq: *mut bindings::virtqueue, buf: *mut c_void) {
    if let Some(p) = NonNull::new(buf) {
        // SAFETY: The queue is reset; each pointer comes once.
        unsafe { T::from_raw(p) }.give_up();
    }
    // The next look is for the last buffer perhaps.
    // SAFETY: By this function's contract the queue is valid and reset; its owner calls this.
    unsafe { Virtqueue::<T>::set_num_free(vq, bindings::virtqueue_get_vring_size(vq)) };
}

impl<T: VqBuffer> Drop for Virtqueue<T> {
    fn drop(&mut self) {
        if self.set.is_reset() {
            self.detach_all(drop);
        } else if !self.is_idle() {
            // A queue dropped with a live device keeps its buffers: leaked memory is bad, memory
            // that the device still writes to is worse.
            // SAFETY: By the type invariants the queue is valid; the text ends with a zero.
            unsafe {
                bindings::warn(
                    c"a virtqueue is dropped while the device has buffers".as_char_ptr(),
                );
                bindings::__virtqueue_break(self.as_raw());
            }
        }
    }
}

/// A queue whose interrupt was asked for, and what the ring looked like then.
#[derive(Clone, Copy)]
pub(super) struct Armed {
    vq: NonNull<bindings::virtqueue>,
    state: u32,
}

impl Armed {
    /// Returns whether a buffer was used since, for which no interrupt may come.
    ///
    /// # Safety
    ///
    /// This is the read-side section of RCU, a softirq say, in which the queue was armed: its set goes only after
    /// that. And nobody resizes the queue meanwhile, which takes somebody who owns it and may sleep: of a queue
    /// that NAPI owns, not before all polls are over. It need not be the caller's any more: this only reads,
    /// and if somebody has used it since, what it says costs a poll at most.
    #[inline(always)]
    pub(super) unsafe fn more(self) -> bool {
        // SAFETY: By this function's contract.
        unsafe { bindings::virtqueue_poll(self.vq.as_ptr(), self.state) }
    }
}
