//! The `https` check: TLS verified under the name, one HTTP/1.1 request, the expected status.
//!
//! The status decides, and the body only if something is expected of it. No redirect is followed. Header values that
//! are secret reach the wire only after the certificate has been verified, and a message never.
//!
//! There is no telling what a service of any kind means by a 401: whether the secret is wrong, or whether this one
//! front has lost the list of those it knows. So it counts for its target alone, and is risked again later and later.
//! Failing over needs no password: meanwhile the verdict is that of TLS and an answer, whatever it says but that
//! nothing is behind the front. A request without the secret asks for it under each new session, which lasts five
//! minutes, so that no front takes a fleet for a burglar; between two of them TLS is enough. That is said. A file that
//! is written anew is another secret, at once.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName};
use regex_lite::Regex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::client::TlsStream;

use super::backoff::Backoff;
use super::dial::{self, Connected, Deadline, Stream};
use super::faults::misconfigured;
use super::http::{self, Response, Wanted};
use super::prober::{Overlap, Prober};
use super::remote::Remote;
use super::tls::{self, Sessions, TrustSet};
use crate::model::secret_parts::{masked, of_words};
use crate::model::shown::count;
use crate::model::{Certificate, Failure, FailureReason, HeaderValue, HttpsSpec, Timings};
use crate::sys::lock::lock;

/// One target's https check.
#[derive(Debug)]
pub struct HttpsProber {
    remote: Remote,
    sessions: Sessions,
    /// What is done where its secret is refused, if it has one.
    refusal: Option<Refusal>,
    /// Under which name what is asked, or the failure if the spec can't be asked at all.
    request: Result<(ServerName<'static>, Exchange), Failure>,
}

/// A secret that may be refused.
#[derive(Debug)]
struct Refusal {
    backoff: Backoff,
    /// The request without it; the failure if it can't be made.
    anonymous: Result<http::Exchange, Failure>,
    /// The session under which something has answered since.
    answered: Mutex<Weak<ClientConfig>>,
    /// What people should know of it.
    remark: Mutex<Option<Arc<str>>>,
}

impl HttpsProber {
    /// A prober of one address and port.
    pub(crate) fn new(address: SocketAddr, spec: &HttpsSpec, trust: Arc<TrustSet>) -> Self {
        let request = || Ok((tls::server_name(&spec.tls)?, Exchange::new(spec, address.port())?));
        let has_secret = spec.headers.iter().any(|(_, value)| value.is_secret());
        let refusal = has_secret.then(|| Refusal::new(spec, address.port()));
        Self { remote: Remote::new(address), sessions: Sessions::new(trust), refusal, request: request() }
    }

    async fn attempt(&self, deadline: Duration) -> Result<Timings, Failure> {
        let (name, exchange) = self.request.as_ref().map_err(Clone::clone)?;
        let config = tls::loaded_in_time(deadline, self.sessions.config()).await?;
        let deadline = Deadline::after(deadline);
        let Connected { stream, took: tcp, resent } = self.remote.connect(deadline).await?;
        let shaken = dial::handshake(stream, name, config.clone(), deadline).await;
        let (mut stream, tls) = shaken.map_err(|failure| resent.add_to_failure(failure))?;
        let answered = match &self.refusal {
            Some(refusal) => refusal.answer(&mut stream, exchange, &config, deadline).await,
            None => exchange.run(&mut stream, deadline).await.map(Some),
        };
        let timings = |answer: Option<Duration>| {
            let total = tcp + tls + answer.unwrap_or_default();
            Timings { tcp, tls: Some(tls), answer, total, ..Timings::default() }
        };
        resent.add_to_outcome(answered.map(timings), stream.get_ref().0)
    }
}

impl Refusal {
    fn new(spec: &HttpsSpec, port: u16) -> Self {
        let headers = spec.headers.iter().filter(|(_, value)| !value.is_secret()).cloned().collect();
        let spec = HttpsSpec { headers, ..spec.clone() };
        let anonymous = Exchange::new(&spec, port).map(|exchange| exchange.exchange);
        Self { backoff: Backoff::default(), anonymous, answered: Mutex::default(), remark: Mutex::default() }
    }

    /// How long the answer took: to the request with the secret, or where that is refused to one without it. None where
    /// TLS is enough.
    async fn answer(
        &self,
        stream: &mut TlsStream<TcpStream>,
        exchange: &Exchange,
        config: &Arc<ClientConfig>,
        deadline: Deadline,
    ) -> Result<Option<Duration>, Failure> {
        if let Err(refused) = self.backoff.check() {
            return self.without_secret(stream, &refused, config, deadline).await;
        }
        let (took, judged) = match exchange.ask(stream, deadline).await {
            Ok(answer) => (Some(answer.took), exchange.judge(&answer)),
            Err(failure) => (None, Err(failure)),
        };
        self.backoff.note_outcome(&judged);
        match judged {
            Err(refused) if took.is_some() && refused.reason == FailureReason::Auth => {
                self.set_remark(&refused);
                *lock(&self.answered) = Arc::downgrade(config);
                Ok(took)
            }
            judged => {
                *lock(&self.remark) = None;
                judged.map(|()| took)
            }
        }
    }

