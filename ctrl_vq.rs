// SPDX-License-Identifier: GPL-2.0

//! The control virtqueue (specification 5.1.6.5): typed commands and their executor.
//!
//! One command is under way at a time. The executor holds a mutex and sleeps between looks at the
//! ring; it never spins. A command that misses the deadline fails with `ETIMEDOUT`; its buffer
//! stays with the ring, and until the device gives it back every further command fails at once with
//! `EIO`. Resetting the device ends that state.
//!
//! Context: process.

#![forbid(unsafe_code)]

pub(crate) use crate::virtio::ctrl_ring::Request;
use crate::{
    net::ratelimit,
    pure::{
        coalesce::Moderation,
        ctrl::{
            self,
            Ack,
            Backoff, //
        },
        stats::QueueStats, //
    },
    sync::{
        errno::eopnotsupp,
        fail,
        params, //
    },
    virtio::{
        ctrl_ring,
        virtqueue::Used,
        Device,
        Virtqueue, //
    }, //
};
use kernel::{
    device::Bound,
    prelude::*,
    sync::Mutex,
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    }, //
};

/// Milliseconds between looks whether a late answer has come.
pub(crate) const LOOK_MS: u32 = 2000;
/// How often, at most, the time to the next attempt doubles.
///
/// It doubles each time that the device owes an answer again before all settings were sent, because
/// an attempt may hold RTNL for `ctrl_timeout_ms`. The longest time is 17 minutes.
const DOUBLINGS: u32 = 9;

/// A command: its class, its code and the data that goes with it.
pub(crate) trait Command {
    /// Class of the command (specification 5.1.6.5).
    const CLASS: u8;
    /// Code of the command within the class.
    const CMD: u8;

    /// Appends the data, in the specification's layout.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`.
    fn payload(&self, out: &mut Request) -> Result;
}

macro_rules! command {
    ($(#[$doc:meta])* $name:ident($t:ty), $class:ident, $cmd:ident, |$v:ident| $bytes:expr) => {
        $(#[$doc])*
        pub(crate) struct $name(pub(crate) $t);

        impl Command for $name {
            const CLASS: u8 = ctrl::class::$class;
            const CMD: u8 = ctrl::$cmd;

            fn payload(&self, out: &mut Request) -> Result {
                let $v = &self.0;
                out.push(&$bytes)
            }
        }
    };
}

command! {
    /// Number of queue pairs that the device may use (5.1.6.5.6).
    VqPairsSet(u16), MQ, MQ_VQ_PAIRS_SET, |n| n.to_le_bytes()
}
command! {
    /// Every packet is received (5.1.6.5.1).
    RxPromisc(bool), RX, RX_PROMISC, |on| [u8::from(*on)]
}
command! {
    /// Every multicast packet is received (5.1.6.5.1).
    RxAllmulti(bool), RX, RX_ALLMULTI, |on| [u8::from(*on)]
}
command! {
    /// The address of the interface (5.1.6.5.2).
    MacAddrSet([u8; 6]), MAC, MAC_ADDR_SET, |mac| *mac
}
command! {
    /// Packets of this VLAN are received (5.1.6.5.3).
    VlanAdd(u16), VLAN, VLAN_ADD, |vid| vid.to_le_bytes()
}
command! {
    /// Packets of this VLAN are not received any more (5.1.6.5.3).
    VlanDel(u16), VLAN, VLAN_DEL, |vid| vid.to_le_bytes()
}
command! {
    /// The neighbours have been told (5.1.6.5.4).
    AnnounceAck(()), ANNOUNCE, ANNOUNCE_ACK, |_none| []
}
command! {
    /// Receive offloads, by feature bit (5.1.6.5.8).
    GuestOffloadsSet(u64), GUEST_OFFLOADS, GUEST_OFFLOADS_SET, |bits| bits.to_le_bytes()
}
command! {
    /// Interrupt moderation of all transmit queues (5.1.6.5.9).
    NotfCoalTxSet(Moderation), NOTF_COAL, NOTF_COAL_TX_SET, |m| m.bytes()
}
command! {
    /// Interrupt moderation of all receive queues (5.1.6.5.9).
    NotfCoalRxSet(Moderation), NOTF_COAL, NOTF_COAL_RX_SET, |m| m.bytes()
}
command! {
    /// Interrupt moderation of the virtqueue of that number (5.1.6.5.9).
    NotfCoalVqSet((u16, Moderation)), NOTF_COAL, NOTF_COAL_VQ_SET, |q| q.1.bytes_for(q.0)
}
command! {
    /// Which statistics the device has (virtio 1.4, 5.1.6.5).
    StatsQuery(()), STATS, STATS_QUERY, |_none| []
}

/// The counters of these queues (virtio 1.4, 5.1.6.5).
pub(crate) struct StatsGet<'a>(pub(crate) &'a [QueueStats]);

impl Command for StatsGet<'_> {
    const CLASS: u8 = ctrl::class::STATS;
    const CMD: u8 = ctrl::STATS_GET;

    fn payload(&self, out: &mut Request) -> Result {
        for q in self.0 {
            out.push(&q.request())?;
        }
        Ok(())
    }
}

