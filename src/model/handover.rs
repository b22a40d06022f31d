//! What passes between the agent and the hosts writer: closed types, as files.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
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
    /// Of `plan`, `withdrawn` and `zone_names`; a receipt echoes it.
    pub digest: Digest,
    /// Every answer.
    pub plan: BTreeMap<HostName, Answer>,
    /// Names that must go.
    pub withdrawn: Vec<Withdrawn>,
    /// Names of `plan` that are a zone's own. Earlier versions said nothing of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub zone_names: BTreeSet<HostName>,
    /// When the answers changed last, of those of which that is known: for people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub changed: BTreeMap<HostName, Wall>,
}

/// As before there were zone names, where there are none.
fn digest_of(plan: &BTreeMap<HostName, Answer>, withdrawn: &[Withdrawn], zone_names: &BTreeSet<HostName>) -> Digest {
    match zone_names.is_empty() {
        true => Digest::of_json(&(plan, withdrawn)),
        false => Digest::of_json(&(plan, withdrawn, zone_names)),
    }
}

impl Handover {
    /// True if its digest is that of its content.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.digest == digest_of(&self.plan, &self.withdrawn, &self.zone_names)
    }
}

impl Plan {
    /// The digest of the plan, which its hand-over carries and its receipt echoes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        digest_of(&self.answers, &self.withdrawn_names(), &self.zone_names)
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

/// What a publisher did with the latest plan; `receipt.json`, if it does that in another process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`HANDOVER_FORMAT`].
    pub format: u32,
    /// The digest of the hand-over that this speaks of; `None` before the first.
    pub digest: Option<Digest>,
    /// When; 0 of a publisher within the agent.
    pub at: Wall,
    /// A verdict a name; none of a publisher that serves whole plans.
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
    /// Since when root keeps the block out of the file (`hosts remove`), if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Wall>,
    /// Of names that are in force: what was left out of their answers, a sentence each; of some of them, if many.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<HostName, String>,
    /// Of names that are shadowed: the number of the line that shadows each; of some of them, if many.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shadowing: BTreeMap<HostName, usize>,
    /// Who would put lines with names of ours back, if they were taken over, and what to do, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewriters: Vec<String>,
    /// What it left out since it started because there was too much of it.
    #[serde(default, skip_serializing_if = "CapCounts::is_empty")]
    pub capped: CapCounts,
    /// What happened since then to the file that people should know of, the latest of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
}

/// A thing that happened to what is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// When.
    pub at: Wall,
    /// What, in a sentence.
    pub what: String,
}

/// What is to be known of a hosts file that root keeps our block out of, and since when.
#[must_use]
pub fn taken_out(since: Wall) -> String {
    format!("taken out by `hosts remove` since {since}, `hosts apply` puts it back")
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
        /// Not in force, because root keeps it out (`hosts remove`). Every name has this verdict meanwhile.
        Removed = "removed",
        /// In force, but another line for the same name stands before ours or beside it.
        Shadowed = "shadowed",
        /// In force, but not every user of this host may read the file. Every name in force has this verdict then,
        /// unless a graver one holds.
        Unreadable = "unreadable",
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
    /// Nobody can tell from the markers in the file which lines are ours.
    UnclearMarkers,
    /// The operating system said no.
    Io,
}

impl PublishErrorKind {
    /// True for what keeps the file as it is; false for what is wrong with the plan alone, and keeps nobody from taking
    /// a block out.
    #[must_use]
    pub fn is_of_the_file(self) -> bool {
        match self {
            Self::BadHandover | Self::Refused => false,
            Self::UnsupportedMetadata | Self::MountPoint | Self::Busy | Self::UnclearMarkers | Self::Io => true,
        }
    }
}

/// What every publisher says of the plan, by its name; one that has said nothing is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipts(pub BTreeMap<&'static str, PublisherState>);

/// What one publisher says of the plan: the same for every publisher.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublisherState {
    /// Its latest receipt; `None` before the first.
    pub receipt: Option<Receipt>,
    /// When it last showed life: it wrote its receipt, or touched it. `None` for a publisher within the agent.
    pub alive: Option<Boottime>,
    /// Of a publisher that serves in places of its own: a sentence for each where it does not.
    pub places: Vec<Result<(), String>>,
    /// Sentences of what else is not well with it.
    pub remarks: Vec<String>,
    /// Of a plan that is too large for one hand-over; `None` while all of it is handed over.
    pub cut_short: Option<CutShort>,
}

/// A plan of which only a part was handed over to a publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutShort {
    /// The digest of the whole plan.
    pub plan: Digest,
    /// The digest of what was handed over, which the receipt echoes.
    pub handed_over: Digest,
}

impl Receipts {
    /// The name of the hosts writer.
    pub const HOSTS: &'static str = "hosts";
    /// The name of the stub; absent while names are not served.
    pub const DNS: &'static str = "dns";

    /// A publisher shows life every few seconds. One that has not for this long is taken for stopped, and what its
    /// receipt says for old news.
    pub const SILENT_AFTER: Duration = Duration::from_secs(30);

