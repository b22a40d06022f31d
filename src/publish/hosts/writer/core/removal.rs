//! What root ordered of the block: to be kept out, or nothing.

use crate::model::Wall;

/// The order that is followed, and why one that is there isn't.
#[derive(Debug, Default)]
pub(super) struct Removal {
    /// Since when the block is to be kept out.
    pub(super) since: Option<Wall>,
    pub(super) trouble: Option<String>,
}

impl Removal {
    /// Takes in a look at it; true if another order is followed now. What is not to be trusted changes nothing: the
    /// order before stays in force.
    pub(super) fn take(&mut self, seen: Result<Option<Wall>, String>) -> bool {
        let before = self.since;
        match seen {
            Ok(since) => (self.since, self.trouble) = (since, None),
            Err(why) => self.trouble = Some(why),
        }
        self.since != before
    }
}
