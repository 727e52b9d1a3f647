// SPDX-License-Identifier: GPL-2.0

//! Reception (specification 5.1.6.4): what becomes of a used buffer.
//!
//! Context: softirq, in the queue's poll.

#![forbid(unsafe_code)]

use crate::{
    device::{
        Net,
        VirtnetInfo, //
    },
    net::{
        page_pool::{
            Frag,
            FragBytes,
            SkbChain, //
        },
        queue::{
            InPoll,
            NapiRef,
            RxNapi, //
        },
        skb::{
            RxSkb,
            COPYBREAK, //
        },
        DropReason, //
    },
    pure::{
        hdr::{
            parse_rx,
            RawHdr,
            RxCsum,
            INNER_LEN,
            TUNNEL_AT,
            TUNNEL_LEN, //
        },
        rss::REPORT_AT,
        rx::{
            cont_len,
            num_buffers,
            payload_len,
            BufShape, //
        }, //
    },
    receive_queue::{
        Mode,
        ReceiveQueue, //
    },
    stats::RxStats,
    virtio::{
        hdr::rx_prepare,
        rx_ring::{
            BigBuf,
            RxUsed, //
        }, //
    }, //
};
use kernel::prelude::*;

/// Why a packet was dropped.
#[derive(Clone, Copy)]
pub(crate) enum RxDrop {
    Length,
    NumBuffers,
    Header,
    NoMem,
}

/// Counts a packet that was dropped.
pub(crate) fn count_drop(stats: &RxStats, why: RxDrop) {
    stats.drops.inc();
    match why {
        RxDrop::Length => &stats.drop_length,
        RxDrop::NumBuffers => &stats.drop_num_buffers,
        RxDrop::Header => &stats.drop_header,
        RxDrop::NoMem => &stats.drop_nomem,
    }
    .inc();
}

/// What a poll has received.
pub(crate) struct Received {
    /// Number of packets, dropped ones included.
    pub(crate) packets: i32,
    /// Bytes of those that weren't dropped.
    pub(crate) bytes: u64,
}

/// A packet with its header, checked for length but not for contents.
pub(crate) struct RxPacket {
    /// The packet without its virtio-net header.
    pub(crate) skb: RxSkb,
    /// The packet's virtio-net header.
    pub(crate) hdr: RawHdr,
}

/// Turns a used buffer, and those that belong to it, into a packet.
#[inline(always)]
pub(crate) fn receive_buf(
    info: &VirtnetInfo,
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, InPoll>,
    stats: &RxStats,
    used: RxUsed,
) -> Option<(u32, RxPacket)> {
    let got = if info.f.hash_report {
        receive_hashed(info, rq, napi, used)
    } else {
        receive_by_mode(info, rq, napi, used)
    };
    match got {
        Ok(got) => Some((got.skb.len(), got)),
        Err(why) => {
            count_drop(stats, why);
            None
        }
    }
}

/// Makes a packet of a used buffer, by the mode.
#[inline(always)]
fn receive_by_mode(
    info: &VirtnetInfo,
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, InPoll>,
    used: RxUsed,
) -> Result<RxPacket, RxDrop> {
    match used {
        RxUsed::Frag(frag, shape, len) => match info.mode {
            Mode::Mergeable => receive_mergeable(info, rq, napi, frag, shape, len),
            _ => receive_small(info, napi, frag, shape, len),
        },
        RxUsed::Big(buf, len) => receive_big(info, rq, napi, buf, len),
    }
}

/// Makes a packet with the hash that its header reports.
///
/// It is a function of its own, so that other devices don't pay for it.
#[inline(never)]
fn receive_hashed(
    info: &VirtnetInfo,
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, InPoll>,
    used: RxUsed,
) -> Result<RxPacket, RxDrop> {
    let hash = match &used {
        RxUsed::Frag(frag, shape, _) => frag.copy(shape.offset().saturating_add(REPORT_AT)),
        RxUsed::Big(buf, _) => buf.first().and_then(|first| first.copy(REPORT_AT)),
    };
    // A buffer that the device filled with less than a header has no packet either.
    let mut got = receive_by_mode(info, rq, napi, used)?;
    if let Some(hash) = hash.and_then(|bytes| info.rss.report(bytes)) {
        got.skb.set_rx_hash(hash);
    }
    Ok(got)
}

