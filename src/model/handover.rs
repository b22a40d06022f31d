//! What passes between the agent and the hosts writer: closed types, as files.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::dns::DnsReceipt;
use super::limits::CapCounts;
use super::{Answer, Boottime, HostName, Identity, Plan, Wall, Withdrawal, worded};

/// The format of [`Handover`] and [`Receipt`] that this version writes and reads.
pub const HANDOVER_FORMAT: u32 = 1;

/// `plan.json`: what the agent wants published. The order of hand-overs is the order of renames; there is no counter.
/// Absence of a name removes nothing; only `withdrawn` does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handover {
    /// [`HANDOVER_FORMAT`].
    pub format: u32,
    /// The boot that wrote it: one of another boot is no news.
    pub boot_id: String,
    /// The machine that wrote it: one of another machine is refused.
    pub identity: Identity,
    /// Of `plan` and `withdrawn`; a receipt echoes it.
    pub digest: Digest,
    /// Every answer.
    pub plan: BTreeMap<HostName, Answer>,
    /// Names that must go.
    pub withdrawn: Vec<Withdrawn>,
}

impl Handover {
    /// True if its digest is that of its content.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.digest == Digest::of_json(&(&self.plan, &self.withdrawn))
    }
}

impl Plan {
    /// The digest of the plan, which its hand-over carries and its receipt echoes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_json(&(&self.answers, self.withdrawn_names()))
    }

    /// The names that must go, as a hand-over has them.
    #[must_use]
    pub fn withdrawn_names(&self) -> Vec<Withdrawn> {
        self.withdrawn.iter().map(|(name, why)| Withdrawn { name: name.clone(), why: *why }).collect()
    }
}

/// One name that must go, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawn {
    /// The name.
    pub name: HostName,
    /// Why.
    pub why: Withdrawal,
}

/// `receipt.json`: what a publisher did with the latest plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`HANDOVER_FORMAT`].
    pub format: u32,
    /// The digest of the hand-over that this speaks of; `None` before the first.
    pub digest: Option<Digest>,
    /// When.
    pub at: Wall,
    /// A verdict a name.
    pub names: BTreeMap<HostName, Verdict>,
    /// Whether the file was written for it.
    pub changed: bool,
    /// Why it was not, if it should have been.
    pub error: Option<PublishErrorKind>,
    /// The error in a sentence, for people. Without an error: what else they should know, such as a config that can't
    /// be used or a hand-over of another boot.
    pub error_detail: Option<String>,
    /// Successful writes since the publisher started.
    pub writes: u64,
    /// Failed writes since then.
    pub failed_writes: u64,
    /// Times since then that another program kept removing our block.
    pub conflicts: u64,
    /// True while another program keeps removing our block and we write at the lower rate (B11).
    pub in_conflict: bool,
    /// Of names that are in force: what was left out of their answers, a sentence each; of some of them, if many.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<HostName, String>,
    /// What it left out since it started because there was too much of it.
    #[serde(default, skip_serializing_if = "CapCounts::is_empty")]
    pub capped: CapCounts,
}

impl Receipt {
    /// What became of a name of the plan with this digest: [`Verdict::Pending`] while the receipt speaks of another
    /// plan, or does not speak of the name.
    #[must_use]
    pub fn verdict(&self, name: &HostName, plan: Option<&Digest>) -> Verdict {
        let of_this_plan = self.digest.as_ref() == plan;
        self.names.get(name).copied().filter(|_| of_this_plan).unwrap_or(Verdict::Pending)
    }
}

worded! {
    /// What a publisher found about a name.
    Verdict {
        /// In force.
        Published = "published",
        /// Not yet.
        Pending = "pending",
        /// In force, but another line for the same name stands before ours or beside it.
        Shadowed = "shadowed",
        /// In force with its standby addresses, if it has any, because the agent gave no sign of life (B17). Every name
        /// in force has this verdict meanwhile, unless a graver one holds.
        AgentLost = "agent_lost",
        /// Another program keeps removing it.
        Conflict = "conflict",
        /// Not admitted by the publisher's own policy; the last admitted answer stays.
        Refused = "refused",
        /// The file has owner, mode or attributes that could not be kept.
        UnsupportedMetadata = "unsupported_metadata",
    }
}

