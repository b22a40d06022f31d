//! What one round found and what the agent would make of it, as reports: for scripts as JSON, for people as a table,
//! and beside what the running agent knows. All pure.
//!
//! [`discover_report`] is what `discover` answers, [`probe_report`] what `probe` does, [`plan_report`] what `plan`
//! does. A failure is told in the source's own sentence, with what to do about it where that is known.

mod agent;
mod common;
pub mod discover_report;
pub mod plan_report;
pub mod probe_report;

pub use agent::{AgentAnswer, Comparison};
pub use common::{Host, SCHEMA, Seen};
pub use discover_report::DiscoverReport;
pub use plan_report::PlanReport;
pub use probe_report::ProbeReport;
