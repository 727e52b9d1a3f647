// SPDX-License-Identifier: GPL-2.0

//! Interrupt moderation (virtio 1.3, 5.1.6.5.9 "Notifications Coalescing"): values, and which of
//! them can be set.

#![forbid(unsafe_code)]

/// The longest delay that can be set, in µs.
///
/// The specification has no limit. Past this one the transmit watchdog would take the device for
/// stuck.
pub(crate) const MAX_USECS: u32 = 1_000_000;

/// The most packets that can be set, which is the size of the largest ring (2.7, 2.8).
///
/// A device would never count more.
pub(crate) const MAX_FRAMES: u32 = 32768;

/// How a device holds interrupts of a queue back: until so many µs after the first packet, or until
/// so many packets, whichever comes first.
///
/// If one of the two is 0 the device interrupts for each packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Moderation {
    /// Delay of an interrupt in µs.
    pub(crate) usecs: u32,
    /// Number of packets that one interrupt is for.
    pub(crate) frames: u32,
}

impl Moderation {
    /// What a device does after its reset: it interrupts for each packet.
    pub(crate) const NONE: Self = Self {
        usecs: 0,
        frames: 0,
    };

    /// An interrupt for each packet, as ethtool writes it.
    pub(crate) const EACH: Self = Self {
        usecs: 0,
        frames: 1,
    };

    /// Returns whether a driver may ask for these values.
    pub(crate) const fn is_valid(self) -> bool {
        self.usecs <= MAX_USECS && self.frames <= MAX_FRAMES
    }

    /// Returns the values as commands have them: le32 max_packets, le32 max_usecs.
    pub(crate) const fn bytes(self) -> [u8; 8] {
        let [a, b, c, d] = self.frames.to_le_bytes();
        let [e, f, g, h] = self.usecs.to_le_bytes();
        [a, b, c, d, e, f, g, h]
    }

    /// Returns the values behind the number of a virtqueue: le16 vq_index, le16 reserved, then
    /// those of [`Self::bytes`].
    pub(crate) const fn bytes_for(self, vq: u16) -> [u8; 12] {
        let [i, j] = vq.to_le_bytes();
        let [a, b, c, d, e, f, g, h] = self.bytes();
        [i, j, 0, 0, a, b, c, d, e, f, g, h]
    }
}

/// What `ethtool -c` shows and `-C` sets, for the interface or for one queue pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Params {
    /// Moderation of receive interrupts.
    pub(crate) rx: Moderation,
    /// Moderation of transmit interrupts.
    pub(crate) tx: Moderation,
    /// Whether the driver chooses the receive values by the traffic.
    pub(crate) adaptive_rx: bool,
}

impl Params {
    /// What a new interface has: nothing is held back.
    ///
    /// For sending that is shown as 1 packet and not as 0, which for the in-tree driver means "not
    /// by NAPI".
    pub(crate) const INITIAL: Self = Self {
        rx: Moderation::NONE,
        tx: Moderation::EACH,
        adaptive_rx: false,
    };

    /// What is shown for a device that can't hold interrupts back.
    pub(crate) const FIXED: Self = Self {
        rx: Moderation::EACH,
        tx: Moderation::EACH,
        adaptive_rx: false,
    };
}

/// Why values can't be set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// The device can't do that.
    Unsupported,
    /// No device can, because a value is out of range or contradicts another one.
    Invalid,
}

/// Checks whether a device that can't hold interrupts back can do as wanted, which it can only as
/// it is.
pub(crate) fn check_fixed(want: &Params) -> Result<(), Refused> {
    if want.adaptive_rx || want.rx.usecs != 0 || want.tx.usecs != 0 || want.tx.frames == 0 {
        return Err(Refused::Unsupported);
    }
    if *want == Params::FIXED {
        Ok(())
    } else {
        Err(Refused::Invalid)
    }
}

/// Checks whether a device that can hold interrupts back can do as wanted.
///
/// `now` is what was shown, `per_queue` is whether the device takes values for single queues, and
/// `chosen` is whether the driver itself may have chosen a value.
///
/// With adaptive moderation receive values can't be set: they have to be the ones shown, or, as
/// those change behind the user's back, others that the driver chooses.
pub(crate) fn check(
    now: &Params,
    want: &Params,
    per_queue: bool,
    chosen: impl Fn(Moderation) -> bool,
) -> Result<(), Refused> {
    if !want.tx.is_valid() {
        return Err(Refused::Invalid);
    }
    if !want.adaptive_rx {
        return if want.rx.is_valid() {
            Ok(())
        } else {
            Err(Refused::Invalid)
        };
    }
    if !per_queue {
        return Err(Refused::Unsupported);
    }
    if want.rx == now.rx || (now.adaptive_rx && chosen(want.rx)) {
        Ok(())
    } else {
        Err(Refused::Invalid)
    }
}
