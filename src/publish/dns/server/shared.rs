//! What the loops share with the agent.

use std::sync::Arc;

use crate::publish::dns::{Answers, Counters};

/// What the loops share with the agent.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The answers that are in force.
    pub answers: Answers,
    /// The counts of queries, replies and drops.
    pub counters: Arc<Counters>,
}