/// Returns the header of a packet whose first buffer is `frag`, at `at` in it, with `used` bytes.
///
/// It is an error if the fragment is shorter, which no shape allows.
#[inline(always)]
fn header(info: &VirtnetInfo, frag: &Frag, at: u32, used: u32) -> Result<RawHdr, RxDrop> {
    let hdr = RawHdr::from_bytes(&frag.copy(at).ok_or(RxDrop::Length)?);
    known(info, frag.bytes(), at, used, hdr)
}

/// Returns what of the header `hdr`, of such a packet, this driver knows, in the usual form.
///
/// # Errors
///
/// Returns [`RxDrop::Length`] if the headers of a tunnelled packet aren't all there.
#[inline(always)]
pub(crate) fn known(
    info: &VirtnetInfo,
    frag: FragBytes<'_>,
    at: u32,
    used: u32,
    hdr: RawHdr,
) -> Result<RawHdr, RxDrop> {
    match info.f.hdr_len {
        10 | 24 => other_header(info, frag, at, used, hdr),
        _ => Ok(hdr.with_known_flags()),
    }
}

/// Returns a header that is not of the usual form.
///
/// One of 10 bytes has no `num_buffers`, which means 1, and the longest has tunnel fields. It is a
/// function of its own, so that other devices don't pay for it.
#[inline(never)]
fn other_header(
    info: &VirtnetInfo,
    frag: FragBytes<'_>,
    at: u32,
    used: u32,
    hdr: RawHdr,
) -> Result<RawHdr, RxDrop> {
    match info.f.hdr_len {
        10 => Ok(hdr.with_known_flags().with_one_buffer()),
        24 => {
            let fields = if hdr.is_tunnelled() {
                tunnel_fields(info, frag, at, used, hdr).ok_or(RxDrop::Length)?
            } else {
                [0; TUNNEL_LEN]
            };
            Ok(hdr.with_tunnel(fields, &info.f.rx))
        }
        _ => Ok(hdr.with_known_flags()),
    }
}

/// Returns where the headers of a tunnelled packet are, as the driver finds them, and only where it
/// doesn't, as the device says.
///
/// QEMU's own device leaves these fields as they were in the buffer; vhost fills them in.
#[cold]
fn tunnel_fields(
    info: &VirtnetInfo,
    frag: FragBytes<'_>,
    at: u32,
    used: u32,
    hdr: RawHdr,
) -> Option<[u8; TUNNEL_LEN]> {
    let packet = at.saturating_add(info.f.hdr_len);
    let inner_at = packet.saturating_add(hdr.inner_at().unwrap_or(u32::MAX));
    // The inner header is the last of the two. What the device hasn't written is not looked at.
    // CAST: 60.
    if inner_at.saturating_add(INNER_LEN as u32) <= at.saturating_add(used) {
        let found = frag.copy(packet).zip(frag.copy(inner_at));
        if let Some(fields) = found.and_then(|(outer, inner)| hdr.locate(&outer, &inner)) {
            return Some(fields);
        }
    }
    frag.copy(at.saturating_add(TUNNEL_AT))
}

/// Makes an skb of a fragment that holds `len` bytes of a packet from `at` on, a copy of a small
/// one.
#[inline(always)]
fn frag_to_skb(
    napi: &mut RxNapi<'_, InPoll>,
    frag: Frag,
    at: u32,
    len: u32,
) -> Result<RxSkb, RxDrop> {
    if len <= COPYBREAK {
        let skb = frag.copy_skb(napi, at, len);
        napi.recycle(frag);
        return skb.ok_or(RxDrop::NoMem);
    }
    build_skb(napi, frag, at, len)
}

/// Makes an skb around such a fragment, or with it as its first one if that leaves no room.
#[inline(always)]
fn build_skb(
    napi: &mut RxNapi<'_, InPoll>,
    frag: Frag,
    at: u32,
    len: u32,
) -> Result<RxSkb, RxDrop> {
    match frag
        .build_skb(napi, at, len)
        .or_else(|frag| frag.head_skb(napi, at, len))
    {
        Ok(skb) => Ok(skb),
        Err(frag) => {
            napi.recycle(frag);
            Err(RxDrop::NoMem)
        }
    }
}

