// SPDX-License-Identifier: GPL-2.0

//! A whole virtio-net device as a process: QEMU's `vhost-user-test-device-pci` hands all queues, the control queue among
//! them, and the configuration to it; or, within a guest, the kernel's VDUSE one pair of queues. It serves a driver by the book and notes where the driver doesn't keep to it, or
//! misbehaves on purpose.
//!
//! One thread, one event loop: everything that happens, happens in some order.

mod backend;
mod cases;
mod control;
mod ctrl;
mod evil;
mod framing;
mod mem;
mod net;
mod ring;
mod rng;
mod rules;
mod scale;
mod spec;
mod stack;
mod tap;
mod vduse;
mod vhost;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

use framing::{Framing, UsedLen};
use net::{Net, Options};
use spec::Config;

const USAGE: &str = "Usage: testdev --socket PATH --control PATH [OPTION=VALUE…]
       testdev --vduse NAME --control PATH [OPTION=VALUE…]
       testdev --cases

  pairs=N       queue pairs (1 to 8; default 4)
  role=net      the data queues only: what QEMU's own virtio-net-pci wants of a netdev (vhost-user)
  features=…    what is offered: +A-B changes the default, A+B is all
  polls=MS      the transmit queues are looked at each MS milliseconds, and notifications for them aren't wanted
  tap=NAME      forward packets to a tap; else the device answers ARP, neighbour discovery and echo requests itself
  ctrl=…        how commands are cut into descriptors: any (default), legacy (5.1.6.6, else refused), three (else never answered)
  ctrl-used=…   the used length of commands: honest (default), all (what was read, too), or a number
  FIELD=VALUE   a field of the configuration: mac mtu speed duplex rss_key rss_table hash_types

With --vduse it is /dev/vduse/NAME of the kernel that it runs on, with one pair and without a control queue; the command
vdpa dev add name NAME mgmtdev vduse  makes a device of it.
On the control socket, `help` tells what can be said.";

// What an event is about, in its data.
const FRONT: u64 = 0;
const CONN: u64 = 1;
const CONTROL: u64 = 2;
const CLIENT: u64 = 1 << 32;
const KICK: u64 = 2 << 32;
const TAP: u64 = 3 << 32;
const KIND: u64 = !0 << 32;

fn options(args: &[String]) -> Result<Options, String> {
    let mut o = Options {
        pairs: 4,
        features: spec::DEFAULT,
        config: Config {
            mac: [0x52, 0x54, 0x00, 0x12, 0x34, 0x56],
            status: spec::S_LINK_UP,
            max_pairs: 4,
            mtu: 1500,
            speed: 10000,
            duplex: 1,
            rss_key: 40,
            rss_table: 128,
            hash_types: 0x3f,
        },
        tap: None,
        netdev: false,
        polls: None,
        framing: Framing::default(),
        used_len: UsedLen::default(),
    };
    for arg in args {
        let (key, value) = arg
            .split_once('=')
            .ok_or(format!("{arg}: not OPTION=VALUE"))?;
        match key {
            "pairs" => o.pairs = value.parse().map_err(|_| format!("{value} pairs"))?,
            "features" => o.features = spec::parse_features(value, o.features)?,
            "tap" => o.tap = Some(value.into()),
            "polls" => {
                let ms = value.parse().map_err(|_| format!("{value} ms"))?;
                o.polls = Some(Duration::from_millis(ms));
            }
            "role" if value == "net" => o.netdev = true,
            "ctrl" => o.framing = Framing::parse(value)?,
            "ctrl-used" => o.used_len = UsedLen::parse(value)?,
            _ => o.config.set(key, value)?,
        }
    }
    if !(1..=8).contains(&o.pairs) {
        return Err("1 to 8 pairs".into());
    }
    o.config.max_pairs = o.pairs;
    Ok(o)
}

/// A client of the control socket.
struct Client {
    sock: UnixStream,
    buf: Vec<u8>,
}

impl Client {
    /// Answers what has come; false when it is over.
    fn serve(&mut self, net: &mut Net) -> bool {
        let mut b = [0; 4096];
        match self.sock.read(&mut b) {
            Ok(n) if n > 0 => self.buf.extend(&b[..n]),
            _ => return false,
        }
        while let Some(end) = self.buf.iter().position(|c| *c == b'\n') {
            let line: Vec<u8> = self.buf.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let (word, text) = match control::command(net, line.trim()) {
                Ok(t) => ("ok", t),
                Err(t) => ("error", t),
            };
            let text = text.replace('\\', "\\\\").replace('\n', "\\n");
            if self
                .sock
                .write_all(format!("{word} {text}\n").as_bytes())
                .is_err()
            {
                return false;
            }
        }
        true
    }
}

/// Who has the driver.
enum Front {
    /// QEMU, which connects there.
    Socket(UnixListener),
    /// The kernel.
    Vduse(vduse::Vduse),
}

impl AsRawFd for Front {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Front::Socket(listener) => listener.as_raw_fd(),
            Front::Vduse(dev) => dev.as_raw_fd(),
        }
    }
}

