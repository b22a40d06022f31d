//! The shape of a status report: a contract with those that read it, so that fields are added, and renamed or removed
//! only with another [`SCHEMA`].

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::{
    AnswerReason, Check, EndpointId, EndpointName, FailureReason, HostName, SourceKind, Verdict, Withdrawal, Zone,
    ZoneId, worded,
};

/// The version of [`StatusReport`]'s shape: it changes when something is renamed or removed.
pub const SCHEMA: u32 = 1;

/// What the agent knows at one instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The agent's version.
    pub version: String,
    /// When it started.
    pub started: When,
    /// Whether all is well.
    pub state: State,
    /// What is not well, a sentence each; empty if all is.
    pub problems: Vec<String>,
    /// The machine.
    pub host: HostReport,
    /// The config in force.
    pub config: ConfigReport,
    /// Whose keys sign the calls to the cloud's API; `None` where it is not asked.
    pub credentials: Option<CredentialsReport>,
    /// Every endpoint of the config, and those that leave, by label.
    pub endpoints: BTreeMap<EndpointName, EndpointReport>,
    /// Every published name.
    pub names: BTreeMap<HostName, NameReport>,
    /// Names that were given up, and why.
    pub withdrawn: BTreeMap<HostName, Withdrawal>,
    /// By publisher: `hosts`, `dns`.
    pub publishers: BTreeMap<String, PublisherReport>,
    /// The agent's own parts.
    pub stages: Vec<StageReport>,
    /// What happened lately, oldest first.
    pub events: Vec<EventReport>,
}

/// Well or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No problem is known.
    Ok,
    /// See `problems`.
    Degraded,
}

/// An instant for people: its wall time, and how long ago it was by the clock that never jumps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct When {
    /// RFC 3339, UTC.
    pub at: String,
    /// Milliseconds before the report.
    pub ago_ms: u64,
}

/// Region, zone and ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// The zone that counts as local; `None` while unknown.
    pub zone: Option<ZoneId>,
    /// The region; `None` while unknown.
    pub region: Option<String>,
    /// The VPC; `None` while unknown.
    pub vpc_id: Option<String>,
    /// The instance; `None` while unknown.
    pub instance_id: Option<String>,
}

/// The config in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReport {
    /// Where it was read from.
    pub paths: Vec<PathBuf>,
    /// When it came into force.
    pub loaded: When,
    /// Reloads since the start.
    pub reloads: u64,
    /// False if a newer one was refused.
    pub last_reload_ok: bool,
    /// What is wrong with the refused one; empty if none was.
    pub complaints: Vec<String>,
    /// True if the files differ from what was last loaded.
    pub changed_on_disk: bool,
    /// What the one in force has to do without, a sentence each: it was kept from an earlier run, or a secret's file
    /// was written anew and can't be used.
    #[serde(default)]
    pub without: Vec<String>,
}

/// Whose keys sign the calls to the cloud's API. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialsReport {
    /// The provider whose keys are in use.
    pub provider: Option<String>,
    /// The first and last characters of the AccessKey id.
    pub key_id: Option<String>,
    /// When the keys end, RFC 3339; `None` if they don't.
    pub expires: Option<String>,
    /// Milliseconds until the keys end; `None` if they don't.
    pub expires_in_ms: Option<u64>,
    /// Who was asked before and had none, in their order.
    pub tried: Vec<TriedReport>,
    /// Why there are no newer keys, while the old ones serve.
    pub failing: Option<String>,
}

/// A provider that had no keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriedReport {
    /// The provider's name.
    pub provider: String,
    /// Why it has no keys.
    pub why: String,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointReport {
    /// The cloud's id; `None` where the config gives none.
    pub id: Option<EndpointId>,
    /// Its own domain; `None` while unknown.
    pub domain: Option<HostName>,
    /// `kind:port`; `None` if nothing probes it.
    pub probe: Option<String>,
    /// True if it left the config and its names go after the grace.
    pub leaving: bool,
    /// Who told its addresses, and how fresh that is.
    pub sources: BTreeMap<SourceKind, SourceReport>,
    /// What the cloud's API said of it last; `None` where it is not asked.
    pub cloud: Option<CloudReport>,
    /// True if a source answered that there is no such endpoint, and never told of one.
    #[serde(default)]
    pub not_found: bool,
    /// What was left out of the latest answer of each source, a sentence each.
    #[serde(default)]
    pub left_out: BTreeMap<SourceKind, String>,
    /// By zone, then by address.
    pub zones: BTreeMap<Zone, BTreeMap<IpAddr, AddressReport>>,
}

/// What the cloud says, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudReport {
    /// `EndpointStatus`
    pub status: String,
    /// `EndpointBusinessStatus`
    pub business: String,
    /// `ConnectionStatus`
    pub connection: String,
    /// `ZoneStatus`, by zone.
    pub zones: BTreeMap<Zone, String>,
    /// True if two passes agree that it is deleted.
    pub gone: bool,
}

/// How fresh a source is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReport {
    /// True if its latest round failed.
    pub stale: bool,
    /// When it last confirmed what is shown.
    pub confirmed: When,
    /// Why there is nothing newer.
    pub error: Option<String>,
}

