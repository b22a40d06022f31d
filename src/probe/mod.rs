//! Questions put to targets.
//!
//! A [`Prober`] makes one attempt at one check of one target, at an address of the inventory and never at a name, and
//! says what it saw: phase times, or a failure from the closed set. It holds no opinion on what is up, keeps no
//! schedule and never retries: the runner and the tracker do that.
//!
//! [`dial`] opens connections and names their faults, [`tls`] holds trust and sessions, [`tcp`] and [`https`] ask the
//! questions. [`Probers`] makes the right one for a target and lets targets share what is dear (root stores). The
//! [`runner`] keeps one task a target, each owning its tracker, and collects what they find.

use std::sync::Arc;
use std::time::Duration;

use crate::health::Pace;
use crate::model::{Certificate, Check, Depth, Failure, ProbeKind, TargetSpec, Timings};
use crate::sys::clock::Clock;
use mysql::{GreetingProber, LoginProber, Product};
use tdengine::{Question, TdengineProber};

mod backoff;
pub mod certificate;
pub(crate) mod chain;
mod check_task;
pub mod dial;
mod faults;
mod fleet;
mod goodbye;
pub(crate) mod http;
pub mod https;
mod in_use;
pub mod mysql;
mod prober;
mod remote;
pub mod runner;
mod secret_guard;
mod session_store;
mod simple_certificate;
mod target_set;
pub mod tcp;
pub mod tdengine;
pub mod tls;
pub(crate) mod verifier;

pub use fleet::FleetSize;
pub use mysql::TlsBudget;
pub use prober::{Overlap, Prober};
pub use secret_guard::{LoginResult, SecretGuard, Turn};
pub use target_set::TargetSet;

/// Any of our probers.
#[derive(Debug)]
pub enum AnyProber {
    /// See [`tcp`].
    Tcp(tcp::TcpProber),
    /// See [`https`].
    Https(Box<https::HttpsProber>),
    /// See [`tdengine`].
    Tdengine(Box<tdengine::TdengineProber>),
    /// See [`mysql`].
    Greeting(Box<mysql::GreetingProber>),
    /// See [`mysql`].
    Login(Box<mysql::LoginProber>),
}

impl AnyProber {
    /// The prober as far as it tells of itself.
    fn inner(&self) -> &dyn Prober {
        match self {
            Self::Tcp(prober) => prober,
            Self::Https(prober) => &**prober,
            Self::Tdengine(prober) => &**prober,
            Self::Greeting(prober) => &**prober,
            Self::Login(prober) => &**prober,
        }
    }
}

impl Prober for AnyProber {
    fn overlap(&self) -> Overlap {
        self.inner().overlap()
    }

    fn certificate(&self) -> Option<Arc<Certificate>> {
        self.inner().certificate()
    }

    fn pace(&self) -> Pace {
        self.inner().pace()
    }

    fn remark(&self) -> Option<Arc<str>> {
        self.inner().remark()
    }

    fn is_reached(&self) -> Option<bool> {
        self.inner().is_reached()
    }

    async fn probe(&self, deadline: Duration) -> Result<Timings, Failure> {
        // What shakes hands over TLS is large: boxed, so that an attempt of the others is not.
        match self {
            Self::Tcp(prober) => prober.probe(deadline).await,
            Self::Https(prober) => Box::pin(prober.probe(deadline)).await,
            Self::Tdengine(prober) => Box::pin(prober.probe(deadline)).await,
            Self::Greeting(prober) => prober.probe(deadline).await,
            Self::Login(prober) => Box::pin(prober.probe(deadline)).await,
        }
    }
}

/// Makes probers. Keep one for the life of the process: what it makes shares root stores, the knowledge which secrets
/// were refused, and whose turn it is to shake hands with a MySQL server.
#[derive(Debug)]
pub struct Probers(mysql::Shared);

impl Probers {
    /// A factory that shares nothing yet, on a host alone.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self::for_fleet(clock, FleetSize::new(1))
    }

    /// As [`new`](Self::new), on one host of a fleet that has the same secrets and servers.
    #[must_use]
    pub fn for_fleet(clock: Clock, fleet: FleetSize) -> Self {
        Self(mysql::Shared {
            trust: tls::TrustSets::default(),
            secret_guard: Arc::new(SecretGuard::new(clock, fleet.clone())),
            handshake_limits: mysql::HandshakeLimits::default(),
            fleet,
            tls_budget: Arc::new(TlsBudget::in_memory(clock)),
        })
    }

    /// The same with a budget of broken TLS handshakes that others share.
    #[must_use]
    pub fn with_tls_budget(self, tls_budget: TlsBudget) -> Self {
        Self(mysql::Shared { tls_budget: Arc::new(tls_budget), ..self.0 })
    }

    /// What the probers of databases are in the middle of, for the end of the agent.
    #[must_use]
    pub fn handshakes(&self) -> mysql::HandshakeLimits {
        self.0.handshake_limits.clone()
    }

    /// The prober of a check of a target. Opens and reads nothing; what is wrong with the spec, or with the system's
    /// roots, shows as the failure of each attempt.
    #[must_use]
    pub fn prober(&self, target: &TargetSpec, check: Check) -> AnyProber {
        let (probe, shared) = (&target.probe, &self.0);
        let address = (target.key.address, probe.port).into();
        let depth = probe.deep.map_or(Depth::Login, |deep| deep.depth);
        let login = |prober| AnyProber::Login(Box::new(prober));
        match (&probe.kind, check) {
            (ProbeKind::Tcp, _) => AnyProber::Tcp(tcp::TcpProber::new(address)),
            (ProbeKind::Https(spec), _) => {
                let trust = shared.trust.for_trust(&spec.tls.trust);
                AnyProber::Https(Box::new(https::HttpsProber::new(address, spec, trust)))
            }
            (ProbeKind::Tdengine(spec), _) => {
                let question = match (check, depth) {
                    (Check::Path, _) => probe.deep.is_none().then_some(Question::Anonymous),
                    (Check::Deep, Depth::Login) => Some(Question::Login),
                    (Check::Deep, Depth::Query) => Some(Question::Query { expect: spec.expect.clone() }),
                };
                let (trust, secret_guard) = (shared.trust.for_trust(&spec.tls.trust), shared.secret_guard.clone());
                AnyProber::Tdengine(Box::new(TdengineProber::new(address, spec, question, trust, secret_guard)))
            }
            (ProbeKind::Matrixone(spec), Check::Path) => {
                AnyProber::Greeting(Box::new(GreetingProber::new(address, spec, shared)))
            }
            (ProbeKind::Mysql(spec), Check::Path) => login(LoginProber::path(address, spec, &probe.path, shared)),
            (ProbeKind::Matrixone(spec), Check::Deep) => {
                login(LoginProber::deep(address, Product::Matrixone, spec, depth, shared))
            }
            (ProbeKind::Mysql(spec), Check::Deep) => {
                login(LoginProber::deep(address, Product::Any, spec, depth, shared))
            }
        }
    }
}
