// SPDX-License-Identifier: GPL-2.0

//! Lengths of Ethernet frames.

#![forbid(unsafe_code)]

/// Length of an Ethernet header, in bytes.
pub(crate) const ETH_HLEN: u16 = 14;

/// Length of a VLAN tag, in bytes.
pub(crate) const VLAN_HLEN: u16 = 4;

/// What a frame carries at most unless both sides agree on more, in bytes.
pub(crate) const ETH_DATA_LEN: u32 = 1500;

/// Returns the length of a frame with a VLAN tag that carries `mtu` bytes, without its checksum.
pub(crate) const fn frame_len(mtu: u32) -> u32 {
    // CAST: Widening; `From` is not usable in a constant function.
    mtu.saturating_add(ETH_HLEN as u32)
        .saturating_add(VLAN_HLEN as u32)
}
