// SPDX-License-Identifier: GPL-2.0

//! What the runner says to the device, a line each, and what it is answered.

use crate::device::Device;
use crate::frame::To;
use crate::ping;
use crate::ring::Wants;

/// A line, understood. `dev` is a device's number in the order of the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    Mode {
        dev: usize,
        wants: Wants,
    },
    Lazy {
        dev: usize,
        ns: u64,
    },
    Burst {
        dev: usize,
        n: usize,
    },
    Rx {
        dev: usize,
        count: u64,
        size: usize,
        rate: u64,
        to: To,
    },
    Stat {
        dev: usize,
    },
    Ping {
        cpu: usize,
    },
    Quit,
}

/// What there is to answer.
#[derive(PartialEq, Eq, Debug)]
pub enum Answer {
    Now(String),
    /// When all of a device's frames are in.
    Later(usize),
    /// That, and then it's over.
    Last(String),
}

fn number<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    text.parse::<u64>()
        .ok()
        .and_then(|n| T::try_from(n).ok())
        .ok_or(format!("'{text}' is no number, or not one for this"))
}

/// Understands a line.
pub fn parse(line: &str) -> Result<Command, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Ok(match words[..] {
        ["mode", dev, "poll"] => Command::Mode {
            dev: number(dev)?,
            wants: Wants::None,
        },
        ["mode", dev, "kick"] => Command::Mode {
            dev: number(dev)?,
            wants: Wants::Kicks,
        },
        ["lazy", dev, ns] => Command::Lazy {
            dev: number(dev)?,
            ns: number(ns)?,
        },
        ["burst", dev, n] => Command::Burst {
            dev: number(dev)?,
            n: number(n)?,
        },
        ["rx", dev, count, size, rate, to] => Command::Rx {
            dev: number(dev)?,
            count: number(count)?,
            size: number(size)?,
            rate: number(rate)?,
            to: match to {
                "socket" => To::Socket,
                "fwd" => To::Fwd,
                _ => return Err(format!("'{to}' is neither socket nor fwd")),
            },
        },
        ["stat", dev] => Command::Stat { dev: number(dev)? },
        ["ping", cpu] => Command::Ping { cpu: number(cpu)? },
        ["quit"] => Command::Quit,
        _ => {
            return Err(format!(
                "'{line}' is not understood: mode DEV poll|kick, lazy DEV NS, burst DEV N, \
                 rx DEV COUNT SIZE RATE socket|fwd, stat DEV, ping CPU, quit"
            ))
        }
    })
}

/// Carries a line out.
pub fn command(devices: &mut [Device], line: &str) -> Answer {
    run(devices, line).unwrap_or_else(|e| Answer::Now(format!("error: {e}")))
}

fn device(devices: &mut [Device], dev: usize) -> Result<&mut Device, String> {
    let n = devices.len();
    devices
        .get_mut(dev)
        .ok_or_else(|| format!("there is no device {dev}, there are {n}"))
}

fn run(devices: &mut [Device], line: &str) -> Result<Answer, String> {
    match parse(line)? {
        Command::Mode { dev, wants } => device(devices, dev)?.set_wants(wants),
        Command::Lazy { dev, ns } => device(devices, dev)?.set_lazy(ns),
        Command::Burst { dev, n } => device(devices, dev)?.set_burst(n)?,
        Command::Rx {
            dev,
            count,
            size,
            rate,
            to,
        } => {
            device(devices, dev)?.receive(count, size, rate, to)?;
            return Ok(Answer::Later(dev));
        }
        Command::Stat { dev } => return Ok(Answer::Now(stat(device(devices, dev)?))),
        Command::Ping { cpu } => return ping::ping(cpu).map(|ns| Answer::Now(ns.to_string())),
        Command::Quit => return Ok(Answer::Last("ok".into())),
    }
    Ok(Answer::Now("ok".into()))
}

/// A device's counters; those that begin with rx are of receive queues, kicks and calls of transmit queues.
fn stat(d: &mut Device) -> String {
    let (mut kicks, mut calls) = ([0; 2], [0; 2]);
    let pairs = usize::from(d.options.pairs);
    for (i, q) in d.queues.iter_mut().take(2 * pairs).enumerate() {
        kicks[i % 2] += q.kicks();
        calls[i % 2] += q.calls;
    }
    format!(
        "tx={} bytes={} batches={} kicks={} rxkicks={} calls={} rxcalls={} acked={} now={} rx={} pairs={} hdr={}",
        d.sent.packets,
        d.sent.bytes,
        d.sent.batches,
        kicks[1],
        kicks[0],
        calls[1],
        calls[0],
        d.acked,
        d.now(),
        d.received,
        d.pairs,
        d.acked.header()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    #[test]
    fn lines() {
        assert_eq!(
            parse("mode 1 kick"),
            Ok(Command::Mode {
                dev: 1,
                wants: Wants::Kicks
            })
        );
        assert_eq!(
            parse(" rx 0 1000 60 0 fwd "),
            Ok(Command::Rx {
                dev: 0,
                count: 1000,
                size: 60,
                rate: 0,
                to: To::Fwd
            })
        );
        for bad in [
            "",
            "mode 0",
            "mode 0 loud",
            "rx 0 1 60 0 me",
            "stat -1",
            "lazy 0 x",
            "quit now",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn answers() {
        let mut d = [Device::new(Options::parse("d", 0).unwrap())];
        assert_eq!(command(&mut d, "burst 0 8"), Answer::Now("ok".into()));
        for bad in [
            "burst 0 33",
            "burst 0 0",
            "stat 1",
            "rx 0 1 60 0 fwd",
            "rx 0 1 1 0 fwd",
        ] {
            match command(&mut d, bad) {
                Answer::Now(a) => assert!(a.starts_with("error: "), "{a}"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(command(&mut d, "quit"), Answer::Last("ok".into()));
        match command(&mut d, "stat 0") {
            Answer::Now(a) => assert!(a.starts_with("tx=0 bytes=0 batches=0 kicks=0 "), "{a}"),
            other => panic!("{other:?}"),
        }
    }
}
