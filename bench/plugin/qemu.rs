// SPDX-License-Identifier: GPL-2.0

//! What the plugins call of QEMU (API 7), as QEMU 11 exports it. No crate: these few functions are all.

#![allow(dead_code, reason = "each plugin needs a part of it")]

use std::{
    ffi::{c_char, c_int, c_uint, c_void, CStr},
    fs::File,
};

/// A counter in a scoreboard.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct U64 {
    /// What `qemu_plugin_scoreboard_new` returned.
    pub score: *mut c_void,
    /// Where in each CPU's element it is, in bytes.
    pub offset: usize,
}

/// `QEMU_PLUGIN_INLINE_ADD_U64`.
pub const ADD_U64: c_int = 0;
/// `QEMU_PLUGIN_CB_NO_REGS`.
pub const NO_REGS: c_int = 0;
/// `QEMU_PLUGIN_COND_EQ`.
pub const COND_EQ: c_int = 2;

pub type VcpuUdataCb = extern "C" fn(c_uint, *mut c_void);
pub type TransCb = extern "C" fn(*mut c_void, *mut c_void);

extern "C" {
    pub fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, cb: TransCb, data: *mut c_void);
    pub fn qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
        tb: *mut c_void,
        op: c_int,
        entry: U64,
        imm: u64,
    );
    pub fn qemu_plugin_register_vcpu_tb_exec_cond_cb(
        tb: *mut c_void,
        cb: VcpuUdataCb,
        flags: c_int,
        cond: c_int,
        entry: U64,
        imm: u64,
        data: *mut c_void,
    );
    pub fn qemu_plugin_register_vcpu_insn_exec_cb(
        insn: *mut c_void,
        cb: VcpuUdataCb,
        flags: c_int,
        data: *mut c_void,
    );
    pub fn qemu_plugin_tb_n_insns(tb: *const c_void) -> usize;
    pub fn qemu_plugin_tb_vaddr(tb: *const c_void) -> u64;
    pub fn qemu_plugin_tb_get_insn(tb: *const c_void, index: usize) -> *mut c_void;
    pub fn qemu_plugin_insn_data(insn: *const c_void, dest: *mut c_void, len: usize) -> usize;
    pub fn qemu_plugin_insn_size(insn: *const c_void) -> usize;
    pub fn qemu_plugin_scoreboard_new(element_size: usize) -> *mut c_void;
    pub fn qemu_plugin_scoreboard_find(score: *mut c_void, vcpu: c_uint) -> *mut c_void;
    pub fn qemu_plugin_num_vcpus() -> c_int;
}

/// The file that the one argument of a plugin names, `out=`, made anew, with `behind` behind its name. Without one, or with another
/// argument, `plugin` says so.
///
/// # Safety
///
/// `argv` has `argc` strings.
pub unsafe fn out_file(
    plugin: &str,
    argc: c_int,
    argv: *const *const c_char,
    behind: &str,
) -> Option<File> {
    let mut out = None;
    for i in 0..argc.max(0) as usize {
        // SAFETY: By this function's contract.
        let arg = unsafe { CStr::from_ptr(*argv.add(i)) }.to_string_lossy();
        match arg.split_once('=') {
            Some(("out", path)) => out = Some(format!("{path}{behind}")),
            _ => {
                eprintln!("{plugin}: unknown argument {arg}; known is out=FILE");
                return None;
            }
        }
    }
    let Some(path) = out else {
        eprintln!("{plugin}: out=FILE is missing");
        return None;
    };
    File::create(&path)
        .inspect_err(|e| eprintln!("{plugin}: {path}: {e}"))
        .ok()
}
