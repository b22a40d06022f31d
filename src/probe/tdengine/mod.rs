//! The kind `tdengine`: TDengine Cloud's REST gateway, or a taosAdapter behind TLS.
//!
//! The path check proves that TLS is answered under the private name: resumed mostly, in full at least every five
//! minutes. Where no deep check stands beside it, a full handshake is followed by a statement without a login, whose
//! refusal proves that a gateway is there: seldom enough that no gateway takes a fleet for a burglar. It is asked again
//! until it is answered; TLS alone is enough only under the tickets of a session that was.
//!
//! The deep check posts a statement with a token or a password, which reach the wire only after the certificate has
//! been verified, and no message ever, not even where the server repeats them. What an answer means is in `answer`
//! (pure).

mod answer;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

pub use answer::{Question, Refusal, Text, judge};

use super::backoff::Backoff;
use super::dial::{self, Connected, Deadline, Stream};
use super::faults::{local, misconfigured};
use super::goodbye::leave;
use super::http::{self, Exchange, Response, Wanted};
use super::prober::{Overlap, Prober};
use super::remote::Remote;
use super::secret_guard::{LoginResult, SecretGuard, Turn};
use super::tls::{self, Sessions, TrustSet};
use crate::model::secret_parts::literals;
use crate::model::{Certificate, Check, Failure, FileSecret, Secret, TdengineLogin, TdengineSpec, Timings};
use crate::sys::lock::lock;

/// What is asked without a login: the cheapest statement that there is.
const HEARTBEAT: &str = "select server_status()";

/// What a deep check says on a connection that is sealed: one statement. For streams that the caller has opened.
///
/// # Errors
/// Why the answer is not the right one.
pub async fn converse(
    stream: &mut impl Stream,
    spec: &TdengineSpec,
    question: &Question,
    deadline: Deadline,
) -> Result<(), Failure> {
    let secret_forms = secret_forms(spec.login.as_ref(), &spec.sql);
    let exchange = request(spec, 443, spec.login.as_ref(), &spec.sql)?;
    let answered = answered(stream, &exchange, question, &secret_forms, deadline).await;
    answered.map(drop).map_err(|refusal| refusal.failure)
}

/// The right answer to a question.
async fn answered(
    stream: &mut impl Stream,
    exchange: &Exchange,
    question: &Question,
    secret_forms: &[Secret],
    deadline: Deadline,
) -> Result<Response, Refusal> {
    let answer = exchange.run(stream, Wanted::Body, deadline).await;
    let answer = answer.map_err(|failure| Refusal { failure, of_secret: false })?;
    let text = Text { status: answer.status, body: &answer.body, cut: answer.cut, secrets: secret_forms };
    judge(&text, question)?;
    Ok(answer)
}

/// One check of one target.
#[derive(Debug)]
pub struct TdengineProber {
    remote: Remote,
    sessions: Sessions,
    secret_guard: Arc<SecretGuard>,
    /// For a login that is refused without a word on the secret.
    backoff: Backoff,
    /// What is sent after the login, if the check logs in.
    secret: Option<FileSecret>,
    /// What it means if the database does not know it.
    unknown_means: LoginResult,
    /// Every form in which the secret goes out, and what may be secret in the statement, so that it is known where it
    /// comes back.
    secret_forms: Vec<Secret>,
    /// The tickets under which the gateway has answered; a stranger asks under no others twice.
    proven: Mutex<Weak<ClientConfig>>,
    /// What is asked, or the failure if the spec can't be asked at all.
    asked: Result<Asked, Failure>,
    check: Check,
}

#[derive(Debug)]
struct Asked {
    name: ServerName<'static>,
    /// `None` if there is nothing to ask beyond TLS.
    exchange: Option<(Exchange, Question)>,
}

