// SPDX-License-Identifier: GPL-2.0

//! Features, config space and status of a `struct virtio_device`.
//!
//! C headers: [`include/linux/virtio.h`](srctree/include/linux/virtio.h),
//! [`include/linux/virtio_config.h`](srctree/include/linux/virtio_config.h)
//!
//! Context: process.

use crate::{
    bindings,
    pure::features::Features, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    device::{
        self,
        DeviceContext, //
    },
    prelude::*,
    sync::aref::AlwaysRefCounted,
    types::Opaque, //
};

/// A virtio device.
///
/// `Ctx` is what is known of it, as for [`kernel::pci::Device`]: in a callback of the bus
/// ([`device::Core`]) it may be set up, while it is bound ([`device::Bound`],
/// [`super::bound::BoundRef`]) it may be used, anywhere else (the default) it is one that exists.
///
/// # Invariants
///
/// Wraps a valid `struct virtio_device`; the bus keeps it alive while a `&Device` exists, as
/// references are made in bus callbacks or reached through objects that hold a reference count.
#[repr(transparent)]
pub(crate) struct Device<Ctx: DeviceContext = device::Normal>(
    Opaque<bindings::virtio_device>,
    PhantomData<Ctx>,
);

// SAFETY: The methods call functions that may be called from any thread (config accesses are
// serialised by the transport).
unsafe impl<Ctx: DeviceContext> Send for Device<Ctx> {}
// SAFETY: As above.
unsafe impl<Ctx: DeviceContext> Sync for Device<Ctx> {}

// SAFETY: A transparent wrapper of a type that doesn't depend on the context.
kernel::impl_device_context_deref!(unsafe { Device });
kernel::impl_device_context_into_aref!(Device);

