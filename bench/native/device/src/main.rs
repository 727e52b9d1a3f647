// SPDX-License-Identifier: GPL-2.0

//! A virtio-net device that drivers are timed against: a process that polls its rings on a CPU of its own, takes what is
//! sent, and puts in what is to be received. The driver runs in a Linux that is a process too (ARCH=um), and sets the
//! device up by vhost-user.
//!
//! One thread for all devices, and no system call while there is traffic, but for interrupts.

mod backend;
mod control;
mod ctrl;
mod desc;
mod device;
mod fault;
mod features;
mod frame;
mod job;
mod mem;
mod options;
mod packed;
mod ping;
mod queue;
mod ring;
mod split;
mod sys;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

// What the test device has as well, and more than is of use here.
#[allow(dead_code)]
#[path = "../../../../qemu-test/device/src/spec.rs"]
mod spec;
#[allow(dead_code)]
#[path = "../../../../qemu-test/device/src/vhost.rs"]
mod vhost;

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::exit;
use std::thread::sleep;
use std::time::Duration;

use control::Answer;
use device::Device;
use options::Options;

const USAGE: &str = "Usage: nativedev --control PATH [--cpu N] DEVICE…

The virtio-net devices that `make bench-native` times drivers against: vhost-user processes in one, which polls.

  --control PATH   the socket that is told what to do
  --cpu N          stay on this CPU

DEVICE is SOCKET[,KEY=VALUE…]:
  ring=split|packed            format of the rings that is offered (default: split)
  mode=mergeable|small|big     receive buffers that the driver is led to (default: mergeable)
  guest=on|off                 received packets may be merged, their checksums good or missing (default: on)
  hdr=12|24|10                 bytes of the header: 24 offers packets in UDP tunnels, 10 is a legacy device (default: 12)
  pairs=N                      queue pairs; with more than 1 there is a control queue (1 to 16, default 1)
  mac=…                        address in the configuration

On the control socket each line gets one in answer, `error: …` if it can't be done. DEV is a device's number, from 0:
  mode DEV poll|kick           whether drivers are asked to notify (it polls all the same); default poll
  lazy DEV NS                  wait for a whole burst of sent packets, but not longer (default 0)
  burst DEV N                  how many packets are handled at a time, at most (1 to 32, default 32)
  rx DEV COUNT SIZE RATE TO    put in COUNT frames of SIZE bytes, RATE a second (0: as fast as they are taken), for
                               the guest (TO=socket) or whom it forwards to (fwd). Answered when all are in; times are
                               without the first tenth: done ns=… packets=… calls=… stalls=…
  stat DEV                     counters, and the features that the driver has taken
  ping CPU                     nanoseconds of a cache line's way to another CPU and back
  quit                         end";

/// How often sockets are looked at: after so many rounds without traffic, and if there was some in the last of these, which are
/// a millisecond or more. A look takes as long as a driver takes to send a burst, and seen by it is a device that is busy.
const ROUNDS_IDLE: u32 = 256;
const ROUNDS_BUSY: u32 = 1 << 15;
/// After so many rounds (some tenths of a second) without traffic and orders it doesn't take all of its CPU. An order comes in
/// front of each measurement, which doesn't begin with a nap then.
const ROUNDS_ASLEEP: u32 = 10_000_000;
const NAP: Duration = Duration::from_micros(200);

/// Where a front end connects, and has.
struct Front {
    listener: UnixListener,
    conn: Option<vhost::Conn>,
}

/// The one who tells us what to do; others wait for the end of the connection.
#[derive(Default)]
struct Runner {
    sock: Option<UnixStream>,
    buf: Vec<u8>,
    /// A device that is to have its frames before there is an answer.
    waits: Option<usize>,
}

impl Runner {
    fn answer(&mut self, text: &str) {
        if let Some(sock) = &mut self.sock {
            // If it has gone, its end is seen next.
            let _ = sock.write_all(format!("{text}\n").as_bytes());
        }
    }

    /// Takes what has come; false when it is over.
    fn read(&mut self) -> bool {
        let mut b = [0; 512];
        match self.sock.as_mut().map(|s| s.read(&mut b)) {
            Some(Ok(n)) if n > 0 => self.buf.extend(&b[..n]),
            _ => return false,
        }
        true
    }

    /// The next line, unless the last one is not answered yet.
    fn line(&mut self) -> Option<String> {
        if self.waits.is_some() {
            return None;
        }
        let end = self.buf.iter().position(|c| *c == b'\n')?;
        let line: Vec<u8> = self.buf.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim().into())
    }
}

struct Process {
    devices: Vec<Device>,
    fronts: Vec<Front>,
    control: UnixListener,
    runner: Runner,
    /// Rounds without traffic and orders.
    quiet: u32,
}

