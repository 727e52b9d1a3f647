// SPDX-License-Identifier: GPL-2.0

//! Virtio devices that are network interfaces: a virtio device bound to a net device.

use super::{
    driver,
    irq::{
        self,
        IrqTarget,
        VqCallback, //
    },
    Device, //
};
use crate::{
    bindings,
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
use core::ptr::NonNull;
use kernel::{
    device::Core,
    prelude::*,
    sync::aref::ARef,
    ThisModule, //
};

/// A [`driver::Driver`] for network interfaces; its data is a [`Binding`].
pub(crate) trait NetDriver: driver::Driver<Data = Binding<Self>> {
    /// The net device's side.
    type Net: net::Driver;

    /// Interrupt of a virtqueue, from [`Binding::new`] on. Hard interrupt context.
    fn vq_callback(net: &NetDevice<Self::Net>, vq: VqCallback<'_>);
}

/// A net device while it isn't registered, or the registration.
enum State<T: net::Driver> {
    Unregistered(UnregisteredNetDevice<T>),
    Registered(Registration<T>),
    Gone,
}

/// Where interrupts find the net device.
#[repr(C)]
struct NetTarget {
    target: IrqTarget,
    net: *mut bindings::net_device,
}

/// A virtio device bound to a net device.
///
/// # Invariants
///
/// The interrupts of `vdev` go to `target` while the binding exists.
///
/// Drop order: stop works and hotplug; unregister; reset the device, so that no memory is its any
/// more; detach interrupts and wait for running ones; take the net device down (which drops the
/// virtqueues); the target last.
pub(crate) struct Binding<D: NetDriver> {
    vdev: ARef<Device>,
    state: State<D::Net>,
    target: KBox<NetTarget>,
}

// SAFETY: The target's pointer is to the net device, which is `Send` and which the binding owns.
unsafe impl<D: NetDriver> Send for Binding<D> {}
// SAFETY: Only methods with `&mut self` or that are thread-safe.
unsafe impl<D: NetDriver> Sync for Binding<D> {}

impl<D: NetDriver> Binding<D> {
    /// Allocates a net device for `dev` with `pairs` queue pairs.
    ///
    /// # Errors
    ///
    /// No memory, or what `data` and `pair_init` return.
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
        let target = KBox::new(
            NetTarget {
                target: IrqTarget { call: Self::irq },
                net: net.as_raw(),
            },
            GFP_KERNEL,
        )?;
        // SAFETY: The box lives until the drop, which clears this.
        unsafe { irq::set(dev, NonNull::from(&*target).cast()) };
        // INVARIANT: Set above.
        Ok(Self {
            vdev: dev.into(),
            state: State::Unregistered(net),
            target,
        })
    }

    /// # Safety
    ///
    /// Called from an interrupt of the device, before the net device is taken down, with a
    /// [`NetTarget`] of this driver.
    unsafe fn irq(target: NonNull<IrqTarget>, vq: VqCallback<'_>) {
        // SAFETY: By this function's contract.
        <D as NetDriver>::vq_callback(
            unsafe { NetDevice::from_raw(target.cast::<NetTarget>().as_ref().net) },
            vq,
        );
    }

    /// The net device.
    ///
    /// # Errors
    ///
    /// `ENODEV` while it is taken down.
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
    /// The core's error; `EBUSY` if it is registered.
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
        let _ = &self.target;
    }
}

/// What a module with one such driver consists of. Its drop unbinds all devices.
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
