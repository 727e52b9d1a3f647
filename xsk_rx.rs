// SPDX-License-Identifier: GPL-2.0

//! Reception into buffers of AF_XDP's sockets: a program gives packets to them, and what is the
//! stack's is copied.
//!
//! Context: softirq, in the queue's poll.

#![forbid(unsafe_code)]

use crate::{
    device::{
        Net,
        VirtnetInfo, //
    },
    net::{
        page_pool::SkbChain,
        queue::{
            InPoll,
            KickDeferral,
            RxNapi,
            RxQueue, //
        },
        skb::RxSkb,
        xdp::{
            Bulk,
            Prog, //
        },
        xsk::MAX_HDR,
        xsk_batch::{
            XskJudged,
            XskNext,
            XskRoom, //
        },
        xsk_queue::{
            XskBuff,
            XskVerdict, //
        },
        DropReason, //
    },
    pure::{
        hdr::RawHdr,
        rss::{
            RxHash,
            REPORT_AT, //
        },
        rx::{
            cont_len,
            num_buffers, //
        }, //
    },
    receive_queue::{
        Mode,
        ReceiveQueue, //
    },
    rx::{
        count_drop,
        deliver,
        Received,
        RxDrop,
        RxPacket, //
    },
    xdp_rx::{
        count_unjudged,
        push_back,
        send_back,
        Unjudged, //
    }, //
};
use kernel::prelude::*;

/// What all packets of a poll share.
struct Way<'p> {
    dev: &'p Net,
    q: &'p RxQueue<VirtnetInfo>,
    deferral: &'p KickDeferral<'p, VirtnetInfo>,
    prog: Option<Prog<'p>>,
    /// Frames that are to be sent back.
    bulk: Bulk,
}

/// Takes packets off the ring, at most `budget`, and has `prog` judge each; without one they are
/// the stack's.
#[inline(never)]
pub(crate) fn receive(
    dev: &Net,
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, InPoll>,
    q: &RxQueue<VirtnetInfo>,
    deferral: &KickDeferral<'_, VirtnetInfo>,
    prog: Option<Prog<'_>>,
    budget: i32,
) -> Received {
    let mut way = Way {
        dev,
        q,
        deferral,
        prog,
        bulk: Bulk::new(),
    };
    let mut room = XskRoom::new();
    let (mut bytes, mut redirected) = (0u64, 0u32);
    let budget = budget.max(0).cast_unsigned();
    let mut left = budget;
    // A hash is read for each packet, and where there is no program none is judged.
    let together = prog.filter(|_| !dev.data().f.hash_report);
    while left != 0 {
        let Some(vq) = rq.vq.as_mut() else { break };
        let next = match together {
            Some(prog) => {
                let (mut batch, next) = vq.next_xsk_batch(napi, &mut room, left);
                left = left.wrapping_sub(batch.len());
                bytes = bytes.wrapping_add(batch.bytes());
                while batch.len() != 0 {
                    let (n, judged) = napi.run_xsk_batch(&mut batch, prog);
                    redirected = redirected.wrapping_add(n);
                    if let Some(XskJudged { verdict, hdr, len }) = judged {
                        bytes = bytes.wrapping_sub(u64::from(len));
                        let got = settle(&mut way, napi, verdict, (hdr, None), len);
                        bytes = bytes.wrapping_add(got);
                    }
                }
                next
            }
            None => vq
                .next_xsk(napi)
                .map_or(XskNext::Nothing, |(buff, used)| XskNext::Other(buff, used)),
        };
        match next {
            XskNext::Unknown => {}
            XskNext::Nothing => break,
            XskNext::Other(buff, used) => {
                left = left.wrapping_sub(1);
                let got = any_packet(&mut way, rq, napi, buff, used);
                bytes = bytes.wrapping_add(got);
            }
        }
    }
    let stats = q.shared();
    if redirected != 0 {
        let redirected = u64::from(redirected);
        stats.xdp_packets.add(redirected);
        stats.packets.add(redirected);
        stats.xdp_redirects.add(redirected);
    }
    if !way.bulk.is_empty() {
        send_back(dev, deferral, stats, &mut way.bulk, true);
    }
    Received {
        packets: budget.wrapping_sub(left).cast_signed(),
        bytes,
    }
}

/// Makes a packet of a used buffer, and those that belong to it, whatever it is, and has it judged
/// if there is a program.
///
/// Returns its bytes, which are 0 if it was dropped before that.
#[inline(never)]
fn any_packet<'a>(
    way: &mut Way<'_>,
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'a, InPoll>,
    buff: XskBuff<'a>,
    used: u32,
) -> u64 {
    let Packet {
        what,
        hdr,
        hash,
        len,
    } = match packet(way.dev.data(), rq, napi, buff, used, way.prog) {
        Ok(packet) => packet,
        Err(why) => {
            count_unjudged(way.q.shared(), why);
            return 0;
        }
    };
    let buff = match what {
        What::Buff(buff) => buff,
        What::Skb(skb) => return pass(way, napi, Ok(skb), (hdr, hash)),
    };
    let verdict = match way.prog {
        Some(prog) => napi.run_xsk(buff, hash, prog),
        None => {
            let skb = into_skb(napi, buff);
            return pass(way, napi, skb, (hdr, hash));
        }
    };
    settle(way, napi, verdict, (hdr, hash), len)
}

