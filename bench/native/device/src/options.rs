// SPDX-License-Identifier: GPL-2.0

//! What a device is to be, as the command line says it.

use std::path::PathBuf;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Split,
    Packed,
}

/// How the driver's receive buffers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Mergeable,
    Small,
    Big,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    pub socket: PathBuf,
    pub ring: Format,
    pub mode: Mode,
    /// Bytes of the header that a driver has if it takes what it is offered.
    pub hdr: u8,
    pub pairs: u16,
    /// Whether the driver may take received packets that are merged, or whose checksum is good or still missing.
    pub guest: bool,
    pub mac: [u8; 6],
}

impl Options {
    /// `SOCKET[,KEY=VALUE…]` of device `number`.
    pub fn parse(text: &str, number: u8) -> Result<Self, String> {
        let mut parts = text.split(',');
        let socket = parts.next().unwrap_or_default();
        if socket.is_empty() {
            return Err(format!("'{text}' begins with no socket's path"));
        }
        let mut o = Self {
            socket: socket.into(),
            ring: Format::Split,
            mode: Mode::Mergeable,
            hdr: 12,
            pairs: 1,
            guest: true,
            mac: [0x52, 0x54, 0, 0x62, 0, number],
        };
        for part in parts {
            let (key, value) = part
                .split_once('=')
                .ok_or(format!("'{part}' is not KEY=VALUE"))?;
            match (key, value) {
                ("ring", "split") => o.ring = Format::Split,
                ("ring", "packed") => o.ring = Format::Packed,
                ("mode", "mergeable") => o.mode = Mode::Mergeable,
                ("mode", "small") => o.mode = Mode::Small,
                ("mode", "big") => o.mode = Mode::Big,
                ("guest", "on") => o.guest = true,
                ("guest", "off") => o.guest = false,
                ("hdr", "10") => o.hdr = 10,
                ("hdr", "12") => o.hdr = 12,
                ("hdr", "24") => o.hdr = 24,
                ("pairs", n) => {
                    o.pairs = n
                        .parse()
                        .ok()
                        .filter(|n| (1..=16).contains(n))
                        .ok_or(format!("'{n}' pairs: 1 to 16"))?;
                }
                ("mac", mac) => o.mac = parse_mac(mac)?,
                _ => return Err(format!("'{part}' is not understood (see --help)")),
            }
        }
        if o.hdr == 24 && !o.guest {
            return Err("hdr=24 is of no use with guest=off".into());
        }
        if o.hdr == 10 && (o.mode == Mode::Mergeable || o.ring == Format::Packed) {
            return Err("hdr=10 needs mode=small or mode=big, and ring=split".into());
        }
        Ok(o)
    }
}

fn parse_mac(text: &str) -> Result<[u8; 6], String> {
    let bytes: Vec<u8> = text
        .split(':')
        .map(|p| u8::from_str_radix(p, 16).map_err(|_| format!("'{text}' is no address")))
        .collect::<Result<_, _>>()?;
    bytes
        .try_into()
        .map_err(|_| format!("'{text}' is no address of 6 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        let o = Options::parse("/tmp/d,ring=packed,mode=big,hdr=24,pairs=4", 7).unwrap();
        assert_eq!(o.socket, PathBuf::from("/tmp/d"));
        assert_eq!(
            (o.ring, o.mode, o.hdr, o.pairs),
            (Format::Packed, Mode::Big, 24, 4)
        );
        assert_eq!(o.mac[5], 7);
        let o = Options::parse("d,mac=52:54:00:01:02:ff", 0).unwrap();
        assert_eq!(o.mac, [0x52, 0x54, 0, 1, 2, 0xff]);
        for bad in [
            "",
            ",ring=split",
            "d,ring",
            "d,ring=round",
            "d,pairs=0",
            "d,pairs=17",
            "d,hdr=10",
            "d,mac=1:2",
            "d,nonsense=1",
        ] {
            assert!(Options::parse(bad, 0).is_err(), "{bad}");
        }
    }
}
