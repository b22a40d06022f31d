//! Why nothing is registered with the resolver.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::choice::Obstacle;
use crate::model::shown::count;

/// Why nothing was registered, or withdrawn.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// What the admin asked for can't be.
    #[error("[dns] route = \"{wanted}\" can't be: {obstacle}")]
    Obstacle {
        /// The word of the config.
        wanted: &'static str,
        /// What is in the way.
        obstacle: Obstacle,
    },
    /// The agent has handed no plan over.
    #[error("the agent has no answer for any name yet")]
    NoPlan,
    /// The stub does not serve what the plan has.
    #[error("the stub serves none of {} at {}", count(*.names, "name"), list(servers))]
    Unanswered {
        /// How many names the plan has.
        names: usize,
        /// Where it was asked.
        servers: Vec<SocketAddr>,
    },
    /// A program that is needed is missing.
    #[error("expected the program {name} on this host, found none")]
    NoProgram {
        /// Its name.
        name: &'static str,
    },
    /// A program said no.
    #[error("{call}: {said}")]
    Failed {
        /// How it was called.
        call: String,
        /// What it said.
        said: String,
    },
    /// A file or folder.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

fn list(servers: &[SocketAddr]) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
