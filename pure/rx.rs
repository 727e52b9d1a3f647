// SPDX-License-Identifier: GPL-2.0

//! Receive buffers: their sizes, and the lengths that the device claims to have written.
//!
//! All lengths are in bytes. The length in a used ring entry comes from the device and is not
//! checked by the virtio core (virtio 1.3, 2.7.8).

#![forbid(unsafe_code)]

use super::eth::ETH_HLEN;

/// Why a used length cannot be true.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LenError {
    /// The length is less than what every packet has at least.
    Short,
    /// The length is more than the buffer holds.
    Long,
}

/// Returns the length of the packet data in the first (or only) buffer of a packet.
///
/// `used` is what the device claims to have written into a buffer of `posted` bytes: the header of
/// `hdr_len` bytes (5.1.6) and at least an Ethernet header. Otherwise the result is
/// [`LenError::Short`], and [`LenError::Long`] if it claims more than there was room for.
pub(crate) fn payload_len(used: u32, posted: u32, hdr_len: u32) -> Result<u32, LenError> {
    match used.checked_sub(hdr_len) {
        None => Err(LenError::Short),
        Some(len) if len < u32::from(ETH_HLEN) => Err(LenError::Short),
        Some(_) if used > posted => Err(LenError::Long),
        Some(len) => Ok(len),
    }
}

/// Which used lengths packets can have that are in one buffer each, all of one size.
///
/// What doesn't change from packet to packet is worked out once.
#[derive(Clone, Copy)]
pub(crate) struct PayloadLens {
    /// The length of the header.
    hdr_len: u32,
    /// The least used length.
    least: u32,
    /// How many there are from that on, which may be none.
    count: u32,
}

impl PayloadLens {
    /// Makes those of buffers of which `posted` bytes were, with a header of `hdr_len` bytes.
    pub(crate) fn new(posted: u32, hdr_len: u32) -> Self {
        let least = hdr_len.checked_add(u32::from(ETH_HLEN));
        let more = least.and_then(|least| posted.checked_sub(least));
        Self {
            hdr_len,
            least: least.unwrap_or(u32::MAX),
            // Less than `u32::MAX`, as the least isn't 0.
            count: more.map_or(0, |more| more.saturating_add(1)),
        }
    }

    /// Returns what [`payload_len`] does of a length that it accepts, and `None` of any other.
    #[inline(always)]
    pub(crate) fn payload(&self, used: u32) -> Option<u32> {
        // A length below the least wraps to one above all that a buffer could have.
        (used.wrapping_sub(self.least) < self.count).then(|| used.wrapping_sub(self.hdr_len))
    }
}

/// Returns the length of the packet data in the second or a later buffer of a merged packet
/// (5.1.6.4), which has no header.
///
/// Returns [`LenError::Short`] if `used` is 0, and [`LenError::Long`] if it is above `posted`.
pub(crate) fn cont_len(used: u32, posted: u32) -> Result<u32, LenError> {
    match used {
        0 => Err(LenError::Short),
        _ if used > posted => Err(LenError::Long),
        _ => Ok(used),
    }
}

/// The greatest number of buffers that a packet may be merged from.
///
/// The largest packet has 65535 bytes of IP and 18 of Ethernet with a VLAN tag; with a header of
/// 20 bytes that makes 65573. [`min_buf_len`] never lets buffers for it get smaller than
/// ceil(65573 / 64) = 1025 bytes, so that 64 of them always hold it.
pub(crate) const MAX_MERGED: u16 = 64;

/// Checks the number of buffers `n` of a received packet (`num_buffers`, 5.1.6.4) on a queue of
/// `ring_size` entries.
///
/// Returns `None` unless it is 1 to `ring_size` and at most [`MAX_MERGED`].
pub(crate) fn num_buffers(n: u16, ring_size: u32) -> Option<u16> {
    ((1..=MAX_MERGED).contains(&n) && u32::from(n) <= ring_size).then_some(n)
}

