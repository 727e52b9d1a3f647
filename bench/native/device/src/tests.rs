// SPDX-License-Identifier: GPL-2.0

//! A driver's view of a whole device, by rings in memory that both have.

use crate::device::Device;
use crate::frame::{self, To};
use crate::job::Done;
use crate::ring::Wants;
use crate::spec::f;
use crate::testing::{Guest, How, Piece};

const FORMATS: [&str; 2] = ["ring=split", "ring=packed"];

fn guest(options: &str, size: u16) -> Guest {
    Guest::new(&format!("d,{options}"), 0, size)
}

fn has_packed(g: &Guest) -> bool {
    g.device.acked.has(f::RING_PACKED)
}

/// Gives a receive ring buffers of `len` bytes.
fn fill(g: &mut Guest, n: usize, len: usize) -> Vec<Piece> {
    (0..n)
        .map(|_| {
            let p = g.room(len);
            g.add(0, &[p], How::Chain);
            p
        })
        .collect()
}

fn fault_of(device: &mut Device) -> String {
    match device.poll_tx() {
        Ok(_) => device
            .poll_rx()
            .map_or_else(|e| e.to_string(), |_| String::new()),
        Err(e) => e.to_string(),
    }
}

#[test]
fn sends() {
    for format in FORMATS {
        let mut g = guest(format, 8);
        assert_eq!(has_packed(&g), format == "ring=packed");
        // Often around a small ring, by all kinds of buffers.
        let (head, tail) = (g.data(&[0; 12], false), g.data(&[7; 60], false));
        let whole = g.data(&[0; 72], false);
        let mut sent = 0;
        for round in 0..500 {
            let mut ids = vec![];
            for i in 0..=round % 3 {
                ids.push(match (round + i) % 3 {
                    0 => g.add(1, &[whole], How::Chain),
                    1 => g.add(1, &[head, tail], How::Chain),
                    _ => g.add(1, &[head, tail], How::Indirect),
                });
            }
            assert!(g.device.poll_tx().unwrap());
            for id in ids {
                assert_eq!(g.rings[1].used(), Some((id, 0)), "{format}, round {round}");
                sent += 1;
            }
            assert_eq!(g.rings[1].used(), None);
            assert!(!g.device.poll_tx().unwrap());
            if round % 100 == 99 {
                g.restart(1);
            }
        }
        assert_eq!(g.device.sent.packets, sent);
        assert_eq!(g.device.sent.bytes, 60 * sent);
    }
}

#[test]
fn takes_a_burst_at_a_time() {
    for format in FORMATS {
        let mut g = guest(format, 64);
        let p = g.data(&[0; 72], false);
        for _ in 0..40 {
            g.add(1, &[p], How::Chain);
        }
        g.device.set_burst(16).unwrap();
        for n in [16, 32, 40, 40] {
            g.device.poll_tx().unwrap();
            assert_eq!(g.device.sent.packets, n);
        }
        assert_eq!(g.device.sent.batches, 3);
    }
}

#[test]
fn lazy() {
    for format in FORMATS {
        let mut g = guest(format, 64);
        let p = g.data(&[0; 72], false);
        g.device.set_lazy(u64::MAX);
        for _ in 0..31 {
            g.add(1, &[p], How::Chain);
            assert!(g.device.poll_tx().unwrap());
            assert_eq!(g.device.sent.packets, 0);
        }
        g.add(1, &[p], How::Chain);
        g.device.poll_tx().unwrap();
        assert_eq!(g.device.sent.packets, 32);
        g.add(1, &[p], How::Chain);
        g.device.set_lazy(1);
        while g.device.sent.packets != 33 {
            assert!(g.device.poll_tx().unwrap());
        }
    }
}

#[test]
fn stops_anywhere() {
    // At each place of the ring, with buffers in it.
    for format in FORMATS {
        let mut g = guest(format, 4);
        let p = g.data(&[0; 72], false);
        for round in 0..40 {
            g.device.set_lazy(u64::MAX);
            for _ in 0..1 + round % 3 {
                g.add(1, &[p], How::Chain);
            }
            g.device.poll_tx().unwrap();
            assert_eq!(g.rings[1].used(), None);
            g.restart(1);
            g.device.set_lazy(0);
            g.device.poll_tx().unwrap();
            for _ in 0..1 + round % 3 {
                assert!(g.rings[1].used().is_some(), "{format}, round {round}");
            }
        }
    }
}

