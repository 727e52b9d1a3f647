// SPDX-License-Identifier: GPL-2.0

//! Raw C types and functions: the kernel crate's bindings, and what they lack.
//!
//! One module holds both, so that a type which the kernel crate knows (`sk_buff`, `device`,
//! `work_struct`, …) has one identity everywhere. A type that is opaque there (`net_device`,
//! `napi_struct`) or absent (`virtio_device`) is generated here and shadows the other.
//! Nothing but the safe layer (`virtio/`, `net/`, `sync/`) uses this module.

#![allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unnecessary_transmutes,
    unused_imports
)]

use kernel::ffi;
use pin_init::{MaybeZeroable, Zeroable};

pub(crate) use kernel::bindings::*;

type __kernel_size_t = usize;
type __kernel_ssize_t = isize;
type __kernel_ptrdiff_t = isize;

// SAFETY: `__BindgenBitfieldUnit` is an array of integers, whose integers may be zero.
unsafe impl<Storage> Zeroable for __BindgenBitfieldUnit<Storage> where Storage: Zeroable {}

include!(concat!(env!("VNM_OUT"), "/bindings_generated.rs"));

mod helpers {
    use super::*;
    include!(concat!(env!("VNM_OUT"), "/bindings_helpers_generated.rs"));
}
pub(crate) use helpers::*;