/// The first buffer of a packet: its header, and the length and place of the data.
pub(crate) struct HeadBuf {
    /// The header of the packet.
    pub(crate) hdr: RawHdr,
    /// Where in the buffer the packet begins.
    pub(crate) at: u32,
    /// Bytes of the packet in the buffer.
    pub(crate) len: u32,
}

/// Looks at the first buffer of a packet.
///
/// # Errors
///
/// Returns [`RxDrop::Length`] if it is too short for the header, or longer than what was posted.
#[inline(always)]
pub(crate) fn parse_head(
    info: &VirtnetInfo,
    frag: &Frag,
    shape: BufShape,
    used: u32,
) -> Result<HeadBuf, RxDrop> {
    let mut head = raw_head(info, frag, shape, used)?;
    head.hdr = known(info, frag.bytes(), shape.offset(), used, head.hdr)?;
    Ok(head)
}

/// Looks at the first buffer of a packet without asking whether the header is [`known`].
///
/// # Errors
///
/// Returns what [`parse_head`] does.
#[inline(always)]
pub(crate) fn raw_head(
    info: &VirtnetInfo,
    frag: &Frag,
    shape: BufShape,
    used: u32,
) -> Result<HeadBuf, RxDrop> {
    let hdr_len = info.f.hdr_len;
    // A packet of the wrong length has no header that can be trusted either.
    let len = payload_len(used, shape.posted(), hdr_len).map_err(|_| RxDrop::Length)?;
    let words = frag.bytes().words(shape.offset());
    Ok(HeadBuf {
        hdr: RawHdr::from_words(words.ok_or(RxDrop::Length)?),
        // 16 bits and the length of a header.
        at: shape.offset().wrapping_add(hdr_len),
        len,
    })
}

/// Builds an skb around one frame in one fragment, however small, because another fragment is
/// cheaper than a copy.
#[inline(never)]
fn receive_small(
    info: &VirtnetInfo,
    napi: &mut RxNapi<'_, InPoll>,
    frag: Frag,
    shape: BufShape,
    used: u32,
) -> Result<RxPacket, RxDrop> {
    match parse_head(info, &frag, shape, used) {
        Ok(HeadBuf { hdr, at, len }) => Ok(RxPacket {
            skb: build_skb(napi, frag, at, len)?,
            hdr,
        }),
        Err(why) => {
            napi.recycle(frag);
            Err(why)
        }
    }
}

/// Makes a packet of one or more fragments.
#[inline(always)]
fn receive_mergeable(
    info: &VirtnetInfo,
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, InPoll>,
    frag: Frag,
    shape: BufShape,
    used: u32,
) -> Result<RxPacket, RxDrop> {
    let HeadBuf { hdr, at, len } = match parse_head(info, &frag, shape, used) {
        Ok(head) => head,
        Err(why) => {
            napi.recycle(frag);
            return Err(why);
        }
    };
    if hdr.num_buffers() == 1 {
        let skb = frag_to_skb(napi, frag, at, len)?;
        rq.avg.add(len);
        return Ok(RxPacket { skb, hdr });
    }
    let size = rq.vq.as_ref().map_or(0, |vq| vq.size());
    let Some(count) = num_buffers(hdr.num_buffers(), size) else {
        napi.recycle(frag);
        return Err(RxDrop::NumBuffers);
    };
    let first = frag_to_skb(napi, frag, at, len);
    append_rest(rq, napi, first, count.saturating_sub(1)).map(|skb| {
        rq.avg.add(skb.len());
        RxPacket { skb, hdr }
    })
}

