//! One HTTP request and its reply, with everything bounded: the connect, each read, the whole, the size.
//!
//! No redirect is followed, and no proxy is used but the one that is handed in, whatever the environment says: requests
//! carry credentials, and the metadata service and the VPC's own hosts are reachable directly, as a rule. A proxy is
//! asked for nothing but tunnels, with TLS inside: plain HTTP, which only stand-ins on this host speak, never goes
//! there. No HTTP/2: a handful of calls in ten minutes has nothing to multiplex.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

pub use reqwest::Method;
use reqwest::dns::Resolve;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, NoProxy, redirect};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::reply::{LARGEST_BODY, Reply, TransportError, TransportKind};
use super::tls;
use crate::model::secret_parts::{login_and_query, masked};
use crate::model::{Proxy, Secret, Trust, Wall};

/// How long an idle connection is kept: the calls of one round follow one another, the next round is minutes away.
const IDLE: Duration = Duration::from_secs(15);

/// How long one request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// DNS, TCP and TLS together.
    pub connect: Duration,
    /// From one piece of the reply to the next.
    pub read: Duration,
    /// All of it, so that a server that drips is cut off, too.
    pub whole: Duration,
}

/// What an [`Http`] is made of.
#[derive(Clone)]
pub struct Setup {
    /// Whose certificates count; `None` for the metadata service, which has no TLS: it must work on a host without
    /// root certificates, too.
    pub trust: Option<Trust>,
    /// Who turns names into addresses; never `/etc/hosts`, which we write.
    pub resolver: Arc<dyn Resolve>,
    /// The limits.
    pub timeouts: Timeouts,
    /// Whom HTTPS goes through.
    pub proxy: Option<Proxy>,
}

/// An HTTP client. Reads the trusted roots at its first request; where that fails, the next request tries again.
pub struct Http {
    setup: Setup,
    client: OnceCell<Client>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("timeouts", &self.setup.timeouts).finish_non_exhaustive()
    }
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// `GET` reads, `POST` calls, `PUT` asks the metadata service for a token.
    pub method: Method,
    /// The whole URL.
    pub url: String,
    /// Headers; values are kept out of every message.
    pub headers: &'a [(&'static str, Secret)],
    /// The body; empty for none.
    pub body: &'a [u8],
}

impl Http {
    /// A client. Opens and reads nothing yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self { setup, client: OnceCell::new() }
    }

    /// Sends a request and reads the reply, redirects included: what they mean is the caller's to say.
    ///
    /// # Errors
    /// [`TransportError`]. An HTTP error status is a reply.
    pub async fn send(&self, request: &Request<'_>) -> Result<Reply, TransportError> {
        let error = |(kind, detail): Fault| {
            let detail = match &self.setup.proxy {
                Some(proxy) => detail.replacen(TUNNEL, &format!("proxy {}: ", proxy.url), 1),
                None => detail,
            };
            TransportError { kind, host: host_of(&request.url), detail }
        };
        let client = self.client.get_or_try_init(|| build(&self.setup)).await.map_err(error)?;
        exchange(client, request, self.setup.timeouts.whole).await.map_err(error)
    }
}

/// The authority of a URL, without the user in it; the whole text if it has none.
fn host_of(url: &str) -> String {
    let url = masked(url, &login_and_query(url));
    let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority.rsplit('@').next().unwrap_or(authority).to_owned()
}

type Fault = (TransportKind, String);

/// How the HTTP client's errors begin that are about the way through a proxy.
const TUNNEL: &str = "tunnel error: ";

async fn build(setup: &Setup) -> Result<Client, Fault> {
    let tls = tls::client_config(setup.trust.as_ref()).await.map_err(|why| (TransportKind::Local, why))?;
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(setup.resolver.clone())
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .http1_only()
        .connect_timeout(setup.timeouts.connect)
        .read_timeout(setup.timeouts.read)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(1)
        .user_agent(concat!("privatelinkd/", env!("CARGO_PKG_VERSION")));
    let builder = match &setup.proxy {
        Some(proxy) => builder.proxy(for_https(proxy)?),
        None => builder,
    };
    builder.build().map_err(|e| (TransportKind::Local, fault(&e).1))
}

fn for_https(proxy: &Proxy) -> Result<reqwest::Proxy, Fault> {
    // The library's own words quote the URL.
    let unusable = |_| (TransportKind::Local, format!("{} can't be used as a proxy", proxy.url));
    let made = reqwest::Proxy::https(proxy.url.expose()).map_err(unusable)?;
    Ok(made.no_proxy(NoProxy::from_string(&proxy.except)))
}

