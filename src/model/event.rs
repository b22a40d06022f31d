//! What happened: the source of log lines and of the history in status.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::{
    AnswerReason, Check, EndpointName, Failure, HostName, IdentityPart, Now, SourceKind, TargetKey, Wall, Withdrawal,
    Zone, worded,
};

mod words;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// When.
    pub at: Now,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

worded! {
    /// How loud an event is.
    Severity {
        /// Worth a line at `info`.
        Info = "info",
        /// An admin should look.
        Warning = "warning",
        /// Something does not work.
        Error = "error",
    }
}

/// Nothing of a name answers as it should.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outage {
    /// Since when, if any of it was seen to go down.
    pub since: Option<Wall>,
    /// What each address says, in words.
    pub says: Vec<String>,
}

/// The kinds of events.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The agent started.
    Started {
        /// Its version.
        version: &'static str,
    },
    /// The agent is stopping.
    Stopping,
    /// A settled target failed for the first time.
    EdgeBegan {
        /// Which.
        #[serde(flatten)]
        target: TargetKey,
        /// Which check.
        check: Check,
        /// Why.
        failure: Failure,
    },
    /// A target went down.
    TargetDown {
        /// Which.
        #[serde(flatten)]
        target: TargetKey,
        /// Which check.
        check: Check,
        /// The deciding failure.
        failure: Failure,
    },
    /// A target came up.
    TargetUp {
        /// Which.
        #[serde(flatten)]
        target: TargetKey,
        /// Which check.
        check: Check,
        /// True if it had been down.
        recovered: bool,
    },
    /// A target answers, and much more slowly than a sibling.
    TargetSlow {
        /// Which.
        #[serde(flatten)]
        target: TargetKey,
        /// Which check.
        check: Check,
        /// The median of its latest ten times.
        median: Duration,
        /// That of the quickest sibling.
        beside: Duration,
    },
    /// It does no more.
    TargetSlowOver {
        /// Which.
        #[serde(flatten)]
        target: TargetKey,
        /// Which check.
        check: Check,
    },
    /// A name's published addresses changed.
    AnswerChanged {
        /// Which.
        name: HostName,
        /// Before; empty for a new name.
        from: Vec<IpAddr>,
        /// After.
        to: Vec<IpAddr>,
        /// Why.
        reason: AnswerReason,
        /// If it now is that nothing answers: who says what.
        #[serde(skip_serializing_if = "Option::is_none")]
        outage: Option<Outage>,
    },
    /// A name's addresses stayed, the reason did not.
    ReasonChanged {
        /// Which.
        name: HostName,
        /// Before.
        from: AnswerReason,
        /// After.
        to: AnswerReason,
        /// If it now is that nothing answers: who says what.
        #[serde(skip_serializing_if = "Option::is_none")]
        outage: Option<Outage>,
    },
    /// Nothing of a name answers as it should, and no change of its answer has said so in this life of the agent: it
    /// was out before, or what was published was.
    Outage {
        /// Which.
        name: HostName,
        /// Where it stays.
        addresses: Vec<IpAddr>,
        /// Who says what.
        outage: Outage,
    },
    /// The config made another endpoint of a name's, `removal_grace` is over, and nothing of the new one has passed a
    /// probe: the name still leads to the old one.
    FormerKept {
        /// Which.
        name: HostName,
    },
    /// The cloud no longer has an endpoint, the grace is over, and it still answers with a certificate that is verified
    /// for its own name: its names stay for a day at most.
    GonePutOff {
        /// The endpoint.
        endpoint: EndpointName,
    },
    /// A name was given up.
    NameWithdrawn {
        /// Which.
        name: HostName,
        /// Why.
        why: Withdrawal,
    },
    /// A source of addresses fails.
    SourceStale {
        /// Whose.
        endpoint: EndpointName,
        /// Which.
        source: SourceKind,
        /// Why.
        error: String,
    },
    /// A source of addresses works again.
    SourceFresh {
        /// Whose.
        endpoint: EndpointName,
        /// Which.
        source: SourceKind,
    },
    /// The cloud says another thing of an endpoint, or of one zone of it, than before.
    CloudStatus {
        /// Which.
        endpoint: EndpointName,
        /// Which zone; `None` for the endpoint as a whole.
        zone: Option<Zone>,
        /// In its words.
        status: String,
        /// What is wrong with that, if anything.
        trouble: Option<&'static str>,
    },
    /// A source answered that there is no such endpoint, and never told of one.
    EndpointNotFound {
        /// Which.
        endpoint: EndpointName,
        /// Which source.
        source: SourceKind,
    },
    /// Not all of what a source says of an endpoint is taken.
    LeftOut {
        /// Of which.
        endpoint: EndpointName,
        /// Which source.
        source: SourceKind,
        /// What is left out, in a sentence.
        what: String,
    },
    /// Two passes of the API agree that an endpoint is deleted.
    EndpointGone {
        /// Which.
        endpoint: EndpointName,
    },
    /// The state on disk is in use until something newer is known.
    CacheLoaded {
        /// Names it holds.
        names: usize,
    },
    /// The state on disk is another machine's and was not used.
    CacheForeign {
        /// What differs.
        part: IdentityPart,
    },
    /// The state on disk could not be used and was kept aside.
    CacheUnusable {
        /// Why.
        error: String,
    },
    /// A folder could not be locked, so that another process might use it, too.
    NotLocked {
        /// Which lock, and why.
        what: String,
    },
    /// Files can't be watched, and are polled.
    NotWatched {
        /// Which, why, and how often they are looked at instead.
        what: String,
    },
    /// State could not be saved.
    StateNotSaved {
        /// Why.
        error: String,
    },
    /// State that could not be saved is saved.
    StateSaved,
    /// A publisher wrote.
    Published {
        /// Where.
        publisher: &'static str,
        /// Names in force.
        names: usize,
    },
    /// A publisher could not.
    PublishFailed {
        /// Where.
        publisher: &'static str,
        /// Why.
        error: String,
    },
    /// A hand-over has no room for all names: the rest is not published.
    HandoverFull {
        /// How many there are.
        names: usize,
        /// How many are left out.
        left_out: usize,
    },
    /// Another program keeps removing our block.
    PublishConflict {
        /// Where.
        publisher: &'static str,
    },
    /// Other programs had changed what we publish in, and it was mended.
    FileMended {
        /// Where.
        publisher: &'static str,
        /// What happened, in a sentence.
        what: String,
    },
    /// A new config is in force.
    ConfigLoaded {
        /// Endpoints it holds.
        endpoints: usize,
    },
    /// A config was refused; an older one is in force.
    ConfigRefused {
        /// How many complaints.
        complaints: usize,
        /// The first one.
        first: String,
    },
    /// Files of secrets were written anew, and what they hold is in use.
    SecretsRenewed {
        /// The endpoints that have another secret.
        endpoints: usize,
    },
    /// A file of a secret was written anew and can't be used; the secret before is.
    SecretRefused {
        /// Why, never with its content.
        error: String,
    },
    /// The config on disk was refused at the start; the one that was accepted last is in force.
    ConfigRecalled {
        /// When it was accepted.
        accepted: Wall,
        /// What it has to do without, in words.
        without: Vec<String>,
    },
    /// A listener could not be opened.
    ListenerFailed {
        /// Which.
        listener: String,
        /// Why.
        error: String,
    },
    /// A listener that could not be opened is open.
    ListenerBack {
        /// Which.
        listener: String,
    },
}

