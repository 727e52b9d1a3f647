// SPDX-License-Identifier: GPL-2.0

//! The bus adapter: `struct virtio_driver` over a trait, and the binding of a virtio device to a
//! net device.
//!
//! A virtio driver's data must be gone when its `remove` returns (the virtio core then checks that
//! the device was reset), which is before `driver::Registration` would drop it. So the adapter
//! takes the data back and drops it itself.

use super::{
    id_table::IdTable,
    virtqueue::VqCallback,
    Device, //
};
use crate::{
    bindings,
    net::{
        device::{
            Registration,
            UnregisteredNetDevice, //
        },
        queue::PairInit,
        Driver as NetDriver,
        NetDevice,
        Rtnl, //
    },
    pure::features::Features, //
};
use core::{
    ffi::c_int,
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    driver,
    error::from_result,
    prelude::*,
    types::{
        ForeignOwnable,
        Opaque, //
    },
    ThisModule, //
};

/// Why a device is frozen and restored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The system sleeps.
    Suspend,
    /// The driver's own reset work resets the device.
    OwnReset,
    /// The transport resets the device (PCI function level reset and the like).
    TransportReset,
}

/// A driver for virtio network devices.
pub(crate) trait Driver: Send + Sync + Sized + 'static {
    /// The net device's side.
    type Net: NetDriver;

    /// Feature bits that the driver knows.
    const FEATURES: &'static [u32];
    /// Feature bits that the driver knows of a device without VERSION_1.
    const FEATURES_LEGACY: &'static [u32];
    /// Device ids.
    const IDS: &'static IdTable;

    /// Takes a look at the device before anything is negotiated: returns the features to use.
    /// Bus callback.
    fn validate(dev: &Device, offered: Features) -> Result<Features>;

    /// Sets the device up. Bus callback.
    fn probe(dev: &Device) -> Result<Binding<Self>>;

    /// Prepares for power-off of the device: when this returns the device is reset and no
    /// virtqueue is left. Bus callback.
    fn freeze(net: &NetDevice<Self::Net>, cause: Cause) -> Result;

    /// Sets everything up as it was. Bus callback.
    fn restore(dev: &Device, net: &NetDevice<Self::Net>, cause: Cause) -> Result;

    /// Interrupt of a virtqueue. Hard interrupt context.
    fn vq_callback(net: &NetDevice<Self::Net>, vq: VqCallback<'_>);

    /// The machine ends: nothing may bring the device back to life from here on. What is at the device may be waited for,
    /// while `hurry`, called again and again, makes that short; locks of others may not. Bus callback.
    fn shutdown(net: &NetDevice<Self::Net>, hurry: &dyn Fn());

    /// Whether the caller is called by what resets the device on the driver's own behalf.
    fn is_own_reset(net: &NetDevice<Self::Net>) -> bool;

    /// The device's configuration changed. Hard interrupt context.
    fn config_changed(net: &NetDevice<Self::Net>);
}

