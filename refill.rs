// SPDX-License-Identifier: GPL-2.0

//! Receive buffers (specification 5.1.6.3): their shape in each mode, and filling the ring.

#![forbid(unsafe_code)]

use crate::{
    device::{
        Net,
        VirtnetInfo, //
    },
    net::{
        page_pool::{
            FragSize,
            HEADROOM,
            PAGE_SIZE,
            SHINFO, //
        },
        queue::{
            AtRest,
            Context,
            RxNapi, //
        },
        sysfs::RxQueueFile,
        xdp::XDP_HEADROOM, //
    },
    pure::{
        config::rx_vq,
        eth::{
            ETH_HLEN,
            VLAN_HLEN, //
        },
        rx::{
            mergeable_shape,
            min_buf_len,
            short_above,
            short_above_single,
            xdp_shape,
            BufShape,
            Sizes, //
        }, //
    },
    receive_queue::{
        Mode,
        ReceiveQueue,
        GOOD_PACKET_LEN, //
    },
    stats::RxStats,
    sync::fail,
    virtio::{
        rx_ring::{
            BigBuf,
            NotPosted,
            RxBuf,
            BIG_PAGES, //
        },
        Virtqueue, //
    }, //
};
use core::sync::atomic::Ordering;
use kernel::prelude::*;

/// Length of the largest packet: 64 KiB and an Ethernet header, in bytes.
// CAST: Widening; `From` is not usable in constants.
const MAX_PACKET: u32 = 0x1_0000 + ETH_HLEN as u32;

/// Returns the pages of a big buffer for packets of up to `packet` bytes.
///
/// Context: any.
pub(crate) fn big_pages(packet: u32, hdr_len: u32) -> u32 {
    packet
        .saturating_add(hdr_len)
        .div_ceil(PAGE_SIZE)
        // CAST: 17.
        .clamp(1, BIG_PAGES as u32)
}

/// Returns the pages of a big buffer for packets of any size.
///
/// Context: any.
pub(crate) fn big_pages_max(hdr_len: u32) -> u32 {
    big_pages(MAX_PACKET, hdr_len)
}

/// Returns the sizes that shapes are made of.
fn sizes(info: &VirtnetInfo) -> Sizes {
    Sizes {
        page: PAGE_SIZE,
        piece: FragSize::Piece.bytes(),
        hdr_len: info.f.hdr_len,
        headroom: HEADROOM,
        shinfo: SHINFO,
    }
}

/// Returns the least that a mergeable buffer holds besides the header, on a ring of `size`
/// descriptors.
fn min_len(info: &VirtnetInfo, size: u32) -> u32 {
    min_buf_len(size, MAX_PACKET, info.f.hdr_len).max(GOOD_PACKET_LEN)
}

/// The file `virtio_net/mergeable_rx_buffer_size` of each receive queue in sysfs.
pub(crate) struct BufferSizeFile;

impl RxQueueFile<Net> for BufferSizeFile {
    const DIRECTORY: &'static CStr = c"virtio_net";
    const NAME: &'static CStr = c"mergeable_rx_buffer_size";

    fn show(dev: &Net, index: u16) -> u32 {
        buffer_size(dev, index)
    }
}

/// Returns the bytes, header included, of the mergeable buffers that are posted on queue `index`
/// now.
///
/// Context: process.
fn buffer_size(dev: &Net, index: u16) -> u32 {
    let info = dev.data();
    let last = dev
        .pair(index)
        .map_or(0, |p| p.rx.shared().buffer_size.load(Ordering::Relaxed));
    if last != 0 {
        return last;
    }
    // None yet: those of the first fill. RTNL is not held, so the set may not leave the lock: the last
    // to have it takes the queues down.
    let size = info
        .vqs
        .lock()
        .as_ref()
        .map_or(0, |vqs| vqs.size(rx_vq(index)));
    mergeable_shape(GOOD_PACKET_LEN, min_len(info, size), sizes(info)).map_or(0, BufShape::posted)
}

