//! Which requests are answered with what: pure, apart from the connection.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{ACCEPT, HOST};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};

use crate::model::HostName;
use crate::observe::metrics::Format;

/// Who may ask for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Names that a `Host` header may carry, beside loopback and the address that was connected to. Without this
    /// list, a web page could have its own name point here and read us through a browser (DNS rebinding).
    pub hosts: Vec<HostName>,
    /// Serve `/status` beyond loopback, too.
    pub expose_status: bool,
}

/// Both ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) local: IpAddr,
    pub(super) peer: IpAddr,
}

impl Ends {
    pub(super) fn new(local: SocketAddr, peer: SocketAddr) -> Self {
        Self { local: local.ip().to_canonical(), peer: peer.ip().to_canonical() }
    }
}

/// What to answer with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Metrics(Format),
    Healthz,
    Readyz,
    Status,
    Index,
    Refuse(StatusCode, &'static str),
}

/// Decides.
pub(super) fn route(parts: &Parts, ends: Ends, access: &Access) -> Route {
    if let Err((code, why)) = check_host(parts, ends, access) {
        return Route::Refuse(code, why);
    }
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return Route::Refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered");
    }
    let near = ends.peer.is_loopback();
    let beyond = Route::Refuse(StatusCode::FORBIDDEN, "answered on loopback only; see expose in [metrics]");
    match parts.uri.path() {
        "/metrics" => {
            let accept: Vec<_> = parts.headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
            Route::Metrics(Format::negotiate(Some(&accept.join(","))))
        }
        "/healthz" => Route::Healthz,
        "/readyz" => Route::Readyz,
        "/status" if near || access.expose_status => Route::Status,
        "/" if near => Route::Index,
        "/status" | "/" => beyond,
        _ => Route::Refuse(StatusCode::NOT_FOUND, "no such path"),
    }
}

type Refusal = (StatusCode, &'static str);

/// The name under which we were asked must be one of ours. HTTP/1.0 knows no such header; browsers don't speak it.
fn check_host(parts: &Parts, ends: Ends, access: &Access) -> Result<(), Refusal> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let host = host.to_str().map_err(|_| (StatusCode::BAD_REQUEST, "expected a readable Host header"))?;
            check_authority(host, ends, access)?;
        }
        (None, _) if parts.version == Version::HTTP_10 => {}
        _ => return Err((StatusCode::BAD_REQUEST, "expected exactly one Host header")),
    }
    // `GET http://name/path` outranks the header.
    parts.uri.authority().map_or(Ok(()), |a| check_authority(a.as_str(), ends, access))
}

fn check_authority(authority: &str, ends: Ends, access: &Access) -> Result<(), Refusal> {
    let Some(host) = host_of(authority) else {
        return Err((StatusCode::BAD_REQUEST, "expected a Host header of the form name or name:port"));
    };
    if is_ours(host, ends, access) {
        Ok(())
    } else {
        Err((StatusCode::MISDIRECTED_REQUEST, "this Host is none of ours; see expose in [metrics]"))
    }
}

/// The host of `host`, `host:port` or `[v6]:port`. The port may be any: a tunnel's differs from ours.
fn host_of(authority: &str) -> Option<&str> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?,
        None => authority.find(':').map_or((authority, ""), |colon| authority.split_at(colon)),
    };
    let good_port = match rest.strip_prefix(':') {
        Some(port) => port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()),
        None => rest.is_empty(),
    };
    (good_port && !host.is_empty()).then_some(host)
}

