// SPDX-License-Identifier: GPL-2.0

//! Reception with an XDP program: each packet is judged before there is an skb.
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
            PAGE_SIZE,
            SHINFO, //
        },
        queue::{
            InPoll,
            KickDeferral,
            RxNapi,
            RxQueue, //
        },
        xdp::{
            Bulk,
            Prog,
            Verdict,
            XdpBuff,
            XdpFrame,
            XdpRoom,
            XDP_HEADROOM, //
        }, //
    },
    pure::{
        hdr::RawHdr,
        rss::REPORT_AT,
        rx::{
            cont_len,
            num_buffers,
            BufShape, //
        }, //
    },
    receive_queue::{
        Mode,
        ReceiveQueue, //
    },
    rx::{
        count_drop,
        deliver,
        known,
        raw_head,
        HeadBuf,
        Received,
        RxDrop,
        RxPacket, //
    },
    stats::RxStats,
    tx,
    virtio::rx_ring::RxUsed, //
};

/// Bytes of a packet that a page has room for.
const PAGE_ROOM: u32 = PAGE_SIZE - XDP_HEADROOM - SHINFO;

/// Sends frames back on the pair's own queue, and notifies the device if `notify` says so.
pub(crate) fn send_back(
    dev: &Net,
    deferral: &KickDeferral<'_, VirtnetInfo>,
    stats: &RxStats,
    bulk: &mut Bulk,
    notify: bool,
) {
    let mut tx = deferral.lock();
    let (n, lost) = bulk.send(|frames| tx::add_frames(dev, &mut tx, frames));
    if notify {
        tx::notify_frames(&mut tx);
    }
    let sq = tx.queue().shared();
    sq.xdp_tx.add(u64::from(n));
    if lost != 0 {
        let lost = u64::from(lost);
        sq.xdp_tx_drops.add(lost);
        stats.xdp_drops.add(lost);
        stats.xdp_drop_ring.add(lost);
    }
}

/// Takes a frame that is to be sent back, and sends those before it if there is no room for more.
///
/// Some are left for the end of a poll in any case, where the device is notified.
#[inline(always)]
pub(crate) fn push_back(
    dev: &Net,
    deferral: &KickDeferral<'_, VirtnetInfo>,
    stats: &RxStats,
    bulk: &mut Bulk,
    frame: XdpFrame,
) {
    if bulk.is_full() {
        send_back(dev, deferral, stats, bulk, false);
    }
    bulk.push(frame);
}

/// Takes packets off the ring, at most `budget`, each with all of its buffers, and has `prog` judge
/// each.
#[inline(never)]
pub(crate) fn receive(
    dev: &Net,
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, InPoll>,
    q: &RxQueue<VirtnetInfo>,
    deferral: &KickDeferral<'_, VirtnetInfo>,
    prog: Prog<'_>,
    budget: i32,
) -> Received {
    let stats = q.shared();
    let Some(mut room) = XdpRoom::new(napi) else {
        return Received {
            packets: 0,
            bytes: 0,
        };
    };
    let mut bulk = Bulk::new();
    // They are added to the counters at the end: each of those is a load and a store. What is rare is counted.
    let (mut unjudged, mut passed) = (0u32, 0u32);
    let mut bytes = 0u64;
    // What the device says of a packet: in memory, as hardly any program lets most packets pass.
    let mut hdr = RawHdr::default();
    let budget = budget.max(0).cast_unsigned();
    // A packet takes one buffer at least, so those of the rest of the budget are all asked for.
    let mut left = budget;
    while left != 0 {
        let Some(used) = rq.next_used(left) else {
            break;
        };
        left = left.wrapping_sub(1);
        let (buff, len) = match packet(dev.data(), rq, napi, prog, &mut room, &mut hdr, used) {
            Ok(packet) => packet,
            Err(why) => {
                count_unjudged(stats, why);
                unjudged = unjudged.wrapping_add(1);
                continue;
            }
        };
        match napi.run_xdp(buff, prog) {
            Verdict::Pass(buff) => {
                // While there is a program all buffers have one size, and the stack's packets say what it is to be afterwards.
                rq.avg.add(len);
                let passes = pass(dev, napi, q, buff, hdr);
                bytes = bytes.wrapping_add(u64::from(passes));
                passed = passed.wrapping_add(1);
                continue;
            }
            Verdict::Tx(frame) => {
                stats.xdp_tx.inc();
                push_back(dev, deferral, stats, &mut bulk, frame);
            }
            Verdict::Redirected => stats.xdp_redirects.inc(),
            Verdict::Dropped => stats.xdp_drops.inc(),
        }
        bytes = bytes.wrapping_add(u64::from(len));
    }
    let packets = budget.wrapping_sub(left);
    let judged = packets.wrapping_sub(unjudged);
    stats.xdp_packets.add(u64::from(judged));
    stats.packets.add(u64::from(judged.wrapping_sub(passed)));
    if !bulk.is_empty() {
        send_back(dev, deferral, stats, &mut bulk, true);
    }
    Received {
        packets: packets.cast_signed(),
        bytes,
    }
}

