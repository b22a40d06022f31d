//! A stand-in for the front end of MatrixOne Cloud: the MySQL protocol as its proxy speaks it, faults included.
//!
//! ```no_run
//! # use privatelink_sim::{Identity, LoginFault, MatrixoneMode, MatrixoneService, MatrixoneSetup, Pki, free_address};
//! # async fn test() -> std::io::Result<()> {
//! let pki = Pki::new("matrixone")?;
//! let identity = Identity::new(&pki, &["ep-1.privatelink.example"])?;
//! let service = MatrixoneService::start(free_address(6001)?, MatrixoneSetup::default(), Some(identity)).await?;
//! // … log in as MatrixoneSetup::USER …
//! service.set(MatrixoneMode::Login(LoginFault::NoCn)).await?;
//! assert_eq!(service.counts().clear_passwords, 0);
//! # Ok(())
//! # }
//! ```
//!
//! What it says comes from the source of MatrixOne and its proxy, and from two real clusters, v2.0.3 and v4.2.0: it
//! answers as the one or the other by the version of its greeting ([`MatrixoneSetup::V2`], [`MatrixoneSetup::V4`]). The
//! texts that are not from there are marked in [`LoginFault`] and [`ClusterFault`].

mod accounts;
mod cluster;
mod commands;
mod handshake;
mod mode;
mod packet;
mod query;
mod session;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

pub use accounts::MatrixoneSetup;
pub use cluster::ClusterFault;
pub use handshake::SeenLogin;
pub use mode::{LoginFault, MatrixoneMode, SqlError};

use cluster::Outage;

use crate::gate::{Door, Gate};
use crate::identity::Identity;

/// A MatrixOne front end.
pub struct MatrixoneService {
    gate: Gate,
    shared: Arc<Shared>,
    mode: Mutex<MatrixoneMode>,
}

/// What has happened at a [`MatrixoneService`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MatrixoneCounts {
    /// Connections accepted.
    pub connections: u64,
    /// Clients that left right after the greeting without a byte, as load balancers do; the proxy expects that.
    pub heartbeats: u64,
    /// Clients that left after TLS without a login.
    pub left_after_tls: u64,
    /// Clients that left within a handshake that they had begun, or took too long for it.
    pub unfinished_handshakes: u64,
    /// TLS handshakes with a certificate.
    pub tls_full: u64,
    /// Resumed TLS handshakes.
    pub tls_resumed: u64,
    /// Logins that were let in.
    pub logins: u64,
    /// Logins that met an error.
    pub failed_logins: u64,
    /// Pings.
    pub pings: u64,
    /// Queries, those included that drivers send on their own.
    pub queries: u64,
    /// Polite goodbyes.
    pub quits: u64,
    /// Passwords that came in clear, or encrypted for whoever asks. Never, it is hoped.
    pub clear_passwords: u64,
    /// Pieces of a client's file. Never, it is hoped.
    pub file_pieces: u64,
}

/// How many statements are remembered.
const STATEMENTS: usize = 1000;
/// The proxy's first connections have numbers near this.
const FIRST_ID: u32 = 1001;

struct Shared {
    setup: Mutex<Arc<MatrixoneSetup>>,
    identity: Option<Identity>,
    counts: Mutex<MatrixoneCounts>,
    last_login: Mutex<Option<SeenLogin>>,
    statements: Mutex<VecDeque<String>>,
    ids: AtomicU32,
    outage: Mutex<Arc<Outage>>,
}

impl MatrixoneService {
    /// Starts a service, [`MatrixoneMode::Up`]. Without an identity it has no TLS.
    ///
    /// # Errors
    /// If the address can't be bound.
    pub async fn start(address: SocketAddr, setup: MatrixoneSetup, identity: Option<Identity>) -> io::Result<Self> {
        let shared = Shared {
            setup: Mutex::new(Arc::new(setup)),
            identity,
            counts: Mutex::default(),
            last_login: Mutex::default(),
            statements: Mutex::default(),
            ids: AtomicU32::new(FIRST_ID),
            outage: Mutex::new(Arc::new(Outage::new())),
        };
        let mode = Mutex::new(MatrixoneMode::Up);
        let service = Self { gate: Gate::closed(address), shared: Arc::new(shared), mode };
        service.set(MatrixoneMode::Up).await?;
        Ok(service)
    }

    /// Switches the mode and closes all connections; returns when it is in force.
    ///
    /// # Errors
    /// If the address can't be bound again.
    pub async fn set(&self, mode: MatrixoneMode) -> io::Result<()> {
        *lock(&self.mode) = mode.clone();
        *lock(&self.shared.outage) = Arc::new(Outage::new());
        let door = match mode {
            MatrixoneMode::Refused => Door::Closed,
            MatrixoneMode::Silent => Door::Silent,
            mode => {
                let (shared, mode) = (self.shared.clone(), Arc::new(mode));
                Door::Open(Arc::new(move |stream| Box::pin(session::serve(shared.clone(), stream, mode.clone()))))
            }
        };
        self.gate.set(door).await
    }

    /// Changes the accounts, and closes all connections.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn set_up(&self, setup: MatrixoneSetup) -> io::Result<()> {
        *lock(&self.shared.setup) = Arc::new(setup);
        let mode = lock(&self.mode).clone();
        self.set(mode).await
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.gate.address()
    }

    /// What has happened so far.
    #[must_use]
    pub fn counts(&self) -> MatrixoneCounts {
        MatrixoneCounts { connections: self.gate.accepted(), ..*lock(&self.shared.counts) }
    }

    /// The last login that could be read, good or bad.
    #[must_use]
    pub fn last_login(&self) -> Option<SeenLogin> {
        lock(&self.shared.last_login).clone()
    }

    /// The last statements, oldest first.
    #[must_use]
    pub fn statements(&self) -> Vec<String> {
        lock(&self.shared.statements).iter().cloned().collect()
    }
}

impl Shared {
    fn setup(&self) -> Arc<MatrixoneSetup> {
        lock(&self.setup).clone()
    }

    fn outage(&self) -> Arc<Outage> {
        lock(&self.outage).clone()
    }

    fn next_id(&self) -> u32 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    fn count(&self, change: impl FnOnce(&mut MatrixoneCounts)) {
        change(&mut lock(&self.counts));
    }

    fn saw_login(&self, login: &SeenLogin) {
        *lock(&self.last_login) = Some(login.clone());
    }

    fn saw_statement(&self, sql: &str) {
        self.count(|counts| counts.queries += 1);
        let mut statements = lock(&self.statements);
        if statements.len() == STATEMENTS {
            statements.pop_front();
        }
        statements.push_back(sql.to_owned());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
