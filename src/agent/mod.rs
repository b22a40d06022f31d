//! The composition root of `run`: parse without binding, bind without starting, start, supervise, drain.
//!
//! It holds no rule and renders nothing. Each stage is a task of its own with receivers of what it depends on and the
//! one sender of what it finds (`wire`); a stage that ends without being told to is a fault that ends the agent, and
//! systemd starts it anew. What is published stays meanwhile.

mod api_accounting;
mod cloud;
mod control;
mod host;
mod listen;
pub mod oneshot;
mod options;
mod secret_files;
mod settings;
mod start;
pub mod steering;
mod stub;
mod systemd_status;
mod wire;
mod withdrawn;

use std::sync::Arc;
use std::time::Duration;

pub use cloud::CredentialScope;
pub use options::{Options, Recalled};

use crate::daemon::supervise::Supervisor;
use crate::daemon::{Fault, Orders};
use crate::discover::Cache;
use crate::sys::clock::Clock;

/// How long stages may take to end after a stop. What is published stays, so there is little to wait for.
pub const DRAIN: Duration = Duration::from_secs(2);

/// Runs the agent until it is told to stop.
///
/// # Errors
/// A stage that ended by itself.
pub async fn run(options: Options, orders: Orders) -> Result<(), Fault> {
    let clock = Clock::System;
    let host = start::host_facts(&options.loaded.config, None);
    let cache = Arc::new(start::cache(&options.loaded.config, &host.identity));
    let memory = start::recall(cache.clone(), settings::policy(&options.loaded.config), Cache::load, clock).await;
    let stop = orders.stop.clone();
    let mut supervisor = Supervisor::new(stop.clone());
    let log = wire::Wiring::new(options, host, (cache, memory), clock).start(&mut supervisor, orders.reload).await;
    let result = supervisor.run(DRAIN).await;
    log.end().await;
    result
}
