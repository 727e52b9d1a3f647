// SPDX-License-Identifier: GPL-2.0

//! A virtio entropy device (specification section 5.4): `/dev/hwrng` gives what the host gives.
//!
//! There is one buffer, which is with the device while somebody wants bytes. Suspend isn't supported.
//!
//! C counterpart: `drivers/char/hw_random/virtio-rng.c`.

#![forbid(unsafe_code)]

use crate::{
    hw_random::{
        HwRng,
        Registration, //
    },
    net::layout,
    virtio::{
        buffer::WriteBuf,
        driver::{
            self,
            Driver, //
        },
        id_table::IdTable,
        irq::VqCallback,
        virtqueue::QueueInfo,
        Device,
        Virtqueue,
        VirtqueueSet, //
    }, //
};
use core::sync::atomic::{
    AtomicBool,
    Ordering, //
};
use kernel::{
    device::Core,
    prelude::*,
    str::CString,
    sync::{
        new_condvar,
        new_mutex,
        Arc,
        CondVar,
        CondVarTimeoutResult,
        Mutex, //
    },
    time::msecs_to_jiffies,
    InPlaceModule,
    ThisModule, //
};

/// Bytes that the device is asked for at a time.
const BYTES: usize = 64;
/// Milliseconds between looks at the ring: an interrupt may come just before its reader sleeps.
const LOOK_MS: u32 = 20;

/// The request queue, and the buffer while the device hasn't got it.
struct Queue {
    vq: Virtqueue<WriteBuf<BYTES>>,
    spare: Option<WriteBuf<BYTES>>,
}

impl Queue {
    /// Asks the device for bytes, unless it was asked.
    fn request(&mut self) -> Result {
        let Some(buf) = self.spare.take() else {
            return Ok(());
        };
        self.vq.add(buf).map_err(|(e, buf)| {
            self.spare = Some(buf);
            e
        })?;
        self.vq.kick();
        Ok(())
    }
}

/// A device, which readers and interrupts share.
#[pin_data]
struct Rng {
    set: Arc<VirtqueueSet>,
    #[pin]
    queue: Mutex<Queue>,
    #[pin]
    came: CondVar,
    gone: AtomicBool,
}

impl HwRng for Rng {
    fn read(self: Pin<&Self>, buf: &mut [u8], wait: bool) -> Result<usize> {
        let mut queue = self.queue.lock();
        while !self.gone.load(Ordering::Relaxed) {
            queue.request()?;
            if let Some(used) = queue.vq.get_buf() {
                let n = used.buf.copy_to(buf, used.len);
                queue.spare = Some(used.buf);
                return Ok(n);
            }
            if !wait {
                return Ok(0);
            }
            let look = msecs_to_jiffies(LOOK_MS);
            let woken = self.came.wait_interruptible_timeout(&mut queue, look);
            if matches!(woken, CondVarTimeoutResult::Signal { .. }) {
                return Err(ERESTARTSYS);
            }
        }
        Err(ENODEV)
    }
}

/// The driver of entropy devices.
struct VirtioRng;

impl VirtioRng {
    fn set_up(dev: &Device<Core<'_>>) -> Result<Pin<KBox<Registration<Rng>>>> {
        let spare = Some(WriteBuf::new(GFP_KERNEL)?);
        let mut infos = KVVec::new();
        infos.push(QueueInfo::new(fmt!("requests"))?, GFP_KERNEL)?;
        let (set, mut unused) = VirtqueueSet::find(dev, infos)?;
        let vq = unused.pop().ok_or(EINVAL)?.with_buffers();
        dev.ready();
        Registration::new(
            CString::try_from_fmt(fmt!("virtio_rng.{}", dev.index()))?,
            try_pin_init!(Rng {
                set,
                queue <- new_mutex!(Queue { vq, spare }),
                came <- new_condvar!(),
                gone: AtomicBool::new(false),
            }),
        )
    }
}

#[vtable]
impl Driver for VirtioRng {
    type Data = Pin<KBox<Registration<Rng>>>;

    const IDS: &'static IdTable = &crate::ID_TABLE;

    fn probe(dev: &Device<Core<'_>>) -> impl PinInit<Self::Data, Error> {
        Self::set_up(dev)
    }

    fn unbind(_dev: &Device<Core<'_>>, data: Pin<&Self::Data>) {
        let rng = data.get_ref().as_ref().rng();
        rng.gone.store(true, Ordering::Relaxed);
        rng.set.reset_device();
        rng.came.notify_all();
    }

    fn vq_callback(data: Pin<&Self::Data>, _vq: VqCallback<'_>) {
        data.get_ref().as_ref().rng().came.notify_all();
    }
}

/// The module with its driver.
#[pin_data]
pub(crate) struct RustVirtioRng {
    #[pin]
    driver: driver::Registration<VirtioRng>,
}

impl InPlaceModule for RustVirtioRng {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            driver <- {
                layout::check()?;
                driver::Registration::new(c"rust_virtio_rng", module)
            },
        })
    }
}