impl Process {
    fn run(&mut self) -> Result<(), String> {
        let mut round = 0;
        loop {
            let mut busy = false;
            for i in 0..self.devices.len() {
                busy |= self.poll(i).map_err(|e| self.about(i, &e))?;
            }
            if busy || self.devices.iter().any(Device::working) {
                self.quiet = 0;
            } else {
                self.quiet = self.quiet.saturating_add(1);
            }
            round += 1;
            if round < ROUNDS_IDLE || (round < ROUNDS_BUSY && self.quiet < ROUNDS_BUSY) {
                continue;
            }
            round = 0;
            for i in 0..self.devices.len() {
                self.devices[i].poll_ctrl().map_err(|e| self.about(i, &e))?;
            }
            if !self.sockets().map_err(|e| e.to_string())? {
                return Ok(());
            }
            if self.quiet > ROUNDS_ASLEEP {
                sleep(NAP);
            }
        }
    }

    fn about(&self, i: usize, e: &fault::Fault) -> String {
        format!(
            "device {i} ({}): the driver has made a mistake: {e}",
            self.devices[i].options.socket.display()
        )
    }

    #[inline]
    fn poll(&mut self, i: usize) -> Result<bool, fault::Fault> {
        let busy = self.devices[i].poll_tx()?;
        if let Some(done) = self.devices[i].poll_rx()? {
            self.runner.waits = None;
            self.runner.answer(&done.to_string());
        }
        Ok(busy)
    }

    /// Serves front ends and the runner; false when it was told to end.
    fn sockets(&mut self) -> io::Result<bool> {
        let mut fds = vec![match &self.runner.sock {
            Some(sock) => sock.as_raw_fd(),
            None => self.control.as_raw_fd(),
        }];
        fds.extend(self.fronts.iter().map(|f| match &f.conn {
            Some(conn) => conn.as_raw_fd(),
            None => f.listener.as_raw_fd(),
        }));
        let ready = sys::readable(&fds);
        for (i, _) in ready.iter().skip(1).enumerate().filter(|r| *r.1) {
            self.front(i)?;
        }
        if ready[0] {
            self.control()?;
        }
        Ok(self.lines())
    }

    fn front(&mut self, i: usize) -> io::Result<()> {
        let (front, device) = (&mut self.fronts[i], &mut self.devices[i]);
        match &mut front.conn {
            None => front.conn = Some(vhost::Conn::new(front.listener.accept()?.0)),
            Some(conn) => {
                if let Err(e) = conn.serve(device) {
                    if e.kind() != io::ErrorKind::UnexpectedEof {
                        eprintln!("nativedev: device {i}: the front end: {e}");
                    }
                    front.conn = None;
                    device.disconnected();
                }
            }
        }
        if self.runner.waits == Some(i) && !device.can_receive() {
            device.cancel();
            self.runner.waits = None;
            self.runner
                .answer("error: the driver has gone before all frames were in");
        }
        Ok(())
    }

    fn control(&mut self) -> io::Result<()> {
        if self.runner.sock.is_none() {
            self.runner.sock = Some(self.control.accept()?.0);
        } else if !self.runner.read() {
            if let Some(i) = self.runner.waits {
                self.devices[i].cancel();
            }
            self.runner = Runner::default();
        }
        Ok(())
    }

    /// Does what it was told; false if that is to end.
    fn lines(&mut self) -> bool {
        while let Some(line) = self.runner.line() {
            self.quiet = 0;
            match control::command(&mut self.devices, &line) {
                Answer::Now(text) => self.runner.answer(&text),
                Answer::Later(dev) => self.runner.waits = Some(dev),
                Answer::Last(text) => {
                    self.runner.answer(&text);
                    return false;
                }
            }
        }
        true
    }
}

/// Makes a socket, in the place of one that an earlier process has left.
fn bind(path: &Path) -> Result<UnixListener, String> {
    let _ = std::fs::remove_file(path);
    UnixListener::bind(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn start(args: Vec<String>) -> Result<Process, String> {
    let (mut control, mut devices) = (None, Vec::new());
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--control" => control = args.next(),
            "--cpu" => {
                let text = args.next().unwrap_or_default();
                let cpu = text.parse().map_err(|_| format!("'{text}' is no CPU"))?;
                sys::pin(cpu).map_err(|e| format!("CPU {cpu}: {e}"))?;
            }
            _ if arg.starts_with('-') => return Err(format!("unknown option {arg} (see --help)")),
            _ => devices.push(Device::new(Options::parse(&arg, devices.len() as u8)?)),
        }
    }
    let control = control.ok_or("--control is missing (see --help)")?;
    if devices.is_empty() {
        return Err("no device was given (see --help)".into());
    }
    let fronts = devices
        .iter()
        .map(|d| {
            Ok(Front {
                listener: bind(&d.options.socket)?,
                conn: None,
            })
        })
        .collect::<Result<_, String>>()?;
    Ok(Process {
        devices,
        fronts,
        // Last, as its appearance tells that all is well.
        control: bind(Path::new(&control))?,
        runner: Runner::default(),
        quiet: 0,
    })
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|a| a == "--help" || a == "-h") {
        return println!("{USAGE}");
    }
    let result = start(args).and_then(|mut p| p.run());
    if let Err(e) = result {
        eprintln!("nativedev: {e}");
        exit(1);
    }
}
