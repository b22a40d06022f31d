//! TLS with one server as one prober goes about it: the budget is asked first, and told what came of it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ring::digest::{SHA256, digest};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::greeting::Greeting;
use super::tls_book::{End, Objection, Wish};
use super::tls_budget::Begun;
use super::tls_ledger::{TlsBudget, Want};
use super::tls_mode::ShakeFault;
use crate::model::{Failure, FailureReason, MysqlTls, Trust, hex};
use crate::probe::fleet::FleetSize;
use crate::sys::lock::lock;

/// What one prober knows of TLS with its server.
#[derive(Debug)]
pub(super) struct TlsGuard {
    server: SocketAddr,
    /// A digest of what the config says of TLS.
    config: String,
    /// `off`, `preferred`, `required`, `verify_ca` or `verify`.
    mode: &'static str,
    budget: Arc<TlsBudget>,
    /// For as long as TLS is wanted so; never read.
    _want: Option<Want>,
    fleet: FleetSize,
    /// Held by a look at the certificate while TLS is not proven.
    looking: Semaphore,
    /// What the admin should know of it; absent while all is well.
    remark: Mutex<Option<Arc<str>>>,
}

/// The turn to look at a certificate, until it is dropped.
pub(super) struct Look<'a> {
    /// The permit; absent where looks need no turns.
    _turn: Option<SemaphorePermit<'a>>,
}

impl TlsGuard {
    pub(super) fn new(server: SocketAddr, tls: &MysqlTls, budget: &Arc<TlsBudget>, fleet: &FleetSize) -> Self {
        let (mode, config) = (mode_name(tls), config_digest(tls));
        let want = (*tls != MysqlTls::Off).then(|| budget.register_want(server, &config));
        Self {
            server,
            config,
            mode,
            budget: budget.clone(),
            _want: want,
            fleet: fleet.clone(),
            looking: Semaphore::new(1),
            remark: Mutex::default(),
        }
    }

    /// How a connection goes on after its greeting, which offers TLS if that is `wanted`: with a handshake, whose end
    /// must be told, or without TLS.
    ///
    /// # Errors
    /// Why it goes on no further.
    pub(super) async fn after_greeting(&self, wanted: bool, greeting: &Greeting) -> Result<Option<Begun>, Failure> {
        if wanted { self.begin(greeting).await } else { self.without_offer().await.map(|()| None) }
    }

    /// Whether TLS may follow a greeting that offers it.
    pub(super) async fn begin(&self, greeting: &Greeting) -> Result<Option<Begun>, Failure> {
        let wish = Wish {
            server: self.server,
            config: self.config.clone(),
            mode: self.mode,
            greeting: short_digest(&greeting.identity()),
            counts: greeting.counts_break_offs(),
        };
        match self.budget.begin(wish, self.fleet.spread()).await {
            Ok(begun) => Ok(Some(begun)),
            Err(Objection::Plain(failure)) if self.mode == "preferred" => {
                self.set_remark(format_args!("login without TLS: {}", failure.detail));
                Ok(None)
            }
            Err(Objection::Plain(failure) | Objection::Stop(failure)) => {
                if failure.reason != FailureReason::Local {
                    self.set_remark(format_args!("TLS is left alone: {}", failure.detail));
                }
                Err(failure)
            }
        }
    }

    /// Whether a login may follow a greeting that offers no TLS. Where TLS was completed before, an attacker in the
    /// middle may have taken the offer out; if it was the server's administrator, ours says so in the config.
    async fn without_offer(&self) -> Result<(), Failure> {
        if self.mode == "off" || !self.budget.was_completed(self.server).await {
            return Ok(());
        }
        let text = "the server offers no TLS any more, and it was completed before: no login goes without it; if it was \
                    switched off there, set tls = \"off\"";
        self.set_remark(format_args!("{text}"));
        Err(Failure::new(FailureReason::TlsHandshake, text))
    }

    /// The turn to look at the certificate: looks that overlap would spend the budget of a server that is not proven at
    /// once. None while another prober has it.
    pub(super) fn turn_to_look(&self) -> Option<Look<'_>> {
        match self.looking.try_acquire() {
            Ok(turn) => Some(Look { _turn: Some(turn) }),
            Err(_) => self.budget.is_proven(self.server, self.mode).then_some(Look { _turn: None }),
        }
    }

    /// A handshake has ended so.
    pub(super) async fn note_end<T>(&self, begun: Begun, shaken: &Result<T, ShakeFault>) {
        if shaken.is_ok() {
            *lock(&self.remark) = None;
        }
        begun.end(shaken.as_ref().map_or_else(|fault| fault.end.clone(), |_| End::Completed)).await;
    }

    /// A login has succeeded.
    pub(super) async fn note_login(&self) {
        self.budget.note_login(self.server).await;
    }

    /// What people should know.
    pub(super) fn remark(&self) -> Option<Arc<str>> {
        match (lock(&self.remark).clone(), self.budget.unsaved()) {
            (Some(said), Some(unsaved)) => Some(format!("{said}; {unsaved}").into()),
            (said, unsaved) => said.or(unsaved),
        }
    }

    fn set_remark(&self, text: std::fmt::Arguments<'_>) {
        *lock(&self.remark) = Some(text.to_string().into());
    }
}

fn mode_name(tls: &MysqlTls) -> &'static str {
    match tls {
        MysqlTls::Off => "off",
        MysqlTls::Preferred => "preferred",
        MysqlTls::Required => "required",
        MysqlTls::VerifyCa(_) => "verify_ca",
        MysqlTls::Verify(_) => "verify",
    }
}

/// A digest of what the config says of TLS, the same in every version of this program.
fn config_digest(tls: &MysqlTls) -> String {
    let mut said = mode_name(tls).as_bytes().to_vec();
    let bundle = match tls {
        MysqlTls::Off | MysqlTls::Preferred | MysqlTls::Required => None,
        MysqlTls::VerifyCa(bundle) => Some(bundle),
        MysqlTls::Verify(spec) => {
            said.extend_from_slice(spec.server_name.as_str().as_bytes());
            match &spec.trust {
                Trust::System => None,
                Trust::File(bundle) => Some(bundle),
            }
        }
    };
    for certificate in bundle.iter().flat_map(|bundle| &bundle.certificates) {
        said.push(0);
        said.extend_from_slice(digest(&SHA256, certificate).as_ref());
    }
    short_digest(&said)
}

/// Enough of a digest to tell some few things apart.
fn short_digest(said: &[u8]) -> String {
    hex(&digest(&SHA256, said).as_ref()[..8])
}
