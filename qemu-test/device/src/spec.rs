// SPDX-License-Identifier: GPL-2.0

//! Numbers of the specification's network device (5.1), and the features by name.

macro_rules! features {
    ($($name:ident = $bit:expr,)*) => {
        /// Feature bits.
        #[allow(dead_code)]
        pub mod f {
            $(pub const $name: u64 = 1 << $bit;)*
        }
        /// Their names.
        pub const FEATURES: &[(&str, u64)] = &[$((stringify!($name), 1 << $bit)),*];
    };
}

features! {
    CSUM = 0, GUEST_CSUM = 1, CTRL_GUEST_OFFLOADS = 2, MTU = 3, MAC = 5, GSO = 6, GUEST_TSO4 = 7, GUEST_TSO6 = 8,
    GUEST_ECN = 9, GUEST_UFO = 10, HOST_TSO4 = 11, HOST_TSO6 = 12, HOST_ECN = 13, HOST_UFO = 14, MRG_RXBUF = 15,
    STATUS = 16, CTRL_VQ = 17, CTRL_RX = 18, CTRL_VLAN = 19, CTRL_RX_EXTRA = 20, GUEST_ANNOUNCE = 21, MQ = 22,
    CTRL_MAC_ADDR = 23, NOTIFY_ON_EMPTY = 24, ANY_LAYOUT = 27, INDIRECT_DESC = 28, EVENT_IDX = 29,
    PROTOCOL_FEATURES = 30, VERSION_1 = 32, ACCESS_PLATFORM = 33, RING_PACKED = 34, IN_ORDER = 35,
    ORDER_PLATFORM = 36, SR_IOV = 37, NOTIFICATION_DATA = 38, NOTIF_CONFIG_DATA = 39, RING_RESET = 40, ADMIN_VQ = 41,
    DEVICE_STATS = 50, HASH_TUNNEL = 51, VQ_NOTF_COAL = 52, NOTF_COAL = 53, GUEST_USO4 = 54, GUEST_USO6 = 55,
    HOST_USO = 56, HASH_REPORT = 57, GUEST_HDRLEN = 59, RSS = 60, RSC_EXT = 61, STANDBY = 62, SPEED_DUPLEX = 63,
}

/// What the device offers unless told otherwise: what the emulator's own device does, and speed.
pub const DEFAULT: u64 = f::CSUM
    | f::GUEST_CSUM
    | f::CTRL_GUEST_OFFLOADS
    | f::MAC
    | f::GUEST_TSO4
    | f::GUEST_TSO6
    | f::GUEST_ECN
    | f::HOST_TSO4
    | f::HOST_TSO6
    | f::HOST_ECN
    | f::MRG_RXBUF
    | f::STATUS
    | f::CTRL_VQ
    | f::CTRL_RX
    | f::CTRL_VLAN
    | f::GUEST_ANNOUNCE
    | f::MQ
    | f::CTRL_MAC_ADDR
    | f::INDIRECT_DESC
    | f::EVENT_IDX
    | f::VERSION_1
    | f::GUEST_USO4
    | f::GUEST_USO6
    | f::HOST_USO
    | f::SPEED_DUPLEX;

/// `+A-B`, or `A+B` to start from nothing, applied to `base`.
pub fn parse_features(text: &str, base: u64) -> Result<u64, String> {
    let mut set = if text.starts_with(['+', '-']) {
        base
    } else {
        0
    };
    let mut sign = '+';
    let mut name = String::new();
    let mut apply = |sign: char, name: &str| {
        if name.is_empty() {
            return Ok(());
        }
        let bit = match name.strip_prefix("bit") {
            Some(n) => 1u64
                .checked_shl(n.parse().map_err(|_| format!("no feature bit {n}"))?)
                .ok_or(format!("no feature bit {n}"))?,
            None => FEATURES
                .iter()
                .find(|f| f.0 == name)
                .map(|f| f.1)
                .ok_or(format!("there is no feature {name}"))?,
        };
        if sign == '+' {
            set |= bit;
        } else {
            set &= !bit;
        }
        Ok::<(), String>(())
    };
    for c in text.chars() {
        if c == '+' || c == '-' {
            apply(sign, &name)?;
            name.clear();
            sign = c;
        } else {
            name.push(c);
        }
    }
    apply(sign, &name)?;
    Ok(set)
}