    async fn without_secret(
        &self,
        stream: &mut TlsStream<TcpStream>,
        refused: &Failure,
        config: &Arc<ClientConfig>,
        deadline: Deadline,
    ) -> Result<Option<Duration>, Failure> {
        self.set_remark(refused);
        if Weak::as_ptr(&lock(&self.answered)) == Arc::as_ptr(config) {
            // Nothing more is wanted; how it ends does not matter.
            let _ = timeout_at(deadline.at_most(http::GRACE), stream.shutdown()).await;
            return Ok(None);
        }
        let exchange = self.anonymous.as_ref().map_err(Clone::clone)?;
        let answer = exchange.run(stream, Wanted::Head, deadline).await?;
        if reason_of_status(answer.status) == FailureReason::BackendDown {
            let detail = format_args!("found {} for a request without the secret", answer.status);
            return Err(Failure::new(FailureReason::BackendDown, detail));
        }
        *lock(&self.answered) = Arc::downgrade(config);
        Ok(Some(answer.took))
    }

    fn set_remark(&self, refused: &Failure) {
        let remark = format!("its secret is refused, and only TLS and an answer are looked at: {refused}");
        *lock(&self.remark) = Some(remark.into());
    }
}

impl Prober for HttpsProber {
    fn overlap(&self) -> Overlap {
        Overlap::Hedged
    }

    fn certificate(&self) -> Option<Arc<Certificate>> {
        self.sessions.certificate()
    }

    fn is_reached(&self) -> Option<bool> {
        self.remote.is_reached()
    }

