// SPDX-License-Identifier: GPL-2.0

//! Drivers of virtio devices: `struct virtio_driver` over a trait.
//!
//! A virtio driver's data must be gone when its `remove` returns (the virtio core then checks that
//! the device was reset), which is before `driver::Registration` would drop it. So the adapter
//! takes the data back and drops it itself.
//!
//! C header: [`include/linux/virtio.h`](srctree/include/linux/virtio.h)

use super::{
    bound::State,
    id_table::IdTable,
    irq::{
        self,
        VqCallback, //
    },
    Device, //
};
use crate::{
    bindings,
    pure::features::Features, //
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
    build_error,
    device::Core,
    driver,
    error::{
        from_result,
        VTABLE_DEFAULT_ERROR, //
    },
    prelude::*,
    types::{
        ForeignOwnable,
        Opaque, //
    },
    ThisModule, //
};

/// A virtio driver: the devices that it is for, and the callbacks of the bus.
///
/// [`Driver::probe`] is required.
///
/// Context: process, unless a callback says otherwise.
///
/// # Examples
///
/// `samples/virtio_rng.rs` is a driver of a device with one queue.
///
/// # Errors
///
/// Errors go to the virtio core, which reports them.
#[vtable]
pub(crate) trait Driver: Sized + 'static {
    /// What the driver keeps for each device that it is bound to.
    type Data: Send + Sync;

    /// Table of the device ids.
    const IDS: &'static IdTable;
    /// Feature bits that the driver knows.
    const FEATURES: &'static [u32] = &[];
    /// Feature bits that the driver knows of a device without VERSION_1.
    const FEATURES_LEGACY: &'static [u32] = Self::FEATURES;

    /// Takes a look at the device before anything is negotiated, and returns the features to use,
    /// out of those that both sides know.
    fn validate(_dev: &Device<Core<'_>>, _offered: Features) -> Result<Features> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sets the device up.
    ///
    /// A driver that doesn't call [`Device::ready`] has that done afterwards.
    fn probe(dev: &Device<Core<'_>>) -> impl PinInit<Self::Data, Error>;

    /// Begins to use the device, which is ready, and whose interrupts find the data.
    fn scan(_dev: &Device<Core<'_>>, _data: Pin<&Self::Data>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Ends what calls into the driver by itself, or looks for its data, which is dropped after
    /// this.
    fn unbind(_dev: &Device<Core<'_>>, _data: Pin<&Self::Data>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Quiets the device for good, because the machine ends or makes place for another kernel.
    ///
    /// Nothing may bring the device back to life when it is reset after this. Nothing that waits
    /// for a lock of others, or for an answer of the device, may hold that up.
    fn shutdown(_dev: &Device<Core<'_>>, _data: Pin<&Self::Data>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Lets go of the device because the system is suspended: when this returns the device is reset
    /// and no virtqueue is left.
    fn freeze(_dev: &Device<Core<'_>>, _data: Pin<&Self::Data>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Undoes a [`Driver::freeze`].
    fn restore(_dev: &Device<Core<'_>>, _data: Pin<&Self::Data>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Lets go of the device, as for [`Driver::freeze`], because the transport resets it, or the
    /// driver does ([`super::bound::BoundRef::reset_and_restore`]).
    fn reset_prepare(_dev: &Device<Core<'_>>, _data: Pin<&Self::Data>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Undoes a [`Driver::reset_prepare`].
    fn reset_done(_dev: &Device<Core<'_>>, _data: Pin<&Self::Data>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Handles a change of the device's configuration, but not during [`Driver::probe`].
    ///
    /// Context: hard interrupt.
    fn config_changed(_data: Pin<&Self::Data>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Handles the interrupt of a virtqueue, from the end of [`Driver::probe`] on.
    ///
    /// Context: hard interrupt.
    fn vq_callback(_data: Pin<&Self::Data>, _vq: VqCallback<'_>) {}
}

/// The adapter between the bus and a [`Driver`].
pub(crate) struct Adapter<D: Driver>(PhantomData<D>);

/// A registered driver, which is unbound from all devices when this is dropped.
pub(crate) type Registration<D> = driver::Registration<Adapter<D>>;

// SAFETY: `virtio_driver` is `repr(C)` and embeds its `device_driver` at that offset; the data is
// of that type.
unsafe impl<D: Driver> driver::DriverLayout for Adapter<D> {
    type DriverType = bindings::virtio_driver;
    type DriverData<'bound> = D::Data;
    const DEVICE_DRIVER_OFFSET: usize = core::mem::offset_of!(bindings::virtio_driver, driver);
}

/// Makes an entry of the table, if the driver has the callback.
macro_rules! callback {
    ($has:ident, $name:ident) => {
        if D::$has {
            Some(Self::$name)
        } else {
            None
        }
    };
}

// SAFETY: `unregister` undoes `register`.
unsafe impl<D: Driver> driver::RegistrationOps for Adapter<D> {
    unsafe fn register(
        drv: &Opaque<Self::DriverType>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        // SAFETY: Not registered yet, nobody else looks at it.
        unsafe {
            let d = drv.get();
            (*d).driver.name = name.as_char_ptr();
            (*d).id_table = D::IDS.as_ptr();
            (*d).feature_table = D::FEATURES.as_ptr();
            (*d).feature_table_size = u32::try_from(D::FEATURES.len())?;
            (*d).feature_table_legacy = D::FEATURES_LEGACY.as_ptr();
            (*d).feature_table_size_legacy = u32::try_from(D::FEATURES_LEGACY.len())?;
            (*d).validate = Some(Self::validate);
            (*d).probe = Some(Self::probe);
            (*d).remove = Some(Self::remove);
            (*d).shutdown = Some(Self::shutdown);
            (*d).scan = callback!(HAS_SCAN, scan);
            (*d).config_changed = callback!(HAS_CONFIG_CHANGED, config_changed);
            (*d).freeze = callback!(HAS_FREEZE, freeze);
            (*d).restore = callback!(HAS_RESTORE, restore);
            (*d).reset_prepare = callback!(HAS_RESET_PREPARE, reset_prepare);
            (*d).reset_done = callback!(HAS_RESET_DONE, reset_done);
        }
        // SAFETY: The caller keeps it pinned until `unregister`.
        kernel::error::to_result(unsafe {
            bindings::__register_virtio_driver(drv.get(), module.as_ptr().cast())
        })
    }

    unsafe fn unregister(drv: &Opaque<Self::DriverType>) {
        // SAFETY: Registered by `register`.
        unsafe { bindings::unregister_virtio_driver(drv.get()) };
    }
}

impl<D: Driver> Adapter<D> {
    /// Returns the data of a bound device.
    ///
    /// # Safety
    ///
    /// `vdev` is valid, and bound to this driver or being probed; `remove` doesn't drop the data meanwhile.
    unsafe fn data<'a>(vdev: *mut bindings::virtio_device) -> Option<Pin<&'a D::Data>> {
        // SAFETY: By this function's contract; `probe` stored a pinned box of this type, or there is
        // none.
        unsafe {
            bindings::dev_get_drvdata(&raw mut (*vdev).dev)
                .cast::<D::Data>()
                .as_ref()
                .map(|data| Pin::new_unchecked(data))
        }
    }

    /// Calls a callback that reports an error, or returns `ENODEV` without data.
    ///
    /// # Safety
    ///
    /// As for `data`, in a callback of the bus.
    unsafe fn with_data(
        vdev: *mut bindings::virtio_device,
        f: impl FnOnce(&Device<Core<'_>>, Pin<&D::Data>) -> Result,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By this function's contract.
            let (dev, data) = unsafe { (Device::from_raw(vdev), Self::data(vdev)) };
            f(dev, data.ok_or(ENODEV)?)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the virtio core as the callback `validate`, with a device of this driver.
    unsafe extern "C" fn validate(vdev: *mut bindings::virtio_device) -> c_int {
        from_result(|| {
            if !D::HAS_VALIDATE {
                return Ok(0);
            }
            // SAFETY: Called by the bus with a valid device, which nobody drives yet. The driver keeps nothing of it, or
            // has a reference.
            unsafe {
                State::begin(vdev)?;
                let dev: &Device<Core<'_>> = Device::from_raw(vdev);
                let accepted = D::validate(dev, dev.features());
                State::end(vdev);
                let accepted = accepted?;
                if accepted != dev.features() {
                    dev.set_features(accepted);
                }
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the virtio core as the callback `probe`, with a device of this driver.
    unsafe extern "C" fn probe(vdev: *mut bindings::virtio_device) -> c_int {
        from_result(|| {
            // SAFETY: Called by the bus with a valid device that nobody drives yet.
            unsafe { State::begin(vdev) }?;
            // SAFETY: As above.
            unsafe { Self::set_up(vdev) }.inspect_err(|_| {
                // SAFETY: It has a state, and what `D::probe` made is gone, or has references.
                unsafe { State::end(vdev) }
            })?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// The device is valid and being probed.
    unsafe fn set_up(vdev: *mut bindings::virtio_device) -> Result {
        // SAFETY: By this function's contract.
        let dev: &Device<Core<'_>> = unsafe { Device::from_raw(vdev) };
        let data = KBox::pin_init(D::probe(dev), GFP_KERNEL)?.into_foreign();
        // SAFETY: The data stays until `remove`, which clears this before. A pointer of a box isn't null. The device is
        // this function's.
        let set = unsafe { irq::set(dev, Self::irq, NonNull::new_unchecked(data)) };
        // The driver's data is a binding, whose interrupts go to the net device, if they go elsewhere.
        let _ = set;
        // SAFETY: The slot is the driver's; the data is taken back in `remove`.
        unsafe { bindings::dev_set_drvdata(dev.dev_raw(), data) };
        Ok(())
    }

    /// # Safety
    ///
    /// Called from an interrupt of the device with the pointer to a pinned `D::Data`, which stays meanwhile.
    unsafe fn irq(data: NonNull<c_void>, vq: VqCallback<'_>) {
        // SAFETY: By this function's contract.
        let data = unsafe { Pin::new_unchecked(data.cast::<D::Data>().as_ref()) };
        D::vq_callback(data, vq);
    }

    /// # Safety
    ///
    /// Called by the virtio core as the callback `scan`, with a device of this driver.
    unsafe extern "C" fn scan(vdev: *mut bindings::virtio_device) {
        // SAFETY: Called by the bus with a bound device.
        let (dev, data) = unsafe { (Device::from_raw(vdev), Self::data(vdev)) };
        if let Some(data) = data {
            D::scan(dev, data);
        }
    }

    /// # Safety
    ///
    /// Called by the virtio core as the callback `remove`, with a device of this driver.
    unsafe extern "C" fn remove(vdev: *mut bindings::virtio_device) {
        // SAFETY: Called by the bus with a bound device: `probe` stored a box of this type. Who resets the device gets
        // at the data through the slot, and is waited for before it is emptied; it is emptied, so that
        // `post_unbind_rust` finds nothing. The device is reset and its interrupts lead nowhere when the box goes. It
        // stays bound until nobody has a reference any more.
        unsafe {
            let dev: &Device<Core<'_>> = Device::from_raw(vdev);
            if let (true, Some(data)) = (D::HAS_UNBIND, Self::data(vdev)) {
                D::unbind(dev, data);
            }
            State::of(dev).end_resets();
            // The core has done so before it called this, but who was waited for may have undone that.
            bindings::virtio_config_driver_disable(vdev);
            let data = bindings::dev_get_drvdata(dev.dev_raw());
            bindings::dev_set_drvdata(dev.dev_raw(), core::ptr::null_mut());
            if let Some(data) = NonNull::new(data) {
                if irq::target(dev) == Some(data) {
                    dev.reset();
                    irq::clear(dev);
                }
                drop(Pin::<KBox<D::Data>>::from_foreign(data.as_ptr()));
            }
            State::end(vdev);
            // As the bus has left it to this driver.
            bindings::virtio_config_driver_enable(vdev);
        }
    }

    /// # Safety
    ///
    /// Called by the virtio core as the callback `shutdown`, with a device of this driver.
    unsafe extern "C" fn shutdown(vdev: *mut bindings::virtio_device) {
        // SAFETY: Called by the bus with a bound device, whose lock it holds.
        unsafe {
            if let (true, Some(data)) = (D::HAS_SHUTDOWN, Self::data(vdev)) {
                D::shutdown(Device::from_raw(vdev), data);
            }
            bindings::virtio_device_shutdown(vdev);
        }
    }

    /// # Safety
    ///
    /// Called by the virtio core as the callback `config_changed`, with a device of this driver.
    unsafe extern "C" fn config_changed(vdev: *mut bindings::virtio_device) {
        // SAFETY: The virtio core calls this with the lock held that `virtio_config_driver_disable` takes, and not after that, by which
        // `remove` keeps the data until this is over. Before `probe` has stored it, and from where on `remove` lets calls
        // through again, there is none.
        if let Some(data) = unsafe { Self::data(vdev) } {
            D::config_changed(data);
        }
    }

    /// # Safety
    ///
    /// Called by the virtio core as the callback `freeze`, with a device of this driver.
    unsafe extern "C" fn freeze(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: Called by the bus for a bound device.
        unsafe { Self::with_data(vdev, |dev, data| D::freeze(dev, data)) }
    }

    /// # Safety
    ///
    /// Called by the virtio core as the callback `restore`, with a device of this driver.
    unsafe extern "C" fn restore(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: As for `freeze`.
        unsafe { Self::with_data(vdev, |dev, data| D::restore(dev, data)) }
    }

    /// # Safety
    ///
    /// Called by the virtio core as the callback `reset_prepare`, with a device of this driver.
    unsafe extern "C" fn reset_prepare(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: Called for a bound device by the bus, or by who resets the device, which `unbind` waits
        // for.
        unsafe { Self::with_data(vdev, |dev, data| D::reset_prepare(dev, data)) }
    }

    /// # Safety
    ///
    /// Called by the virtio core as the callback `reset_done`, with a device of this driver.
    unsafe extern "C" fn reset_done(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: As for `reset_prepare`.
        unsafe { Self::with_data(vdev, |dev, data| D::reset_done(dev, data)) }
    }
}