// SAFETY: A device is counted from its registration on.
unsafe impl AlwaysRefCounted for Device {
    fn inc_ref(&self) {
        // SAFETY: By the type invariants the device is valid.
        unsafe { bindings::get_device(self.dev_raw()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: By this function's contract there is a reference to give up.
        unsafe { bindings::put_device(obj.as_ref().dev_raw()) };
    }
}

impl<Ctx: DeviceContext> Device<Ctx> {
    /// # Safety
    ///
    /// `vdev` is valid for `'a`, and `Ctx` is true of it.
    pub(super) unsafe fn from_raw<'a>(vdev: *mut bindings::virtio_device) -> &'a Self {
        // SAFETY: By this function's contract; the layout is the same.
        unsafe { &*vdev.cast() }
    }

    /// Returns the C object.
    pub(super) fn as_raw(&self) -> *mut bindings::virtio_device {
        self.0.get()
    }
}

impl Device<device::Core<'_>> {
    /// Replaces the features that are about to be negotiated, in `validate` only.
    ///
    /// The virtio core writes a changed set to the device again.
    pub(super) fn set_features(&self, f: Features) {
        let (lo, hi) = f.words();
        // SAFETY: By the type invariants the device is valid. Only a bus callback writes the array,
        // one at a time; who reads it meanwhile (`features`, sysfs) sees one word or the other.
        unsafe {
            let words = &raw mut (*self.as_raw()).__bindgen_anon_1.features_array;
            words.cast::<u64>().write_volatile(lo);
            words.cast::<u64>().add(1).write_volatile(hi);
        }
    }

    /// Chooses the features that are negotiated when the device is set up after this callback has
    /// reset it.
    ///
    /// Those that are not about its type (specification 2.2) stay as they are.
    ///
    /// # Errors
    ///
    /// Returns `EBUSY` if there are virtqueues, which were made for the present ones.
    pub(crate) fn renegotiate(&self, f: Features) -> Result {
        if self.has_virtqueues() {
            return Err(EBUSY);
        }
        self.set_features(self.features().with_type_of(f));
        Ok(())
    }

    /// Sets DRIVER_OK, from where on the device may use the queues (specification 3.1.1).
    pub(crate) fn ready(&self) {
        // SAFETY: By the type invariants the device is valid; virtqueues were found by the caller.
        unsafe { bindings::virtio_device_ready(self.as_raw()) };
    }

    /// Returns whether virtqueues were found, and not deleted since.
    ///
    /// Context: process, in a callback of the bus.
    pub(super) fn has_virtqueues(&self) -> bool {
        // SAFETY: By the type invariants the device is valid. The list changes as virtqueues are
        // found and deleted, neither of which happens beside a callback that finds some; its head
        // is compared with its own address.
        unsafe {
            let head = &raw mut (*self.as_raw()).vqs;
            (*head).next != head
        }
    }

    /// Lets config change notifications through.
    ///
    /// A driver that had the device before may have held them back, and the virtio core doesn't
    /// undo that when it leaves.
    pub(crate) fn config_enable(&self) {
        // SAFETY: By the type invariants the device is valid.
        unsafe { bindings::virtio_config_driver_enable(self.as_raw()) };
    }

    /// Returns how many interrupt vectors the device can have, at most `want`, or 0 where the
    /// transport has none to give to single queues.
    ///
    /// The device has no virtqueues meanwhile.
    pub(crate) fn vectors(&self, want: u32) -> u32 {
        // SAFETY: The parent lives as long as the device; the helper checks its bus, and leaves the
        // vectors alone if there are any.
        unsafe { bindings::pci_vectors(self.parent(), want) }
    }
}

impl<Ctx: device::DeviceContext> Device<Ctx> {
    /// Returns whether the device has functions of its own to map memory by, instead of the DMA API
    /// (virtio-vdpa with VDUSE).
    ///
    /// Context: any.
    pub(crate) fn maps_by_itself(&self) -> bool {
        // SAFETY: By the type invariants the device is valid; the field is set before it is
        // registered.
        unsafe { !(*self.as_raw()).map.is_null() }
    }
}

impl Device<device::Bound> {
    /// Returns the transport's device, for which the virtio core maps memory as a rule, if it does
    /// ([`super::Virtqueue::dma_dev`] tells).
    pub(crate) fn transport(&self) -> Option<&device::Device<device::Bound>> {
        let parent = self.parent();
        // SAFETY: The parent lives as long as the device, which its driver has registered: both are bound for as long as this reference.
        (!parent.is_null()).then(|| unsafe { <device::Device>::from_raw(parent.cast()).as_bound() })
    }
}

impl Device {
    /// Returns the generic device, for messages (`dev_err!` and so on).
    ///
    /// Context: any.
    pub(crate) fn dev(&self) -> &device::Device {
        // SAFETY: `dev` is embedded in the valid virtio device; `Device` has its layout.
        unsafe { &*(&raw mut (*self.as_raw()).dev).cast::<device::Device>() }
    }

    /// Returns the device's number on the virtio bus.
    ///
    /// Context: any.
    #[allow(dead_code, reason = "for drivers that name something after it")]
    pub(crate) fn index(&self) -> i32 {
        // SAFETY: A field of a valid device, constant while it is registered.
        unsafe { (*self.as_raw()).index }
    }

    /// Returns the transport's device (PCI function, …), or null.
    pub(super) fn parent(&self) -> *mut bindings::device {
        // SAFETY: A field of a valid device, constant while it is registered.
        unsafe { (*self.as_raw()).dev.parent }
    }

    /// Returns the generic device as C wants it.
    ///
    /// Context: any.
    pub(crate) fn dev_raw(&self) -> *mut bindings::device {
        // SAFETY: Only an address is computed.
        unsafe { &raw mut (*self.as_raw()).dev }
    }

    /// Returns the features in force: offered by both sides while `validate` runs, negotiated
    /// afterwards.
    ///
    /// Context: any.
    pub(crate) fn features(&self) -> Features {
        // SAFETY: The array is written by the virtio core before the driver is called, and by
        // `set_features` word by word.
        let words: [u64; 2] = unsafe {
            let words = &raw const (*self.as_raw()).__bindgen_anon_1.features_array;
            [
                words.cast::<u64>().read_volatile(),
                words.cast::<u64>().add(1).read_volatile(),
            ]
        };
        Features::from_words(words[0], words[1])
    }

