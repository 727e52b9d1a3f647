// SPDX-License-Identifier: GPL-2.0

//! What tests say to the device, one line each, and what it answers.

use crate::cases::all;
use crate::ctrl::Refusal;
use crate::evil::{Case, Expect, Stimulus};
use crate::framing::{Framing, UsedLen};
use crate::net::Net;
use crate::spec::{self, number, S_ANNOUNCE, S_LINK_UP};
use crate::stack;

const HELP: &str = "help                      this
stats                     all counters and settings, one a line
stat NAME                 one of them
set FIELD VALUE           a field of the configuration: mac status max_pairs mtu speed duplex rss_key rss_table hash_types
irq                       a configuration interrupt
link up|down              the link's state, with an interrupt
announce                  ask for an announcement, with an interrupt
features [+A-B | A+B]     what a driver is offered when the device is plugged in the next time
refuse [CLASS [COMMAND [N]]] refuse these commands of the control queue from now on, or only the Nth; nothing: none
lose                      ask for no notification of packets any more, until one comes for one
serve [PAIRS]             look at the queues of that many pairs only from now on; nothing: of all
hold, release             look at no command, until released
ctrl any|legacy|three     how commands have to be cut into descriptors
ctrl-used honest|all|N    what used length commands have
acked                     what the driver has accepted
gen COUNT SIZE QUEUE PORT datagrams of SIZE bytes of contents for the guest's PORT
cases                     the catalogue: name, stage, stimulus, what is expected, quick, what the device does
case NAME [SEED]          misbehave
honest                    stop that
violations [clear]        rules that the driver has broken: how many, then which";

/// Carries a command out.
pub fn command(net: &mut Net, line: &str) -> Result<String, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["help"] => Ok(HELP.into()),
        ["stats"] => Ok(stats(net)
            .iter()
            .map(|(k, v)| format!("{k} {v}"))
            .collect::<Vec<_>>()
            .join("\n")),
        ["stat", name] => stats(net)
            .into_iter()
            .find(|s| s.0 == name)
            .map(|s| s.1)
            .ok_or(format!("there is no {name}")),
        ["set", field, value] => net.config.set(field, value).map(|()| String::new()),
        ["irq"] => {
            net.config_irq();
            Ok(String::new())
        }
        ["link", state] => {
            match state {
                "up" => net.config.status |= S_LINK_UP,
                "down" => net.config.status &= !S_LINK_UP,
                _ => return Err("up or down".into()),
            }
            net.config_irq();
            Ok(String::new())
        }
        ["announce"] => {
            net.config.status |= S_ANNOUNCE;
            net.config_irq();
            Ok(String::new())
        }
        ["features"] => Ok(spec::feature_names(net.features)),
        ["features", text] => {
            net.features = spec::parse_features(text, net.options.features)?;
            Ok(spec::feature_names(net.features))
        }
        ["refuse"] => {
            net.refuse = None;
            Ok(String::new())
        }
        ["refuse", class, ref rest @ ..] => {
            let n = |t: &str| {
                number(t).and_then(|n| u8::try_from(n).map_err(|_| format!("{t}: too large")))
            };
            let more: Vec<u8> = rest.iter().map(|t| n(t)).collect::<Result<_, _>>()?;
            net.refuse = Some(Refusal {
                class: n(class)?,
                command: more.first().copied(),
                nth: more.get(1).copied(),
            });
            Ok(String::new())
        }
        ["lose"] => {
            net.lose_place();
            Ok(String::new())
        }
        ["serve", ref rest @ ..] => {
            net.serves = match rest.first() {
                Some(n) => n.parse().map_err(|_| format!("{n} pairs"))?,
                None => net.options.pairs,
            };
            for i in 0..net.vqs.len() {
                net.handle(i);
            }
            Ok(String::new())
        }
        ["hold"] => {
            net.held = true;
            Ok(String::new())
        }
        ["release"] => {
            net.held = false;
            net.handle(net.ctrl_index());
            Ok(String::new())
        }
        ["ctrl", how] => {
            net.options.framing = Framing::parse(how)?;
            Ok(String::new())
        }
        ["ctrl-used", len] => {
            net.options.used_len = UsedLen::parse(len)?;
            Ok(String::new())
        }
        ["acked"] => Ok(spec::feature_names(net.acked)),
        ["gen", count, size, queue, port] => {
            let n = |t| number(t).and_then(|n| usize::try_from(n).map_err(|e| e.to_string()));
            let (count, size, queue, port) = (n(count)?, n(size)?, n(queue)?, n(port)?);
            if size > 65000 || queue * 2 + 1 >= net.vqs.len() {
                return Err("too large".into());
            }
            let mac = net.set.mac.unwrap_or(net.config.mac);
            for i in 0..count {
                let data = vec![i as u8; size];
                net.deliver(queue, stack::datagram(mac, 9, port as u16, &data));
            }
            Ok(String::new())
        }
        ["cases"] => Ok(catalogue()),
        ["case", name] => case(net, name, 1),
        ["case", name, seed] => case(net, name, number(seed)?),
        ["honest"] => {
            net.behave();
            Ok(String::new())
        }
        ["violations"] => Ok(net.rules.text()),
        ["violations", "clear"] => {
            net.rules = Default::default();
            Ok(String::new())
        }
        _ => Err(format!("not understood: {line} (try help)")),
    }
}

