// SPDX-License-Identifier: GPL-2.0

//! A QEMU TCG plugin that records which code of modules a guest has executed.
//!
//! For each translation block where modules are loaded there is a record in the file `out=FILE`, followed by a dot and the
//! number of the process, once the block has been entered: nothing is lost if QEMU is killed. Code outside of that range costs
//! nothing, and a block that is known only a comparison.
//!
//! A record is: address (64 bits), bytes of code (16), how many of them follow (16), those bytes; all little-endian. They tell
//! which module it was, for several may have been at an address, one after the other.

mod qemu;

use qemu::*;
use std::{
    collections::HashMap,
    ffi::{c_char, c_int, c_uint, c_void},
    fs::File,
    io::Write,
    sync::{Mutex, OnceLock},
};

/// Where x86-64 loads modules.
const MODULES: std::ops::Range<u64> = 0xffff_ffff_c000_0000..0xffff_ffff_ff00_0000;
/// Blocks that can be told apart, on each CPU.
const SLOTS: usize = 1 << 16;
/// Bytes of code that are kept of a block.
const KEPT: usize = 64;

/// What QEMU asks for first.
#[no_mangle]
pub static qemu_plugin_version: c_int = 7;

struct State {
    score: usize,
    slots: HashMap<Vec<u8>, usize>,
    records: Vec<Option<Vec<u8>>>,
    out: File,
}

static STATE: OnceLock<Mutex<State>> = OnceLock::new();

fn with<R>(f: impl FnOnce(&mut State) -> R) -> Option<R> {
    // A panic in a callback would end the guest; what has been recorded is still good.
    let mut guard = STATE.get()?.lock().unwrap_or_else(|e| e.into_inner());
    Some(f(&mut guard))
}

/// A block is entered that no CPU has entered yet, or none that was there then.
///
/// Which one it is isn't looked at: QEMU 11.1 says something else to a conditional callback.
extern "C" fn entered(_: c_uint, slot: *mut c_void) {
    let slot = slot.addr();
    with(|s| {
        // SAFETY: The number of CPUs that have been started.
        let cpus = unsafe { qemu_plugin_num_vcpus() };
        for cpu in 0..cpus.max(0) as c_uint {
            // SAFETY: The element of that CPU, which has SLOTS counters.
            unsafe {
                qemu_plugin_scoreboard_find(s.score as *mut c_void, cpu)
                    .cast::<u64>()
                    .add(slot)
                    .write(1);
            }
        }
        if let Some(record) = s.records.get_mut(slot).and_then(Option::take) {
            if let Err(e) = s.out.write_all(&record) {
                eprintln!("cover: {e}");
            }
        }
    });
}

extern "C" fn translate(tb: *mut c_void, _: *mut c_void) {
    // SAFETY: `tb` is valid for this call.
    let (addr, n) = unsafe { (qemu_plugin_tb_vaddr(tb), qemu_plugin_tb_n_insns(tb)) };
    if !MODULES.contains(&addr) {
        return;
    }
    let (mut size, mut kept) = (0usize, Vec::with_capacity(KEPT));
    for i in 0..n {
        let mut data = [0u8; 16];
        // SAFETY: There are `n` instructions; at most 16 bytes are copied.
        let len = unsafe {
            let insn = qemu_plugin_tb_get_insn(tb, i);
            qemu_plugin_insn_data(insn, data.as_mut_ptr().cast(), data.len());
            qemu_plugin_insn_size(insn)
        };
        // What is kept is the code's beginning, without a gap.
        if kept.len() == size && size + len <= KEPT {
            kept.extend_from_slice(&data[..len.min(data.len())]);
        }
        size += len;
    }
    let mut record = addr.to_le_bytes().to_vec();
    record.extend_from_slice(&(size.min(0xffff) as u16).to_le_bytes());
    record.extend_from_slice(&(kept.len() as u16).to_le_bytes());
    record.extend_from_slice(&kept);
    let found = with(|s| {
        if let Some(&slot) = s.slots.get(&record) {
            return Some((slot, s.score));
        }
        let slot = s.records.len();
        if slot >= SLOTS {
            eprintln!("cover: too many blocks");
            return None;
        }
        s.records.push(Some(record.clone()));
        s.slots.insert(record, slot);
        Some((slot, s.score))
    });
    let Some(Some((slot, score))) = found else {
        return;
    };
    let entry = U64 {
        score: score as *mut c_void,
        offset: slot * size_of::<u64>(),
    };
    // SAFETY: The entry is inside of the scoreboard's element.
    unsafe {
        qemu_plugin_register_vcpu_tb_exec_cond_cb(
            tb,
            entered,
            NO_REGS,
            COND_EQ,
            entry,
            0,
            std::ptr::without_provenance_mut(slot),
        );
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
    let process = format!(".{}", std::process::id());
    // SAFETY: By this function's contract.
    let Some(file) = (unsafe { out_file("cover", argc, argv, &process) }) else {
        return 1;
    };
    // SAFETY: Called while the plugin is being loaded.
    let score = unsafe { qemu_plugin_scoreboard_new(SLOTS * size_of::<u64>()) };
    let state = State {
        score: score as usize,
        slots: HashMap::new(),
        records: Vec::new(),
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