/// Prepares a queue at rest: its pool, its spare lists, and the least size of a buffer.
///
/// Context: process.
///
/// # Errors
///
/// Returns `ENODEV` without a ring, and `ENOMEM`.
pub(crate) fn prepare(
    info: &VirtnetInfo,
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, AtRest>,
) -> Result {
    let Some(size) = rq.vq.as_ref().map(|vq| vq.size()) else {
        return Err(ENODEV);
    };
    fail::point()?;
    rq.min_len = min_len(info, size);
    rq.short_above = match info.mode {
        Mode::Mergeable => {
            let least = mergeable_shape(0, rq.min_len, sizes(info));
            let max = MAX_PACKET
                .saturating_add(u32::from(VLAN_HLEN))
                .saturating_add(info.f.hdr_len);
            short_above(size, least.map_or(0, BufShape::posted), max)
        }
        Mode::Small | Mode::Big { .. } => short_above_single(size),
    };
    // Lists of pages are mapped by the virtio core, a page at a time.
    let dma = rq.vq.as_ref().and_then(|vq| vq.dma_dev());
    let dma = dma.filter(|_| !matches!(info.mode, Mode::Big { .. }));
    napi.create_pool(size, dma)?;
    if let Mode::Big { .. } = info.mode {
        let want = usize::try_from(size)?;
        rq.spare
            .reserve(want.saturating_sub(rq.spare.len()), GFP_KERNEL)?;
    }
    Ok(())
}

/// Gives up what [`prepare`] made, on a queue at rest without buffers.
///
/// Context: process.
pub(crate) fn release(rq: &mut ReceiveQueue, napi: &mut RxNapi<'_, AtRest>) {
    rq.spare = KVVec::new();
    napi.destroy_pool();
}

/// Posts buffers and notifies the device once, and returns whether memory is so short that the
/// device may wait for buffers, with no interrupt to come.
///
/// In a poll it posts only when half of the ring is free, or what is left might not hold the next
/// packet. While the queue is at rest it fills whatever is free.
///
/// Context: softirq in the queue's poll, or process with the queue at rest.
#[inline]
pub(crate) fn refill<C: Context>(
    info: &VirtnetInfo,
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, C>,
    stats: &RxStats,
) -> bool {
    let Some((free, size)) = rq.vq.as_ref().map(|vq| (vq.num_free(), vq.size())) else {
        return false;
    };
    if C::IN_POLL && free <= rq.short_above.min(size / 2) {
        return false;
    }
    if napi.has_xsk() {
        return refill_xsk(rq, napi, free, stats);
    }
    let (posted, starved) = match info.mode {
        _ if fail::no_memory() => (0, true),
        Mode::Mergeable => {
            let shape = match info.xdp_len.load(Ordering::Relaxed) {
                0 => mergeable_shape(rq.avg.read(), rq.min_len, sizes(info)),
                len => xdp_shape(len.max(rq.min_len), XDP_HEADROOM, sizes(info)),
            };
            let offered = shape.map_or(0, BufShape::posted);
            stats.buffer_size.store(offered, Ordering::Relaxed);
            post_frags(rq, napi, free, shape)
        }
        Mode::Small => {
            let offset = HEADROOM.saturating_sub(info.f.hdr_len);
            let posted = info.f.hdr_len.saturating_add(GOOD_PACKET_LEN);
            let shape = BufShape::new(offset, posted, FragSize::Piece.bytes());
            post_frags(rq, napi, free, shape)
        }
        Mode::Big { pages, split } => post_big(rq, napi, free, pages, split),
    };
    if starved {
        stats.alloc_fail.inc();
    }
    if posted > 0 {
        if let Some(vq) = rq.vq.as_mut() {
            if vq.kick() {
                stats.kicks.inc();
            }
        }
    }
    starved && rq.is_short()
}