impl TdengineProber {
    /// A check of one address and port that puts this question; without one it goes no further than TLS. What asks
    /// without a login is the path check that no deep check stands beside.
    pub(crate) fn new(
        address: SocketAddr,
        spec: &TdengineSpec,
        question: Option<Question>,
        trust: Arc<TrustSet>,
        secret_guard: Arc<SecretGuard>,
    ) -> Self {
        let check = match question {
            None | Some(Question::Anonymous) => Check::Path,
            Some(Question::Login | Question::Query { .. }) => Check::Deep,
        };
        let login = spec.login.as_ref().filter(|_| check == Check::Deep);
        let sql = if check == Check::Deep { &spec.sql } else { HEARTBEAT };
        let asked = || {
            let exchange = |question| request(spec, address.port(), login, sql).map(|request| (request, question));
            Ok(Asked { name: tls::server_name(&spec.tls)?, exchange: question.map(exchange).transpose()? })
        };
        Self {
            remote: Remote::new(address),
            sessions: Sessions::new(trust),
            secret_guard,
            backoff: Backoff::default(),
            secret: login.map(|login| match login {
                TdengineLogin::Token(secret) | TdengineLogin::Basic { password: secret, .. } => secret.clone(),
            }),
            // A valid token may be refused while the password behind it changes; passwords are counted.
            unknown_means: match login {
                Some(TdengineLogin::Token(_)) => LoginResult::Unsure,
                Some(TdengineLogin::Basic { .. }) | None => LoginResult::Wrong,
            },
            secret_forms: secret_forms(login, sql),
            proven: Mutex::default(),
            asked: asked(),
            check,
        }
    }

    async fn attempt(&self, allowed: Duration) -> Result<Timings, Failure> {
        let Asked { name, exchange } = self.asked.as_ref().map_err(Clone::clone)?;
        if let Some(secret) = &self.secret {
            self.secret_guard.check(secret)?;
            self.backoff.check()?;
        }
        let config = tls::loaded_in_time(allowed, self.sessions.config()).await?;
        let deadline = Deadline::after(allowed);
        // Not whether the handshake was a full one: another attempt may have that answer still before it.
        let exchange = exchange.as_ref().filter(|_| self.check == Check::Deep || !self.is_proven(&config));
        let Connected { stream, took: tcp, resent } = self.remote.connect(deadline).await?;
        let shaken = dial::handshake(stream, name, config.clone(), deadline).await;
        let (mut stream, tls) = shaken.map_err(|failure| resent.add_to_failure(failure))?;
        let timings = Timings { tcp, tls: Some(tls), total: tcp + tls, ..Timings::default() };
        let outcome = match exchange {
            None => {
                // For its tickets: TLS 1.3 sends them after the handshake, and what is not read is not there the next
                // time.
                let _ = timeout_at(deadline.at_most(http::GRACE), leave(&mut stream)).await;
                Ok(timings)
            }
            Some((exchange, question)) => {
                let answered = self.exchange(&mut stream, (exchange, question), timings, deadline).await;
                answered.inspect(|_| *lock(&self.proven) = Arc::downgrade(&config))
            }
        };
        resent.add_to_outcome(outcome, stream.get_ref().0)
    }

    fn is_proven(&self, config: &Arc<ClientConfig>) -> bool {
        Weak::as_ptr(&lock(&self.proven)) == Arc::as_ptr(config)
    }

    /// The turn to send a secret. It is not this target's fault if another one doesn't answer.
    async fn secret_turn<'a>(&'a self, secret: &FileSecret, deadline: Deadline) -> Result<Turn<'a>, Failure> {
        let turn = async { Ok(self.secret_guard.wait_for_turn(secret, deadline.allowed()).await) };
        deadline.cover(Turn::AWAITED, turn).await.unwrap_or_else(|late| Err(local(late.detail)))
    }

    async fn exchange(
        &self,
        stream: &mut TlsStream<TcpStream>,
        (exchange, question): (&Exchange, &Question),
        timings: Timings,
        deadline: Deadline,
    ) -> Result<Timings, Failure> {
        let turn = match &self.secret {
            Some(secret) => Some(self.secret_turn(secret, deadline).await?),
            None => None,
        };
        let answer = match answered(stream, exchange, question, &self.secret_forms, deadline).await {
            Ok(answer) => answer,
            Err(refusal) => return Err(self.note_refusal(turn, refusal)),
        };
        turn.into_iter().for_each(Turn::note_accepted);
        self.backoff.note_outcome(&Ok(()));
        let (took, total) = (answer.took, timings.total + answer.whole);
        Ok(Timings { answer: Some(took), query: Some(answer.whole - took), total, ..timings })
    }

    /// Takes down what a refusal says of the secret, if it does; else a refused login is this target's alone.
    fn note_refusal(&self, turn: Option<Turn<'_>>, Refusal { failure, of_secret }: Refusal) -> Failure {
        match (&self.secret, turn) {
            (Some(secret), Some(turn)) if of_secret => {
                turn.note_refused(secret, &failure, self.unknown_means);
            }
            _ => self.backoff.note_outcome::<()>(&Err(failure.clone())),
        }
        failure
    }
}

