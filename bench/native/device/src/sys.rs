// SPDX-License-Identifier: GPL-2.0

//! Calls to the host's kernel that no crate at hand wraps.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

/// Which of these can be read from (or are at their end), now.
pub fn readable(fds: &[RawFd]) -> Vec<bool> {
    let mut polls: Vec<libc::pollfd> = fds
        .iter()
        .map(|fd| libc::pollfd {
            fd: *fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    // SAFETY: as many elements as there are; the call returns at once.
    unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, 0) };
    polls.iter().map(|p| p.revents != 0).collect()
}

/// Has writing fail rather than wait.
pub fn never_wait(fd: &impl AsRawFd) {
    // SAFETY: these change nothing but flags of an open file; it is open as long as it is borrowed.
    unsafe {
        let flags = libc::fcntl(fd.as_raw_fd(), libc::F_GETFL);
        libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK);
    }
}

/// Keeps the calling thread on a CPU.
pub fn pin(cpu: usize) -> io::Result<()> {
    let mut set = [0u64; 16];
    let Some(word) = set.get_mut(cpu / 64) else {
        return Err(io::Error::other(format!("there is no CPU {cpu}")));
    };
    *word = 1 << (cpu % 64);
    // SAFETY: the size is that of the set, a CPU's bit where the kernel has it.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), set.as_ptr().cast()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