/// Hands a packet to the stack, and returns its bytes, which are 0 if it was dropped.
#[inline(never)]
fn pass(
    dev: &Net,
    napi: &mut RxNapi<'_, InPoll>,
    q: &RxQueue<VirtnetInfo>,
    buff: XdpBuff<'_, '_>,
    hdr: RawHdr,
) -> u32 {
    let stats = q.shared();
    let Ok(skb) = napi.xdp_skb(buff) else {
        count_drop(stats, RxDrop::NoMem);
        return 0;
    };
    let len = skb.len();
    if deliver(dev, napi, q.index(), stats, RxPacket { skb, hdr }) {
        len
    } else {
        0
    }
}

/// Why no program judged a packet.
pub(crate) enum Unjudged {
    /// The packet couldn't be received.
    Dropped(RxDrop),
    /// The packet is several on the wire.
    Merged,
    /// The packet is larger than what the program takes, or in more pieces than there can be.
    Size,
}

impl From<RxDrop> for Unjudged {
    fn from(why: RxDrop) -> Self {
        Self::Dropped(why)
    }
}

/// Counts a packet that no program judged.
#[cold]
pub(crate) fn count_unjudged(stats: &RxStats, why: Unjudged) {
    match why {
        Unjudged::Dropped(why) => count_drop(stats, why),
        Unjudged::Merged => {
            stats.xdp_drops.inc();
            stats.xdp_drop_merged.inc();
        }
        Unjudged::Size => {
            stats.xdp_drops.inc();
            stats.xdp_drop_size.inc();
        }
    }
}

/// Makes a packet of a used buffer, and those that belong to it, which a program may judge.
///
/// Returns it with its length, and in `hdr` what the device said of it, read before the program runs.
#[inline(always)]
fn packet<'r, 'a>(
    info: &VirtnetInfo,
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, InPoll>,
    prog: Prog<'_>,
    room: &'r mut XdpRoom<'a>,
    hdr: &mut RawHdr,
    used: RxUsed,
) -> Result<(XdpBuff<'r, 'a>, u32), Unjudged> {
    let RxUsed::Frag(frag, shape, used) = used else {
        // No program is attached to a device with lists of pages.
        return Err(Unjudged::Size);
    };
    let head = match raw_head(info, &frag, shape, used) {
        Ok(head) => head,
        Err(why) => {
            napi.recycle(frag);
            return Err(why.into());
        }
    };
    *hdr = head.hdr;
    // Most are of this kind, and ask for nothing more.
    let (room, frag) = if head.hdr.is_plain() && !info.f.hash_report {
        match XdpBuff::new(room, frag, head.at, head.len) {
            Ok(buff) => return Ok((buff, head.len)),
            Err(back) => back,
        }
    } else {
        (room, frag)
    };
    let first = First {
        head,
        frag,
        shape,
        used,
    };
    // Taken apart: it comes in memory, and would make the usual packet go there as well.
    let (buff, len) = any_packet(info, rq, napi, prog, room, hdr, first)?;
    Ok((buff, len))
}

/// The first buffer of a packet, how it was posted, and the length that the device reports.
struct First {
    head: HeadBuf,
    frag: Frag,
    shape: BufShape,
    used: u32,
}