/// `find_vqs` needs one C function for all interrupts, whatever the driver: it goes through this
/// pointer, kept beside the net device in `vdev->priv`.
struct IrqTarget {
    net: *mut bindings::net_device,
    call: unsafe fn(*mut bindings::net_device, VqCallback<'_>),
}

/// The callback of every virtqueue.
///
/// # Safety
///
/// Called by the virtio core for a queue of a device whose `priv` is null or an [`IrqTarget`].
pub(super) unsafe extern "C" fn vq_callback(vq: *mut bindings::virtqueue) {
    // SAFETY: `priv` is null or valid: it is cleared, and running callbacks are waited for,
    // before the target goes (`Binding`'s drop).
    unsafe {
        let vdev = (*vq).vdev;
        let target = (&raw const (*vdev).priv_)
            .read_volatile()
            .cast::<IrqTarget>();
        if let (Some(target), Some(vq)) = (target.as_ref(), NonNull::new(vq)) {
            (target.call)(target.net, VqCallback::new(vq));
        }
    }
}

/// A net device while it isn't registered, or the registration.
enum State<T: NetDriver> {
    Unregistered(UnregisteredNetDevice<T>),
    Registered(Registration<T>),
    Gone,
}

/// A virtio device bound to a net device.
///
/// # Invariants
///
/// `vdev->priv` points to `target` while the binding exists.
///
/// Drop order: stop works and hotplug; unregister; reset the device, so that no memory is its any
/// more; detach interrupts and wait for running ones; take the net device down (which drops the
/// virtqueues); the target last.
pub(crate) struct Binding<D: Driver> {
    vdev: NonNull<bindings::virtio_device>,
    state: State<D::Net>,
    target: KBox<IrqTarget>,
}

// SAFETY: The pointer is to a device that outlives the binding; the rest is `Send`.
unsafe impl<D: Driver> Send for Binding<D> {}
// SAFETY: Only methods with `&mut self` or that are thread-safe.
unsafe impl<D: Driver> Sync for Binding<D> {}

impl<D: Driver> Binding<D> {
    /// Allocates a net device for `dev` with `pairs` queue pairs.
    pub(crate) fn new(
        dev: &Device,
        pairs: u16,
        setup: &crate::net::device::Setup<D::Net>,
        deferred: impl PinInit<<D::Net as NetDriver>::Deferred, Error>,
        data: impl PinInit<D::Net, Error>,
        pair_init: impl FnMut(u16) -> Result<PairInit<D::Net>>,
    ) -> Result<Self> {
        let net =
            UnregisteredNetDevice::new(Some(dev.dev()), pairs, setup, deferred, data, pair_init)?;
        crate::sync::fail::point()?;
        let target = KBox::new(
            IrqTarget {
                net: net.as_raw(),
                call: Self::irq,
            },
            GFP_KERNEL,
        )?;
        // SAFETY: The field is the driver's; no queue exists yet.
        unsafe {
            (*dev.as_raw()).priv_ = core::ptr::from_ref(&*target).cast_mut().cast();
            // INVARIANT: Set above.
            Ok(Self {
                vdev: NonNull::new_unchecked(dev.as_raw()),
                state: State::Unregistered(net),
                target,
            })
        }
    }

    /// # Safety
    ///
    /// Called from an interrupt of the device, before the net device is taken down.
    unsafe fn irq(net: *mut bindings::net_device, vq: VqCallback<'_>) {
        // SAFETY: By this function's contract.
        D::vq_callback(unsafe { NetDevice::from_raw(net) }, vq);
    }

    /// The net device.
    pub(crate) fn net(&self) -> Result<&NetDevice<D::Net>> {
        match &self.state {
            State::Unregistered(net) => Ok(net),
            State::Registered(reg) => reg.net().ok_or(ENODEV),
            State::Gone => Err(ENODEV),
        }
    }

