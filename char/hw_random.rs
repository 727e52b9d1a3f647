// SPDX-License-Identifier: GPL-2.0

//! Hardware random number generators, which the kernel and `/dev/hwrng` read.
//!
//! C header: [`include/linux/hw_random.h`](srctree/include/linux/hw_random.h)

use crate::bindings;
use core::{
    cell::Cell,
    ffi::{
        c_int,
        c_void, //
    },
    marker::PhantomPinned, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    str::CString,
    types::Opaque, //
};

/// A source of random bytes.
pub(crate) trait HwRng: Send + Sync + 'static {
    /// Puts random bytes at the beginning of `buf` and returns how many.
    ///
    /// With `wait` it may wait for them, without it takes those that are there.
    ///
    /// Context: process; reads of one generator come one after the other.
    ///
    /// # Errors
    ///
    /// Errors go to the reader.
    fn read(self: Pin<&Self>, buf: &mut [u8], wait: bool) -> Result<usize>;
}

/// A registered generator.
///
/// Dropping it unregisters it, which waits for a read that is under way.
///
/// # Invariants
///
/// `hwrng` is registered if `registered` says so, with `name` as its name.
///
/// # Examples
///
/// `samples/virtio_rng.rs`.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<T: HwRng> {
    #[pin]
    hwrng: Opaque<bindings::hwrng>,
    name: CString,
    registered: Cell<bool>,
    #[pin]
    rng: T,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: The core has locks of its own; `T` is `Send` and `Sync`.
unsafe impl<T: HwRng> Send for Registration<T> {}
// SAFETY: As above; `new` writes the cell before anybody else has a reference.
unsafe impl<T: HwRng> Sync for Registration<T> {}

impl<T: HwRng> Registration<T> {
    /// Registers `rng` under a name that no other generator has.
    ///
    /// Context: process.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`, `EEXIST` if there is one of that name, and what `rng` returns.
    pub(crate) fn new(name: CString, rng: impl PinInit<T, Error>) -> Result<Pin<KBox<Self>>> {
        // It may be read as soon as it is registered, so it is where it stays by then.
        let this = KBox::pin_init(
            try_pin_init!(Self {
                hwrng: Opaque::new(bindings::hwrng {
                    name: name.as_char_ptr(),
                    read: Some(Self::read),
                    ..Default::default()
                }),
                name,
                registered: Cell::new(false),
                rng <- rng,
                _pin: PhantomPinned,
            }? Error),
            GFP_KERNEL,
        )?;
        // SAFETY: The structure stays where it is until the drop, which unregisters it. So does the name's memory.
        to_result(unsafe { bindings::hwrng_register(this.hwrng.get()) })?;
        // INVARIANT: It is registered now.
        this.registered.set(true);
        Ok(this)
    }

    /// Returns the registered generator.
    ///
    /// Context: any.
    pub(crate) fn rng(self: Pin<&Self>) -> Pin<&T> {
        // SAFETY: The field is pinned with its structure.
        unsafe { self.map_unchecked(|this| &this.rng) }
    }

    /// # Safety
    ///
    /// Called by the core with a generator that `new` registered, and room for `max` bytes, which are initialised.
    unsafe extern "C" fn read(
        hwrng: *mut bindings::hwrng,
        buf: *mut c_void,
        max: usize,
        wait: bool,
    ) -> c_int {
        from_result(|| {
            // CAST: `Opaque` has the layout of what it holds.
            let hwrng = hwrng.cast::<Opaque<bindings::hwrng>>();
            // SAFETY: By this function's contract. The drop waits for a read, so the pinned structure is there.
            let (this, buf) = unsafe {
                (
                    Pin::new_unchecked(&*kernel::container_of!(hwrng, Self, hwrng)),
                    core::slice::from_raw_parts_mut(buf.cast::<u8>(), max),
                )
            };
            let n = this.rng().read(buf, wait)?;
            Ok(c_int::try_from(n.min(max))?)
        })
    }
}

#[pinned_drop]
impl<T: HwRng> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        if self.registered.get() {
            // SAFETY: Registered once, by the type invariant.
            unsafe { bindings::hwrng_unregister(self.hwrng.get()) };
        }
    }
}