/// Posts buffers of sockets, which user space may owe for any time, in the same way.
fn refill_xsk<C: Context>(
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, C>,
    free: u32,
    stats: &RxStats,
) -> bool {
    let Some(vq) = rq.vq.as_mut() else {
        return false;
    };
    let (mut posted, mut why) = vq.post_xsk(napi, free);
    let Some(xsk) = napi.xsk() else {
        return false;
    };
    let mut starved = false;
    if !matches!(why, Some(NotPosted::NoMemory)) {
        xsk.no_wakeup();
    } else if xsk.want_wakeup() {
        // Those that came before user space could see that.
        let more;
        (more, why) = vq.post_xsk(napi, free.saturating_sub(posted));
        posted = posted.saturating_add(more);
    } else {
        starved = true;
    }
    if matches!(why, Some(NotPosted::Refused(e)) if short_of_memory(vq, e)) {
        stats.alloc_fail.inc();
        starved = true;
    }
    if posted > 0 && vq.kick() {
        stats.kicks.inc();
    }
    // A ring that is broken stays as empty as it is.
    C::IN_POLL && starved && !vq.is_broken() && rq.is_short()
}

/// Posts up to `free` fragments of one shape, and returns their number and whether memory was
/// short.
#[inline(always)]
fn post_frags<C: Context>(
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, C>,
    free: u32,
    shape: Option<BufShape>,
) -> (u32, bool) {
    let (Some(vq), Some(shape)) = (rq.vq.as_mut(), shape) else {
        return (0, false);
    };
    // Each fragment takes one slot of the ring.
    match vq.post_frags(napi, free, shape) {
        (posted, None) => (posted, false),
        (posted, Some(NotPosted::Refused(e))) => (posted, short_of_memory(vq, e)),
        (posted, Some(NotPosted::NoMemory)) => post_reclaimed(vq, napi, free, posted, shape),
    }
}

/// Goes on where the pool's memory was short after `posted` fragments.
///
/// It posts one for each page that can be reclaimed, and none in a poll.
#[cold]
fn post_reclaimed<C: Context>(
    vq: &mut Virtqueue<RxBuf>,
    napi: &mut RxNapi<'_, C>,
    free: u32,
    posted: u32,
    shape: BufShape,
) -> (u32, bool) {
    for posted in posted..free {
        let why = if RxNapi::<C>::reclaim() {
            vq.post_frags(napi, 1, shape).1
        } else {
            Some(NotPosted::NoMemory)
        };
        match why {
            None => {}
            Some(NotPosted::Refused(e)) => return (posted, short_of_memory(vq, e)),
            Some(NotPosted::NoMemory) => return (posted, true),
        }
    }
    (free, false)
}

/// Returns whether `e`, by which a ring with room refused a buffer, says that memory is short.
///
/// It may be short for descriptors, or for mapping the buffer, of which there may be too little for
/// all rings (swiotlb). A packed ring says `EIO` to that, as a broken one does.
fn short_of_memory(vq: &Virtqueue<RxBuf>, e: Error) -> bool {
    e == ENOMEM || (e == EIO && !vq.is_broken())
}

/// Posts lists of pages while there are free slots, at most `free` lists, and returns their number
/// and whether memory was short.
fn post_big<C: Context>(
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, C>,
    free: u32,
    pages: u32,
    split: u32,
) -> (u32, bool) {
    let Some(vq) = rq.vq.as_mut() else {
        return (0, false);
    };
    for posted in 0..free {
        if vq.num_free() == 0 {
            return (posted, false);
        }
        let buf = rq.spare.pop();
        let Some(mut buf) = buf.or_else(|| BigBuf::new(pages, split, C::FLAGS).ok()) else {
            return (posted, true);
        };
        let back = if buf.fill(|| napi.alloc_page()) {
            vq.add_big(buf)
        } else {
            Err((ENOMEM, buf))
        };
        if let Err((e, buf)) = back {
            let short = short_of_memory(vq, e);
            // There is room: the list was taken out of there, or `prepare` made it.
            if let Err(refused) = rq.spare.push_within_capacity(buf) {
                drop(refused);
            }
            return (posted, short);
        }
    }
    (free, false)
}
