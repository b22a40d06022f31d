//! TLS with one server as one prober goes about it: the budget is asked first, and told what came of it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ring::digest::{SHA256, digest};

use super::greeting::Greeting;
use super::seal::ShakeFault;
use super::tls_book::{End, Wish};
use super::tls_budget::{Begun, Permit, TlsBudget};
use crate::model::{EndpointName, Failure, FailureReason, MysqlTls, Trust};
use crate::probe::FleetSize;
use crate::probe::tls::lock;

/// What one prober knows of TLS with its server.
#[derive(Debug)]
pub(super) struct TlsGuard {
    server: SocketAddr,
    endpoint: EndpointName,
    config: String,
    mode: &'static str,
    budget: Arc<TlsBudget>,
    fleet: FleetSize,
    /// What people should know of it.
    remark: Mutex<Option<Arc<str>>>,
}

/// How a connection goes on after its greeting.
#[derive(Debug)]
pub(super) enum Next {
    /// With a handshake, whose end must be told.
    Handshake(Begun),
    /// Without TLS.
    Plain,
    /// No further.
    Stop(Failure),
}

impl TlsGuard {
    pub(super) fn new(
        server: SocketAddr,
        (endpoint, tls): (&EndpointName, &MysqlTls),
        (budget, fleet): (&Arc<TlsBudget>, &FleetSize),
    ) -> Self {
        let (mode, config) = (mode(tls), config(tls));
        if *tls != MysqlTls::Off {
            budget.enrol(endpoint, &config);
        }
        let (endpoint, budget, fleet) = (endpoint.clone(), budget.clone(), fleet.clone());
        Self { server, endpoint, config, mode, budget, fleet, remark: Mutex::default() }
    }

    /// Whether TLS may follow a greeting that offers it.
    pub(super) async fn begin(&self, greeting: &Greeting) -> Next {
        let wish = Wish {
            server: self.server,
            endpoint: self.endpoint.clone(),
            config: self.config.clone(),
            mode: self.mode,
            greeting: hex(&greeting.character()),
        };
        match self.budget.begin(wish, self.fleet.spread()).await {
            Permit::Begin(begun) => Next::Handshake(begun),
            Permit::Plain(failure) if self.mode == "preferred" => {
                self.say(format_args!("login without TLS: {}", failure.detail));
                Next::Plain
            }
            Permit::Plain(failure) | Permit::Stop(failure) => {
                if failure.reason != FailureReason::Local {
                    self.say(format_args!("TLS is left alone: {}", failure.detail));
                }
                Next::Stop(failure)
            }
        }
    }

    /// A handshake has succeeded.
    pub(super) async fn completed(&self, begun: Begun) {
        *lock(&self.remark) = None;
        self.budget.end(begun, End::Completed).await;
    }

    /// A handshake has failed.
    pub(super) async fn failed(&self, begun: Begun, fault: &ShakeFault) {
        let end = match fault {
            ShakeFault::Broken { lack, failure } => End::Broken { lack: *lack, detail: failure.detail.to_string() },
            ShakeFault::Lost(_) => End::Lost,
        };
        self.budget.end(begun, end).await;
    }

    /// A login has succeeded.
    pub(super) async fn logged_in(&self) {
        self.budget.logged_in(self.server).await;
    }

    /// What people should know.
    pub(super) fn remark(&self) -> Option<Arc<str>> {
        lock(&self.remark).clone()
    }

    fn say(&self, text: std::fmt::Arguments<'_>) {
        *lock(&self.remark) = Some(text.to_string().into());
    }
}

fn mode(tls: &MysqlTls) -> &'static str {
    match tls {
        MysqlTls::Off => "off",
        MysqlTls::Preferred => "preferred",
        MysqlTls::Required => "required",
        MysqlTls::VerifyCa(_) => "verify_ca",
        MysqlTls::Verify(_) => "verify",
    }
}

/// A digest of what the config says of TLS, the same in every version of this program.
fn config(tls: &MysqlTls) -> String {
    let mut said = mode(tls).as_bytes().to_vec();
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
    hex(&said)
}

/// Enough of a digest to tell some few things apart.
fn hex(said: &[u8]) -> String {
    let mut hex = String::new();
    for byte in digest(&SHA256, said).as_ref().iter().take(8) {
        // Writing to a string can't fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