    /// The latest receipt of a publisher.
    #[must_use]
    pub fn receipt(&self, publisher: &str) -> Option<&Receipt> {
        self.0.get(publisher)?.receipt.as_ref()
    }

    /// What a publisher says, to be changed.
    pub fn state_mut(&mut self, publisher: &'static str) -> &mut PublisherState {
        self.0.entry(publisher).or_default()
    }
}

impl PublisherState {
    /// Whether its receipt is of this plan; and if it serves whole plans, whether it does so anywhere.
    #[must_use]
    pub fn has(&self, plan: Option<&Digest>) -> bool {
        self.is_heard() && self.receipt.as_ref().is_some_and(|receipt| receipt.digest.as_ref() == self.expected(plan))
    }

    /// Whether it serves anywhere, if it serves in places of its own.
    fn is_heard(&self) -> bool {
        self.places.is_empty() || self.places.iter().any(Result::is_ok)
    }

    /// The digest that its receipt of this plan carries.
    #[must_use]
    pub fn expected<'d>(&'d self, plan: Option<&'d Digest>) -> Option<&'d Digest> {
        self.cut_short.as_ref().filter(|cut| Some(&cut.plan) == plan).map(|cut| &cut.handed_over).or(plan)
    }

    /// What became of a name of this plan.
    #[must_use]
    pub fn verdict(&self, name: &HostName, plan: Option<&Digest>) -> Verdict {
        match &self.receipt {
            Some(receipt) if self.is_heard() => receipt.verdict(name, self.expected(plan)),
            _ => Verdict::Pending,
        }
    }

    /// For how long it has shown no life, if that is too long.
    #[must_use]
    pub fn silent(&self, now: Boottime) -> Option<Duration> {
        let silent = now.since(self.alive?);
        (self.receipt.is_some() && silent >= Receipts::SILENT_AFTER).then_some(silent)
    }

    /// The places where it does not serve, a sentence each.
    pub fn failed_places(&self) -> impl Iterator<Item = &String> {
        self.places.iter().filter_map(|place| place.as_ref().err())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receipt_for_a_plan_that_was_cut_short_carries_the_digest_of_what_was_handed_over() {
        let [plan, part, other] = [1, 2, 3].map(|n| Digest::from_bytes(&[n; 16]));
        let whole = PublisherState::default();
        assert_eq!((whole.expected(Some(&plan)), whole.expected(None)), (Some(&plan), None));
        let cut_short = Some(CutShort { plan: plan.clone(), handed_over: part.clone() });
        let cut = PublisherState { cut_short, ..PublisherState::default() };
        let digests = [Some(&plan), Some(&other), None].map(|digest| cut.expected(digest));
        assert_eq!(digests, [Some(&part), Some(&other), None]);
    }

    #[test]
    fn a_receipt_of_another_plan_leaves_its_names_pending() {
        let (ours, other) = (Digest::from_bytes(&[1; 16]), Digest::from_bytes(&[2; 16]));
        let name = |n: &str| n.parse::<HostName>().unwrap();
        let names = [(name("a.x"), Verdict::Published)].into();
        let receipt = Receipt { digest: Some(ours.clone()), names, ..Receipt::default() };
        assert_eq!(receipt.verdict(&name("a.x"), Some(&ours)), Verdict::Published);
        assert_eq!(receipt.verdict(&name("b.x"), Some(&ours)), Verdict::Pending);
        assert_eq!(receipt.verdict(&name("a.x"), Some(&other)), Verdict::Pending);
        assert_eq!(receipt.verdict(&name("a.x"), None), Verdict::Pending);
    }

    #[test]
    fn a_publisher_that_serves_in_places_of_its_own_is_believed_once_it_is_heard() {
        let (ours, other) = (Digest::from_bytes(&[1; 16]), Digest::from_bytes(&[2; 16]));
        let names = [("a.x", Verdict::Published), ("b.x", Verdict::Refused)].map(|(n, v)| (n.parse().unwrap(), v));
        let receipt = Some(Receipt { digest: Some(ours.clone()), names: names.into(), ..Receipt::default() });
        let (silent, heard) = (vec![Err("taken".to_owned())], vec![Err("taken".to_owned()), Ok(())]);
        for (places, plan, verdict) in [
            (&heard, &ours, Verdict::Published),
            (&heard, &other, Verdict::Pending),
            (&silent, &ours, Verdict::Pending),
        ] {
            let stub = PublisherState { receipt: receipt.clone(), places: places.clone(), ..PublisherState::default() };
            assert_eq!(stub.verdict(&"a.x".parse().unwrap(), Some(plan)), verdict);
            let refused = if verdict == Verdict::Published { Verdict::Refused } else { verdict };
            assert_eq!(stub.verdict(&"b.x".parse().unwrap(), Some(plan)), refused);
            assert_eq!(stub.has(Some(plan)), verdict == Verdict::Published);
        }
    }
}