/// The addresses to receive: two encoded tables (5.1.6.5.2), unicast and multicast.
pub(crate) struct MacTableSet<'a>(pub(crate) &'a [u8], pub(crate) &'a [u8]);

impl Command for MacTableSet<'_> {
    const CLASS: u8 = ctrl::class::MAC;
    const CMD: u8 = ctrl::MAC_TABLE_SET;

    fn payload(&self, out: &mut Request) -> Result {
        out.push(self.0)?;
        out.cut();
        out.push(self.1)
    }
}

/// The control virtqueue of an interface.
///
/// Locking: the mutex is the innermost one that may be held while sleeping; callers may hold RTNL.
#[pin_data]
pub(crate) struct CtrlVq {
    #[pin]
    state: Mutex<State>,
}

/// The control virtqueue itself.
pub(crate) type CtrlRing = Virtqueue<KBox<ctrl_ring::Command>>;

struct State {
    vq: Option<CtrlRing>,
    /// Commands that missed the deadline and are still in the ring.
    late: u32,
    /// Whether a command missed the deadline since all settings were sent.
    was_late: bool,
    /// How often, one after the other, a command missed the deadline while all settings were sent.
    tries: u32,
    /// The buffer of the previous command, for the next one.
    spare: Option<KBox<ctrl_ring::Command>>,
}

/// What the device owes to the driver.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owed {
    Nothing,
    /// The device owes the answer to a command that missed the deadline.
    Answer,
    /// No answer can come, because there is no queue, or it is broken.
    NoQueue,
}

impl State {
    /// Takes back the buffers that the device has returned late.
    fn collect(&mut self) -> Owed {
        let Some(vq) = self.vq.as_mut() else {
            return Owed::NoQueue;
        };
        while self.late > 0 {
            let Some(used) = vq.get_buf() else {
                return if vq.is_broken() {
                    Owed::NoQueue
                } else {
                    Owed::Answer
                };
            };
            self.spare = Some(used.buf);
            self.late = self.late.saturating_sub(1);
        }
        Owed::Nothing
    }

    /// Adds a command to the ring, which the device may answer with `reply_len` bytes.
    ///
    /// # Errors
    ///
    /// Returns `EOPNOTSUPP` without a queue, `EIO` if the queue is broken or the device owes an
    /// answer, and `ENOMEM`.
    fn submit(&mut self, request: Request, reply_len: usize) -> Result {
        let owed = self.collect();
        let vq = self.vq.as_mut().ok_or_else(eopnotsupp)?;
        if owed != Owed::Nothing {
            return Err(EIO);
        }
        let cmd = match self.spare.take_if(|cmd| cmd.room() >= reply_len) {
            Some(cmd) => cmd,
            None => ctrl_ring::Command::replace(&mut self.spare, reply_len)?,
        };
        vq.submit(cmd, request, reply_len).map_err(|(e, cmd)| {
            self.spare = Some(cmd);
            e
        })
    }

    /// Waits until the device gives the command back, `ms` milliseconds at most.
    ///
    /// # Errors
    ///
    /// Returns `EIO` if the queue is broken, and `ETIMEDOUT` if the command stays with the ring.
    fn wait(&mut self, ms: u32) -> Result<Used<KBox<ctrl_ring::Command>>> {
        let vq = self.vq.as_mut().ok_or(EIO)?;
        let mut waits = Backoff::new(u64::from(ms).saturating_mul(1000));
        loop {
            if let Some(used) = vq.get_buf() {
                return Ok(used);
            }
            if vq.is_broken() {
                return Err(EIO);
            }
            let Some(us) = waits.next() else {
                self.late = 1;
                self.was_late = true;
                return Err(ETIMEDOUT);
            };
            waits.took(us, sleep(us));
        }
    }
}

