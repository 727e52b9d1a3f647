// SPDX-License-Identifier: GPL-2.0

//! The control queue (specification 5.1.6.5): how many pairs the driver uses, and no other command.

use crate::desc;
use crate::device::Device;
use crate::fault::{fault, Fault};
use crate::ring::BATCH;
use crate::spec::{ctrl, f};

/// Bytes of a command that are looked at: class, command, a number.
const COMMAND: usize = 4;

impl Device {
    /// Serves all commands.
    pub fn poll_ctrl(&mut self) -> Result<(), Fault> {
        match self.ctrl_index() {
            Some(i) => self.poll_ctrl_queue(i).map_err(|e| e.of(i)),
            None => Ok(()),
        }
    }

    fn poll_ctrl_queue(&mut self, index: usize) -> Result<(), Fault> {
        let Some(q) = self.queues.get_mut(index) else {
            return Ok(());
        };
        let n = q.gather(&self.memory, BATCH)?;
        let Some((ring, batch)) = q.work().filter(|_| n > 0) else {
            return Ok(());
        };
        for b in batch.all() {
            // A driver that sends a command waits for its answer. No other is lost by this.
            let mut command = vec![];
            let mut answer = None;
            ring.pieces(&self.memory, b, |d| {
                let bytes = self.memory.find(d.addr, d.len)?;
                if d.flags & desc::WRITE != 0 {
                    answer = Some(bytes);
                    return Ok(false);
                }
                let mut part = vec![0; bytes.len()];
                bytes.copy_to(&mut part);
                command.extend(part);
                Ok(true)
            })?;
            let Some(answer) = answer else {
                return fault("5.1.6.5: a command without room for an answer".into());
            };
            let pairs = pairs_set(&command)
                .filter(|n| self.acked.has(f::MQ) && (1..=self.options.pairs).contains(n));
            if let Some(n) = pairs {
                self.pairs = n;
            }
            answer.copy_from(&[if pairs.is_some() { ctrl::OK } else { ctrl::ERR }]);
        }
        q.give_back(&[1; BATCH][..n], self.wants);
        Ok(())
    }
}

/// How many pairs a command sets (5.1.6.5.5); none if it is another one.
fn pairs_set(command: &[u8]) -> Option<u16> {
    match *command.first_chunk::<COMMAND>()? {
        [ctrl::MQ, ctrl::MQ_VQ_PAIRS_SET, a, b] if command.len() == COMMAND => {
            Some(u16::from_le_bytes([a, b]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        assert_eq!(pairs_set(&[4, 0, 2, 1]), Some(0x102));
        assert_eq!(pairs_set(&[4, 1, 2, 0]), None);
        assert_eq!(pairs_set(&[0, 0, 1, 0]), None);
        assert_eq!(pairs_set(&[4, 0, 2]), None);
        assert_eq!(pairs_set(&[4, 0, 2, 0, 0]), None);
    }
}