fn is_ours(host: &str, ends: Ends, access: &Access) -> bool {
    const LOOPBACK_NAMES: [&str; 4] = ["localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"];
    if let Ok(ip) = host.parse::<IpAddr>() {
        let ip = ip.to_canonical();
        if ip.is_loopback() || ip == ends.local {
            return true;
        }
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    LOOPBACK_NAMES.iter().any(|n| host.eq_ignore_ascii_case(n))
        || access.hosts.iter().any(|n| host.eq_ignore_ascii_case(n.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(peer: &str) -> Ends {
        Ends { local: "10.0.0.5".parse().unwrap(), peer: peer.parse().unwrap() }
    }

    fn ask(method: &str, uri: &str, host: Option<&str>, peer: &str) -> Route {
        let access = Access { hosts: vec!["node1.internal".parse().unwrap()], expose_status: false };
        let mut request = hyper::Request::builder().method(method).uri(uri);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        route(&request.body(()).unwrap().into_parts().0, ends(peer), &access)
    }

    #[test]
    fn only_our_own_names_are_answered() {
        for good in [
            "localhost",
            "LOCALHOST:9965",
            "localhost.:1",
            "127.0.0.1:9965",
            "127.9.9.9",
            "[::1]:9965",
            "[::1]",
            "10.0.0.5",
            "10.0.0.5:80",
            "node1.internal",
            "Node1.Internal.:9965",
        ] {
            assert_eq!(ask("GET", "/healthz", Some(good), "127.0.0.1"), Route::Healthz, "{good}");
        }
        for (bad, code) in [
            ("evil.example", 421),
            ("evil.example:9965", 421),
            ("10.0.0.6", 421),
            ("localhost.evil.example", 421),
            ("127.0.0.1.evil.example", 421),
            ("[::2]", 421),
            ("", 400),
            (":80", 400),
            ("localhost:http", 400),
            ("localhost:123456", 400),
            ("[::1", 400),
            ("[::1]x", 400),
            ("::1", 400),
        ] {
            let Route::Refuse(found, _) = ask("GET", "/healthz", Some(bad), "127.0.0.1") else { panic!("{bad}") };
            assert_eq!(found, code, "{bad}");
        }
        assert!(matches!(ask("GET", "/", None, "127.0.0.1"), Route::Refuse(StatusCode::BAD_REQUEST, _)));
        let absolute = ask("GET", "http://evil.example/metrics", Some("localhost"), "127.0.0.1");
        assert!(matches!(absolute, Route::Refuse(StatusCode::MISDIRECTED_REQUEST, _)));
    }

    #[test]
    fn beyond_loopback_little_is_answered() {
        for (path, near, far) in [
            ("/metrics", Route::Metrics(Format::Text), Route::Metrics(Format::Text)),
            ("/metrics?x=1", Route::Metrics(Format::Text), Route::Metrics(Format::Text)),
            ("/healthz", Route::Healthz, Route::Healthz),
            ("/readyz", Route::Readyz, Route::Readyz),
        ] {
            assert_eq!(ask("GET", path, Some("localhost"), "127.0.0.1"), near);
            assert_eq!(ask("GET", path, Some("localhost"), "10.0.0.9"), far);
        }
        assert_eq!(ask("HEAD", "/status", Some("localhost"), "::1"), Route::Status);
        assert_eq!(ask("GET", "/", Some("localhost"), "127.0.0.1"), Route::Index);
        for path in ["/status", "/"] {
            let far = ask("GET", path, Some("10.0.0.5"), "10.0.0.9");
            assert!(matches!(far, Route::Refuse(StatusCode::FORBIDDEN, _)), "{path}");
        }
    }

    #[test]
    fn other_methods_and_paths_are_refused() {
        let code = |r| if let Route::Refuse(code, _) = r { code.as_u16() } else { 200 };
        assert_eq!(code(ask("POST", "/metrics", Some("localhost"), "127.0.0.1")), 405);
        assert_eq!(code(ask("DELETE", "/nothing", Some("localhost"), "127.0.0.1")), 405);
        assert_eq!(code(ask("GET", "/metrics/", Some("localhost"), "127.0.0.1")), 404);
        assert_eq!(code(ask("GET", "/../etc/passwd", Some("localhost"), "127.0.0.1")), 404);
    }
}