/// Does what is left to be done for a packet, which came with `len` bytes, after a program judged
/// it.
///
/// Returns its bytes, which are 0 if the stack didn't take it.
#[inline(never)]
fn settle<'a>(
    way: &mut Way<'_>,
    napi: &mut RxNapi<'a, InPoll>,
    verdict: XskVerdict<'a>,
    said: (RawHdr, Option<RxHash>),
    len: u32,
) -> u64 {
    let stats = way.q.shared();
    stats.xdp_packets.inc();
    match verdict {
        XskVerdict::Pass(buff) => {
            let skb = into_skb(napi, buff);
            return pass(way, napi, skb, said);
        }
        XskVerdict::Tx(frame) => {
            stats.xdp_tx.inc();
            push_back(way.dev, way.deferral, stats, &mut way.bulk, frame);
        }
        XskVerdict::Redirected => stats.xdp_redirects.inc(),
        XskVerdict::Dropped => stats.xdp_drops.inc(),
    }
    stats.packets.inc();
    u64::from(len)
}

/// Hands a packet to the stack, of which the device said this, and returns its bytes, which are 0 if
/// it was dropped.
fn pass(
    way: &Way<'_>,
    napi: &RxNapi<'_, InPoll>,
    skb: Result<RxSkb, RxDrop>,
    (hdr, hash): (RawHdr, Option<RxHash>),
) -> u64 {
    let stats = way.q.shared();
    let mut skb = match skb {
        Ok(skb) => skb,
        Err(why) => {
            count_drop(stats, why);
            return 0;
        }
    };
    if let Some(hash) = hash {
        skb.set_rx_hash(hash);
    }
    let len = skb.len();
    if deliver(way.dev, napi, way.q.index(), stats, RxPacket { skb, hdr }) {
        u64::from(len)
    } else {
        0
    }
}

/// What a packet is in.
enum What<'a> {
    /// The packet is in buffers of sockets.
    Buff(XskBuff<'a>),
    /// The packet is in a copy.
    Skb(RxSkb),
}

/// A packet, and what the device said of it, read before a program ran.
struct Packet<'a> {
    what: What<'a>,
    hdr: RawHdr,
    hash: Option<RxHash>,
    len: u32,
}

/// Returns the header of a packet, in whichever form it has.
#[inline]
fn header(info: &VirtnetInfo, bytes: &[u8; MAX_HDR]) -> Option<RawHdr> {
    let hdr = RawHdr::from_bytes(bytes.first_chunk()?);
    Some(match info.f.hdr_len {
        10 => hdr.with_known_flags().with_one_buffer(),
        24 => hdr.with_tunnel(*bytes.last_chunk()?, &info.f.rx),
        _ => hdr.with_known_flags(),
    })
}

/// Returns the hash that the device has put into a header.
#[inline(always)]
fn hash_of(info: &VirtnetInfo, bytes: &[u8; MAX_HDR]) -> Option<RxHash> {
    if !info.f.hash_report {
        return None;
    }
    // CAST: 12.
    let report = bytes.get(const { REPORT_AT as usize }..)?;
    info.rss.report(*report.first_chunk()?)
}

/// Makes a packet of what the device has put into a buffer, and into those that belong to it.
///
/// All of them are taken off the ring, also after an error, because the next one starts another
/// packet.
#[inline(always)]
fn packet<'a>(
    info: &VirtnetInfo,
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'a, InPoll>,
    buff: XskBuff<'a>,
    used: u32,
    prog: Option<Prog<'_>>,
) -> Result<Packet<'a>, Unjudged> {
    let (buff, len, bytes) = napi.xsk_begin(buff, used).map_err(|_| RxDrop::Length)?;
    match bytes.first_chunk().map(RawHdr::from_bytes) {
        Some(hdr) if hdr.is_plain() => Ok(Packet {
            what: What::Buff(buff),
            hdr,
            hash: hash_of(info, &bytes),
            len,
        }),
        _ => no_plain_packet(info, rq, napi, (buff, len), &bytes, prog),
    }
}

/// Makes a packet in several buffers, or one with something to be done before a program sees it.
///
/// `head.1` bytes of it are in the first one, behind a header of these `bytes`.
#[inline(never)]
fn no_plain_packet<'a>(
    info: &VirtnetInfo,
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'a, InPoll>,
    head: (XskBuff<'a>, u32),
    bytes: &[u8; MAX_HDR],
    prog: Option<Prog<'_>>,
) -> Result<Packet<'a>, Unjudged> {
    let mut hdr = header(info, bytes).ok_or(RxDrop::Length)?;
    let hash = hash_of(info, bytes);
    let n = match info.mode {
        Mode::Mergeable => hdr.num_buffers(),
        _ => 1,
    };
    let (mut what, len) = if n == 1 {
        (What::Buff(head.0), head.1)
    } else {
        gather(rq, napi, head, n, prog.filter(|_| !hdr.is_gso()))?
    };
    if prog.is_some() {
        let buff = match &mut what {
            What::Buff(buff) if !hdr.is_gso() => buff,
            _ => return Err(unjudged(what, hdr)),
        };
        if let Some((start, offset)) = hdr.partial_csum() {
            if !info.f.rx.csum || !napi.xsk_complete_csum(buff, start, offset) {
                return Err(RxDrop::Header.into());
            }
            hdr = hdr.with_complete_csum();
        }
    }
    Ok(Packet {
        what,
        hdr,
        hash,
        len,
    })
}

