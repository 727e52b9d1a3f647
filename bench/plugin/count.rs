// SPDX-License-Identifier: GPL-2.0

//! A QEMU TCG plugin (API 7) that counts the guest's instructions by where they are.
//!
//! Each translation block has a slot with two counters: instructions executed and entries. Two
//! instructions that no program uses by accident mark the part that is measured: at `BEGIN` the
//! counters are remembered, at `END` what has been added since is written to the file named by the
//! argument `out=FILE`. All of user space shares one slot.
//!
//! A record in the file, all little-endian 64-bit words: number of entries, then for each entry
//! its address, instructions, entries into the block.
//!
//! Instructions are counted when a block is entered. One that leaves early (a page fault, a device
//! access that has to be the last of its block) counts whole; that is the only inexactness.

mod qemu;

use qemu::*;
use std::{
    collections::HashMap,
    ffi::{c_char, c_int, c_uint, c_void},
    fs::File,
    io::Write,
    sync::{Mutex, OnceLock},
};

/// `nopl MAGIC(%rax,%rax,1)`; the last byte tells begin from end.
const NOP: [u8; 7] = [0x0f, 0x1f, 0x84, 0x00, 0x6d, 0x71, 0x76];
const BEGIN: u8 = 0x01;
const END: u8 = 0x02;

/// Blocks that can be told apart. A guest's whole life takes some 200,000.
const SLOTS: usize = 1 << 20;
/// What has no slot of its own any more.
const OTHER: usize = 0;
const USER: usize = 1;
/// Kernel addresses are above this one.
const KERNEL: u64 = 1 << 63;

/// What QEMU asks for first.
#[no_mangle]
pub static qemu_plugin_version: c_int = 7;

/// Counters of one block on one CPU, as they lie in the scoreboard.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Count {
    insns: u64,
    entries: u64,
}

struct State {
    score: usize,
    slots: HashMap<u64, usize>,
    addrs: Vec<u64>,
    base: Vec<Count>,
    out: File,
}

static STATE: OnceLock<Mutex<State>> = OnceLock::new();

fn with<R>(f: impl FnOnce(&mut State) -> R) -> Option<R> {
    // A panic in a callback would end the guest; a poisoned lock still holds good counters.
    let state = STATE.get()?;
    let mut guard = state.lock().unwrap_or_else(|e| e.into_inner());
    Some(f(&mut guard))
}

impl State {
    fn slot(&mut self, addr: u64) -> usize {
        if addr < KERNEL {
            return USER;
        }
        if let Some(&slot) = self.slots.get(&addr) {
            return slot;
        }
        if self.addrs.len() >= SLOTS {
            return OTHER;
        }
        self.addrs.push(addr);
        let slot = self.addrs.len() - 1;
        self.slots.insert(addr, slot);
        slot
    }

    fn sum(&self) -> Vec<Count> {
        let mut sum = vec![Count::default(); self.addrs.len()];
        // SAFETY: The number of CPUs that have been started.
        let cpus = unsafe { qemu_plugin_num_vcpus() };
        for cpu in 0..cpus.max(0) as c_uint {
            // SAFETY: The scoreboard has an element of SLOTS counts for each CPU; other CPUs'
            // additions may be missed, which the single-threaded use here excludes.
            let counts = unsafe {
                let p = qemu_plugin_scoreboard_find(self.score as *mut c_void, cpu).cast::<Count>();
                std::slice::from_raw_parts(p, self.addrs.len())
            };
            for (s, c) in sum.iter_mut().zip(counts) {
                s.insns = s.insns.wrapping_add(c.insns);
                s.entries = s.entries.wrapping_add(c.entries);
            }
        }
        sum
    }

    fn write(&mut self) -> std::io::Result<()> {
        let now = self.sum();
        self.base.resize(now.len(), Count::default());
        let mut bytes = vec![0u8; 8];
        let mut n = 0u64;
        for ((addr, now), base) in self.addrs.iter().zip(&now).zip(&self.base) {
            let insns = now.insns.wrapping_sub(base.insns);
            if insns != 0 {
                let entries = now.entries.wrapping_sub(base.entries);
                for word in [*addr, insns, entries] {
                    bytes.extend_from_slice(&word.to_le_bytes());
                }
                n += 1;
            }
        }
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        self.out.write_all(&bytes)
    }
}

extern "C" fn begin(_: c_uint, _: *mut c_void) {
    with(|s| s.base = s.sum());
}

extern "C" fn end(_: c_uint, _: *mut c_void) {
    if let Some(Err(e)) = with(State::write) {
        eprintln!("count: {e}");
    }
}

extern "C" fn translate(tb: *mut c_void, _: *mut c_void) {
    // SAFETY: `tb` is valid for this call.
    let (addr, n) = unsafe { (qemu_plugin_tb_vaddr(tb), qemu_plugin_tb_n_insns(tb)) };
    let Some((slot, score)) = with(|s| (s.slot(addr), s.score)) else {
        return;
    };
    let at = |field: usize| U64 {
        score: score as *mut c_void,
        offset: slot * std::mem::size_of::<Count>() + field,
    };
    // SAFETY: The entries are inside of the scoreboard's element.
    unsafe {
        qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, ADD_U64, at(0), n as u64);
        qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, ADD_U64, at(8), 1);
    }
    if slot != USER {
        return;
    }
    for i in 0..n {
        let mut data = [0u8; 8];
        // SAFETY: There are `n` instructions; at most 8 bytes are copied.
        unsafe {
            let insn = qemu_plugin_tb_get_insn(tb, i);
            if qemu_plugin_insn_size(insn) != 8
                || qemu_plugin_insn_data(insn, data.as_mut_ptr().cast(), 8) != 8
                || data[..7] != NOP
            {
                continue;
            }
            let cb: VcpuUdataCb = match data[7] {
                BEGIN => begin,
                END => end,
                _ => continue,
            };
            qemu_plugin_register_vcpu_insn_exec_cb(insn, cb, NO_REGS, std::ptr::null_mut());
        }
    }
}

/// Called by QEMU when the plugin is loaded.
///
/// # Safety
///
/// `argv` has `argc` strings.
#[no_mangle]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _info: *const c_void,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: By this function's contract.
    let Some(file) = (unsafe { out_file("count", argc, argv, "") }) else {
        return 1;
    };
    // SAFETY: Called while the plugin is being loaded.
    let score = unsafe { qemu_plugin_scoreboard_new(SLOTS * std::mem::size_of::<Count>()) };
    let state = State {
        score: score as usize,
        slots: HashMap::new(),
        // Slots 0 and 1 exist from the start.
        addrs: vec![0, 1],
        base: Vec::new(),
        out: file,
    };
    if STATE.set(Mutex::new(state)).is_err() {
        return 1;
    }
    // SAFETY: The callback lives as long as the plugin.
    unsafe {
        qemu_plugin_register_vcpu_tb_trans_cb(id, translate, std::ptr::null_mut());
    }
    0
}
