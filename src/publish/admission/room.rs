//! How much fits into the block (B18): names, and bytes. What is in it stays; what no longer fits is refused by itself.

use std::collections::BTreeMap;

use super::refusal::Refusal;
use crate::model::limits::{BLOCK_BYTES, BLOCK_MARKERS, NAMES_A_HANDOVER, entry_size};
use crate::model::{Answer, HostName};

/// What is taken up.
#[derive(Debug, Default)]
pub(super) struct Room {
    names: usize,
    bytes: usize,
    endless: bool,
}

impl Room {
    pub(super) fn taken_by(answers: &BTreeMap<HostName, Answer>) -> Self {
        let bytes = answers.iter().map(|(name, answer)| size(name, answer)).sum();
        Self { names: answers.len(), bytes, endless: false }
    }

    /// Whatever is put into it fits.
    pub(super) fn endless() -> Self {
        Self { endless: true, ..Self::default() }
    }

    /// True if more is taken up than there is room for: it was let in by another policy, or another version.
    pub(super) fn is_overfull(&self) -> bool {
        self.names > NAMES_A_HANDOVER || self.bytes > BLOCK_BYTES - BLOCK_MARKERS
    }

    /// Puts an answer in the place of the name's `old` one.
    ///
    /// # Errors
    /// It doesn't fit, and nothing has changed. One that is no longer than the old one always does.
    pub(super) fn put(&mut self, name: &HostName, old: Option<&Answer>, new: &Answer) -> Result<(), Refusal> {
        if self.endless {
            return Ok(());
        }
        let (before, after) = (old.map_or(0, |old| size(name, old)), size(name, new));
        if old.is_none() && self.names >= NAMES_A_HANDOVER {
            return Err(Refusal::TooManyNames);
        }
        let bytes = self.bytes.saturating_sub(before).saturating_add(after);
        if after > before && bytes > BLOCK_BYTES - BLOCK_MARKERS {
            return Err(Refusal::NoRoom { bytes: after });
        }
        self.bytes = bytes;
        self.names += usize::from(old.is_none());
        Ok(())
    }
}

/// With the standby addresses: they are published, too, when the agent is lost.
fn size(name: &HostName, answer: &Answer) -> usize {
    entry_size(name, answer.addresses.iter().chain(&answer.standby))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AnswerReason;

    fn answer(addresses: usize) -> Answer {
        let address = |n| std::net::Ipv4Addr::new(10, 100, 100, 100 + n).into();
        let addresses = (0..u8::try_from(addresses).unwrap()).map(address).collect();
        Answer { addresses, standby: Vec::new(), reason: AnswerReason::Healthy }
    }

    #[test]
    fn names_and_bytes_are_counted_and_shorter_answers_always_fit() {
        let name = |n: usize| format!("n{n}.{}", "x".repeat(60)).parse::<HostName>().unwrap();
        let mut room = Room::default();
        for n in 0..NAMES_A_HANDOVER {
            room.put(&name(n), None, &answer(0)).unwrap();
        }
        assert_eq!(room.put(&name(9999), None, &answer(0)), Err(Refusal::TooManyNames));
        // Those that are there may grow, for as long as there is room.
        let grown = (0..NAMES_A_HANDOVER).take_while(|n| room.put(&name(*n), Some(&answer(0)), &answer(9)).is_ok());
        let grown = grown.count();
        assert!(grown > 100 && room.bytes <= BLOCK_BYTES && room.bytes + 1000 > BLOCK_BYTES, "{grown} {room:?}");
        room.put(&name(0), Some(&answer(9)), &answer(1)).unwrap();
        // Even where there was too much from before.
        let mut full = Room { names: 1, bytes: BLOCK_BYTES * 2, endless: false };
        full.put(&name(0), Some(&answer(9)), &answer(9)).unwrap();
        assert!(matches!(full.put(&name(0), Some(&answer(1)), &answer(2)), Err(Refusal::NoRoom { .. })));
    }
}