    fn remark(&self) -> Option<Arc<str>> {
        self.refusal.as_ref().and_then(|refusal| lock(&refusal.remark).clone())
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

/// One request and the answer it should get, over a stream that is already open.
#[derive(Debug)]
pub struct Exchange {
    exchange: http::Exchange,
    expect: Vec<u16>,
    pattern: Option<Regex>,
}

impl Exchange {
    /// The exchange of a spec; `port` goes into the `Host` header.
    ///
    /// # Errors
    /// [`FailureReason::Misconfigured`] for a method, path or header that HTTP can't carry, or a pattern that is none.
    pub fn new(spec: &HttpsSpec, port: u16) -> Result<Self, Failure> {
        let body = Bytes::from(spec.body.clone());
        let exchange = http::Exchange::new(&spec.method, &spec.path, headers(spec, port)?, body)?;
        let pattern = spec.expect_body.as_deref().map(Regex::new).transpose();
        let pattern = pattern.map_err(|e| misconfigured(format_args!("expect_body: {e}")))?;
        Ok(Self { exchange, expect: spec.expect_status.clone(), pattern })
    }

    /// Sends the request and judges the status, and the body if something is expected of it. Returns the time from the
    /// request to the end of the answer's head. Once the verdict is known the rest of a short answer is read and the
    /// stream shut down politely, 100 ms at most.
    ///
    /// # Errors
    /// No answer, no HTTP, another status than expected, or another body.
    pub async fn run(&self, stream: &mut impl Stream, deadline: Deadline) -> Result<Duration, Failure> {
        let answer = self.ask(stream, deadline).await?;
        self.judge(&answer)?;
        Ok(answer.took)
    }

    async fn ask(&self, stream: &mut impl Stream, deadline: Deadline) -> Result<Response, Failure> {
        let wanted = if self.pattern.is_some() { Wanted::Body } else { Wanted::Head };
        self.exchange.run(stream, wanted, deadline).await
    }

    fn judge(&self, answer: &Response) -> Result<(), Failure> {
        judge_status(answer.status, &self.expect)?;
        match &self.pattern {
            Some(pattern) => judge_body(&answer.body, pattern),
            None => Ok(()),
        }
    }
}

fn headers(spec: &HttpsSpec, port: u16) -> Result<HeaderMap, Failure> {
    // Framing is ours: a wrong value would make the server wait for a body that never comes.
    const OURS: [HeaderName; 4] =
        [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE];
    let mut headers = HeaderMap::new();
    for (name, value) in &spec.headers {
        // The value stays out of the message, secret or not.
        let bad = |what: &str| misconfigured(format_args!("header {name}: {what}"));
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("not a header name"))?;
        if OURS.contains(&parsed) {
            return Err(bad("set by the probe itself"));
        }
        let (text, secret) = match value {
            HeaderValue::Plain(text) => (text.as_str(), false),
            HeaderValue::Secret(secret) => (secret.expose(), true),
        };
        let mut value = header::HeaderValue::from_str(text).map_err(|_| bad("its value can't go into a header"))?;
        value.set_sensitive(secret);
        headers.append(parsed, value);
    }
    headers.entry(header::HOST).or_insert(http::host_header(spec.tls.server_name.as_str(), port)?);
    Ok(headers)
}

/// What a status says that is not the right one.
fn reason_of_status(status: u16) -> FailureReason {
    http::reason_of_request_fault(status).unwrap_or(match status {
        502..=504 => FailureReason::BackendDown,
        _ => FailureReason::Result,
    })
}

/// What a status says about the target.
fn judge_status(found: u16, expect: &[u16]) -> Result<(), Failure> {
    if expect.contains(&found) {
        return Ok(());
    }
    let reason = reason_of_status(found);
    let expected = expect.iter().map(u16::to_string).collect::<Vec<_>>().join(" or ");
    Err(Failure::new(reason, format_args!("expected {expected}, found {found}")))
}

/// What the beginning of a body says about the target. No message shows the body itself.
fn judge_body(body: &[u8], pattern: &Regex) -> Result<(), Failure> {
    if pattern.is_match(&String::from_utf8_lossy(body)) {
        return Ok(());
    }
    let found =
        if body.is_empty() { "an empty one".to_owned() } else { format!("{} without", count(body.len(), "byte")) };
    let expected = masked(pattern.as_str(), &of_words(pattern.as_str()));
    Err(Failure::new(FailureReason::Result, format_args!("expected a body with /{expected}/, found {found}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Secret, TlsSpec, Trust};

    fn spec() -> HttpsSpec {
        HttpsSpec {
            tls: TlsSpec {
                server_name: "gw.example.com".parse().unwrap(),
                trust: Trust::System,
                expiry_warning: Duration::ZERO,
            },
            method: "GET".into(),
            path: "/".into(),
            headers: Vec::new(),
            body: String::new(),
            expect_status: vec![200],
            expect_body: None,
        }
    }

    fn header_of(exchange: &Exchange, name: HeaderName) -> &str {
        exchange.exchange.0.headers()[&name].to_str().unwrap()
    }

    #[test]
    fn statuses_have_their_reasons() {
        use FailureReason as R;
        let table = [
            (401, R::Auth),
            (403, R::NotAllowed),
            (429, R::Overloaded),
            (502, R::BackendDown),
            (503, R::BackendDown),
            (504, R::BackendDown),
            (402, R::Suspended),
            (414, R::Misconfigured),
            (307, R::Misconfigured),
            (204, R::Result),
            (500, R::Result),
            (301, R::Result),
            (404, R::Result),
        ];
        for (status, reason) in table {
            assert_eq!(judge_status(status, &[200]).unwrap_err().reason, reason, "{status}");
            assert_eq!(judge_status(status, &[200, status]), Ok(()));
        }
        assert_eq!(&*judge_status(500, &[200, 204]).unwrap_err().detail, "expected 200 or 204, found 500");
    }

    #[test]
    fn the_host_header_has_the_port_unless_it_is_443() {
        assert_eq!(header_of(&Exchange::new(&spec(), 443).unwrap(), header::HOST), "gw.example.com");
        assert_eq!(header_of(&Exchange::new(&spec(), 8443).unwrap(), header::HOST), "gw.example.com:8443");
        let headers = vec![("host".to_owned(), HeaderValue::Plain("other.example".into()))];
        let own = Exchange::new(&HttpsSpec { headers, ..spec() }, 8443).unwrap();
        assert_eq!(header_of(&own, header::HOST), "other.example");
        assert_eq!(header_of(&own, header::CONNECTION), "close");
    }

    #[test]
    fn a_secret_shows_in_no_message() {
        let header = |value: &str| vec![("authorization".to_owned(), HeaderValue::Secret(Secret::new(value.into())))];
        let good = Exchange::new(&HttpsSpec { headers: header("hunter2"), ..spec() }, 443).unwrap();
        assert!(!format!("{good:?}").contains("hunter2"));
        let bad = Exchange::new(&HttpsSpec { headers: header("hunter2\n"), ..spec() }, 443).unwrap_err();
        assert_eq!(bad.to_string(), "misconfigured: header authorization: its value can't go into a header");
    }

    #[test]
    fn what_http_cannot_carry_is_misconfigured() {
        let plain = |name: &str| vec![(name.to_owned(), HeaderValue::Plain("1".into()))];
        for bad in [
            HttpsSpec { method: "G T".into(), ..spec() },
            HttpsSpec { path: "/a b".into(), ..spec() },
            HttpsSpec { headers: plain("content-length"), ..spec() },
            HttpsSpec { headers: plain("a:b"), ..spec() },
        ] {
            assert_eq!(Exchange::new(&bad, 443).unwrap_err().reason, FailureReason::Misconfigured, "{bad:?}");
        }
    }
}