/// An exponentially weighted moving average of packet lengths.
///
/// A new length counts for 1/64. Once lengths stay the same the average becomes exactly that
/// length, whichever side it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ewma {
    /// The average times 64, which takes 38 bits at most.
    scaled: u64,
}

impl Ewma {
    /// Binary logarithm of the inverse weight.
    const SHIFT: u32 = 6;

    /// Makes an average that is `initial` at first.
    pub(crate) const fn new(initial: u32) -> Self {
        Self {
            // CAST: widening, `From` is not usable in a constant function.
            scaled: (initial as u64) << Self::SHIFT,
        }
    }

    /// Takes another packet of `len` bytes into account.
    pub(crate) fn add(&mut self, len: u32) {
        // Nothing wraps: with `scaled` below 2^38 the difference is not negative and the sum is below 2^38 again,
        // at most 2^38 - 1 - (2^32 - 1) + (2^32 - 1).
        let decay = self.scaled >> Self::SHIFT;
        self.scaled = self.scaled.wrapping_sub(decay).wrapping_add(u64::from(len));
    }

    /// Returns the average, rounded down.
    pub(crate) fn read(&self) -> u32 {
        u32::try_from(self.scaled >> Self::SHIFT).unwrap_or(u32::MAX)
    }
}

/// How a receive buffer lies in the memory that was allocated for it, and what of it the device may
/// write to.
///
/// It is packed into the context word that the virtqueue keeps with each buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BufShape {
    /// Where the part that is offered to the device begins, behind room for headers that others
    /// prepend.
    offset: u32,
    /// What is offered to the device, virtio-net header included, which is not 0.
    posted: u32,
    /// What the buffer takes up, at least `offset + posted`.
    truesize: u32,
}

// The context word holds three lengths.
const _: () = assert!(usize::BITS == 64);

impl BufShape {
    /// The greatest length that is accepted.
    pub(crate) const MAX: u32 = (1 << 24) - 1;
    /// The greatest offset that is accepted.
    pub(crate) const MAX_OFFSET: u32 = (1 << 16) - 1;

    /// Makes a shape, unless a virtqueue couldn't keep it.
    ///
    /// Returns `None` if `posted` is 0 (so that the word is never 0, which a virtqueue takes for no
    /// context), if the parts aren't inside of `truesize`, or if anything is above its greatest
    /// value.
    pub(crate) const fn new(offset: u32, posted: u32, truesize: u32) -> Option<Self> {
        if posted == 0 || offset > Self::MAX_OFFSET || truesize > Self::MAX {
            return None;
        }
        let shape = Self {
            offset,
            posted,
            truesize,
        };
        if shape.fits() {
            Some(shape)
        } else {
            None
        }
    }

    /// Returns where the part that is offered to the device begins.
    pub(crate) const fn offset(self) -> u32 {
        self.offset
    }

    /// Returns what was offered to the device, header included.
    pub(crate) const fn posted(self) -> u32 {
        self.posted
    }

    /// Returns what the buffer takes up.
    pub(crate) const fn truesize(self) -> u32 {
        self.truesize
    }

    /// Packs the shape into the context word.
    pub(crate) const fn into_usize(self) -> usize {
        // CAST: `usize` has 64 bits, asserted above; 24, 16 and 24 bits are used.
        ((self.truesize as u64) << 40 | (self.offset as u64) << 24 | self.posted as u64) as usize
    }

    /// Returns whether the parts are inside of `truesize`, as they are unless [`Self::from_usize`]
    /// was given something else than what [`Self::into_usize`] made.
    pub(crate) const fn fits(self) -> bool {
        // A sum that is too large for 32 bits is above `truesize` too, which is `MAX` at most.
        self.offset.saturating_add(self.posted) <= self.truesize
    }

    /// Unpacks what [`Self::into_usize`] packed.
    pub(crate) const fn from_usize(v: usize) -> Self {
        Self {
            // CAST: the fields' bits are wanted.
            offset: (v >> 24) as u32 & Self::MAX_OFFSET,
            // CAST: as above.
            posted: v as u32 & Self::MAX,
            // CAST: what is left has 24 bits.
            truesize: (v >> 40) as u32,
        }
    }
}

