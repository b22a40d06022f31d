//! `status`: what the running agent knows, for people and scripts.
//!
//! [`StatusReport`] is the contract (`/status`, `status.sock`, `status --json`); [`report`] makes it from a snapshot,
//! [`table`] shows it to a human, [`ready`] and [`healthy`] are its yes or no. All pure.

mod credentials;
mod discovery;
mod evidence;
mod former;
mod outage;
mod problems;
mod report;
mod schema;
mod sentence;
mod table;
mod target;
mod unresolved;

pub use problems::{healthy, ready};
pub use report::report;
pub use schema::{
    AddressReport, AddressState, CertificateReport, CheckReport, CloudReport, ConfigReport, CredentialsReport,
    EndpointReport, EventReport, FailureReport, HostReport, NameReason, NameReport, NoAnswer, Placed, PublisherReport,
    SCHEMA, SourceReport, StageReport, State, StatusReport, TriedReport, When,
};
pub use sentence::{published, sentence};
pub use table::{Style, table};

pub use super::text_table::Screen;

pub(super) use problems::hosts_in_sync;
pub(crate) use report::placed;
pub(crate) use table::{NO_ADDRESS, places, reason_cell};
