//! Whose is it? (B12) A hand-over and a last known good count only on the machine that wrote them, a hand-over only in
//! its boot.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::{Answer, Handover, HostName, Identity, IdentityPart};
use crate::publish::hosts::block::{Block, Marks, OwnLines};

/// The machine and the boot that the writer runs in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThisHost {
    /// What tells this machine from others, as far as the writer could read it.
    pub identity: Identity,
    /// The kernel's id of this boot; empty if it is not known, and then no hand-over is of another boot.
    pub boot_id: String,
}

/// Where a hand-over comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This machine and this boot.
    ThisHost,
    /// This machine before its last boot.
    OtherBoot,
    /// Another machine, which this part tells.
    OtherMachine(IdentityPart),
}

impl ThisHost {
    /// Where this hand-over comes from.
    #[must_use]
    pub fn origin(&self, handover: &Handover) -> Origin {
        let boots_known = !self.boot_id.is_empty() && !handover.boot_id.is_empty();
        match self.identity.mismatch(&handover.identity) {
            Some(part) => Origin::OtherMachine(part),
            None if boots_known && self.boot_id != handover.boot_id => Origin::OtherBoot,
            None => Origin::ThisHost,
        }
    }
}

/// The last known good as it is kept on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastGood {
    /// The machine that it is of.
    pub identity: Identity,
    /// Every name that was in force, with its standby addresses.
    pub answers: BTreeMap<HostName, Answer>,
    /// What else is known of them.
    pub marks: Marks,
    /// What was written of them, and where; earlier versions did not keep that.
    pub own: Option<OwnRecord>,
}

/// The lines that we wrote into a hosts file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnRecord {
    /// Which file.
    pub path: PathBuf,
    /// The lines.
    pub lines: OwnLines,
}

impl LastGood {
    /// True if it gives the same answers on the same machine, whatever the reasons.
    pub(super) fn same(&self, identity: &Identity, answers: &BTreeMap<HostName, Answer>) -> bool {
        let same = |a: &Answer, b: &Answer| a.addresses == b.addresses && a.standby == b.standby;
        let names = self.answers.keys().eq(answers.keys());
        self.identity == *identity && names && self.answers.values().zip(answers.values()).all(|(a, b)| same(a, b))
    }
}

/// What the writer remembers when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recalled {
    /// Nothing.
    Nothing,
    /// Its own last known good.
    Own(LastGood),
    /// Nothing of its own, but the hosts file has a block, which says this.
    InFile(Block),
    /// A last known good of another machine, which this part tells: it is not used, and a block in the file goes.
    Foreign(IdentityPart),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Plan;
    use crate::publish::hosts::handover;

    #[test]
    fn what_both_know_and_differs_tells_where_it_comes_from() {
        let machine = |id: &str| Identity { machine_id: Some(id.into()), ..Identity::default() };
        let of = |boot: &str, identity: &Identity| handover::make(&Plan::default(), boot, identity);
        let here = ThisHost { identity: machine("a"), boot_id: "now".into() };
        let region = Identity { region: Some("cn-hangzhou".into()), ..machine("a") };
        assert_eq!(here.origin(&of("now", &region)), Origin::ThisHost);
        assert_eq!(here.origin(&of("", &Identity::default())), Origin::ThisHost);
        assert_eq!(here.origin(&of("then", &Identity::default())), Origin::OtherBoot);
        assert_eq!(here.origin(&of("then", &machine("b"))), Origin::OtherMachine(IdentityPart::MachineId));
        assert_eq!(ThisHost::default().origin(&of("then", &machine("b"))), Origin::ThisHost);
    }
}
