// SPDX-License-Identifier: GPL-2.0

//! Properties on bytes, for a fuzzer: the first one says which, the others are its values.

use crate::{buffers, commands, header, queues, steering};

/// Bytes as values; what isn't there is 0.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let n = self.0.len().min(N);
        let (head, rest) = self.0.split_at(n);
        self.0 = rest;
        let mut out = [0; N];
        out[..n].copy_from_slice(head);
        out
    }

    fn u8(&mut self) -> u8 {
        self.bytes::<1>()[0]
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.bytes())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    fn four(&mut self) -> [u32; 4] {
        [self.u32(), self.u32(), self.u32(), self.u32()]
    }

    /// As many as there are bytes for, at most `most`.
    fn list<T>(&mut self, most: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut out = Vec::new();
        while !self.0.is_empty() && out.len() < most {
            out.push(one(self));
        }
        out
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

pub fn rx(data: &[u8]) {
    let mut i = Input(data);
    match i.u8() % 8 {
        0 => buffers::payload_len(i.u32(), i.u32(), i.u32()),
        1 => {
            let (num, ring, hdr) = (i.u16(), i.u32(), i.u32());
            buffers::merged(num, ring, hdr, &i.list(70, |i| (i.u32(), i.u32())));
        }
        2 => {
            let initial = i.u32();
            buffers::average(initial, &i.list(64, Input::u32));
        }
        3 => buffers::shape(i.u32(), i.u32(), i.u32()),
        4 => buffers::context(i.u64()),
        5 => {
            let [avg, min, hdr, headroom] = i.four();
            buffers::mergeable(avg, min, hdr, headroom, i.u32(), i.u32());
        }
        6 => buffers::min_buf_len(i.u32(), i.u32(), i.u32()),
        _ => buffers::room(i.u32(), i.u8()),
    }
}

pub fn hdr(data: &[u8]) {
    let mut i = Input(data);
    match i.u8() % 4 {
        0 | 1 => header::parse(i.bytes(), i.u16(), i.u32()),
        2 => header::locate(i.bytes(), i.bytes(), i.bytes()),
        _ => header::located(i.u8(), i.u8() & 1 != 0, (i.u8(), i.u8()), i.u16(), i.u8()),
    }
}

pub fn ctrl(data: &[u8]) {
    let mut i = Input(data);
    match i.u8() % 3 {
        0 => commands::answer(i.u8(), i.u32(), i.u32()),
        1 => {
            let (cut, command) = (i.u8(), i.bytes::<24>());
            commands::cut(&command, cut.into());
        }
        _ => commands::backoff(i.u32() % 20_000_000),
    }
}

pub fn coalesce(data: &[u8]) {
    let mut i = Input(data);
    commands::moderation(i.four(), i.four(), i.u8());
}

pub fn stats(data: &[u8]) {
    let mut i = Input(data);
    let kind = i.u8();
    if kind % 3 == 0 {
        return commands::types(i.u64(), i.u64());
    }
    let n = usize::from(i.u8() % 8);
    let asked = i.list(n, |i| (i.u16(), i.u64()));
    if kind % 3 == 1 {
        commands::any_reply(&asked, i.rest());
    } else {
        let change = (i.u16(), i.u8());
        commands::good_reply(&asked, i.u64(), (change.1 != 0).then_some(change));
    }
}

pub fn rss(data: &[u8]) {
    let mut i = Input(data);
    match i.u8() % 5 {
        0 => steering::device(i.u64(), i.u8(), i.u16(), i.u32()),
        1 => steering::table(i.u16(), i.u16()),
        2 => steering::hash_fields(i.u32(), i.u32(), i.u8(), i.u8()),
        3 => steering::command(i.u32(), i.u8(), i.u16(), i.u8()),
        _ => steering::report(i.bytes()),
    }
}

pub fn recovery(data: &[u8]) {
    let mut i = Input(data);
    match i.u8() % 3 {
        0 => queues::resets(&i.list(400, |i| u16::from(i.u8()))),
        kind => queues::stuck(
            kind == 1,
            &i.list(400, |i| {
                let b = i.u8();
                (b / 4, b & 1 != 0, b & 2 != 0)
            }),
        ),
    }
}

pub fn affinity(data: &[u8]) {
    let mut i = Input(data);
    match i.u8() % 3 {
        0 => queues::spread(i.u16() % 1100, i.u16() % 1100),
        1 => {
            let list = i.list(100, |i| (i.u8() as i8, i.u8() as i8, i.u8() as i8, i.u32()));
            queues::topology(&list);
        }
        _ => {
            let (f, pairs, mtu, speed) = (i.u64(), i.u16(), i.u16(), i.u32());
            queues::configuration(f, pairs, mtu, speed, i.bytes(), i.u32(), i.u32());
        }
    }
}

pub fn features(data: &[u8]) {
    let mut i = Input(data);
    queues::features(i.u64(), i.u64(), i.u64(), i.u64());
}
