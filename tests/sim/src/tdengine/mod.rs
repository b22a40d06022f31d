//! A stand-in for TDengine Cloud's gateway: the REST interface of taosAdapter over TLS, faults included.
//!
//! ```no_run
//! # use privatelink_sim::{Identity, Pki, TdengineMode, TdengineService, TdengineSetup, free_address};
//! # async fn test() -> std::io::Result<()> {
//! let pki = Pki::new("tdengine")?;
//! let identity = Identity::new(&pki, &["gw.cloud.example"])?;
//! let service = TdengineService::start(free_address(6041)?, TdengineSetup::default(), identity).await?;
//! // … POST /rest/sql?token=… with TdengineSetup::TOKEN …
//! service.set(TdengineMode::Code(855)).await?;
//! assert_eq!(service.counts().requests, 1);
//! # Ok(())
//! # }
//! ```

mod answer;
mod body;
mod mode;
mod serve;
mod setup;
mod sql;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

pub use mode::{CODES, TdengineMode, TdengineRefusal};
pub use setup::TdengineSetup;

use crate::gate::{Door, Gate};
use crate::identity::Identity;

/// A TDengine gateway.
pub struct TdengineService {
    gate: Gate,
    shared: Arc<Shared>,
    mode: Mutex<TdengineMode>,
}

/// What has happened at a [`TdengineService`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TdengineCounts {
    /// Connections accepted.
    pub connections: u64,
    /// TLS handshakes with a certificate.
    pub tls_full: u64,
    /// Resumed TLS handshakes.
    pub tls_resumed: u64,
    /// TLS handshakes that came to nothing.
    pub tls_failed: u64,
    /// Requests.
    pub requests: u64,
    /// Those among them that proved who they were from.
    pub authenticated: u64,
}

/// A request, as the gateway saw it. Nothing of it is hidden: the stand-in's secrets are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TdengineRequest {
    /// The name of the TLS client hello.
    pub server_name: Option<String>,
    /// True if the TLS session was resumed, so that no certificate was shown.
    pub resumed: bool,
    /// Method and target, "POST /rest/sql?token=…".
    pub line: String,
    /// Headers by their names in lower case; the last of a name.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
    /// The status of the answer.
    pub status: u16,
    /// Whether it proved who it was from, and got as far as the database.
    pub authenticated: bool,
}

struct Shared {
    setup: Mutex<Arc<TdengineSetup>>,
    identity: Identity,
    counts: Mutex<TdengineCounts>,
    last: Mutex<Option<TdengineRequest>>,
}

impl TdengineService {
    /// Starts a service, [`TdengineMode::Up`].
    ///
    /// # Errors
    /// If the address can't be bound.
    pub async fn start(address: SocketAddr, setup: TdengineSetup, identity: Identity) -> io::Result<Self> {
        let setup = Mutex::new(Arc::new(setup));
        let shared = Shared { setup, identity, counts: Mutex::default(), last: Mutex::default() };
        let mode = Mutex::new(TdengineMode::Up);
        let service = Self { gate: Gate::closed(address), shared: Arc::new(shared), mode };
        service.set(TdengineMode::Up).await?;
        Ok(service)
    }

    /// Switches the mode and closes all connections; returns when it is in force.
    ///
    /// # Errors
    /// If the address can't be bound again.
    pub async fn set(&self, mode: TdengineMode) -> io::Result<()> {
        *lock(&self.mode) = mode.clone();
        let door = match mode {
            TdengineMode::Refused => Door::Closed,
            TdengineMode::Silent => Door::Silent,
            mode => {
                let (shared, mode) = (self.shared.clone(), Arc::new(mode));
                Door::Open(Arc::new(move |stream| Box::pin(serve::serve(shared.clone(), stream, mode.clone()))))
            }
        };
        self.gate.set(door).await
    }

    /// Changes the accounts, and closes all connections.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn set_up(&self, setup: TdengineSetup) -> io::Result<()> {
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
    pub fn counts(&self) -> TdengineCounts {
        TdengineCounts { connections: self.gate.accepted(), ..*lock(&self.shared.counts) }
    }

    /// The last request that was answered.
    #[must_use]
    pub fn last_request(&self) -> Option<TdengineRequest> {
        lock(&self.shared.last).clone()
    }
}

impl Shared {
    fn setup(&self) -> Arc<TdengineSetup> {
        lock(&self.setup).clone()
    }

    fn count(&self, change: impl FnOnce(&mut TdengineCounts)) {
        change(&mut lock(&self.counts));
    }

    fn saw(&self, request: TdengineRequest) {
        self.count(|counts| {
            counts.requests += 1;
            counts.authenticated += u64::from(request.authenticated);
        });
        *lock(&self.last) = Some(request);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
