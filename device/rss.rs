// SPDX-License-Identifier: GPL-2.0

//! Steering by hash and reported hashes: what is in force, and the commands for it (specification
//! 5.1.6.5.7, 5.1.6.5.6.4).
//!
//! Context: process.

#![forbid(unsafe_code)]

use super::control::Control;
use crate::{
    ctrl_vq::{
        Command,
        Request, //
    },
    net::rxfh,
    pure::{
        ctrl,
        rss::{
            self,
            Caps,
            RxHash,
            KEY_LEN, //
        }, //
    },
    sync::fail, //
};
use core::sync::atomic::{
    AtomicBool,
    Ordering, //
};
use kernel::{
    prelude::*,
    sync::Mutex, //
};

/// What was sent to the device, or is sent next.
pub(crate) struct State {
    /// Hash types in use.
    pub(crate) types: u32,
    /// Key of the hash.
    pub(crate) key: [u8; KEY_LEN],
    /// Queues by hash, as many as [`Caps::table`] says.
    pub(crate) table: KVec<u16>,
    /// Whether the device accepted it.
    pub(crate) accepted: bool,
    /// Whether the device refused the first one, after which none is sent.
    pub(crate) refused: bool,
}

impl State {
    /// Makes a copy, to be changed and sent.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`.
    pub(crate) fn copy(&self) -> Result<Self> {
        let mut table = KVec::with_capacity(self.table.len(), GFP_KERNEL)?;
        table.extend_from_slice(&self.table, GFP_KERNEL)?;
        Ok(Self { table, ..*self })
    }

    /// Spreads hashes evenly over `pairs` queues.
    pub(crate) fn set_default_table(&mut self, pairs: u16) {
        for (i, entry) in (0..=u16::MAX).zip(self.table.iter_mut()) {
            *entry = rss::indir_default(i, pairs);
        }
    }

    /// Returns whether the table names only the first `pairs` queues.
    pub(crate) fn fits(&self, pairs: u16) -> bool {
        self.table.iter().all(|queue| *queue < pairs)
    }
}

/// Hashing of an interface.
///
/// Locking: `state` is written under RTNL and not held while a command is sent.
#[pin_data]
pub(crate) struct Rss {
    caps: Option<Caps>,
    #[pin]
    /// What is in force.
    pub(crate) state: Mutex<State>,
    /// Whether reported hashes go to the stack (`rxhash`).
    pub(crate) rxhash: AtomicBool,
}

impl Rss {
    /// Makes the state of every hash that the device knows, spread over `pairs` queues.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`.
    pub(crate) fn new(caps: Option<Caps>, pairs: u16) -> Result<impl PinInit<Self>> {
        fail::point()?;
        let mut key = [0; KEY_LEN];
        rxfh::fill_key(&mut key);
        let mut state = State {
            types: caps.map_or(0, |c| c.types),
            key,
            table: KVec::from_elem(0, caps.map_or(0, |c| usize::from(c.table)), GFP_KERNEL)?,
            accepted: false,
            refused: false,
        };
        state.set_default_table(pairs);
        let rxhash = AtomicBool::new(caps.is_some_and(|c| c.report));
        Ok(pin_init!(Self {
            caps,
            state <- kernel::new_mutex!(state, "virtio_net_mq::rss"),
            rxhash,
        }))
    }

    /// Returns what can be set, which is nothing after the device has refused.
    pub(crate) fn caps(&self) -> Option<Caps> {
        self.caps.filter(|_| !self.state.lock().refused)
    }

    /// Returns the hash in a header, if the stack is to have it.
    ///
    /// Context: softirq.
    #[inline]
    pub(crate) fn report(&self, bytes: [u8; 8]) -> Option<RxHash> {
        if !self.rxhash.load(Ordering::Relaxed) {
            return None;
        }
        rss::report(bytes)
    }
}

/// The command that sets steering by hash, with the number of queue pairs (5.1.6.5.7.1).
struct RssConfig<'a>(&'a State, u16);

impl Command for RssConfig<'_> {
    const CLASS: u8 = ctrl::class::MQ;
    const CMD: u8 = ctrl::MQ_RSS_CONFIG;

    fn payload(&self, out: &mut Request) -> Result {
        let Self(state, pairs) = self;
        // Once, and not bit by bit: the table may have thousands of entries.
        out.reserve(state.table.len().saturating_mul(2))?;
        rss::rss_config(state.types, &state.table, *pairs, &state.key, |bytes| {
            out.push(bytes)
        })
    }
}

/// The command that sets which hashes are reported where the device steers by itself (5.1.6.5.6.4).
struct HashConfig<'a>(u32, &'a [u8; KEY_LEN]);

impl Command for HashConfig<'_> {
    const CLASS: u8 = ctrl::class::MQ;
    const CMD: u8 = ctrl::MQ_HASH_CONFIG;

    fn payload(&self, out: &mut Request) -> Result {
        out.push(&rss::hash_config(self.0))?;
        out.push(self.1)
    }
}

/// Sends `state` by the command that the device has for it.
///
/// # Errors
///
/// Returns the errors of the control queue.
pub(crate) fn send(
    control: Control<'_>,
    caps: Caps,
    state: &State,
    pairs: u16,
    rxhash: bool,
) -> Result {
    if caps.table != 0 {
        // The same types steer: without them all packets would go to one queue.
        return control.exec(&RssConfig(state, pairs));
    }
    let types = if rxhash { state.types } else { 0 };
    control.exec(&HashConfig(types, &state.key))
}
