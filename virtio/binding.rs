// SPDX-License-Identifier: GPL-2.0

//! Virtio devices that are network interfaces: a virtio device bound to a net device.
//!
//! Context: process.

use super::{
    bound::BoundRef,
    driver,
    irq::{
        self,
        VqCallback, //
    },
    Device, //
};
use crate::{
    net::{
        self,
        device::{
            Registration,
            Setup,
            UnregisteredNetDevice, //
        },
        queue::PairInit,
        NetDevice,
        Rtnl, //
    },
    sync::fail, //
};
use core::{
    ffi::c_void,
    ptr::NonNull, //
};
use kernel::{
    device::Core,
    prelude::*,
    ThisModule, //
};

/// A [`driver::Driver`] for network interfaces; its data is a [`Binding`].
pub(crate) trait NetDriver: driver::Driver<Data = Binding<Self>> {
    /// The net device's driver.
    type Net: net::Driver;

    /// Handles the interrupt of a virtqueue, from [`Binding::new`] on.
    ///
    /// Context: hard interrupt.
    fn vq_callback(net: &NetDevice<Self::Net>, vq: VqCallback<'_>);
}

/// A net device while it isn't registered, or the registration.
enum State<T: net::Driver> {
    Unregistered(UnregisteredNetDevice<T>),
    Registered(Registration<T>),
    Gone,
}

/// A virtio device bound to a net device.
///
/// # Invariants
///
/// The interrupts of `vdev` go to the net device while the binding exists.
///
/// Drop order: stop works and hotplug; unregister; reset the device, so that no memory is its any
/// more; detach interrupts and wait for running ones; take the net device down (which drops the
/// virtqueues).
pub(crate) struct Binding<D: NetDriver> {
    vdev: BoundRef,
    state: State<D::Net>,
}

impl<D: NetDriver> Binding<D> {
    /// Allocates a net device for `dev` with `pairs` queue pairs.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`, what `data` and `pair_init` return, and `EBUSY` if the device has a
    /// binding.
    pub(crate) fn new(
        dev: &Device<Core<'_>>,
        pairs: u16,
        setup: &Setup<D::Net>,
        deferred: impl PinInit<<D::Net as net::Driver>::Deferred, Error>,
        data: impl PinInit<D::Net, Error>,
        pair_init: impl FnMut(u16) -> Result<PairInit<D::Net>>,
    ) -> Result<Self> {
        let net =
            UnregisteredNetDevice::new(Some(dev.dev()), pairs, setup, deferred, data, pair_init)?;
        fail::point()?;
        // SAFETY: The net device stays until the drop, which clears this first. `probe` has the device for itself.
        unsafe {
            irq::set(
                dev,
                Self::irq,
                NonNull::new(net.as_raw()).ok_or(EINVAL)?.cast(),
            )?;
        }
        // INVARIANT: Set above.
        Ok(Self {
            vdev: dev.into(),
            state: State::Unregistered(net),
        })
    }

    /// # Safety
    ///
    /// Called from an interrupt of the device with a net device of this driver, before that is taken down.
    unsafe fn irq(net: NonNull<c_void>, vq: VqCallback<'_>) {
        // SAFETY: By this function's contract.
        let net = unsafe { NetDevice::from_raw(net.as_ptr().cast()) };
        <D as NetDriver>::vq_callback(net, vq);
    }

    /// Returns the net device.
    ///
    /// # Errors
    ///
    /// Returns `ENODEV` while it is taken down.
    pub(crate) fn net(&self) -> Result<&NetDevice<D::Net>> {
        match &self.state {
            State::Unregistered(net) => Ok(net),
            State::Registered(reg) => reg.net().ok_or(ENODEV),
            State::Gone => Err(ENODEV),
        }
    }

    /// Registers the net device.
    ///
    /// # Errors
    ///
    /// Returns the core's error, and `EBUSY` if it is registered.
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

impl<D: NetDriver> Drop for Binding<D> {
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
        self.vdev.reset();
        irq::clear(&self.vdev);
        drop(net);
    }
}

/// What a module with one such driver consists of; its drop unbinds all devices.
#[pin_data]
pub(crate) struct ModuleData<D: NetDriver> {
    #[pin]
    driver: driver::Registration<D>,
}

impl<D: NetDriver> ModuleData<D> {
    /// Registers the driver.
    pub(crate) fn new(
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            driver <- {
                net::layout::check()?;
                driver::Registration::<D>::new(name, module)
            },
        })
    }
}