#[test]
fn receives() {
    for format in FORMATS {
        for (hdr, header) in [("hdr=12", 12), ("hdr=24", 24)] {
            let mut g = guest(&format!("{format},{hdr}"), 8);
            assert_eq!(g.device.acked.header(), header);
            g.device.receive(20, 60, 0, To::Fwd).unwrap();
            let want = frame::frame(header, 60, g.device.options.mac, To::Fwd);
            assert_eq!(g.device.poll_rx().unwrap(), None, "no buffer");
            let mut got = 0;
            loop {
                let buffers = fill(&mut g, 5, 128);
                let done = g.device.poll_rx().unwrap();
                for b in buffers {
                    if let Some((_, len)) = g.rings[0].used() {
                        assert_eq!(len as usize, header + 60);
                        assert_eq!(g.bytes(b)[..header + 60], want);
                        got += 1;
                    }
                }
                if let Some(Done { packets, .. }) = done {
                    assert_eq!(packets, 15, "but for the first poll's");
                    break;
                }
            }
            assert_eq!(got, 20);
            assert!(!g.device.working());
        }
    }
}

#[test]
fn merges_buffers() {
    for format in FORMATS {
        let mut g = guest(format, 16);
        g.device.receive(3, 1514, 0, To::Socket).unwrap();
        let want = frame::frame(12, 1514, g.device.options.mac, To::Socket);
        let buffers = fill(&mut g, 7, 512);
        // Two frames of three buffers; the third lacks some.
        assert_eq!(g.device.poll_rx().unwrap(), None);
        // What was taken and not used is taken again then.
        g.restart(0);
        let more = fill(&mut g, 2, 512);
        assert!(g.device.poll_rx().unwrap().is_some());
        let all: Vec<Piece> = buffers.into_iter().chain(more).collect();
        for chunk in all.chunks(3) {
            let mut got = vec![];
            for b in chunk {
                let (_, len) = g.rings[0].used().unwrap();
                got.extend(&g.bytes(*b)[..len as usize]);
            }
            assert_eq!(got[10..12], [3, 0], "buffers");
            got[10] = 1;
            assert!(got == want);
        }
        assert_eq!(g.rings[0].used(), None);
    }
}

#[test]
fn fills_chains() {
    for format in FORMATS {
        for how in [How::Chain, How::Indirect] {
            let mut g = guest(&format!("{format},mode=big"), 32);
            assert!(!g.device.acked.has(f::MRG_RXBUF));
            g.device.receive(2, 6000, 0, To::Socket).unwrap();
            let want = frame::frame(12, 6000, g.device.options.mac, To::Socket);
            let sizes = [12, 4084, 4096, 4096];
            let pieces: Vec<Piece> = sizes.iter().map(|n| g.room(*n)).collect();
            for _ in 0..2 {
                let id = g.add(0, &pieces, how);
                g.device.poll_rx().unwrap();
                assert_eq!(g.rings[0].used(), Some((id, 6012)));
                let got: Vec<u8> = pieces.iter().flat_map(|p| g.bytes(*p)).collect();
                assert!(got[..6012] == want);
            }
            assert!(!g.device.working());
        }
    }
}

#[test]
fn small_buffers() {
    let mut g = guest("mode=small", 8);
    fill(&mut g, 2, 256);
    g.device.receive(1, 60, 0, To::Socket).unwrap();
    assert!(g.device.poll_rx().unwrap().is_some());
    g.device.receive(1, 1514, 0, To::Socket).unwrap();
    assert!(fault_of(&mut g.device).contains("256 bytes for a frame of 1526"));
    let mut old = Guest::new("d,mode=small,hdr=10", 0, 8);
    assert_eq!(old.device.acked.header(), 10);
    let b = fill(&mut old, 1, 256);
    old.device.receive(1, 60, 0, To::Socket).unwrap();
    assert!(old.device.poll_rx().unwrap().is_some());
    assert_eq!(old.rings[0].used(), Some((0, 70)));
    assert_eq!(old.bytes(b[0])[10..16], old.device.options.mac);
}

#[test]
fn interrupts_when_wanted() {
    for format in FORMATS {
        let mut g = guest(format, 8);
        let p = g.data(&[0; 72], false);
        for round in 0..30 {
            let wanted = round % 3 == 0;
            if wanted {
                g.rings[1].want_next();
            } else {
                g.rings[1].want_none();
            }
            for _ in 0..3 {
                g.add(1, &[p], How::Chain);
            }
            g.device.poll_tx().unwrap();
            assert_eq!(
                g.rings[1].interrupts(),
                u64::from(wanted),
                "{format}, {round}"
            );
            while g.rings[1].used().is_some() {}
        }
        assert_eq!(g.device.queues[1].calls, 10);
    }
}