    /// Returns whether [`super::driver::Driver::probe`] is over, so that the bus's other callbacks
    /// find their data.
    ///
    /// Context: any.
    pub(crate) fn is_bound(&self) -> bool {
        // SAFETY: By the type invariants the device is valid; reads a pointer.
        !unsafe { bindings::dev_get_drvdata(self.dev_raw()) }.is_null()
    }
}

impl Device<device::Bound> {
    /// Reads `N` bytes of config space at `offset` as fields of one byte, again until the config
    /// generation holds still.
    pub(crate) fn cread_bytes<const N: usize>(&self, offset: u32) -> [u8; N] {
        let mut buf = [0; N];
        // SAFETY: `buf` has room for `N` fields of one byte.
        unsafe {
            bindings::virtio_cread_many(self.as_raw(), offset, buf.as_mut_ptr().cast(), N, 1)
        };
        buf
    }

    /// Reads one little-endian 16-bit field of config space.
    pub(crate) fn cread16(&self, offset: u32) -> u16 {
        let mut buf = [0; 2];
        // SAFETY: `buf` has room for one field of two bytes.
        unsafe {
            bindings::virtio_cread_many(self.as_raw(), offset, buf.as_mut_ptr().cast(), 1, 2)
        };
        u16::from_le_bytes(buf)
    }

    /// Reads one little-endian 32-bit field of config space.
    pub(crate) fn cread32(&self, offset: u32) -> u32 {
        let mut buf = [0; 4];
        // SAFETY: `buf` has room for one field of four bytes.
        unsafe {
            bindings::virtio_cread_many(self.as_raw(), offset, buf.as_mut_ptr().cast(), 1, 4)
        };
        u32::from_le_bytes(buf)
    }

    /// Writes bytes to config space, one at a time (legacy devices take the MAC address so).
    pub(crate) fn cwrite_bytes(&self, offset: u32, bytes: &[u8]) {
        for (at, b) in (offset..).zip(bytes) {
            // SAFETY: By the type invariants the device is valid.
            unsafe { bindings::virtio_cwrite8(self.as_raw(), at, *b) };
        }
    }

    /// Returns the device's status (specification 2.1).
    fn status(&self) -> u32 {
        // SAFETY: By the type invariants the device is valid; every transport has the function.
        u32::from(unsafe { bindings::virtio_get_status(self.as_raw()) })
    }

    /// Returns whether the device says that it can't go on without a reset (DEVICE_NEEDS_RESET,
    /// specification 2.1.2), or is gone.
    pub(crate) fn is_out_of_order(&self) -> bool {
        self.status() & bindings::VIRTIO_CONFIG_S_NEEDS_RESET != 0
    }

    /// Returns whether the device is gone, so that its registers read as all ones.
    ///
    /// Waiting for it has no end then, which the virtio core does as it resets a device or a queue.
    pub(crate) fn is_gone(&self) -> bool {
        self.status() == 0xff
    }

    /// Returns whether the virtio core is through with setting the device up.
    ///
    /// After the callback that does so it looks at the status once more, and sets DRIVER_OK if that
    /// isn't there: who resets the device before that waits for the end of the reset for ever.
    pub(crate) fn is_set_up(&self) -> bool {
        // SAFETY: By the type invariants the device is valid. The core writes the flag under a
        // lock, as the last thing that it does.
        unsafe { (&raw const (*self.as_raw()).config_core_enabled).read_volatile() }
    }

    /// Takes all virtqueues out of service: nothing is added to them, and the device isn't notified
    /// any more.
    ///
    /// Context: any that may take a lock.
    pub(crate) fn break_queues(&self) {
        // SAFETY: By the type invariants the device is valid; the list of its queues has a lock of
        // its own.
        unsafe { bindings::virtio_break_device(self.as_raw()) };
    }

    /// Returns where the device sits, as its transport names it.
    pub(crate) fn bus_info(&self) -> &[u8] {
        // SAFETY: The transport returns a string that lives as long as its device.
        unsafe { kernel::str::CStr::from_char_ptr(bindings::virtio_bus_name(self.as_raw())) }
            .to_bytes()
    }

    /// Resets the device, which gives up every buffer and never touches memory until it is set up
    /// again.
    pub(crate) fn reset(&self) {
        // SAFETY: By the type invariants the device is valid.
        unsafe { bindings::virtio_reset_device(self.as_raw()) };
    }
}
