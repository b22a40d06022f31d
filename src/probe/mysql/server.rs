//! One server as one check knows it: who logs in, and when the server may be greeted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::decline;
use super::errors::Product;
use super::handshake_limit::{HandshakeLimit, HandshakeLimits, Turn};
use super::inflight_attempt::{Attempt, Phase};
use super::pauses::LoginKey;
use super::tls_guard::TlsGuard;
use super::tls_ledger::TlsBudget;
use super::tls_mode::TlsMode;
use crate::health::{Pace, Sparing};
use crate::model::{Failure, MysqlLogin, MysqlSpec, Secret};
use crate::probe::faults::local;
use crate::probe::fleet::FleetSize;
use crate::probe::remote::Remote;
use crate::probe::secret_guard::SecretGuard;
use crate::probe::tls::{TrustSets, loaded_in_time};

/// How long a server may take for a TLS handshake, for the answer to a login, or for the result of a statement. A login
/// is waited for beyond its probe, since one that is accepted late must be ended politely.
pub(super) const HOLD: Duration = Duration::from_secs(60);

/// What all probers of a process share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The certificate authorities in use.
    pub(crate) trust: TrustSets,
    /// The secrets that servers have refused or accepted.
    pub(crate) secret_guard: Arc<SecretGuard>,
    /// The limit of unfinished handshakes with each server.
    pub(crate) handshake_limits: HandshakeLimits,
    /// How many hosts put the same questions to the same servers.
    pub(crate) fleet: FleetSize,
    /// How many TLS handshakes may break off.
    pub(crate) tls_budget: Arc<TlsBudget>,
}

/// A server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) remote: Remote,
    pub(super) product: Product,
    pub(super) tls: TlsMode,
    pub(super) guard: TlsGuard,
    pub(super) spec: MysqlSpec,
    pub(super) login_key: LoginKey,
    pub(super) limit: Arc<HandshakeLimit>,
    pub(super) secret_guard: Arc<SecretGuard>,
    fleet: FleetSize,
    /// Whether its latest greeting was declined for what the next one will show again: its TLS, its product.
    turned_away: AtomicBool,
    /// Whether it has accepted the login.
    pub(super) accepted: AtomicBool,
}

impl Server {
    pub(super) fn new(address: SocketAddr, product: Product, spec: &MysqlSpec, shared: &Shared) -> Self {
        Self {
            remote: Remote::new(address),
            product,
            tls: TlsMode::new(address, &spec.tls, &shared.trust),
            guard: TlsGuard::new(address, &spec.tls, &shared.tls_budget, &shared.fleet),
            spec: spec.clone(),
            login_key: LoginKey::new(spec.login.as_ref(), &spec.tls),
            limit: shared.handshake_limits.for_server(address),
            secret_guard: shared.secret_guard.clone(),
            fleet: shared.fleet.clone(),
            turned_away: AtomicBool::default(),
            accepted: AtomicBool::default(),
        }
    }

    /// What no message may repeat.
    pub(super) fn secret(&self) -> Option<&Secret> {
        self.spec.login.as_ref().and_then(MysqlLogin::secret)
    }

    /// What must be right before the server is dialled.
    ///
    /// # Errors
    /// A spec or roots that can't be used; a slow disk is never the target's fault.
    pub(super) async fn prepare(&self, allowed: Duration) -> Result<(), Failure> {
        loaded_in_time(allowed, self.tls.load_authorities()).await
    }

    /// The turn to shake hands.
    pub(super) async fn handshake_turn(&self, attempt: &Attempt) -> Turn {
        attempt.enter(Phase::Turn);
        self.limit.wait_for_turn().await
    }

    /// Whether nothing speaks against another greeting: it has room, has not just been silent, and has answered our
    /// latest decline.
    pub(super) fn may_be_greeted(&self) -> bool {
        !self.limit.is_crowded()
            && self.limit.silence.remaining_rest().is_none()
            && self.limit.refusals.check_none_awaited().is_ok()
    }

    /// How long this host leaves between two refused logins, so that those of the whole fleet stay few.
    pub(super) fn between_refusals(&self) -> Duration {
        self.fleet.apart(decline::FLEET_RATE)
    }

    /// How often the next attempts may be made, if they are made without a login.
    pub(super) fn sparing_pace(&self) -> Pace {
        Pace::Sparing(Sparing { apart: self.between_refusals() })
    }

    /// The login is of no use for now.
    pub(super) fn pause_login(&self, why: &Failure) {
        self.limit.pauses.pause_login(self.login_key, why.clone(), self.between_refusals());
    }

    /// What became of the latest greeting ([`Self::turns_away`]).
    pub(super) fn note_turned_away(&self, turned_away: bool) {
        self.turned_away.store(turned_away, Ordering::Relaxed);
    }

    /// True if the latest greeting was declined for what the next one will show again.
    pub(super) fn turns_away(&self) -> bool {
        self.turned_away.load(Ordering::Relaxed)
    }

    /// Whether a server may be greeted that is likely to be declined again.
    ///
    /// # Errors
    /// [`Local`](crate::model::FailureReason::Local) while an earlier decline is not answered.
    pub(super) fn may_turn_away(&self) -> Result<(), Failure> {
        if self.turns_away() { self.limit.refusals.check_none_awaited() } else { Ok(()) }
    }
}

/// The failure of an attempt that no probe waits for any more.
pub(super) fn abandoned() -> Failure {
    local("the target has gone")
}
