// SPDX-License-Identifier: GPL-2.0

//! Receive buffers (specification 5.1.6.3): their shape in each mode, and filling the ring.

#![forbid(unsafe_code)]

use crate::{
    device::VirtnetInfo,
    net::{
        page_pool::{
            Context,
            PagePool,
            CACHELINE,
            PAGE_SIZE,
            SHINFO, //
        },
        queue::NapiRef, //
    },
    pure::rx::{
        mergeable_shape,
        min_buf_len, //
    },
    rx::{
        Mode,
        ReceiveQueue, //
    },
    stats::RxStats,
    virtio::rx_ring::{
        BigBuf,
        BIG_PAGES, //
    }, //
};
use kernel::prelude::*;

/// An Ethernet frame with a VLAN tag, without its checksum, in bytes.
pub(crate) const GOOD_PACKET_LEN: u32 = 1518;

/// The largest packet: 64 KiB and an Ethernet header, in bytes.
const MAX_PACKET: u32 = 65550;

/// Pages of a big buffer for packets of up to `packet` bytes.
pub(crate) fn big_pages(packet: u32, hdr_len: u32) -> u32 {
    packet
        .saturating_add(hdr_len)
        .div_ceil(PAGE_SIZE)
        .clamp(1, BIG_PAGES)
}

/// Pages for packets of any size.
pub(crate) fn big_pages_max(hdr_len: u32) -> u32 {
    big_pages(MAX_PACKET, hdr_len)
}

/// Prepares a queue at rest: pool, spare lists, least buffer size. Process context.
pub(crate) fn prepare(info: &VirtnetInfo, rq: &mut ReceiveQueue, napi: &NapiRef<'_>) -> Result {
    let Some(size) = rq.vq.as_ref().map(|vq| vq.size()) else {
        return Err(ENODEV);
    };
    crate::sync::fail::point()?;
    rq.min_len = min_buf_len(size, MAX_PACKET, info.f.hdr_len).max(GOOD_PACKET_LEN);
    if rq.pool.is_none() {
        rq.pool = Some(PagePool::new(napi, size)?);
    }
    if let Mode::Big { .. } = info.mode {
        let want = usize::try_from(size)?;
        rq.spare
            .reserve(want.saturating_sub(rq.spare.len()), GFP_KERNEL)?;
    }
    Ok(())
}

/// Posts buffers and tells the device once. From NAPI only when half of the ring is free;
/// `all`: whatever is free (queue at rest, process context).
///
/// Returns whether memory is so short that the ring may run empty.
#[inline]
pub(crate) fn refill(
    info: &VirtnetInfo,
    rq: &mut ReceiveQueue,
    napi: &NapiRef<'_>,
    stats: &RxStats,
    all: bool,
) -> bool {
    let Some((free, size)) = rq.vq.as_ref().map(|vq| (vq.num_free(), vq.size())) else {
        return false;
    };
    if !all && free <= size / 2 {
        return false;
    }
    let context = if all {
        Context::Process
    } else {
        Context::Softirq
    };
    let mut posted = 0u32;
    let mut starved = false;
    // Bounded: each turn takes a slot of the ring.
    for _ in 0..free {
        match post_one(info, rq, context) {
            Ok(()) => posted = posted.wrapping_add(1),
            Err(e) => {
                if e == ENOMEM {
                    stats.alloc_fail.inc();
                    starved = true;
                }
                break;
            }
        }
    }
    let _ = napi;
    if posted > 0 {
        if let Some(vq) = rq.vq.as_mut() {
            if vq.kick() {
                stats.kicks.inc();
            }
        }
    }
    starved && posted == 0 && free.saturating_add(size / 16) >= size
}

/// Posts one buffer. `ENOMEM` or `ENOSPC`.
#[inline]
fn post_one(info: &VirtnetInfo, rq: &mut ReceiveQueue, context: Context) -> Result {
    let (Some(vq), Some(pool)) = (rq.vq.as_mut(), rq.pool.as_mut()) else {
        return Err(ENOSPC);
    };
    if vq.num_free() == 0 {
        return Err(ENOSPC);
    }
    let (want, tail) = match info.mode {
        Mode::Mergeable => {
            let shape = mergeable_shape(
                rq.avg.read(),
                rq.min_len,
                info.f.hdr_len,
                SHINFO,
                PAGE_SIZE,
                CACHELINE,
            );
            (shape.truesize, shape.truesize.saturating_sub(shape.posted))
        }
        Mode::Small => (small_size(info.f.hdr_len), SHINFO),
        Mode::Big { pages, split } => {
            let mut buf = match rq.spare.pop() {
                Some(buf) => buf,
                None => BigBuf::new(context.flags())?,
            };
            let full = loop {
                // CAST: 17 at most.
                if buf.len() >= pages as usize {
                    break Ok(());
                }
                let page = pool.alloc(PAGE_SIZE, context);
                if !page.is_some_and(|page| buf.push(page)) {
                    break Err(ENOMEM);
                }
            };
            return match full.map(|()| vq.add_big(buf, split)) {
                Ok(Ok(())) => Ok(()),
                Ok(Err(buf)) => {
                    // There is room: the list was taken out of there, or `prepare` made it.
                    if let Err(e) = rq.spare.push_within_capacity(buf) {
                        drop(e);
                    }
                    Err(ENOSPC)
                }
                Err(e) => Err(e),
            };
        }
    };
    let frag = pool.alloc(want, context).ok_or(ENOMEM)?;
    // The pool may give more than was asked for: then that much more is posted.
    let posted = match info.mode {
        Mode::Small => info.f.hdr_len.saturating_add(GOOD_PACKET_LEN),
        _ => frag.truesize().saturating_sub(tail),
    };
    vq.add_frag(frag, posted).map_err(|frag| {
        drop(frag);
        ENOSPC
    })
}

/// Bytes of a fragment that holds a header, a frame and the shared info of an skb.
fn small_size(hdr_len: u32) -> u32 {
    hdr_len
        .saturating_add(GOOD_PACKET_LEN)
        .next_multiple_of(CACHELINE)
        .saturating_add(SHINFO)
}