    /// Registers the net device.
    pub(crate) fn register(&mut self, rtnl: &mut Rtnl) -> Result {
        match core::mem::replace(&mut self.state, State::Gone) {
            State::Unregistered(net) => match net.register(rtnl) {
                Ok(reg) => {
                    self.state = State::Registered(reg);
                    Ok(())
                }
                Err((net, e)) => {
                    self.state = State::Unregistered(net);
                    Err(e)
                }
            },
            other => {
                self.state = other;
                Err(EBUSY)
            }
        }
    }
}

impl<D: Driver> Drop for Binding<D> {
    fn drop(&mut self) {
        // First, through a shared reference: the reset work reads `state` too.
        if let Ok(net) = self.net() {
            net.quiesce();
        }
        let net = match core::mem::replace(&mut self.state, State::Gone) {
            State::Registered(reg) => reg.unregister(),
            State::Unregistered(net) => Some(net),
            State::Gone => None,
        };
        // SAFETY: The device outlives the binding.
        let vdev = unsafe { Device::from_raw(self.vdev.as_ptr()) };
        vdev.reset();
        // SAFETY: The field is the driver's. Callbacks that have read it are waited for.
        unsafe {
            (&raw mut (*vdev.as_raw()).priv_).write_volatile(core::ptr::null_mut());
            bindings::virtio_synchronize_cbs(vdev.as_raw());
        }
        drop(net);
        let _ = &self.target;
    }
}

/// The adapter between the bus and a [`Driver`].
pub(crate) struct Adapter<D: Driver>(PhantomData<D>);

// SAFETY: `virtio_driver` is `repr(C)` and embeds its `device_driver` at that offset; the data is
// of that type.
unsafe impl<D: Driver> driver::DriverLayout for Adapter<D> {
    type DriverType = bindings::virtio_driver;
    type DriverData<'bound> = Binding<D>;
    const DEVICE_DRIVER_OFFSET: usize = core::mem::offset_of!(bindings::virtio_driver, driver);
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
            (*d).config_changed = Some(Self::config_changed);
            (*d).freeze = Some(Self::freeze);
            (*d).restore = Some(Self::restore);
            (*d).reset_prepare = Some(Self::reset_prepare);
            (*d).reset_done = Some(Self::reset_done);
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
    /// The binding of a bound device.
    ///
    /// # Safety
    ///
    /// `vdev` is valid, and bound to this driver or being probed; no `remove` runs meanwhile.
    unsafe fn binding<'a>(vdev: *mut bindings::virtio_device) -> Option<&'a Binding<D>> {
        // SAFETY: By this function's contract; `probe` stored a box of this type, or there is
        // none.
        unsafe {
            bindings::dev_get_drvdata(&raw mut (*vdev).dev)
                .cast::<Binding<D>>()
                .as_ref()
        }
    }

    /// Stops what calls into the driver by itself.
    ///
    /// # Safety
    ///
    /// As for `binding`.
    unsafe fn quiesce(vdev: *mut bindings::virtio_device) {
        // SAFETY: By this function's contract.
        if let Some(Ok(net)) = unsafe { Self::binding(vdev) }.map(|b| b.net()) {
            net.quiesce();
        }
    }