struct Loop {
    epoll: Epoll,
    net: Net,
    front: Front,
    control: UnixListener,
    conn: Option<vhost::Conn>,
    clients: HashMap<RawFd, Client>,
    /// Taps that are read from now.
    reading: Vec<bool>,
}

impl Loop {
    fn watch(&self, fd: RawFd, data: u64) -> io::Result<()> {
        self.epoll.ctl(
            ControlOperation::Add,
            fd,
            EpollEvent::new(EventSet::IN, data),
        )
    }

    fn run(&mut self) -> io::Result<()> {
        self.watch(self.front.as_raw_fd(), FRONT)?;
        self.watch(self.control.as_raw_fd(), CONTROL)?;
        let mut events = vec![EpollEvent::default(); 64];
        loop {
            let timeout = self.net.due().map_or(-1, |d| {
                let left = d.saturating_duration_since(Instant::now());
                // Up, so as not to spin.
                i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
            });
            let n = match self.epoll.wait(timeout, &mut events) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            for e in &events[..n] {
                self.event(e.data())?;
            }
            self.net.tick();
            self.sync()?;
        }
    }

    fn event(&mut self, data: u64) -> io::Result<()> {
        let low = (data & !KIND) as usize;
        match data {
            FRONT => match &mut self.front {
                Front::Socket(listener) => {
                    let (sock, _) = listener.accept()?;
                    self.watch(sock.as_raw_fd(), CONN)?;
                    self.conn = Some(vhost::Conn::new(sock));
                }
                Front::Vduse(dev) => dev.serve(&mut self.net)?,
            },
            CONTROL => {
                let (sock, _) = self.control.accept()?;
                self.watch(sock.as_raw_fd(), CLIENT | sock.as_raw_fd() as u64)?;
                self.clients.insert(
                    sock.as_raw_fd(),
                    Client {
                        sock,
                        buf: Vec::new(),
                    },
                );
            }
            CONN => {
                if let Some(conn) = &mut self.conn {
                    if let Err(e) = conn.serve(&mut self.net) {
                        eprintln!("QEMU has gone: {e}");
                        self.conn = None;
                        for i in 0..self.net.vqs.len() {
                            self.net.stop_vq(i);
                        }
                    }
                }
            }
            d if d & KIND == CLIENT => {
                let fd = low as RawFd;
                if let Some(client) = self.clients.get_mut(&fd) {
                    if !client.serve(&mut self.net) {
                        self.clients.remove(&fd);
                    }
                }
            }
            d if d & KIND == KICK => self.net.kicked(low),
            d if d & KIND == TAP => self.net.read_tap(low),
            _ => {}
        }
        Ok(())
    }

    /// Watches what is to be watched now.
    fn sync(&mut self) -> io::Result<()> {
        for i in 0..self.net.new_kicks.len() {
            if std::mem::take(&mut self.net.new_kicks[i]) {
                if let Some(kick) = &self.net.vqs[i].kick {
                    self.watch(kick.as_raw_fd(), KICK | i as u64)?;
                }
            }
        }
        for i in 0..self.net.taps.len() {
            let want = self.net.vqs[i * 2].live() && !self.net.choked(i);
            if want != self.reading[i] {
                self.reading[i] = want;
                let op = if want {
                    ControlOperation::Add
                } else {
                    ControlOperation::Delete
                };
                self.epoll.ctl(
                    op,
                    self.net.taps[i].fd(),
                    EpollEvent::new(EventSet::IN, TAP | i as u64),
                )?;
            }
        }
        Ok(())
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (mut socket, mut name, mut control, mut rest) = (None, None, None, Vec::new());
    let mut it = args.into_iter();
    while let Some(arg) = it.next() {
        match arg.as_str() {
            "--socket" => socket = it.next(),
            "--vduse" => name = it.next(),
            "--control" => control = it.next(),
            "--help" | "-h" => return println!("{USAGE}"),
            "--cases" => return println!("{}", control::catalogue()),
            _ => rest.push(arg),
        }
    }
    let (Some(control), true) = (control, socket.is_some() != name.is_some()) else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    let made = options(&rest).and_then(|mut o| {
        if name.is_some() {
            vduse::adapt(&mut o)?;
        }
        Net::new(o)
    });
    let result = made.and_then(|mut net| {
        let reading = vec![false; net.taps.len()];
        let go = || -> io::Result<()> {
            // What appears last tells that all is well: the socket for QEMU, or that for control.
            let (front, control) = match (name, socket) {
                (Some(name), _) => {
                    let dev = vduse::Vduse::create(&name, &mut net)?;
                    (Front::Vduse(dev), UnixListener::bind(control)?)
                }
                (None, socket) => {
                    let control = UnixListener::bind(control)?;
                    let socket = UnixListener::bind(socket.unwrap_or_default())?;
                    (Front::Socket(socket), control)
                }
            };
            Loop {
                epoll: Epoll::new()?,
                net,
                front,
                control,
                conn: None,
                clients: HashMap::new(),
                reading,
            }
            .run()
        };
        go().map_err(|e| e.to_string())
    });
    if let Err(e) = result {
        eprintln!("testdev: {e}");
        std::process::exit(1);
    }
}
