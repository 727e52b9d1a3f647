// SPDX-License-Identifier: GPL-2.0

//! How strict the control queue is about descriptors, and what it says of lengths. The specification leaves both to a
//! driver of modern devices; real devices don't always.

use crate::mem::Mem;
use crate::ring::{Chain, Seg};
use crate::spec::ctrl;

/// How a command has to be cut into descriptors.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub enum Framing {
    /// In any way.
    #[default]
    Any,
    /// As a driver has to without ANY_LAYOUT (5.1.6.6).
    Legacy,
    /// Class and command, data, answer are the first three descriptors, whatever they are. (Cloud Hypervisor.)
    Three,
}

/// The used length of a command.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub enum UsedLen {
    /// What was written.
    #[default]
    Honest,
    /// What was read as well.
    All,
    Fixed(u32),
}

impl Framing {
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "any" => Ok(Self::Any),
            "legacy" => Ok(Self::Legacy),
            "three" => Ok(Self::Three),
            _ => Err(format!("{text}: not any, legacy or three")),
        }
    }

    /// The command as the device sees it; none if it can't go on with that.
    pub fn seen(self, chain: Chain, mem: &Mem) -> Option<Chain> {
        if self != Self::Three {
            return Some(chain);
        }
        let mut class = [0];
        mem.read(chain.out.first()?.addr, &mut class).ok()?;
        three(chain, class[0])
    }

    /// What is wrong with the descriptors of a command of these bytes.
    pub fn breach(self, chain: &Chain, bytes: &[u8]) -> Option<String> {
        if self == Self::Legacy {
            legacy(chain, bytes)
        } else {
            None
        }
    }
}

/// The answer is written to the third descriptor even if the driver made it readable only.
fn three(chain: Chain, class: u8) -> Option<Chain> {
    let mut parts = chain.out.into_iter().chain(chain.inp);
    let head = parts.next().filter(|s| s.len >= 2)?;
    let mut out = vec![Seg { len: 2, ..head }];
    if class != ctrl::ANNOUNCE {
        out.push(parts.next()?);
    }
    let ack = parts.next()?;
    Some(Chain {
        head: chain.head,
        out,
        inp: vec![Seg { len: 1, ..ack }],
    })
}

fn legacy(chain: &Chain, bytes: &[u8]) -> Option<String> {
    let lens = |s: &[Seg]| s.iter().map(|s| s.len as usize).collect::<Vec<_>>();
    let (out, inp) = (lens(&chain.out), lens(&chain.inp));
    let table = bytes.get(..2) == Some(&[ctrl::MAC, ctrl::MAC_TABLE_SET]);
    // The first of the two has the unicast addresses.
    let first = bytes
        .get(2..6)
        .and_then(|n| n.try_into().ok())
        .and_then(|n| u32::from_le_bytes(n).checked_mul(6)?.checked_add(4));
    let data_fits = match (table, &out[..]) {
        (true, [_, unicast, _]) => Some(*unicast as u64) == first.map(u64::from),
        (false, [_] | [_, _]) => true,
        _ => false,
    };
    // Only statistics have more than the answer.
    let inp_fits = match inp[..] {
        [1] => true,
        [1, _] => bytes.first() == Some(&ctrl::STATS),
        _ => false,
    };
    if out.first() == Some(&2) && data_fits && inp_fits {
        return None;
    }
    let text = |l: &[usize]| {
        let l: Vec<_> = l.iter().map(usize::to_string).collect();
        l.join("+")
    };
    Some(format!(
        "5.1.6.6: command {}/{} in descriptors of {} and {} bytes",
        bytes.first().copied().unwrap_or(0),
        bytes.get(1).copied().unwrap_or(0),
        text(&out),
        text(&inp)
    ))
}

