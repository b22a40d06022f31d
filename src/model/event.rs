//! What happened: the source of log lines and of the history in status.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::{
    AnswerReason, Check, EndpointName, Failure, HostName, IdentityPart, Now, SourceKind, TargetKey, Wall, Withdrawal,
    Zone,
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

/// How loud an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth a line at `info`.
    Info,
    /// Somebody should look.
    Warning,
    /// Something does not work.
    Error,
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
    },
    /// A name's addresses stayed, the reason did not.
    ReasonChanged {
        /// Which.
        name: HostName,
        /// Before.
        from: AnswerReason,
        /// After.
        to: AnswerReason,
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
    /// State could not be saved.
    StateNotSaved {
        /// Why.
        error: String,
    },
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
    /// Somebody keeps removing our block.
    PublishConflict {
        /// Where.
        publisher: &'static str,
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
}

impl EventKind {
    /// How loud.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::AnswerChanged { from, .. } if from.is_empty() => Severity::Info,
            Self::CloudStatus { trouble: None, .. } => Severity::Info,
            Self::Started { .. }
            | Self::Stopping
            | Self::TargetUp { .. }
            | Self::TargetSlowOver { .. }
            | Self::SourceFresh { .. }
            | Self::CacheLoaded { .. }
            | Self::Published { .. }
            | Self::ReasonChanged { .. }
            | Self::EdgeBegan { .. }
            | Self::SecretsRenewed { .. }
            | Self::ConfigLoaded { .. } => Severity::Info,
            Self::TargetDown { .. }
            | Self::TargetSlow { .. }
            | Self::AnswerChanged { .. }
            | Self::NameWithdrawn { .. }
            | Self::SourceStale { .. }
            | Self::CloudStatus { .. }
            | Self::EndpointNotFound { .. }
            | Self::LeftOut { .. }
            | Self::EndpointGone { .. }
            | Self::CacheForeign { .. }
            | Self::CacheUnusable { .. }
            | Self::NotLocked { .. }
            | Self::ConfigRecalled { .. }
            | Self::PublishConflict { .. } => Severity::Warning,
            Self::FormerKept { .. }
            | Self::GonePutOff { .. }
            | Self::StateNotSaved { .. }
            | Self::PublishFailed { .. }
            | Self::HandoverFull { .. }
            | Self::ConfigRefused { .. }
            | Self::SecretRefused { .. }
            | Self::ListenerFailed { .. } => Severity::Error,
        }
    }
}