    /// # Safety
    ///
    /// Called by the virtio core as the callback `validate`, with a device of this driver.
    unsafe extern "C" fn validate(vdev: *mut bindings::virtio_device) -> c_int {
        from_result(|| {
            // Another driver may have left its own there.
            // SAFETY: Called by the bus with a valid device, which nobody drives yet.
            unsafe { (&raw mut (*vdev).priv_).write_volatile(core::ptr::null_mut()) };
            // SAFETY: As above.
            let dev = unsafe { Device::from_raw(vdev) };
            let accepted = D::validate(dev, dev.features())?;
            if accepted != dev.features() {
                dev.set_features(accepted);
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the virtio core as the callback `probe`, with a device of this driver.
    unsafe extern "C" fn probe(vdev: *mut bindings::virtio_device) -> c_int {
        from_result(|| {
            // SAFETY: Called by the bus with a valid device.
            let dev = unsafe { Device::from_raw(vdev) };
            let binding = KBox::pin(D::probe(dev)?, GFP_KERNEL)?;
            // SAFETY: The data is the driver's, taken back in `remove`.
            unsafe {
                bindings::dev_set_drvdata(dev.dev_raw(), binding.into_foreign().cast());
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the virtio core as the callback `remove`, with a device of this driver.
    unsafe extern "C" fn remove(vdev: *mut bindings::virtio_device) {
        // SAFETY: Called by the bus with a bound device: `probe` stored a box of this type. The
        // works, which get at the data through the slot, are stopped before it is emptied; it is
        // emptied, so that `post_unbind_rust` finds nothing.
        unsafe {
            Self::quiesce(vdev);
            let dev = &raw mut (*vdev).dev;
            let data = bindings::dev_get_drvdata(dev);
            bindings::dev_set_drvdata(dev, core::ptr::null_mut());
            if !data.is_null() {
                drop(Pin::<KBox<Binding<D>>>::from_foreign(data.cast()));
            }
        }
    }

    /// The machine ends or makes place for another kernel: nothing may bring the device back to life, which
    /// the reset work could do after the core has reset it. Nothing that waits for a lock of others, or for an
    /// answer of the device, may hold that up.
    ///
    /// # Safety
    ///
    /// Called by the virtio core as the callback `shutdown`, with a device of this driver.
    unsafe extern "C" fn shutdown(vdev: *mut bindings::virtio_device) {
        // SAFETY: Called by the bus with a bound device, whose lock it holds.
        unsafe {
            let dev = Device::from_raw(vdev);
            // Ends commands that are under way.
            dev.break_queues();
            if let Some(Ok(net)) = Self::binding(vdev).map(|b| b.net()) {
                D::shutdown(net, &|| dev.break_queues());
            }
            bindings::virtio_device_shutdown(vdev);
        }
    }

    /// # Safety
    ///
    /// Called by the virtio core as the callback `config_changed`, with a device of this driver.
    unsafe extern "C" fn config_changed(vdev: *mut bindings::virtio_device) {
        // Not through drvdata: a change may come while `probe` is still running.
        // SAFETY: As in `vq_callback`.
        unsafe {
            let target = (&raw const (*vdev).priv_)
                .read_volatile()
                .cast::<IrqTarget>();
            if let Some(target) = target.as_ref() {
                D::config_changed(NetDevice::from_raw(target.net));
            }
        }
    }

    /// # Safety
    ///
    /// Called by the virtio core as the callback `freeze`, with a device of this driver.
    unsafe extern "C" fn freeze(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: Called by the bus for a bound device.
        unsafe { Self::down(vdev, Cause::Suspend) }
    }

    /// # Safety
    ///
    /// Called by the virtio core as the callback `restore`, with a device of this driver.
    unsafe extern "C" fn restore(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: As for `freeze`.
        unsafe { Self::up(vdev, Cause::Suspend) }
    }

    /// # Safety
    ///
    /// Called by the virtio core as the callback `reset_prepare`, with a device of this driver.
    unsafe extern "C" fn reset_prepare(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: Called for a bound device by the bus, or by the reset work, which `remove` waits
        // for.
        unsafe { Self::down(vdev, Self::reset_cause(vdev)) }
    }

    /// # Safety
    ///
    /// Called by the virtio core as the callback `reset_done`, with a device of this driver.
    unsafe extern "C" fn reset_done(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: As for `reset_prepare`.
        unsafe { Self::up(vdev, Self::reset_cause(vdev)) }
    }

    /// Who resets the device: our own work calls this from within itself.
    ///
    /// # Safety
    ///
    /// As for `down`.
    unsafe fn reset_cause(vdev: *mut bindings::virtio_device) -> Cause {
        // SAFETY: By this function's contract.
        match unsafe { Self::binding(vdev) }.map(|b| b.net()) {
            Some(Ok(net)) if D::is_own_reset(net) => Cause::OwnReset,
            _ => Cause::TransportReset,
        }
    }

    /// # Safety
    ///
    /// `vdev` is valid and stays bound.
    unsafe fn down(vdev: *mut bindings::virtio_device, cause: Cause) -> c_int {
        from_result(|| {
            // SAFETY: By this function's contract.
            let binding = unsafe { Self::binding(vdev) }.ok_or(ENODEV)?;
            D::freeze(binding.net()?, cause)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `vdev` is valid and stays bound.
    unsafe fn up(vdev: *mut bindings::virtio_device, cause: Cause) -> c_int {
        from_result(|| {
            // SAFETY: By this function's contract.
            let (binding, dev) = unsafe { (Self::binding(vdev), Device::from_raw(vdev)) };
            D::restore(dev, binding.ok_or(ENODEV)?.net()?, cause)?;
            Ok(0)
        })
    }
}

/// What a module with one such driver consists of. Its drop unbinds all devices.
#[pin_data]
pub(crate) struct ModuleData<D: Driver> {
    #[pin]
    driver: driver::Registration<Adapter<D>>,
}

impl<D: Driver> ModuleData<D> {
    /// Registers the driver.
    pub(crate) fn new(
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            driver <- {
                crate::net::layout::check()?;
                driver::Registration::new(name, module)
            },
        })
    }
}
