// SPDX-License-Identifier: GPL-2.0

//! `pure/rx.rs` and `pure/tx.rs`: lengths, merged packets, the shapes of buffers.

use crate::pure::rx::{self, BufShape, Ewma, LenError};
use crate::pure::tx;

/// A used length is accepted only if header and packet are there and fit what was posted.
pub fn payload_len(used: u32, posted: u32, hdr_len: u32) {
    let (u, p, h) = (u64::from(used), u64::from(posted), u64::from(hdr_len));
    let lens = rx::PayloadLens::new(posted, hdr_len);
    assert_eq!(
        lens.payload(used),
        rx::payload_len(used, posted, hdr_len).ok()
    );
    match rx::payload_len(used, posted, hdr_len) {
        Ok(n) => {
            assert_eq!(u64::from(n) + h, u);
            assert!(n >= 14 && u <= p);
        }
        Err(LenError::Short) => assert!(u < h + 14),
        Err(LenError::Long) => assert!(u >= h + 14 && u > p),
    }
}

/// A packet that is accepted buffer by buffer has no more bytes than were posted for it, and no more buffers than can be.
pub fn merged(num: u16, ring_size: u32, hdr_len: u32, buffers: &[(u32, u32)]) {
    let Some(n) = rx::num_buffers(num, ring_size) else {
        assert!(num == 0 || num > 64 || u32::from(num) > ring_size);
        return;
    };
    assert!(n == num && (1..=64).contains(&n) && u32::from(n) <= ring_size);
    let (mut bytes, mut room) = (0u64, 0u64);
    for (i, (used, posted)) in buffers.iter().take(n.into()).enumerate() {
        let len = if i == 0 {
            payload_len(*used, *posted, hdr_len);
            rx::payload_len(*used, *posted, hdr_len)
        } else {
            rx::cont_len(*used, *posted)
        };
        match len {
            Ok(len) => {
                assert!(len > 0 && len <= *posted);
                bytes += u64::from(len);
                room += u64::from(*posted);
            }
            Err(LenError::Short) if i > 0 => assert_eq!(*used, 0),
            Err(LenError::Long) if i > 0 => assert!(used > posted),
            Err(_) => {}
        }
    }
    assert!(bytes <= room);
}

/// The average stays among what it is the average of, and becomes what comes again and again.
pub fn average(initial: u32, lens: &[u32]) {
    let mut e = Ewma::new(initial);
    assert_eq!(e.read(), initial);
    let (mut least, mut most) = (initial, initial);
    for len in lens {
        (least, most) = (least.min(*len), most.max(*len));
        e.add(*len);
        assert!((least..=most).contains(&e.read()));
    }
    if let Some(last) = lens.last() {
        for _ in 0..3000 {
            e.add(*last);
        }
        assert_eq!(e.read(), *last);
    }
}

/// A shape that there is lies in its memory, and survives its context word, which is never 0.
pub fn shape(offset: u32, posted: u32, truesize: u32) {
    let fits = u64::from(offset) + u64::from(posted) <= u64::from(truesize);
    let good = posted > 0 && fits && offset <= 0xffff && truesize <= 0xff_ffff;
    match BufShape::new(offset, posted, truesize) {
        Some(s) => {
            assert!(good);
            assert_eq!(
                (s.offset(), s.posted(), s.truesize()),
                (offset, posted, truesize)
            );
            assert_ne!(s.into_usize(), 0);
            assert_eq!(BufShape::from_usize(s.into_usize()), s);
        }
        None => assert!(!good),
    }
}

/// All bits of a context word are in the shape.
pub fn context(word: u64) {
    let s = BufShape::from_usize(word as usize);
    assert_eq!(s.into_usize() as u64, word);
}

/// The next mergeable buffer holds what it has to, and is a piece only if everything else fits, too.
pub fn mergeable(avg: u32, min: u32, hdr_len: u32, headroom: u32, shinfo: u32, page: u32) {
    let need = u64::from(avg.max(min));
    let around = u64::from(headroom) + u64::from(shinfo);
    let sizes = rx::Sizes {
        page,
        piece: page / 2,
        hdr_len,
        headroom,
        shinfo,
    };
    let half = u64::from(page / 2);
    let Some(s) = rx::mergeable_shape(avg, min, sizes) else {
        // Nothing to hold it.
        assert!(page == 0 || page > BufShape::MAX);
        return;
    };
    shape(s.offset(), s.posted(), s.truesize());
    if s.truesize() == page {
        assert_eq!((s.offset(), s.posted()), (0, page));
        let fits = around < half && need <= half - around && headroom >= hdr_len;
        assert!(!fits || headroom - hdr_len > BufShape::MAX_OFFSET);
    } else {
        assert_eq!(u64::from(s.truesize()), half);
        assert_eq!(s.offset(), headroom - hdr_len);
        assert!(u64::from(s.posted()) >= need + u64::from(hdr_len));
        assert!(around + u64::from(s.posted()) - u64::from(hdr_len) <= half);
    }
}

/// A full ring, or 64 buffers, hold the largest packet, and no smaller ones would.
pub fn min_buf_len(ring_size: u32, max_packet: u32, hdr_len: u32) {
    let total = (u64::from(max_packet) + u64::from(hdr_len)).min(u32::MAX.into());
    let n = u64::from(ring_size.clamp(1, 64));
    let len = u64::from(rx::min_buf_len(ring_size, max_packet, hdr_len));
    assert!(len >= 128 && len * n >= total);
    assert!(len == 128 || (len - 1) * n < total);
}

/// A transmit queue that goes on has room for any packet; it goes on or stands still, never both.
pub fn room(num_free: u32, frags: u8) {
    let need = tx::max_sg(frags.into()) as u32;
    assert_eq!(need, u32::from(frags) + 2);
    assert_eq!(tx::should_wake(num_free, need), num_free >= need);
    assert_ne!(
        tx::should_wake(num_free, need),
        tx::should_stop(num_free, need)
    );
}