/// The names of a set.
pub fn feature_names(set: u64) -> String {
    let names: Vec<_> = FEATURES
        .iter()
        .filter(|f| set & f.1 != 0)
        .map(|f| f.0)
        .collect();
    names.join(" ")
}

/// Flags and types of the header in front of each packet (5.1.6).
pub mod hdr {
    pub const NEEDS_CSUM: u8 = 1;
    pub const DATA_VALID: u8 = 2;
    pub const GSO_NONE: u8 = 0;
    pub const GSO_TCPV4: u8 = 1;
    pub const GSO_UDP: u8 = 3;
    pub const GSO_TCPV6: u8 = 4;
    pub const GSO_UDP_L4: u8 = 5;
    pub const GSO_ECN: u8 = 0x80;
}

/// The header's fields.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Hdr {
    pub flags: u8,
    pub gso_type: u8,
    pub hdr_len: u16,
    pub gso_size: u16,
    pub csum_start: u16,
    pub csum_offset: u16,
    pub num_buffers: u16,
}

impl Hdr {
    /// From 12 bytes (fewer count as zero).
    pub fn parse(b: &[u8]) -> Self {
        let le = |i: usize| {
            u16::from_le_bytes([
                b.get(i).copied().unwrap_or(0),
                b.get(i + 1).copied().unwrap_or(0),
            ])
        };
        Self {
            flags: b.first().copied().unwrap_or(0),
            gso_type: b.get(1).copied().unwrap_or(0),
            hdr_len: le(2),
            gso_size: le(4),
            csum_start: le(6),
            csum_offset: le(8),
            num_buffers: le(10),
        }
    }

    pub fn bytes(&self) -> [u8; 12] {
        let mut b = [0; 12];
        b[0] = self.flags;
        b[1] = self.gso_type;
        for (i, v) in [
            self.hdr_len,
            self.gso_size,
            self.csum_start,
            self.csum_offset,
            self.num_buffers,
        ]
        .into_iter()
        .enumerate()
        {
            b[2 + 2 * i..4 + 2 * i].copy_from_slice(&v.to_le_bytes());
        }
        b
    }
}

/// Classes and commands of the control queue (5.1.6.5).
pub mod ctrl {
    pub const RX: u8 = 0;
    pub const MAC: u8 = 1;
    pub const MAC_TABLE_SET: u8 = 0;
    pub const MAC_ADDR_SET: u8 = 1;
    pub const VLAN: u8 = 2;
    pub const ANNOUNCE: u8 = 3;
    pub const MQ: u8 = 4;
    pub const MQ_VQ_PAIRS_SET: u8 = 0;
    pub const MQ_RSS_CONFIG: u8 = 1;
    pub const MQ_HASH_CONFIG: u8 = 2;
    pub const GUEST_OFFLOADS: u8 = 5;
    pub const NOTF_COAL: u8 = 6;
    pub const COAL_TX_SET: u8 = 0;
    pub const COAL_RX_SET: u8 = 1;
    pub const COAL_VQ_SET: u8 = 2;
    pub const COAL_VQ_GET: u8 = 3;
    pub const STATS: u8 = 8;
    pub const STATS_QUERY: u8 = 0;
    pub const STATS_GET: u8 = 1;
    pub const OK: u8 = 0;
    pub const ERR: u8 = 1;
}

/// Link states in the configuration's status field.
pub const S_LINK_UP: u16 = 1;
pub const S_ANNOUNCE: u16 = 2;

/// Bytes of the configuration that are shown.
pub const CONFIG_SIZE: usize = 24;

/// The configuration (5.1.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub mac: [u8; 6],
    pub status: u16,
    pub max_pairs: u16,
    pub mtu: u16,
    pub speed: u32,
    pub duplex: u8,
    pub rss_key: u8,
    pub rss_table: u16,
    pub hash_types: u32,
}