/// All cases, a line each: name, stage, stimulus, what is expected, what it does; before that whether it is of the short selection
/// (quick), of the others (full), or there by name only (scale).
pub fn catalogue() -> String {
    let line = |c: &Case| {
        let expect = match c.expect {
            Expect::Nothing => "nothing".to_string(),
            Expect::Works => "works".to_string(),
            Expect::Heap => "heap".to_string(),
            Expect::Refused => "refused".to_string(),
            Expect::Count(re) => format!("count:{re}"),
            Expect::Log(re) => format!("log:{re}"),
        };
        let quick = match c.stimulus {
            Stimulus::Scale => "scale",
            _ if c.quick => "quick",
            _ => "full",
        };
        format!(
            "{};{:?};{:?};{expect};{quick};{}",
            c.name, c.stage, c.stimulus, c.what
        )
    };
    all().map(line).collect::<Vec<_>>().join("\n")
}

fn case(net: &mut Net, name: &str, seed: u64) -> Result<String, String> {
    let case = all()
        .find(|c| c.name == name)
        .ok_or(format!("there is no case {name}"))?;
    eprintln!("case {name}, seed {seed}");
    net.misbehave(case, seed)?;
    Ok(case.what.into())
}

/// Everything that can be asked for.
fn stats(net: &Net) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut add = |k: String, v: String| out.push((k, v));
    let s = &net.set;
    add("pairs".into(), s.pairs.to_string());
    add("max_tx".into(), s.max_tx.to_string());
    add("promisc".into(), u8::from(s.promisc).to_string());
    add("allmulti".into(), u8::from(s.allmulti).to_string());
    add("unicast".into(), s.macs.0.to_string());
    add("multicast".into(), s.macs.1.to_string());
    add("vlans".into(), format!("{:?}", s.vlans));
    add("offloads".into(), format!("{:#x}", s.guest_offloads));
    add("commands".into(), s.commands.to_string());
    add("commands_ok".into(), s.commands_ok.to_string());
    add("announced".into(), s.announced.to_string());
    add("thrown_used".into(), net.thrown.0.to_string());
    add("thrown_commands".into(), net.thrown.1.to_string());
    add("steering".into(), s.steering.text());
    add("status".into(), net.config.status.to_string());
    let ctrl = net.ctrl_index();
    for (i, vq) in net.vqs.iter().enumerate() {
        let q = if i == ctrl {
            "ctrl".to_string()
        } else {
            format!("{}{}", if i % 2 == 0 { "rx" } else { "tx" }, i / 2)
        };
        let c = &vq.count;
        for (k, v) in [
            ("live", u64::from(vq.live())),
            ("enabled", u64::from(vq.enabled)),
            ("kicks", c.kicks),
            ("interrupts", c.interrupts),
            ("packets", c.packets),
            ("bytes", c.bytes),
            ("overruns", c.overruns),
            ("gso_packets", c.gso_packets),
            ("max_packets", vq.coal.max_packets.into()),
            ("max_usecs", vq.coal.max_usecs.into()),
        ] {
            add(format!("{q}.{k}"), v.to_string());
        }
    }
    out
}