#[test]
fn interrupts_without_events() {
    // Always, or by a flag.
    for format in FORMATS {
        let mut g = Guest::new(&format!("d,{format}"), f::EVENT_IDX, 8);
        let p = g.data(&[0; 72], false);
        g.add(1, &[p], How::Chain);
        g.device.poll_tx().unwrap();
        assert_eq!(g.rings[1].interrupts(), 1);
        let at = if has_packed(&g) { 2 } else { 0 };
        g.rings[1].avail.store16(at, 1);
        g.add(1, &[p], How::Chain);
        g.device.poll_tx().unwrap();
        assert_eq!(g.rings[1].interrupts(), 0);
    }
}

#[test]
fn asks_for_kicks() {
    // What a split ring says is behind its entries, or in front of them.
    let asks = |g: &Guest| {
        let r = &g.rings[1];
        match (has_packed(g), g.device.acked.has(f::EVENT_IDX)) {
            (true, _) => r.used.load16(2) != 1,
            (false, true) => r.used.load16(4 + 8 * usize::from(r.size)) == r.next,
            (false, false) => r.used.load16(0) == 0,
        }
    };
    for format in FORMATS {
        for without in [0, f::EVENT_IDX] {
            let mut g = Guest::new(&format!("d,{format}"), without, 8);
            let p = g.data(&[0; 72], false);
            for round in 0..20 {
                let wants = [Wants::None, Wants::Kicks][round / 2 % 2];
                g.device.set_wants(wants);
                assert_eq!(asks(&g), wants == Wants::Kicks, "{format} {round}");
                g.add(1, &[p], How::Chain);
                g.device.poll_tx().unwrap();
                assert_eq!(asks(&g), wants == Wants::Kicks, "{format} {round}");
                while g.rings[1].used().is_some() {}
            }
            g.rings[1].kick.write(1).unwrap();
            g.rings[1].kick.write(1).unwrap();
            assert_eq!(g.device.queues[1].kicks(), 2);
            assert_eq!(g.device.queues[1].kicks(), 2);
        }
    }
}

#[test]
fn never_asks_in_vain() {
    // An index far ahead is written anew before the driver gets there.
    let mut g = guest("ring=split", 8);
    let p = g.data(&[0; 72], false);
    for _ in 0..70000 {
        g.add(1, &[p], How::Chain);
        g.device.poll_tx().unwrap();
        g.rings[1].used().unwrap();
        let r = &g.rings[1];
        let far = r.used.load16(4 + 64).wrapping_sub(r.next);
        assert!((100..=0x8000).contains(&far), "{far}");
    }
}

#[test]
fn pairs() {
    for format in FORMATS {
        let mut g = guest(&format!("{format},pairs=4"), 8);
        assert_eq!(g.rings.len(), 9);
        assert_eq!(g.config(10)[6..], [1, 0, 4, 0]);
        let command = |g: &mut Guest, bytes: &[u8]| {
            let (out, ack) = (g.data(bytes, false), g.data(&[0xee], true));
            let id = g.add(8, &[out, ack], How::Chain);
            g.device.poll_ctrl().unwrap();
            assert_eq!(g.rings[8].used(), Some((id, 1)));
            g.bytes(ack)[0]
        };
        let p = g.data(&[0; 72], false);
        for (bytes, answer, pairs) in [
            (&[4, 0, 3, 0][..], 0, 3),
            (&[4, 0, 5, 0], 1, 3),
            (&[4, 0, 0, 0], 1, 3),
            (&[0, 0, 1], 1, 3),
            (&[4, 0, 4, 0], 0, 4),
            (&[4, 0, 1, 0], 0, 1),
        ] {
            assert_eq!(command(&mut g, bytes), answer, "{bytes:?}");
            assert_eq!(g.device.pairs, pairs);
            let last = 2 * usize::from(pairs) - 1;
            g.add(last, &[p], How::Chain);
            assert!(g.device.poll_tx().unwrap());
            assert!(g.rings[last].used().is_some());
        }
        g.add(3, &[p], How::Chain);
        assert!(!g.device.poll_tx().unwrap(), "a pair that isn't used");
    }
}

