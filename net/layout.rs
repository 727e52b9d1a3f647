// SPDX-License-Identifier: GPL-2.0

//! Compares C's structures with what Rust takes them for.
//!
//! bindgen works them out with clang; the kernel was built by another compiler perhaps. Writing a
//! field in the wrong place is memory corruption, so sizes, and the offsets that are used, are
//! compared when the module is loaded. `helpers/layout.c` has the other half, by the same names.
//!
//! C counterpart: `helpers/layout.c`

use super::page_pool::SHINFO;
use crate::{
    bindings,
    pure::eth, //
};
use core::mem::{
    offset_of,
    size_of, //
};
use kernel::{
    c_str,
    prelude::*, //
};

macro_rules! layout {
    ($($t:ident { $($field:ident $(as $name:literal)?),* })* $(; $what:literal = $is:expr)*) => {
        &[
            $(
                (c_str!(concat!("sizeof(struct ", stringify!($t), ")")), size_of::<bindings::$t>()),
                $((
                    layout!(@name $t $field $($name)?),
                    offset_of!(bindings::$t, $field),
                ),)*
            )*
            $((c_str!($what), $is),)*
        ]
    };
    (@name $t:ident $field:ident) => {
        c_str!(concat!("offsetof(struct ", stringify!($t), ", ", stringify!($field), ")"))
    };
    // Rust calls the field otherwise.
    (@name $t:ident $field:ident $name:literal) => {
        c_str!(concat!("offsetof(struct ", stringify!($t), ", ", $name, ")"))
    };
}

// The lengths that `pure/` has.
// CAST: Widening; `From` is not usable in constants.
const _: () = assert!(
    bindings::ETH_HLEN == eth::ETH_HLEN as u32 && bindings::ETH_DATA_LEN == eth::ETH_DATA_LEN
);

const LAYOUT: &[(&CStr, usize)] = layout! {
    net_device {
        netdev_ops, mtu, needed_headroom, flags, features, real_num_rx_queues, real_num_tx_queues, xdp_features,
        xdp_zc_max_segs, dev_addr,
        stat_ops, ethtool_ops, hw_features, vlan_features, min_mtu, max_mtu,
        sysfs_rx_queue_group, priv_ as "priv"
    }
    attribute { mode }
    attribute_group { bin_attrs }
    rx_queue_attribute { show }
    netdev_rx_queue { dev }
    dim { work, profile_ix, tune_state, tired }
    net_device_ops {
        ndo_start_xmit, ndo_set_rx_mode_async, ndo_get_stats64, ndo_fix_features, ndo_set_features, ndo_bpf, ndo_xdp_xmit,
        ndo_xsk_wakeup
    }
    netdev_stat_ops { get_base_stats }
    xdp_buff { data, data_end, data_meta, data_hard_start, rxq }
    xdp_frame { data, len, headroom, metasize, dev_rx, frame_sz, flags }
    xdp_rxq_info {}
    netdev_bpf { command }
    netdev_queue_stats_rx {}
    netdev_queue_stats_tx {}
    rtnl_link_stats64 {}
    ethtool_ops {
        supported_coalesce_params, get_drvinfo, get_rx_ring_count, set_rxfh_fields, get_coalesce,
        get_channels, get_per_queue_coalesce, get_link_ksettings
    }
    ethtool_rxfh_param { hfunc, indir, key }
    ethtool_rxfh_fields { data, flow_type }
    ethtool_link_ksettings {}
    ethtool_coalesce {}
    napi_struct { state, gro_flush_timeout, gro, dev }
    sk_buff { cb, len, data_len, queue_mapping, data, truesize }
    skb_shared_info {}
    scatterlist {}
    delayed_work { work }
    page_pool_params {}
    virtio_device { config_core_enabled, dev, priv_ as "priv" }
    virtio_driver { driver, id_table, probe, reset_done }
    virtqueue { vdev, index, num_free, num_max }
    virtqueue_info {}
    // CAST: A few hundred bytes.
    ; "SKB_DATA_ALIGN(sizeof(struct skb_shared_info))" = SHINFO as usize
};

/// Compares the structures.
///
/// Context: process.
///
/// # Errors
///
/// Returns `ENOEXEC`, after a message for each difference.
pub(crate) fn check() -> Result {
    let mut same = true;
    for (what, rust) in LAYOUT {
        // SAFETY: Looks a constant up by a string.
        let c = unsafe { bindings::layout(what.as_char_ptr()) };
        if c != *rust {
            let what = what.to_str().unwrap_or("?");
            pr_err!("{what} is {c} in C but {rust} in Rust: module and kernel don't match\n");
            same = false;
        }
    }
    if same {
        Ok(())
    } else {
        Err(ENOEXEC)
    }
}
