// SPDX-License-Identifier: GPL-2.0

//! Reception with an XDP program: each packet is judged before there is an skb.

#![forbid(unsafe_code)]

use crate::{
    device::{
        Net,
        VirtnetInfo, //
    },
    net::{
        page_pool::{
            Frag,
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
            Prog,
            Verdict,
            XdpBuff,
            XdpFrame,
            XDP_HEADROOM, //
        }, //
    },
    pure::{
        hdr::RawHdr,
        rss::{
            RxHash,
            REPORT_AT, //
        },
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
        parse_head,
        HeadBuf,
        Received,
        RxDrop,
        RxPacket, //
    },
    stats::RxStats,
    tx,
    virtio::rx_ring::RxUsed, //
};

/// Frames that are sent back together.
const BULK: usize = 16;

/// Bytes of a packet that a page has room for.
const PAGE_ROOM: u32 = PAGE_SIZE - XDP_HEADROOM - SHINFO;

/// Frames that are to be sent back, the first `n` of them.
pub(crate) struct Bulk {
    frames: [Option<XdpFrame>; BULK],
    n: usize,
}

impl Bulk {
    pub(crate) const fn new() -> Self {
        Self {
            frames: [const { None }; BULK],
            n: 0,
        }
    }

    /// Takes a frame. Returns whether there is no room for another one.
    pub(crate) fn push(&mut self, frame: XdpFrame) -> bool {
        if let Some(slot) = self.frames.get_mut(self.n) {
            *slot = Some(frame);
            self.n = self.n.wrapping_add(1);
        }
        self.n >= BULK
    }

    /// Sends them on the pair's own queue. The device is told with `notify`.
    pub(crate) fn send(
        &mut self,
        dev: &Net,
        deferral: &KickDeferral<'_, VirtnetInfo>,
        stats: &RxStats,
        notify: bool,
    ) {
        // CAST: 16 at most.
        let n = core::mem::take(&mut self.n) as u32;
        let mut tx = deferral.lock();
        let mut frames = self.frames.iter_mut();
        let sent = tx::add_frames(dev, &mut tx, n, || frames.next()?.take(), drop);
        if notify {
            tx::notify_frames(&mut tx);
        }
        let lost = u64::from(n.saturating_sub(sent));
        let sq = tx.queue().shared();
        sq.xdp_tx.add(u64::from(n));
        sq.xdp_tx_drops.add(lost);
        drop(tx);
        stats.xdp_drops.add(lost);
        stats.xdp_drop_ring.add(lost);
        // Those that couldn't be sent.
        for frame in frames {
            *frame = None;
        }
    }
}

/// Takes packets off the ring, at most `budget` and all of them off it, and has `prog` judge each.
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
    let mut got = Received {
        packets: 0,
        bytes: 0,
    };
    let mut bulk = Bulk::new();
    let mut unsent = false;
    while got.packets < budget {
        // A packet takes one buffer at least, so those of the rest of the budget are all asked for.
        let left = budget.wrapping_sub(got.packets).cast_unsigned();
        let Some(used) = rq.next_used(left) else {
            break;
        };
        got.packets = got.packets.wrapping_add(1);
        let judged = match packet(dev.data(), rq, napi, prog, used) {
            Ok(judged) => judged,
            Err(why) => {
                count_unjudged(stats, why);
                continue;
            }
        };
        let Judged {
            verdict,
            hdr,
            hash,
            len,
        } = judged;
        stats.xdp_packets.inc();
        rq.avg.add(len);
        if let Verdict::Pass(buff) = verdict {
            let Ok(mut skb) = napi.xdp_skb(buff) else {
                count_drop(stats, RxDrop::NoMem);
                continue;
            };
            if let Some(hash) = hash {
                skb.set_rx_hash(hash);
            }
            let len = skb.len();
            if deliver(dev, napi, q.index(), stats, RxPacket { skb, hdr }) {
                got.bytes = got.bytes.wrapping_add(u64::from(len));
            }
            continue;
        }
        stats.packets.inc();
        got.bytes = got.bytes.wrapping_add(u64::from(len));
        match verdict {
            Verdict::Tx(frame) => {
                stats.xdp_tx.inc();
                unsent = true;
                if bulk.push(frame) {
                    bulk.send(dev, deferral, stats, false);
                }
            }
            Verdict::Redirected => stats.xdp_redirects.inc(),
            Verdict::Pass(_) | Verdict::Dropped => stats.xdp_drops.inc(),
        }
    }
    if unsent {
        bulk.send(dev, deferral, stats, true);
    }
    got
}

/// Why no program judged a packet.
pub(crate) enum Unjudged {
    /// It is none that could be received.
    Dropped(RxDrop),
    /// It is several on the wire.
    Merged,
    /// It is larger than what the program takes, or in more pieces than there can be.
    Size,
}

impl From<RxDrop> for Unjudged {
    fn from(why: RxDrop) -> Self {
        Self::Dropped(why)
    }
}

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

/// A packet with what the program said of it. `hdr` and `hash` are what the device said, read before the program ran.
struct Judged {
    verdict: Verdict,
    hdr: RawHdr,
    hash: Option<RxHash>,
    len: u32,
}