#[test]
fn control_queue_without_pairs() {
    let mut g = Guest::new("d,pairs=2", f::MQ, 8);
    let (out, ack) = (g.data(&[4, 0, 2, 0], false), g.data(&[0xee], true));
    g.add(2, &[out, ack], How::Chain);
    g.device.poll_ctrl().unwrap();
    assert_eq!(g.bytes(ack), [1]);
}

#[test]
fn faults() {
    for format in FORMATS {
        let fault = |pieces: &[(u64, u32, u16)], what: &str| {
            let mut g = guest(format, 8);
            g.rings[1].add_raw(pieces);
            let text = fault_of(&mut g.device);
            assert!(text.contains(what), "{text}");
        };
        let good = 0x110_0000;
        fault(&[(0, 72, 0)], "not in the guest's memory");
        fault(
            &[(good + (7 << 20) - 71, 72, 0)],
            "not in the guest's memory",
        );
        fault(&[(u64::MAX, 72, 0)], "not in the guest's memory");
        fault(&[(good, u32::MAX, 0)], "not in the guest's memory");
        fault(&[(good, 72, 2)], "2.7.4.2");
        fault(&[(good, 11, 0)], "5.1.6.2");
        fault(&[(good, 17, 4)], "indirect table of 17");
        fault(&[(good, 0, 4)], "indirect table of 0");
        fault(&[(good, 200_000, 0)], "a packet of 200000 bytes");
    }
    let mut g = guest("ring=split", 8);
    g.rings[1].avail.store16(2, 9);
    assert!(fault_of(&mut g.device).contains("9 more buffers"));
    let mut g = guest("ring=split", 8);
    g.rings[1].avail.store16(4, 8);
    g.rings[1].avail.store16(2, 1);
    assert!(fault_of(&mut g.device).contains("descriptor 8 in a ring of 8"));
    // A descriptor that is its own next one.
    let mut g = guest("ring=split", 8);
    let p = g.data(&[0; 72], false);
    let id = g.add(1, &[p], How::Chain);
    g.rings[1].table.store16(16 * usize::from(id) + 12, 1);
    g.rings[1].table.store16(16 * usize::from(id) + 14, id);
    assert!(fault_of(&mut g.device).contains("without an end"));
    // A table in a table.
    let mut g = guest("ring=split", 8);
    let inner = g.data(&[&[0; 12][..], &[4, 0, 0, 0]].concat(), false);
    g.rings[1].add_raw(&[(inner.addr, 16, 4)]);
    assert!(fault_of(&mut g.device).contains("table in a table"));
}

#[test]
fn the_front_end_goes() {
    let mut g = guest("ring=split", 8);
    g.device.receive(5, 60, 0, To::Socket).unwrap();
    g.device.disconnected();
    assert!(!g.device.can_receive());
    assert_eq!(g.device.poll_rx().unwrap(), None);
    assert!(!g.device.poll_tx().unwrap());
}

/// How long the device itself takes for a packet, with everything in its cache: it must not be what a driver waits for.
/// `cargo test --release -- --nocapture speed`
#[test]
fn speed() {
    for format in FORMATS {
        for (size, n) in [(60, 32), (60, 1), (1514, 32)] {
            let mut g = guest(format, 256);
            let packets: Vec<Piece> = (0..256)
                .map(|_| g.data(&vec![0; 12 + size], false))
                .collect();
            let rooms: Vec<Piece> = (0..256).map(|_| g.room(1536)).collect();
            let (mut tx, mut rx) = (u128::MAX, u128::MAX);
            g.device.receive(u64::MAX / 2, size, 0, To::Socket).unwrap();
            g.rings.iter().for_each(|r| r.want_none());
            for round in 0..2_000 {
                for i in 0..n {
                    g.rings[1].add(&[packets[(round * n + i) % 256]]);
                    g.rings[0].add(&[rooms[(round * n + i) % 256]]);
                }
                let at = std::time::Instant::now();
                g.device.poll_tx().unwrap();
                tx = tx.min(at.elapsed().as_nanos());
                let at = std::time::Instant::now();
                g.device.poll_rx().unwrap();
                rx = rx.min(at.elapsed().as_nanos());
                for r in &mut g.rings {
                    while r.used().is_some() {}
                    r.want_none();
                }
            }
            println!(
                "{format} {size} bytes, {n} at a time: {} ns sent, {} ns received",
                tx / n as u128,
                rx / n as u128
            );
        }
    }
}
