// SPDX-License-Identifier: GPL-2.0

//! What comes with a receive queue's exclusive state: its NAPI instance and its page pool.
//!
//! C header: [`include/linux/gfp.h`](srctree/include/linux/gfp.h)

use super::{
    napi::NapiRef,
    page_pool::{
        Frag,
        PagePool,
        PoolId, //
    },
    xsk::XskRx, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ops::Deref, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    page::Page,
    prelude::*, //
};

/// Where the owner of a receive queue runs, and how it asks for memory.
pub(crate) trait Context {
    /// Whether that is the queue's poll, a softirq; it is process context otherwise.
    const IN_POLL: bool;

    /// What a page pool is asked with, which is never to reclaim memory itself.
    ///
    /// A pool that maps its pages stores them in an array whose lock keeps softirqs out, and the
    /// kernel (7.2) allocates for that array with the flags given here and the lock half let go: it
    /// would sleep with softirqs off.
    const POOL_GFP: bindings::gfp_t = if Self::IN_POLL {
        bindings::GFP_ATOMIC
    } else {
        bindings::GFP_KERNEL & !(1 << bindings::___GFP_DIRECT_RECLAIM_BIT)
            | (1 << bindings::___GFP_NOWARN_BIT)
    };

    /// The same for the kernel crate's allocators.
    const FLAGS: kernel::alloc::Flags = if Self::IN_POLL {
        GFP_ATOMIC
    } else {
        GFP_KERNEL
    };
}

/// Inside of the queue's poll, where one must not sleep.
pub(crate) enum InPoll {}

impl Context for InPoll {
    const IN_POLL: bool = true;
}

/// In process context, RTNL held, with the queue at rest, where one may sleep.
pub(crate) enum AtRest {}

impl Context for AtRest {
    const IN_POLL: bool = false;
}

/// A receive queue's NAPI instance and page pool, for the queue's owner.
///
/// In a poll it serves as a [`NapiRef`].
///
/// Context: softirq in the queue's poll, or process with the queue at rest, as `C` says.
///
/// # Invariants
///
/// All are of one queue, and the pool, if there is one, was made for the instance. Whoever has this owns the
/// queue for as long as `'a`; with [`InPoll`] it is inside of the queue's poll.
pub(crate) struct RxNapi<'a, C: Context> {
    napi: NapiRef<'a>,
    pool: &'a mut Option<PagePool>,
    pub(super) xsk: &'a mut Option<KBox<XskRx>>,
    queue: u16,
    _c: PhantomData<C>,
}

impl<'a> Deref for RxNapi<'a, InPoll> {
    type Target = NapiRef<'a>;

    #[inline(always)]
    fn deref(&self) -> &NapiRef<'a> {
        &self.napi
    }
}

impl<'a, C: Context> RxNapi<'a, C> {
    /// # Safety
    ///
    /// The type's invariants hold. With a context other than [`InPoll`] those of [`NapiRef`] need not.
    #[inline(always)]
    pub(super) unsafe fn new(
        napi: NapiRef<'a>,
        pool: &'a mut Option<PagePool>,
        xsk: &'a mut Option<KBox<XskRx>>,
        queue: u16,
    ) -> Self {
        // INVARIANT: By this function's contract.
        Self {
            napi,
            pool,
            xsk,
            queue,
            _c: PhantomData,
        }
    }

    /// Allocates a page of the pool.
    ///
    /// In process context memory is reclaimed for it if need be.
    #[inline]
    pub(crate) fn alloc_page(&mut self) -> Option<Frag> {
        let pool = self.pool.as_mut()?;
        let page = pool.alloc_page(C::POOL_GFP);
        if page.is_none() && Self::reclaim() {
            return pool.alloc_page(C::POOL_GFP);
        }
        page
    }

    /// Has memory reclaimed, for another try, which a pool may not do itself.
    ///
    /// Returns false if there is none, and in a poll.
    #[inline]
    pub(crate) fn reclaim() -> bool {
        !C::IN_POLL && Page::alloc_page(C::FLAGS).is_ok()
    }

    /// Posts pieces of the pool's pages to a virtqueue by `post`, which is given where they come
    /// from, and the pool's number.
    ///
    /// Returns what that returns and why not all were posted, or `None` without a pool.
    #[inline(always)]
    pub(crate) fn post(
        &mut self,
        post: impl FnOnce(&mut bindings::vnm_post, PoolId) -> u32,
    ) -> Option<(u32, core::ffi::c_int)> {
        Some(self.pool.as_mut()?.post(C::POOL_GFP, post))
    }

    /// Gives a fragment back to its pool, which is fast in a poll if that is this queue's.
    #[inline(always)]
    pub(crate) fn recycle(&mut self, frag: Frag) {
        match &mut self.pool {
            // SAFETY: By the type invariants this is the poll of the instance that the pool was made for.
            Some(pool) if C::IN_POLL => unsafe { pool.recycle(frag) },
            _ => drop(frag),
        }
    }
}

impl RxNapi<'_, InPoll> {
    /// Returns what packets of this queue say of where they come from, for C, or `None` without a
    /// pool.
    #[inline(always)]
    pub(super) fn xdp_rxq(&mut self) -> Option<*mut bindings::xdp_rxq_info> {
        self.pool.as_mut().map(PagePool::xdp_rxq)
    }

    /// Takes note that a packet was redirected, what that left to be done of which is done before
    /// the poll ends.
    #[inline(always)]
    pub(super) fn set_redirected(&mut self) {
        if let Some(pool) = self.pool {
            pool.redirected = true;
        }
    }
}

impl RxNapi<'_, AtRest> {
    /// Gives the queue a page pool unless it has one.
    ///
    /// `size` is the ring's number of buffers. With `dma` each page is mapped for that device while
    /// it is the pool's.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`.
    pub(crate) fn create_pool(&mut self, size: u32, dma: Option<&Device<Bound>>) -> Result {
        if self.pool.is_none() {
            // SAFETY: By the type invariants the pool is where it belongs. The queue's device drops it, and
            // lets a grace period pass, before the instance goes.
            *self.pool = Some(unsafe { PagePool::new(&self.napi, self.queue, size, dma)? });
        }
        Ok(())
    }

    /// Takes the queue's page pool away.
    ///
    /// Fragments that are out find their way back to what is left of it.
    pub(crate) fn destroy_pool(&mut self) {
        *self.pool = None;
    }
}