impl Prober for TdengineProber {
    fn overlap(&self) -> Overlap {
        match self.check {
            Check::Path => Overlap::Hedged,
            // A saturated gateway keeps statements for a minute: more of them would not help it.
            Check::Deep => Overlap::OneAwaited,
        }
    }

    fn certificate(&self) -> Option<Arc<Certificate>> {
        self.sessions.certificate()
    }

    fn is_reached(&self) -> Option<bool> {
        self.remote.is_reached()
    }

    async fn probe(&self, deadline: Duration) -> Result<Timings, Failure> {
        let outcome = self.attempt(deadline).await;
        if outcome.is_err() {
            // At an edge the certificate is asked for again, and no stale ticket can be what fails.
            self.sessions.forget_tickets();
        }
        outcome
    }
}

/// The request of a statement; the token stands behind the path, as the vendor's clients put it.
fn request(spec: &TdengineSpec, port: u16, login: Option<&TdengineLogin>, sql: &str) -> Result<Exchange, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, http::host_header(spec.tls.server_name.as_str(), port)?);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    let target = match login {
        Some(TdengineLogin::Token(token)) => {
            format!("{}?token={}", spec.path, url_encoded(token.secret.expose()))
        }
        _ => spec.path.clone(),
    };
    if let Some(TdengineLogin::Basic { user, password }) = login {
        headers.insert(header::AUTHORIZATION, basic_auth_header(user, password.secret.expose())?);
    }
    Exchange::new("POST", &target, headers, Bytes::copy_from_slice(sql.as_bytes()))
}

/// A token as it stands in a URL.
fn url_encoded(token: &str) -> PercentEncode<'_> {
    utf8_percent_encode(token, NON_ALPHANUMERIC)
}

/// What stands for a user and a password in a header.
fn basic_credentials(user: &str, password: &str) -> Zeroizing<String> {
    let plain = Zeroizing::new(format!("{user}:{password}"));
    Zeroizing::new(BASE64_STANDARD.encode(plain.as_bytes()))
}

/// The secret of a login as it is, and as it crosses the wire; and the literals of the statement.
fn secret_forms(login: Option<&TdengineLogin>, sql: &str) -> Vec<Secret> {
    let of_login = login.map(|login| {
        let (plain, wire) = match login {
            TdengineLogin::Token(token) => (token, url_encoded(token.secret.expose()).to_string()),
            TdengineLogin::Basic { user, password } => {
                (password, basic_credentials(user, password.secret.expose()).to_string())
            }
        };
        [plain.secret.clone(), Secret::new(wire)]
    });
    let of_statement = literals(sql).map(|literal| Secret::new(literal.to_owned()));
    of_login.into_iter().flatten().chain(of_statement).collect()
}

/// Basic authentication (RFC 7617).
fn basic_auth_header(user: &str, password: &str) -> Result<HeaderValue, Failure> {
    let value = HeaderValue::try_from(format!("Basic {}", basic_credentials(user, password).as_str()));
    let mut value = value.map_err(|_| misconfigured("user: HTTP can't carry it"))?;
    value.set_sensitive(true);
    Ok(value)
}