/// Takes the `rest` further buffers of a packet off the ring, all of them even after an error,
/// because the next one starts another packet.
fn append_rest(
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, InPoll>,
    first: Result<RxSkb, RxDrop>,
    rest: u16,
) -> Result<RxSkb, RxDrop> {
    let mut chain = first.map(SkbChain::new);
    for left in (1..=rest).rev() {
        let used = rq.next_used(u32::from(left));
        let Some(RxUsed::Frag(frag, shape, used)) = used else {
            fail_chain(&mut chain, RxDrop::NumBuffers);
            break;
        };
        let back = match (&mut chain, cont_len(used, shape.posted())) {
            (Ok(c), Ok(len)) => match c.append(napi, frag, shape.offset(), len) {
                Ok(()) => continue,
                Err(frag) => (frag, RxDrop::NoMem),
            },
            (_, Err(_)) => (frag, RxDrop::Length),
            (Err(why), Ok(_)) => (frag, *why),
        };
        napi.recycle(back.0);
        fail_chain(&mut chain, back.1);
    }
    chain.map(SkbChain::into_skb)
}

/// Ends a chain with an error, unless it has one already.
fn fail_chain(chain: &mut Result<SkbChain, RxDrop>, why: RxDrop) {
    if chain.is_ok() {
        if let Ok(c) = core::mem::replace(chain, Err(why)) {
            c.into_skb().drop_with(DropReason::DevHdr);
        }
    }
}

/// Makes a packet of a list of pages.
///
/// It takes those that it fills, and the rest stays for the next one.
#[inline(never)]
fn receive_big(
    info: &VirtnetInfo,
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, InPoll>,
    mut buf: KBox<BigBuf>,
    used: u32,
) -> Result<RxPacket, RxDrop> {
    let got = take_pages(info, napi, &mut buf, used);
    // There is room: the list was taken out of there.
    if let Err(e) = rq.spare.push_within_capacity(buf) {
        drop(e);
    }
    got
}

#[inline(always)]
fn take_pages(
    info: &VirtnetInfo,
    napi: &mut RxNapi<'_, InPoll>,
    buf: &mut BigBuf,
    used: u32,
) -> Result<RxPacket, RxDrop> {
    let at = info.f.hdr_len;
    let len = payload_len(used, buf.posted(), at).map_err(|_| RxDrop::Length)?;
    let first = buf.first().ok_or(RxDrop::NoMem)?;
    let hdr = header(info, first, 0, used)?;
    if len <= COPYBREAK {
        let skb = first.copy_skb(napi, at, len).ok_or(RxDrop::NoMem)?;
        return Ok(RxPacket { skb, hdr });
    }
    let n = len.min(first.truesize().saturating_sub(at));
    let mut left = len.saturating_sub(n);
    let first = buf.take().ok_or(RxDrop::NoMem)?;
    let mut chain = Ok(SkbChain::new(build_skb(napi, first, at, n)?));
    while left > 0 {
        // A packet that is longer than the pages was refused above.
        let (Some(page), Ok(c)) = (buf.take(), &mut chain) else {
            fail_chain(&mut chain, RxDrop::Length);
            break;
        };
        let n = left.min(page.truesize());
        left = left.saturating_sub(n);
        if let Err(page) = c.append(napi, page, 0, n) {
            napi.recycle(page);
            fail_chain(&mut chain, RxDrop::NoMem);
        }
    }
    Ok(RxPacket {
        skb: chain.map(SkbChain::into_skb)?,
        hdr,
    })
}

/// Checks the header against the packet and hands it to the stack, or returns false if it was
/// dropped.
#[inline(always)]
pub(crate) fn deliver(
    dev: &Net,
    napi: &NapiRef<'_>,
    queue: u16,
    stats: &RxStats,
    got: RxPacket,
) -> bool {
    let RxPacket { skb, hdr } = got;
    let len = skb.len();
    let Ok(meta) = parse_rx(hdr, &dev.data().f.rx, len) else {
        count_drop(stats, RxDrop::Header);
        skb.drop_with(DropReason::DevHdr);
        return false;
    };
    match rx_prepare(skb, dev, hdr, queue) {
        Ok(skb) => {
            stats.packets.inc();
            if meta.gso {
                stats.gso_packets.inc();
                stats.gso_bytes.add(u64::from(len));
            }
            if matches!(meta.csum, RxCsum::Unnecessary) {
                stats.csum_unnecessary.inc();
            }
            napi.gro_receive(skb);
            true
        }
        Err(skb) => {
            count_drop(stats, RxDrop::Header);
            skb.drop_with(DropReason::DevHdr);
            false
        }
    }
}