/// Who brings an event about, and so how much there may be of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventMaker {
    /// An outsider, as often as he likes: a server that fails at every other probe, a program that writes into the
    /// hosts file.
    Outsider,
    /// An outsider behind whom hysteresis, a hold or damping stands: what became of targets and answers. What comes in
    /// its usual rate is all told; of a flood about one subject the log tells the first ones and the number.
    Change,
    /// An admin, a grace that ends, or we.
    Us,
}

/// What there is to know of a kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventClass {
    /// The word for it: the tag of its serialised form.
    pub label: &'static str,
    /// Who brings it about.
    pub maker: EventMaker,
    /// How loud it is.
    pub severity: Severity,
}

impl EventKind {
    /// Its word, its maker and how loud it is.
    #[must_use]
    pub fn class(&self) -> EventClass {
        use EventMaker::{Change, Outsider, Us};
        use Severity::{Error, Info, Warning};
        let (label, maker, severity) = match self {
            Self::Started { .. } => ("started", Us, Info),
            Self::Stopping => ("stopping", Us, Info),
            Self::EdgeBegan { .. } => ("edge_began", Outsider, Info),
            Self::TargetDown { .. } => ("target_down", Change, Warning),
            Self::TargetUp { .. } => ("target_up", Change, Info),
            Self::TargetSlow { .. } => ("target_slow", Change, Warning),
            Self::TargetSlowOver { .. } => ("target_slow_over", Change, Info),
            Self::AnswerChanged { outage: Some(_), .. } => ("answer_changed", Change, Error),
            Self::AnswerChanged { from, .. } if from.is_empty() => ("answer_changed", Change, Info),
            Self::AnswerChanged { .. } => ("answer_changed", Change, Warning),
            Self::ReasonChanged { outage: Some(_), .. } => ("reason_changed", Change, Error),
            Self::ReasonChanged { .. } => ("reason_changed", Change, Info),
            Self::Outage { .. } => ("outage", Change, Error),
            Self::FormerKept { .. } => ("former_kept", Us, Error),
            Self::GonePutOff { .. } => ("gone_put_off", Us, Error),
            Self::NameWithdrawn { .. } => ("name_withdrawn", Us, Warning),
            Self::SourceStale { .. } => ("source_stale", Outsider, Warning),
            Self::SourceFresh { .. } => ("source_fresh", Outsider, Info),
            Self::CloudStatus { trouble: None, .. } => ("cloud_status", Outsider, Info),
            Self::CloudStatus { .. } => ("cloud_status", Outsider, Warning),
            Self::EndpointNotFound { .. } => ("endpoint_not_found", Us, Warning),
            Self::LeftOut { .. } => ("left_out", Outsider, Warning),
            Self::EndpointGone { .. } => ("endpoint_gone", Us, Warning),
            Self::CacheLoaded { .. } => ("cache_loaded", Us, Info),
            Self::CacheForeign { .. } => ("cache_foreign", Us, Warning),
            Self::CacheUnusable { .. } => ("cache_unusable", Us, Warning),
            Self::NotLocked { .. } => ("not_locked", Us, Warning),
            Self::NotWatched { .. } => ("not_watched", Us, Warning),
            Self::StateNotSaved { .. } => ("state_not_saved", Us, Error),
            Self::StateSaved => ("state_saved", Us, Info),
            Self::Published { .. } => ("published", Outsider, Info),
            Self::PublishFailed { .. } => ("publish_failed", Outsider, Error),
            Self::HandoverFull { .. } => ("handover_full", Change, Error),
            Self::PublishConflict { .. } => ("publish_conflict", Outsider, Warning),
            Self::FileMended { .. } => ("file_mended", Outsider, Warning),
            Self::ConfigLoaded { .. } => ("config_loaded", Us, Info),
            Self::ConfigRefused { .. } => ("config_refused", Us, Error),
            Self::SecretsRenewed { .. } => ("secrets_renewed", Us, Info),
            Self::SecretRefused { .. } => ("secret_refused", Us, Error),
            Self::ConfigRecalled { .. } => ("config_recalled", Us, Warning),
            Self::ListenerFailed { .. } => ("listener_failed", Us, Error),
            Self::ListenerBack { .. } => ("listener_back", Us, Info),
        };
        EventClass { label, maker, severity }
    }
}
