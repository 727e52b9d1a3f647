// SPDX-License-Identifier: GPL-2.0

//! What a driver did that it must not do. The device ends of it: no time is worth anything then.

/// What is wrong.
#[derive(Debug)]
pub struct Fault(pub Box<str>);

impl Fault {
    /// Says in which queue it was.
    #[cold]
    pub fn of(self, queue: usize) -> Self {
        Self(format!("queue {queue}: {}", self.0).into())
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Out of line: it never happens while something is measured.
#[cold]
pub fn fault<T>(text: String) -> Result<T, Fault> {
    Err(Fault(text.into()))
}