impl CtrlVq {
    /// Makes one without a queue, of which each command fails with `EOPNOTSUPP`.
    ///
    /// Context: any.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state <- kernel::new_mutex!(
                State {
                    vq: None,
                    late: 0,
                    was_late: false,
                    tries: 0,
                    spare: None,
                },
                "virtio_net_mq::ctrl",
            ),
        })
    }

    /// Starts to use `vq`.
    pub(crate) fn attach(&self, vq: CtrlRing) {
        let mut state = self.state.lock();
        state.vq = Some(vq);
        state.late = 0;
        state.was_late = false;
        state.tries = 0;
    }

    /// Gives the queue up, and with it late commands.
    pub(crate) fn detach(&self) -> Option<CtrlRing> {
        let mut state = self.state.lock();
        state.late = 0;
        state.was_late = false;
        state.vq.take()
    }

    /// Returns what the device owes, after taking back what it has answered late.
    pub(crate) fn collect(&self) -> Owed {
        self.state.lock().collect()
    }

    /// Returns in how many milliseconds to look for a late answer, if a command has missed the
    /// deadline since the device was reset or all settings were sent anew.
    pub(crate) fn look_after_ms(&self) -> Option<u32> {
        let state = self.state.lock();
        (state.was_late).then(|| LOOK_MS.wrapping_shl(state.tries.min(DOUBLINGS)))
    }

    /// Begins to send all settings again, or returns false if there is no need.
    pub(crate) fn begin_resend(&self) -> bool {
        core::mem::take(&mut self.state.lock().was_late)
    }

    /// Ends that, with or without answers.
    pub(crate) fn end_resend(&self) {
        let mut state = self.state.lock();
        state.tries = if state.was_late {
            state.tries.saturating_add(1)
        } else {
            0
        };
    }

    /// Sends a command and waits for the device's answer.
    ///
    /// # Errors
    ///
    /// Returns `EOPNOTSUPP` without a control queue; `EINVAL` if the device refuses; `EIO` if it
    /// gives the command back without an answer, if the queue is broken, or if the device owes an
    /// answer; `ETIMEDOUT`; and `ENOMEM`.
    pub(crate) fn exec<C: Command>(&self, dev: &Device<Bound>, cmd: &C) -> Result {
        self.query(dev, cmd, 0).map(drop)
    }

    /// Sends a command that has a result, and returns a copy of what the device wrote behind its
    /// answer, `room` bytes at most.
    ///
    /// The result is checked for nothing but its length.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Self::exec`].
    pub(crate) fn query<C: Command>(
        &self,
        dev: &Device<Bound>,
        cmd: &C,
        room: usize,
    ) -> Result<KVec<u8>> {
        fail::point()?;
        let reply_len = room.checked_add(1).ok_or(EINVAL)?;
        let mut request = Request::new(C::CLASS, C::CMD)?;
        cmd.payload(&mut request)?;

        let ms = params::ctrl_timeout_ms();
        let mut state = self.state.lock();
        state.submit(request, reply_len)?;
        let used = state.wait(ms).inspect_err(|e| {
            if *e == ETIMEDOUT {
                dev_err!(
                    dev.dev(),
                    "control command {}/{} not answered within {} ms; \
                     no more commands until it is, or the device is reset\n",
                    C::CLASS,
                    C::CMD,
                    ms
                );
            }
        })?;
        let cmd = state.spare.insert(used.buf);
        match ctrl::ack(cmd.ack().unwrap_or(ctrl::NO_ANSWER)) {
            // Its own memory: the device could go on writing into the other.
            Ack::Ok => cmd.result(ctrl::result_len(used.len, room)),
            Ack::Refused => Err(EINVAL),
            Ack::Missing => {
                if ratelimit() {
                    dev_warn!(
                        dev.dev(),
                        "control command {}/{}: malformed answer, none was written\n",
                        C::CLASS,
                        C::CMD
                    );
                }
                Err(EIO)
            }
        }
    }
}

/// Sleeps for `us` µs at least, and returns how many it was.
///
/// All commands share it, since the kernel's difference of times has a check that can't fail.
#[inline(never)]
fn sleep(us: u32) -> u64 {
    let start = Instant::<Monotonic>::now();
    fsleep(Delta::from_micros(i64::from(us)));
    u64::try_from(start.elapsed().as_micros_ceil()).unwrap_or(0)
}