/// Makes a packet of a used buffer, and those that belong to it, and has it judged.
#[inline(always)]
fn packet(
    info: &VirtnetInfo,
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, InPoll>,
    prog: Prog<'_>,
    used: RxUsed,
) -> Result<Judged, Unjudged> {
    let RxUsed::Frag(frag, shape, used) = used else {
        // No program is attached to a device with lists of pages.
        return Err(Unjudged::Size);
    };
    let head = match parse_head(info, &frag, shape, used) {
        Ok(head) => head,
        Err(why) => {
            napi.recycle(frag);
            return Err(why.into());
        }
    };
    let hash = if info.f.hash_report {
        let report = frag.copy(shape.offset().saturating_add(REPORT_AT));
        report.and_then(|bytes| info.rss.report(bytes))
    } else {
        None
    };
    let HeadBuf { mut hdr, at, len } = head;
    let one = !matches!(info.mode, Mode::Mergeable) || hdr.num_buffers() == 1;
    let (mut buff, len) = if one && !hdr.is_gso() {
        match XdpBuff::new(frag, at, len) {
            Ok(buff) => (buff, len),
            Err(frag) => gather(rq, napi, prog, frag, &HeadBuf { hdr, at, len }, 1)?,
        }
    } else {
        let n = if one { 1 } else { hdr.num_buffers() };
        gather(rq, napi, prog, frag, &HeadBuf { hdr, at, len }, n)?
    };
    if let Some((start, offset)) = hdr.partial_csum() {
        if !info.f.rx.csum {
            return Err(RxDrop::Header.into());
        }
        if !buff.complete_csum(start, offset) {
            return Err(RxDrop::Header.into());
        }
        hdr = hdr.with_complete_csum();
    }
    if let Some(hash) = hash {
        buff.set_rx_hash(hash);
    }
    Ok(Judged {
        verdict: napi.run_xdp(buff, prog),
        hdr,
        hash,
        len,
    })
}

/// A packet over `n` buffers, or in a buffer without room before or behind it: what comes first is copied to a page, as much as
/// that holds; the rest as well for a program that takes packets in one piece only. All of its buffers are taken off the ring,
/// also after an error: the next one starts another packet.
#[inline(never)]
fn gather(
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, InPoll>,
    prog: Prog<'_>,
    frag: Frag,
    head: &HeadBuf,
    n: u16,
) -> Result<(XdpBuff, u32), Unjudged> {
    let size = rq.vq.as_ref().map_or(0, |vq| vq.size());
    let Some(n) = num_buffers(n, size) else {
        napi.recycle(frag);
        return Err(RxDrop::NumBuffers.into());
    };
    let mut packet = if head.hdr.is_gso() {
        napi.recycle(frag);
        Err(Unjudged::Merged)
    } else {
        Pieces::new(napi, frag, head.at, head.len, prog.has_frags())
    };
    for left in (1..n).rev() {
        let Some(RxUsed::Frag(frag, shape, used)) = rq.next_used(u32::from(left)) else {
            return Err(RxDrop::NumBuffers.into());
        };
        packet = match (packet, cont_len(used, shape.posted())) {
            (Ok(packet), Ok(len)) => packet.append(napi, frag, shape, len),
            (Ok(_), Err(_)) => {
                napi.recycle(frag);
                Err(RxDrop::Length.into())
            }
            (Err(why), _) => {
                napi.recycle(frag);
                Err(why)
            }
        };
    }
    packet?.finish(napi)
}

/// A packet that grows.
enum Pieces {
    /// In one piece, a page, so many bytes.
    Page(Frag, u32),
    /// In several, so many bytes.
    Several(XdpBuff, u32),
}

impl Pieces {
    fn new(
        napi: &mut RxNapi<'_, InPoll>,
        frag: Frag,
        at: u32,
        len: u32,
        several: bool,
    ) -> Result<Self, Unjudged> {
        let frag = if several {
            match XdpBuff::new(frag, at, len) {
                Ok(buff) => return Ok(Self::Several(buff, len)),
                Err(frag) => frag,
            }
        } else {
            frag
        };
        let first = len.min(PAGE_ROOM);
        if !several && first < len {
            napi.recycle(frag);
            return Err(Unjudged::Size);
        }
        let Some(mut page) = napi.alloc_page() else {
            napi.recycle(frag);
            return Err(RxDrop::NoMem.into());
        };
        page.copy_from(XDP_HEADROOM, &frag, at, first);
        if !several {
            napi.recycle(frag);
            return Ok(Self::Page(page, len));
        }
        let mut buff = XdpBuff::new(page, XDP_HEADROOM, first).map_err(|_| Unjudged::Size)?;
        let rest = len.saturating_sub(first);
        if rest == 0 {
            napi.recycle(frag);
        } else if let Err(frag) = buff.append(frag, at.saturating_add(first), rest) {
            napi.recycle(frag);
            return Err(Unjudged::Size);
        }
        Ok(Self::Several(buff, len))
    }

    fn append(
        self,
        napi: &mut RxNapi<'_, InPoll>,
        frag: Frag,
        shape: BufShape,
        len: u32,
    ) -> Result<Self, Unjudged> {
        match self {
            Self::Page(mut page, had) => {
                let total = had.saturating_add(len);
                let fits = total <= PAGE_ROOM
                    && page.copy_from(XDP_HEADROOM.saturating_add(had), &frag, shape.offset(), len);
                napi.recycle(frag);
                if fits {
                    return Ok(Self::Page(page, total));
                }
                napi.recycle(page);
                Err(Unjudged::Size)
            }
            Self::Several(mut buff, had) => match buff.append(frag, shape.offset(), len) {
                Ok(()) => Ok(Self::Several(buff, had.saturating_add(len))),
                Err(frag) => {
                    napi.recycle(frag);
                    Err(Unjudged::Size)
                }
            },
        }
    }

    fn finish(self, napi: &mut RxNapi<'_, InPoll>) -> Result<(XdpBuff, u32), Unjudged> {
        match self {
            Self::Several(buff, len) => Ok((buff, len)),
            Self::Page(page, len) => match XdpBuff::new(page, XDP_HEADROOM, len) {
                Ok(buff) => Ok((buff, len)),
                Err(page) => {
                    napi.recycle(page);
                    Err(Unjudged::Size)
                }
            },
        }
    }
}