async fn exchange(client: &Client, request: &Request<'_>, whole: Duration) -> Result<Reply, Fault> {
    let Request { method, url, headers: pairs, body } = request;
    let mut builder = client.request(method.clone(), url).headers(headers(pairs)?).timeout(whole);
    if !body.is_empty() {
        builder = builder.body(body.to_vec());
    } else if *method != Method::GET {
        // Some gateways answer 411 without it.
        builder = builder.header(CONTENT_LENGTH, 0);
    }
    let mut response = builder.send().await.map_err(|e| fault(&e))?;
    let text = |name: HeaderName| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let mut reply = Reply {
        status: response.status().as_u16(),
        content_type: text(CONTENT_TYPE),
        date: text(DATE).as_deref().and_then(http_date),
        retry_after: text(HeaderName::from_static("x-acs-retry-after")),
        body: Zeroizing::default(),
    };
    let too_large = || (TransportKind::TooLarge, format!("expected at most {LARGEST_BODY} bytes, found more"));
    if response.content_length().is_some_and(|length| length > LARGEST_BODY as u64) {
        return Err(too_large());
    }
    while let Some(piece) = response.chunk().await.map_err(|e| fault(&e))? {
        if reply.body.len() + piece.len() > LARGEST_BODY {
            return Err(too_large());
        }
        reply.body.extend_from_slice(&piece);
    }
    Ok(reply)
}

fn headers(pairs: &[(&'static str, Secret)]) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs {
        // The value stays out of the message, secret or not.
        let mut value = HeaderValue::from_str(value.expose())
            .map_err(|_| (TransportKind::Local, format!("the value of {name} can't go into a header")))?;
        value.set_sensitive(true);
        headers.append(HeaderName::from_static(name), value);
    }
    Ok(headers)
}

fn http_date(text: &str) -> Option<Wall> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok().map(Wall)
}

/// What went wrong is somewhere down the chain of causes.
fn fault(error: &reqwest::Error) -> Fault {
    let causes: Vec<_> = std::iter::successors(error.source(), |cause| cause_of(*cause)).collect();
    let ends_early = |e: &hyper::Error| e.is_incomplete_message() || e.is_closed() || e.is_canceled();
    let kind = match causes.as_slice() {
        _ if error.is_dns() => TransportKind::Dns,
        causes if causes.iter().any(|cause| cause.is::<rustls::Error>()) => TransportKind::Tls,
        _ if error.is_timeout() => TransportKind::Timeout,
        _ if error.is_connect() => TransportKind::Connect,
        _ if error.is_builder() => TransportKind::Local,
        causes if causes.iter().any(|cause| cause.is::<io::Error>()) => TransportKind::Reset,
        causes if causes.iter().filter_map(|cause| cause.downcast_ref()).any(ends_early) => TransportKind::Reset,
        _ => TransportKind::Protocol,
    };
    // The last one: the others repeat it, and the first one has the URL.
    let last = causes.last().map_or_else(|| "no cause given".to_owned(), ToString::to_string);
    let of_tunnel = causes.iter().any(|cause| cause.to_string().starts_with(TUNNEL));
    let detail = match last.strip_prefix(TUNNEL) {
        Some("unsuccessful") => format!("{TUNNEL}it lets nobody through to this host"),
        None if of_tunnel => format!("{TUNNEL}{last}"),
        Some(_) | None => last,
    };
    (kind, detail)
}

/// An I/O error that wraps another error gives that one's cause as its own, and so hides it.
fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_cut_out_of_a_url() {
        assert_eq!(host_of("https://a.example:8443/?x=1"), "a.example:8443");
        assert_eq!(host_of("http://[::1]:80?x"), "[::1]:80");
        assert_eq!(host_of("http://u:hunter2@a.example/x"), "a.example");
        assert_eq!(host_of("http://u:hunter/2@a.example:80/x"), "a.example:80");
        assert_eq!(host_of("junk"), "junk");
    }

    #[test]
    fn dates_are_read_or_left_out() {
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:01 GMT"), Some(Wall(1000)));
        assert_eq!(http_date("yesterday"), None);
        assert_eq!(http_date("Wed, 31 Dec 1969 23:59:59 GMT"), None);
    }

    #[test]
    fn secrets_stay_out_of_messages() {
        let (kind, detail) = headers(&[("x-acs-security-token", Secret::new("hunter2\n".into()))]).unwrap_err();
        assert_eq!(kind, TransportKind::Local);
        assert_eq!(detail, "the value of x-acs-security-token can't go into a header");
        let reply = Reply { body: Zeroizing::new(b"hunter2".to_vec()), ..Reply::default() };
        assert_eq!(format!("{reply:?}"), "Reply(0, 7 bytes)");
    }
}
