// SPDX-License-Identifier: GPL-2.0

//! Files in sysfs, in the directories of receive queues.
//!
//! C headers: [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h),
//! [`include/net/netdev_rx_queue.h`](srctree/include/net/netdev_rx_queue.h)

use crate::bindings;
use core::{
    ffi::CStr,
    marker::PhantomData, //
};

/// What wraps `struct net_device`.
///
/// # Safety
///
/// The type has its layout, and a queue's device is a valid one of this type while the queue has the files of a
/// [`RxQueueGroup`] of it.
pub(crate) unsafe trait Wrapper {}

/// A file with a number, which each receive queue has (`/sys/class/net/IF/queues/rx-N/DIRECTORY/NAME`).
pub(crate) trait RxQueueFile<D> {
    /// The directory that the file is in.
    const DIRECTORY: &'static CStr;
    /// The name of the file.
    const NAME: &'static CStr;

    /// Returns the number for queue `index`.
    ///
    /// Context: process, no lock held.
    fn show(dev: &D, index: u16) -> u32;
}

/// A directory with one [`RxQueueFile`].
///
/// # Invariants
///
/// The functions of the group's files are for queues of devices of type `D`.
pub(crate) struct RxQueueGroup<D>(&'static bindings::attribute_group, PhantomData<fn(&D)>);

impl<D: Wrapper> RxQueueGroup<D> {
    /// Makes the directory of `F`.
    ///
    /// Context: any.
    pub(crate) const fn of<F: RxQueueFile<D>>() -> Self {
        // INVARIANT: The file's function is `Table::<D, F>::show`.
        Self(const { &Table::<D, F>::GROUP }, PhantomData)
    }

    /// Returns the C object.
    pub(super) fn as_raw(&self) -> *const bindings::attribute_group {
        self.0
    }
}

/// Describes a file in sysfs that everybody may read.
const fn readable(name: &'static CStr) -> bindings::attribute {
    // A kernel with lockdep has more fields.
    let mut attr: bindings::attribute = pin_init::zeroed();
    attr.name = name.to_bytes_with_nul().as_ptr().cast();
    attr.mode = 0o444;
    attr
}

struct Table<D, F>(PhantomData<(D, F)>);

impl<D: Wrapper, F: RxQueueFile<D>> Table<D, F> {
    const FILE: &'static bindings::rx_queue_attribute = &bindings::rx_queue_attribute {
        attr: readable(F::NAME),
        show: Some(Self::show),
        store: None,
    };

    // The attribute is the first field. sysfs doesn't write to what it gets.
    const FILES: &'static [*mut bindings::attribute; 2] = &[
        core::ptr::from_ref(Self::FILE)
            .cast::<bindings::attribute>()
            .cast_mut(),
        core::ptr::null_mut(),
    ];

    const GROUP: bindings::attribute_group = bindings::attribute_group {
        name: F::DIRECTORY.to_bytes_with_nul().as_ptr().cast(),
        __bindgen_anon_2: bindings::attribute_group__bindgen_ty_2 {
            attrs: core::ptr::from_ref(Self::FILES).cast_mut().cast(),
        },
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by sysfs for a receive queue of a device of type `D`.
    unsafe extern "C" fn show(
        queue: *mut bindings::netdev_rx_queue,
        buf: *mut kernel::ffi::c_char,
    ) -> isize {
        // CAST: `D` has the layout of `struct net_device`.
        // SAFETY: By this function's contract the queue is valid; its directory goes, which waits for
        // readers, before the device does.
        let (dev, index) = unsafe {
            (
                &*(*queue).dev.cast::<D>(),
                bindings::netdev_rx_queue_index(queue),
            )
        };
        let n = u16::try_from(index).map_or(0, |i| F::show(dev, i));
        // SAFETY: sysfs gives a page.
        unsafe { bindings::sysfs_emit_u32(buf, n) }
    }
}
