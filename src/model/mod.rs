//! The nouns: every type that crosses a boundary between two rooms.
//!
//! Pure values. Nothing in here reads a clock, a file or a socket, and nothing in here logs: time comes in as
//! [`Now`], and what happened goes out as a value.

mod api;
mod certificate;
mod checks;
mod cloud_status;
mod digest;
mod dns;
mod event;
mod failure;
mod handover;
mod health;
mod host;
mod inventory;
mod left_out;
pub mod limits;
mod log;
mod name;
mod observation;
mod overrides;
mod plan;
mod policy;
mod probe;
mod proxy;
pub mod ranges;
mod secret;
pub mod secret_parts;
pub mod shown;
mod time;
mod words;

pub use api::{ApiCounts, ApiState, CredentialsState, NO_CREDENTIALS};
pub use certificate::{Certificate, Intermediate};
pub use checks::Checks;
pub use cloud_status::{BusinessStatus, ConnectionStatus, EndpointStatus, EndpointType, ZoneStatus};
pub use digest::{Digest, hex};
pub use dns::{DNS_DURATION_BUCKETS, DnsCode, DnsCounts, DnsTransport};
pub use event::{Event, EventClass, EventKind, EventMaker, Outage, Severity};
pub use failure::{Failure, FailureReason, Overload};
pub use handover::{
    CutShort, HANDOVER_FORMAT, Handover, Notice, PublishErrorKind, PublisherState, Receipt, Receipts, Verdict,
    Withdrawn, taken_out,
};
pub use health::{
    CheckHealth, CheckShown, CheckState, CheckStats, DURATION_BUCKETS, HealthView, LastResult, Load, OVERLOAD_RAMP,
    OverloadRun, Slowness, Span, TargetHealth,
};
pub use host::{HostFacts, Identity, IdentityPart};
pub use inventory::{
    AddressEntry, CloudFacts, Endpoint, EndpointIdentity, Freshness, Inventory, Missing, Presence, SourceKind,
    ZoneEntry, ZoneFacts,
};
pub use left_out::LeftOut;
pub use log::{LogFormat, LogLevel, LogTarget};
pub use name::{EndpointId, EndpointName, HostName, NameError, Zone, ZoneId, host_of};
pub use observation::{Observation, Probed, Timings};
pub use overrides::{Drain, Overrides};
pub use plan::{Answer, AnswerHistory, AnswerReason, Plan, PlanState, Withdrawal};
pub use policy::{Answers, Damping, Graces, Policy, Prefer, Steering};
pub use probe::{
    Check, DeepSpec, Depth, FileSecret, HeaderValue, HttpsSpec, MysqlLogin, MysqlSpec, MysqlTls, ProbeKind, ProbeSpec,
    Returns, Schedule, TargetKey, TargetSpec, TdengineLogin, TdengineSpec, TlsSpec, Trust, TrustBundle,
};
pub use proxy::{Proxy, ProxyChoice, ProxyUrl, ProxyUrlError};
pub use ranges::Families;
pub use secret::{HIDDEN, Secret, hide};
pub use time::{Boottime, Now, Wall, millis};
pub(crate) use words::worded;
pub use words::{InPlace, ProbeKindName, ProviderName};