/// One address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddressReport {
    /// The state of all its checks together, after hysteresis.
    pub state: AddressState,
    /// Since when it is in this state; `None` if nothing probes it.
    pub since: Option<When>,
    /// Of the path check's latest probe, in milliseconds; `None` if it failed.
    pub latency_ms: Option<f64>,
    /// Check by check.
    #[serde(default)]
    pub checks: BTreeMap<Check, CheckReport>,
    /// The certificate that was shown last; `None` without TLS, or before the first.
    pub certificate: Option<CertificateReport>,
    /// The latest failure, kept after the recovery; `None` if no probe has failed.
    pub last_failure: Option<FailureReport>,
    /// Milliseconds until names return to it, at the latest; `None` if it is not on hold.
    pub hold_ms: Option<u64>,
    /// True if every source stopped to give it.
    pub retired: bool,
    /// The source that gave it.
    pub source: SourceKind,
}

/// One check of an address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    /// `unknown`, `up` or `down`, after hysteresis.
    pub state: String,
    /// Since when it is in this state.
    pub since: When,
    /// Its latest probe, in milliseconds; `None` if it failed.
    pub latency_ms: Option<f64>,
    /// Why its latest probe failed; `None` if it succeeded.
    pub reason: Option<FailureReason>,
    /// Finished probes.
    pub probes: u64,
}

/// A server's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateReport {
    /// The names it is for.
    pub names: Vec<String>,
    /// Who issued it.
    pub issuer: String,
    /// From when on it is valid: RFC 3339, UTC; of `probe` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins: Option<String>,
    /// When it ends, or the first intermediate on the way from it to a trusted root: RFC 3339, UTC.
    pub ends: String,
    /// Days until then, rounded down; negative once it has ended.
    pub days_left: i64,
    /// That intermediate, where it ends first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_by: Option<String>,
    /// Certificates that the server sends beside it, that lead nowhere and have ended: of no consequence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unused_and_ended: Vec<String>,
}

worded! {
    /// What is known of an address.
    AddressState {
        /// Answers.
        Up = "up",
        /// Does not.
        Down = "down",
        /// Not yet judged.
        Unknown = "unknown",
        /// Nothing probes it.
        Unprobed = "unprobed",
    }
}

/// A failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReport {
    /// The check that failed.
    pub check: Check,
    /// When the probe ended.
    #[serde(flatten)]
    pub when: When,
    /// The kind of failure.
    pub reason: FailureReason,
    /// What the probe met, in words.
    pub detail: String,
}

/// One published name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameReport {
    /// Where it points, in order.
    pub addresses: Vec<Placed>,
    /// Addresses that would serve, too, kept back by choice.
    pub standby: Vec<Placed>,
    /// Why the answer is what it is.
    pub reason: NameReason,
    /// The latest change of its addresses; `None` before the first plan of this agent.
    pub changed: Option<When>,
    /// Changes since the start.
    pub changes: u64,
    /// What each publisher says of it.
    pub verdicts: BTreeMap<String, Verdict>,
}

/// Why a name is answered as it is, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NameReason {
    /// Steering's reason for its answer.
    Answered(AnswerReason),
    /// It is in the configuration, and no address is known yet.
    NotYet(NoAnswer),
}

worded! {
    /// Why a configured name has no answer.
    NoAnswer {
        /// No address is known yet.
        Unresolved = "unresolved",
    }
}

impl fmt::Display for NameReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(reason) => reason.fmt(f),
            Self::NotYet(why) => why.fmt(f),
        }
    }
}

impl PartialEq<AnswerReason> for NameReason {
    fn eq(&self, reason: &AnswerReason) -> bool {
        *self == Self::Answered(*reason)
    }
}

impl NameReason {
    pub(crate) const UNRESOLVED: Self = Self::NotYet(NoAnswer::Unresolved);
}

/// An address, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The address.
    pub address: IpAddr,
    /// Its zone; `None` if discovery no longer knows the address.
    pub zone: Option<Zone>,
}

/// One publisher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublisherReport {
    /// Where it publishes: a path, or addresses.
    pub place: String,
    /// True if it has the present plan.
    pub in_sync: bool,
    /// The wall time of its latest receipt, RFC 3339; `None` before the first, and for those that give none.
    pub at: Option<String>,
    /// Why it could not publish, or what else is wrong there; `None` if nothing.
    pub error: Option<String>,
    /// True while another program keeps removing what it published.
    pub conflict: bool,
}

/// One of the agent's own parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageReport {
    /// The stage's name.
    pub name: String,
    /// Milliseconds since its latest sign of life.
    pub silent_ms: u64,
    /// How long it may be silent, in milliseconds.
    pub allowed_ms: u64,
    /// True if it has been silent for longer than it may.
    pub overdue: bool,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventReport {
    /// When it happened.
    #[serde(flatten)]
    pub when: When,
    /// `info`, `warning` or `error`.
    pub severity: String,
    /// The kind of event, in a word.
    pub event: String,
    /// What happened, in a sentence.
    pub text: String,
}
