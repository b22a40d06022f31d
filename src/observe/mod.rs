//! Observation: it watches and may not speak.
//!
//! [`Views`] holds a receiver of everything that the other rooms publish, and never a sender. From it comes a
//! [`Snapshot`], one plain value; everything that people and Prometheus see is a pure rendering of that:
//! [`metrics`] for scrapers, [`status`] for people and scripts (with the yes or no of `/healthz` and `/readyz`).
//! [`serve`] carries the renderings to clients, on listeners that are handed in. [`events`] keeps what happened
//! and turns it into log lines.

pub mod events;
pub mod metrics;
pub mod serve;
pub mod status;
pub(crate) mod text_table;

mod pages;
mod snapshot;

pub use events::EventLog;
pub use pages::Pages;
pub use snapshot::{Build, ConfigState, DnsMeter, ProbeLabel, Snapshot, Views};