/// Makes a packet of its first buffer, and those that belong to it, whatever it is.
///
/// It is a function of its own, so that the usual packet has the registers.
#[inline(never)]
fn any_packet<'r, 'a>(
    info: &VirtnetInfo,
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, InPoll>,
    prog: Prog<'_>,
    room: &'r mut XdpRoom<'a>,
    to: &mut RawHdr,
    first: First,
) -> Result<(XdpBuff<'r, 'a>, u32), Unjudged> {
    let (frag, HeadBuf { hdr, at, len }) = (first.frag, first.head);
    let offset = first.shape.offset();
    let hdr = match known(info, frag.bytes(), offset, first.used, hdr) {
        Ok(hdr) => hdr,
        Err(why) => {
            napi.recycle(frag);
            return Err(why.into());
        }
    };
    if info.f.hash_report {
        note_hash(info, room, frag.bytes(), offset);
    }
    let n = match info.mode {
        Mode::Mergeable => hdr.num_buffers(),
        _ => 1,
    };
    let back = if n == 1 && !hdr.is_gso() {
        XdpBuff::new(room, frag, at, len)
    } else {
        Err((room, frag))
    };
    let (mut buff, len) = match back {
        Ok(buff) => (buff, len),
        Err((room, frag)) => gather(rq, napi, prog, room, frag, HeadBuf { hdr, at, len }, n)?,
    };
    *to = hdr;
    if let Some((start, offset)) = hdr.partial_csum() {
        if !info.f.rx.csum || !buff.complete_csum(start, offset) {
            return Err(RxDrop::Header.into());
        }
        *to = hdr.with_complete_csum();
    }
    Ok((buff, len))
}

/// Keeps what the device says of the hash.
///
/// It is a function of its own, so that other devices don't pay for it.
#[inline(never)]
fn note_hash(info: &VirtnetInfo, room: &mut XdpRoom<'_>, frag: FragBytes<'_>, at: u32) {
    let report = frag.copy(at.saturating_add(REPORT_AT));
    room.set_rx_hash(report.and_then(|bytes| info.rss.report(bytes)));
}

/// Makes a packet of `n` buffers, or of a buffer without room before or behind it.
///
/// All of its buffers are taken off the ring, also after an error, because the next one starts
/// another packet.
#[inline(always)]
fn gather<'r, 'a>(
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, InPoll>,
    prog: Prog<'_>,
    room: &'r mut XdpRoom<'a>,
    frag: Frag,
    head: HeadBuf,
    n: u16,
) -> Result<(XdpBuff<'r, 'a>, u32), Unjudged> {
    let size = rq.vq.as_ref().map_or(0, |vq| vq.size());
    let Some(n) = num_buffers(n, size) else {
        napi.recycle(frag);
        return Err(RxDrop::NumBuffers.into());
    };
    let mut rest = Rest(n.saturating_sub(1));
    let packet = if head.hdr.is_gso() {
        napi.recycle(frag);
        Err(Unjudged::Merged)
    } else if prog.has_frags() {
        in_pieces(rq, napi, room, frag, &head, &mut rest)
    } else {
        in_page(rq, napi, room, frag, &head, &mut rest)
    };
    if packet.is_err() {
        rest.discard(rq, napi)?;
    }
    packet
}

/// How many buffers of a packet are still on the ring.
struct Rest(u16);

impl Rest {
    /// Takes the next one off the ring, and returns where in it the packet goes on.
    ///
    /// # Errors
    ///
    /// Returns [`RxDrop::NumBuffers`] if the device has used fewer than it said, and
    /// [`RxDrop::Length`] if it has written nothing into this one, or more than there is room for.
    #[inline(always)]
    fn next(
        &mut self,
        rq: &mut ReceiveQueue,
        napi: &mut RxNapi<'_, InPoll>,
    ) -> Option<Result<(Frag, u32, u32), RxDrop>> {
        let left = self.0;
        self.0 = left.checked_sub(1)?;
        let Some(RxUsed::Frag(frag, shape, used)) = rq.next_used(u32::from(left)) else {
            self.0 = 0;
            return Some(Err(RxDrop::NumBuffers));
        };
        Some(match cont_len(used, shape.posted()) {
            Ok(len) => Ok((frag, shape.offset(), len)),
            Err(_) => {
                napi.recycle(frag);
                Err(RxDrop::Length)
            }
        })
    }

