//! One name's part of a block, and the comment above it.

use std::net::IpAddr;

use crate::model::{Answer, AnswerReason, HostName, Wall};

/// Between the reason and the time.
const AT: &str = " at ";

/// One name's part of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// In the order of their lines; never empty.
    pub addresses: Vec<IpAddr>,
    /// For people only: it never makes two blocks differ.
    pub reason: EntryReason,
    /// When the answer changed last, where that is known. For people only, too.
    pub changed: Option<Wall>,
}

/// Why a name's entry says what it says (B16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryReason {
    /// Steering's reason for the answer, which the entry follows.
    Answer(AnswerReason),
    /// The agent gave no sign of life: the standby addresses stand behind the others (B17).
    AgentLost,
}

impl EntryReason {
    /// The word in the block.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Answer(reason) => reason.label(),
            Self::AgentLost => "agent_lost",
        }
    }

    fn from_label(label: &str) -> Option<Self> {
        let mut all = AnswerReason::ALL.into_iter().map(Self::Answer).chain([Self::AgentLost]);
        all.find(|reason| reason.label() == label)
    }
}

impl Entry {
    /// The line before those of the addresses. That nothing has been judged yet is no reason that a file should go on
    /// giving: no agent rewrites it once it is over.
    pub(super) fn comment(&self, name: &HostName) -> String {
        match (self.reason, self.changed) {
            (EntryReason::Answer(AnswerReason::Unprobed), _) => format!("# {name}"),
            (reason, Some(at)) => format!("# {name}: {}{AT}{at}", reason.label()),
            (reason, None) => format!("# {name}: {}", reason.label()),
        }
    }

    /// Takes over what stands behind the name in a comment; nothing behind it stands for [`AnswerReason::Unprobed`].
    /// Earlier versions gave no time. What is not understood, a newer one may have written.
    pub(super) fn read_comment(&mut self, why: &str) {
        if why.is_empty() {
            self.reason = EntryReason::Answer(AnswerReason::Unprobed);
            return;
        }
        let (label, at) = why.split_once(AT).map_or((why, None), |(label, at)| (label, Wall::parse(at)));
        self.reason = EntryReason::from_label(label).unwrap_or(self.reason);
        self.changed = at;
    }
}

impl From<&Answer> for Entry {
    fn from(a: &Answer) -> Self {
        Self { addresses: a.addresses.clone(), reason: EntryReason::Answer(a.reason), changed: None }
    }
}

/// Which of the addresses were standby, a block does not tell.
impl From<Entry> for Answer {
    fn from(e: Entry) -> Self {
        let reason = match e.reason {
            EntryReason::Answer(reason) => reason,
            EntryReason::AgentLost => AnswerReason::Stale,
        };
        Self { addresses: e.addresses, standby: Vec::new(), reason }
    }
}