/// Why a publisher could not do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishErrorKind {
    /// The hand-over could not be read, or is not one.
    BadHandover,
    /// Some name or address is outside the policy.
    Refused,
    /// The file has metadata that can't be carried over.
    UnsupportedMetadata,
    /// The file is a mount point of its own, so it can't be replaced.
    MountPoint,
    /// Another program changed the file in every attempt.
    Busy,
    /// The operating system said no.
    Io,
}

/// The latest receipt of every publisher.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipts {
    /// The hosts writer's.
    pub hosts: Option<Receipt>,
    /// When the hosts writer last showed life: it wrote its receipt, or touched it. Means nothing without a receipt.
    pub hosts_alive: Boottime,
    /// The stub's; `None` while names are not served.
    pub dns: Option<DnsReceipt>,
    /// Of a plan that is too large for one hand-over; `None` while all of it is handed over.
    pub cut_short: Option<CutShort>,
}

/// A plan of which only a part was handed over to the hosts writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutShort {
    /// The digest of the whole plan.
    pub plan: Digest,
    /// The digest of what was handed over, which the receipt echoes.
    pub handed_over: Digest,
}

impl Receipts {
    /// The digest that the hosts writer's receipt for this plan carries.
    #[must_use]
    pub fn hosts_digest<'d>(&'d self, plan: Option<&'d Digest>) -> Option<&'d Digest> {
        self.cut_short.as_ref().filter(|cut| Some(&cut.plan) == plan).map(|cut| &cut.handed_over).or(plan)
    }

    /// A publisher shows life every few seconds. One that has not for this long is taken for stopped, and what its
    /// receipt says for old news.
    pub const SILENT_AFTER: Duration = Duration::from_secs(30);

    /// For how long the hosts writer has shown no life, if that is too long.
    #[must_use]
    pub fn hosts_silent(&self, now: Boottime) -> Option<Duration> {
        let silent = now.since(self.hosts_alive);
        (self.hosts.is_some() && silent >= Self::SILENT_AFTER).then_some(silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receipt_for_a_plan_that_was_cut_short_carries_the_digest_of_what_was_handed_over() {
        let [plan, part, other] = [1, 2, 3].map(|n| Digest::from_bytes(&[n; 16]));
        let whole = Receipts::default();
        assert_eq!((whole.hosts_digest(Some(&plan)), whole.hosts_digest(None)), (Some(&plan), None));
        let cut_short = Some(CutShort { plan: plan.clone(), handed_over: part.clone() });
        let cut = Receipts { cut_short, ..Receipts::default() };
        let digests = [Some(&plan), Some(&other), None].map(|digest| cut.hosts_digest(digest));
        assert_eq!(digests, [Some(&part), Some(&other), None]);
    }

    #[test]
    fn a_receipt_of_another_plan_leaves_its_names_pending() {
        let (ours, other) = (Digest::from_bytes(&[1; 16]), Digest::from_bytes(&[2; 16]));
        let name = |n: &str| n.parse::<HostName>().unwrap();
        let receipt = Receipt {
            format: HANDOVER_FORMAT,
            digest: Some(ours.clone()),
            at: Wall(0),
            names: [(name("a.x"), Verdict::Published)].into(),
            changed: true,
            error: None,
            error_detail: None,
            writes: 1,
            failed_writes: 0,
            conflicts: 0,
            in_conflict: false,
            left_out: BTreeMap::new(),
            capped: CapCounts::default(),
        };
        assert_eq!(receipt.verdict(&name("a.x"), Some(&ours)), Verdict::Published);
        assert_eq!(receipt.verdict(&name("b.x"), Some(&ours)), Verdict::Pending);
        assert_eq!(receipt.verdict(&name("a.x"), Some(&other)), Verdict::Pending);
        assert_eq!(receipt.verdict(&name("a.x"), None), Verdict::Pending);
    }
}