    /// Takes all of them off the ring.
    ///
    /// # Errors
    ///
    /// Returns [`RxDrop::NumBuffers`] if the device has used fewer than it said.
    #[cold]
    fn discard(
        &mut self,
        rq: &mut ReceiveQueue,
        napi: &mut RxNapi<'_, InPoll>,
    ) -> Result<(), Unjudged> {
        while let Some(next) = self.next(rq, napi) {
            match next {
                Ok((frag, _, _)) => napi.recycle(frag),
                Err(RxDrop::NumBuffers) => return Err(RxDrop::NumBuffers.into()),
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Makes a packet in as many pieces as it came in.
///
/// One without room before or behind its first piece gets a page for that, as much as it holds.
#[inline(always)]
fn in_pieces<'r, 'a>(
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, InPoll>,
    room: &'r mut XdpRoom<'a>,
    frag: Frag,
    head: &HeadBuf,
    rest: &mut Rest,
) -> Result<(XdpBuff<'r, 'a>, u32), Unjudged> {
    let mut len = head.len;
    let mut buff = match XdpBuff::new(room, frag, head.at, len) {
        Ok(buff) => buff,
        Err((room, frag)) => first_page(napi, room, frag, head)?,
    };
    while let Some(next) = rest.next(rq, napi) {
        let (frag, at, more) = next?;
        if let Err(frag) = buff.append(frag, at, more) {
            napi.recycle(frag);
            return Err(Unjudged::Size);
        }
        len = len.saturating_add(more);
    }
    Ok((buff, len))
}

/// Copies what comes first of a packet into a page; what that doesn't hold is the second piece.
#[cold]
fn first_page<'r, 'a>(
    napi: &mut RxNapi<'_, InPoll>,
    room: &'r mut XdpRoom<'a>,
    frag: Frag,
    head: &HeadBuf,
) -> Result<XdpBuff<'r, 'a>, Unjudged> {
    let first = head.len.min(PAGE_ROOM);
    let Some(mut page) = napi.alloc_page() else {
        napi.recycle(frag);
        return Err(RxDrop::NoMem.into());
    };
    page.copy_from(XDP_HEADROOM, &frag, head.at, first);
    let mut buff = match XdpBuff::new(room, page, XDP_HEADROOM, first) {
        Ok(buff) => buff,
        Err((_, page)) => {
            napi.recycle(page);
            napi.recycle(frag);
            return Err(Unjudged::Size);
        }
    };
    let left = head.len.saturating_sub(first);
    if left == 0 {
        napi.recycle(frag);
    } else if let Err(frag) = buff.append(frag, head.at.saturating_add(first), left) {
        napi.recycle(frag);
        return Err(Unjudged::Size);
    }
    Ok(buff)
}

/// Copies a packet into a page, if it fits there, for a program that takes packets in one piece
/// only.
#[cold]
fn in_page<'r, 'a>(
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, InPoll>,
    room: &'r mut XdpRoom<'a>,
    frag: Frag,
    head: &HeadBuf,
    rest: &mut Rest,
) -> Result<(XdpBuff<'r, 'a>, u32), Unjudged> {
    if head.len > PAGE_ROOM {
        napi.recycle(frag);
        return Err(Unjudged::Size);
    }
    let Some(mut page) = napi.alloc_page() else {
        napi.recycle(frag);
        return Err(RxDrop::NoMem.into());
    };
    page.copy_from(XDP_HEADROOM, &frag, head.at, head.len);
    napi.recycle(frag);
    let mut len = head.len;
    while let Some(next) = rest.next(rq, napi) {
        let (frag, at, more) = match next {
            Ok(next) => next,
            Err(why) => {
                napi.recycle(page);
                return Err(why.into());
            }
        };
        let to = XDP_HEADROOM.saturating_add(len);
        len = len.saturating_add(more);
        let fits = len <= PAGE_ROOM && page.copy_from(to, &frag, at, more);
        napi.recycle(frag);
        if !fits {
            napi.recycle(page);
            return Err(Unjudged::Size);
        }
    }
    match XdpBuff::new(room, page, XDP_HEADROOM, len) {
        Ok(buff) => Ok((buff, len)),
        Err((_, page)) => {
            napi.recycle(page);
            Err(Unjudged::Size)
        }
    }
}