impl UsedLen {
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "honest" => Self::Honest,
            "all" => Self::All,
            _ => Self::Fixed(
                u32::try_from(crate::spec::number(text)?).map_err(|_| format!("{text} bytes"))?,
            ),
        })
    }

    /// What is said of a command of which `written` bytes were written.
    pub fn of(self, chain: &Chain, written: u32) -> u32 {
        match self {
            Self::Honest => written,
            Self::All => chain
                .out
                .iter()
                .chain(&chain.inp)
                .fold(0, |n, s| n.saturating_add(s.len)),
            Self::Fixed(n) => n,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(out: &[u32], inp: &[u32]) -> Chain {
        let segs = |l: &[u32]| l.iter().map(|len| Seg { addr: 0, len: *len }).collect();
        Chain {
            head: 3,
            out: segs(out),
            inp: segs(inp),
        }
    }

    fn fits(out: &[u32], inp: &[u32], bytes: &[u8]) -> bool {
        Framing::Legacy.breach(&chain(out, inp), bytes).is_none()
    }

    #[test]
    fn legacy_framing() {
        let pairs = [ctrl::MQ, 0, 2, 0];
        assert!(fits(&[2, 2], &[1], &pairs));
        assert!(!fits(&[4], &[1], &pairs), "all in one");
        assert!(!fits(&[1, 1, 2], &[1], &pairs), "class and command apart");
        assert!(!fits(&[2, 1, 1], &[1], &pairs), "data in two");
        assert!(!fits(&[2, 2], &[1, 1], &pairs), "two to write to");
        assert!(!fits(&[2, 2], &[2], &pairs), "more room than an answer");
        assert!(fits(&[2], &[1], &[ctrl::ANNOUNCE, 0]), "no data");
        assert!(fits(&[2, 16], &[1, 96], &[ctrl::STATS, 1]), "with a result");
        assert!(Framing::Any.breach(&chain(&[4], &[9]), &pairs).is_none());
    }

    #[test]
    fn legacy_framing_of_the_table() {
        let one = [&[ctrl::MAC, ctrl::MAC_TABLE_SET, 1, 0, 0, 0][..], &[0; 10]].concat();
        assert!(fits(&[2, 10, 4], &[1], &one));
        assert!(!fits(&[2, 14], &[1], &one), "both lists in one");
        assert!(!fits(&[2, 4, 10], &[1], &one), "cut elsewhere");
        assert!(!fits(&[2, 10, 2, 2], &[1], &one), "in three");
        // A count that no list can have.
        let bad = [&[ctrl::MAC, ctrl::MAC_TABLE_SET][..], &[0xff; 8]].concat();
        assert!(!fits(&[2, 4, 4], &[1], &bad));
    }

    #[test]
    fn three_descriptors() {
        let seen = |out: &[u32], inp: &[u32], class| {
            let c = three(chain(out, inp), class)?;
            let lens = |l: Vec<Seg>| l.into_iter().map(|s| s.len).collect::<Vec<_>>();
            Some((lens(c.out), lens(c.inp)))
        };
        assert_eq!(
            seen(&[2, 2], &[1], ctrl::MQ),
            Some((vec![2, 2], vec![1])),
            "as it should be"
        );
        assert_eq!(
            seen(&[2], &[1], ctrl::ANNOUNCE),
            Some((vec![2], vec![1])),
            "no data"
        );
        assert_eq!(seen(&[4], &[1], ctrl::MQ), None, "all in one");
        assert_eq!(
            seen(&[2, 10, 4], &[1], ctrl::MAC),
            Some((vec![2, 10], vec![1])),
            "answered in the driver's data"
        );
        assert_eq!(seen(&[1, 3], &[1], ctrl::MQ), None, "half a command");
    }

    #[test]
    fn used_lengths() {
        let c = chain(&[2, 2], &[1]);
        assert_eq!(UsedLen::parse("honest").unwrap().of(&c, 1), 1);
        assert_eq!(UsedLen::parse("all").unwrap().of(&c, 1), 5);
        assert_eq!(UsedLen::parse("0").unwrap().of(&c, 1), 0);
        assert!(UsedLen::parse("4294967296").is_err());
    }
}