/// Returns why no program can judge the packet.
#[cold]
fn unjudged(what: What<'_>, hdr: RawHdr) -> Unjudged {
    if let What::Skb(skb) = what {
        skb.drop_with(DropReason::DevHdr);
    }
    if hdr.is_gso() {
        Unjudged::Merged
    } else {
        Unjudged::Size
    }
}

/// Makes a packet of `n` buffers, of which the first has `head.1` bytes.
///
/// With a `prog` that takes such packets it stays in them, if they have room for what names them;
/// else it is copied.
#[inline(never)]
fn gather<'a>(
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'a, InPoll>,
    head: (XskBuff<'a>, u32),
    n: u16,
    prog: Option<Prog<'_>>,
) -> Result<(What<'a>, u32), Unjudged> {
    let size = rq.vq.as_ref().map_or(0, |vq| vq.size());
    let n = num_buffers(n, size).ok_or(RxDrop::NumBuffers)?;
    let posted = napi.xsk().map_or(0, |xsk| xsk.device_len());
    let (buff, mut len) = head;
    let in_place =
        prog.is_some_and(|prog| prog.has_frags()) && napi.xsk().is_some_and(|xsk| xsk.is_sg());
    let mut packet = if in_place {
        Ok(Growing::Buff(buff))
    } else {
        napi.xsk_skb(&buff)
            .map(|skb| Growing::Chain(SkbChain::new(skb)))
            .map_err(|_| RxDrop::NoMem)
    };
    for _ in 1..n {
        let Some((buff, used)) = rq.vq.as_mut().and_then(|vq| vq.next_xsk(napi)) else {
            packet = packet.and_then(|p| p.fail(RxDrop::NumBuffers));
            break;
        };
        let more = match cont_len(used, posted) {
            Ok(more) => more,
            Err(_) => {
                packet = packet.and_then(|p| p.fail(RxDrop::Length));
                continue;
            }
        };
        len = len.saturating_add(more);
        packet = packet.and_then(|packet| packet.append(napi, buff, more));
    }
    Ok((
        match packet? {
            Growing::Buff(buff) => What::Buff(buff),
            Growing::Chain(chain) => What::Skb(chain.into_skb()),
        },
        len,
    ))
}

/// A packet to which buffers are appended.
enum Growing<'a> {
    /// The packet is in its buffers.
    Buff(XskBuff<'a>),
    /// The packet is in a copy.
    Chain(SkbChain),
}

impl<'a> Growing<'a> {
    fn append(
        mut self,
        napi: &mut RxNapi<'a, InPoll>,
        buff: XskBuff<'a>,
        len: u32,
    ) -> Result<Self, RxDrop> {
        let fits = match &mut self {
            Self::Buff(head) => napi.xsk_append(head, buff, len).is_ok(),
            Self::Chain(chain) => match napi.xsk_go_on(buff, len) {
                Ok(buff) => append_copy(napi, chain, &buff),
                Err(_) => false,
            },
        };
        if fits {
            Ok(self)
        } else {
            self.fail(RxDrop::NoMem)
        }
    }

    #[cold]
    fn fail(self, why: RxDrop) -> Result<Self, RxDrop> {
        if let Self::Chain(chain) = self {
            chain.into_skb().drop_with(DropReason::DevHdr);
        }
        Err(why)
    }
}

/// Appends a copy of a buffer, or returns false without memory.
fn append_copy(napi: &mut RxNapi<'_, InPoll>, chain: &mut SkbChain, buff: &XskBuff<'_>) -> bool {
    let Some(mut page) = napi.alloc_page() else {
        return false;
    };
    let len = buff.copy_to(&mut page);
    match chain.append(napi, page, 0, len) {
        Ok(()) => true,
        Err(page) => {
            napi.recycle(page);
            false
        }
    }
}

/// Copies a packet that may pass into an skb.
fn into_skb<'a>(napi: &mut RxNapi<'a, InPoll>, mut buff: XskBuff<'a>) -> Result<RxSkb, RxDrop> {
    let skb = napi.xsk_skb(&buff).map_err(|_| RxDrop::NoMem)?;
    let Some(mut next) = napi.xsk_next(&mut buff) else {
        return Ok(skb);
    };
    let mut chain = SkbChain::new(skb);
    loop {
        if !append_copy(napi, &mut chain, &next) {
            chain.into_skb().drop_with(DropReason::NoMem);
            return Err(RxDrop::NoMem);
        }
        match napi.xsk_next(&mut buff) {
            Some(buff) => next = buff,
            None => return Ok(chain.into_skb()),
        }
    }
}
