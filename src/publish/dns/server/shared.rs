//! What the loops share, with the agent and with each other.

use std::io;
use std::sync::Arc;

use crate::publish::dns::forwarders::Forwarders;
use crate::publish::dns::{Answers, Counters};

/// What the loops share with the agent.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The answers that are in force.
    pub answers: Answers,
    /// The counts of queries, replies and drops.
    pub counters: Arc<Counters>,
    /// Which of those that others' names are asked of are ill.
    pub forwarders: Arc<Forwarders>,
}

/// True if the network brought back what became of one peer, while the socket is as good as before: the connection was
/// gone before it was accepted (accept(2)), or an earlier reply did not arrive (ip(7)).
pub(super) fn is_of_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable,
    };
    let gone = matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted);
    gone || matches!(error.kind(), HostUnreachable | NetworkUnreachable)
}