impl Config {
    pub fn bytes(&self) -> [u8; CONFIG_SIZE] {
        let mut b = [0; CONFIG_SIZE];
        b[..6].copy_from_slice(&self.mac);
        b[6..8].copy_from_slice(&self.status.to_le_bytes());
        b[8..10].copy_from_slice(&self.max_pairs.to_le_bytes());
        b[10..12].copy_from_slice(&self.mtu.to_le_bytes());
        b[12..16].copy_from_slice(&self.speed.to_le_bytes());
        b[16] = self.duplex;
        b[17] = self.rss_key;
        b[18..20].copy_from_slice(&self.rss_table.to_le_bytes());
        b[20..24].copy_from_slice(&self.hash_types.to_le_bytes());
        b
    }

    /// Sets a field by name; numbers in decimal or with 0x.
    pub fn set(&mut self, field: &str, value: &str) -> Result<(), String> {
        if field == "mac" {
            let mut mac = [0; 6];
            let mut n = 0;
            for part in value.split(':') {
                *mac.get_mut(n).ok_or("an address has 6 bytes")? =
                    u8::from_str_radix(part, 16).map_err(|_| format!("{value} is no address"))?;
                n += 1;
            }
            if n != 6 {
                return Err("an address has 6 bytes".into());
            }
            self.mac = mac;
            return Ok(());
        }
        let v = number(value)?;
        let e = |_| format!("{v} is too large for {field}");
        match field {
            "status" => self.status = u16::try_from(v).map_err(e)?,
            "max_pairs" => self.max_pairs = u16::try_from(v).map_err(e)?,
            "mtu" => self.mtu = u16::try_from(v).map_err(e)?,
            "speed" => self.speed = u32::try_from(v).map_err(e)?,
            "duplex" => self.duplex = u8::try_from(v).map_err(e)?,
            "rss_key" => self.rss_key = u8::try_from(v).map_err(e)?,
            "rss_table" => self.rss_table = u16::try_from(v).map_err(e)?,
            "hash_types" => self.hash_types = u32::try_from(v).map_err(e)?,
            _ => return Err(format!("the configuration has no field {field}")),
        }
        Ok(())
    }
}

/// A number in decimal, or in hexadecimal after 0x.
pub fn number(text: &str) -> Result<u64, String> {
    match text.strip_prefix("0x") {
        Some(h) => u64::from_str_radix(h, 16),
        None => text.parse(),
    }
    .map_err(|_| format!("{text} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_by_name() {
        assert_eq!(parse_features("CSUM+MQ", !0), Ok(f::CSUM | f::MQ));
        assert_eq!(parse_features("+MQ", f::CSUM), Ok(f::CSUM | f::MQ));
        assert_eq!(
            parse_features("-CSUM+RSS", f::CSUM | f::MQ),
            Ok(f::MQ | f::RSS)
        );
        assert_eq!(parse_features("+bit45", 0), Ok(1 << 45));
        assert!(parse_features("+NONSENSE", 0).is_err());
        assert!(parse_features("+bit64", 0).is_err());
        assert_eq!(feature_names(f::MQ | f::CSUM), "CSUM MQ");
    }

    #[test]
    fn header_there_and_back() {
        let h = Hdr {
            flags: 1,
            gso_type: 4,
            hdr_len: 74,
            gso_size: 1440,
            csum_start: 54,
            csum_offset: 16,
            num_buffers: 3,
        };
        assert_eq!(Hdr::parse(&h.bytes()), h);
        assert_eq!(Hdr::parse(&[1]).flags, 1);
    }

    #[test]
    fn configuration() {
        let mut c = Config {
            mac: [0; 6],
            status: 1,
            max_pairs: 4,
            mtu: 1500,
            speed: 1000,
            duplex: 1,
            rss_key: 40,
            rss_table: 128,
            hash_types: 0x3f,
        };
        c.set("max_pairs", "0x8").unwrap();
        c.set("mac", "52:54:00:12:34:56").unwrap();
        assert_eq!(
            c.bytes()[..10],
            [0x52, 0x54, 0, 0x12, 0x34, 0x56, 1, 0, 8, 0]
        );
        assert!(c.set("mac", "1:2").is_err());
        assert!(c.set("mtu", "65536").is_err());
        assert!(c.set("nonsense", "1").is_err());
    }
}
