// SPDX-License-Identifier: GPL-2.0

//! What a driver of network devices as a rule has to name; compare `kernel::prelude`.

pub(crate) use super::{
    device::{
        Features,
        NetDevice,
        Registration,
        Setup,
        UnregisteredNetDevice, //
    },
    driver::Driver,
    queue::{
        ByCore,
        PairInit,
        PairIrqs,
        PollResult,
        RxPoll,
        TxGuard,
        TxPoll, //
    },
    rtnl::Rtnl,
    skb::{
        DropReason,
        TxSkb,
        Xmit, //
    },
    stats::LinkStats, //
};