/// Sizes that the shape of a buffer is made of.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Size of a page.
    pub(crate) page: u32,
    /// Size of a piece of a page, which small packets are received in.
    pub(crate) piece: u32,
    /// Length of the header before the packet.
    pub(crate) hdr_len: u32,
    /// Room before the packet in a piece, header included.
    pub(crate) headroom: u32,
    /// Room behind the packet for the shared info.
    pub(crate) shinfo: u32,
}

/// Returns the shape of a buffer for XDP, which has room before and behind a packet.
///
/// It is a piece if a packet of `len` bytes fits then, else a page with `headroom` bytes before the
/// packet. Returns `None` if that leaves no room for any.
pub(crate) const fn xdp_shape(len: u32, headroom: u32, sizes: Sizes) -> Option<BufShape> {
    let in_piece = sizes
        .piece
        .saturating_sub(sizes.headroom)
        .saturating_sub(sizes.shinfo);
    let (headroom, truesize) = if len <= in_piece && sizes.piece < sizes.page {
        (sizes.headroom, sizes.piece)
    } else {
        (headroom, sizes.page)
    };
    let room = truesize
        .saturating_sub(headroom)
        .saturating_sub(sizes.shinfo);
    if room == 0 || headroom < sizes.hdr_len {
        return None;
    }
    BufShape::new(
        headroom.saturating_sub(sizes.hdr_len),
        room.saturating_add(sizes.hdr_len),
        truesize,
    )
}

/// Returns the shape of the next mergeable buffer (5.1.6.3), or `None` if `page` is 0 or above
/// [`BufShape::MAX`].
///
/// `avg` is the average length of late packets, `min` (see [`min_buf_len`]) the least that a buffer
/// is to hold besides the header. While that fits, a buffer is a piece with room before the packet,
/// and behind it to build an skb around it all. Else it is a whole page without any of that, whose
/// contents become fragments.
pub(crate) const fn mergeable_shape(avg: u32, min: u32, sizes: Sizes) -> Option<BufShape> {
    let payload = if avg > min { avg } else { min };
    match xdp_shape(payload, 0, sizes) {
        Some(shape) if shape.truesize < sizes.page => Some(shape),
        _ => BufShape::new(0, sizes.page, sizes.page),
    }
}

/// Returns the least that a mergeable buffer has to hold so that any packet can be received.
///
/// A full ring of `ring_size` buffers, or [`MAX_MERGED`] of them on a larger ring, holds a packet
/// of `max_packet` bytes and its header of `hdr_len` bytes (5.1.6.3.1). It is 128 at least, and a
/// ring of size 0 counts as 1.
pub(crate) fn min_buf_len(ring_size: u32, max_packet: u32, hdr_len: u32) -> u32 {
    let buffers = ring_size.clamp(1, u32::from(MAX_MERGED));
    max_packet
        .saturating_add(hdr_len)
        .div_ceil(buffers)
        .max(128)
}

/// Returns how many entries of a receive ring may be free with the ring still of use: what is left,
/// of at least `len` bytes each, holds a packet of `max` bytes with its header.
///
/// It is 0 if only a full ring does, or not even that. A `len` of 0 counts as 1.
///
/// A device that lacks room for the next packet waits until it is notified of more buffers
/// (5.1.6.3.1), and nothing would make the driver post any: it does that after it has received.
pub(crate) const fn short_above(ring_size: u32, len: u32, max: u32) -> u32 {
    let needed = max.div_ceil(if len == 0 { 1 } else { len });
    ring_size.saturating_sub(needed)
}

/// Returns the same for a ring where a packet takes one entry: a sixteenth of them should be left,
/// at least one.
pub(crate) const fn short_above_single(ring_size: u32) -> u32 {
    let needed = ring_size / 16;
    ring_size.saturating_sub(if needed == 0 { 1 } else { needed })
}
