//! The proxy for the calls to the cloud's API.

use std::fmt;

use super::Secret;
use super::name::host_of;

/// Which proxy the calls to the cloud's API go through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ProxyChoice {
    /// None, whatever the variables say.
    #[default]
    None,
    /// What the variables say, as curl reads them.
    Environment,
    /// This one.
    Url(ProxyUrl),
}

/// A proxy, and for whom it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Where it is.
    pub url: ProxyUrl,
    /// Hosts, domains and networks that are asked directly, with commas between them.
    pub except: String,
}

/// Where an HTTP proxy is. User and password may stand in it, and are shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    whole: Secret,
    shown: String,
}

/// What is shown instead of user and password.
const HIDDEN_USER: &str = "[secret]@";

/// What a text has to be to name a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUrlError {
    /// `socks5://…`
    #[error("an HTTP proxy, http:// or https://: SOCKS is not supported")]
    Socks,
    /// Another scheme.
    #[error("http:// or https:// before the proxy's host")]
    Scheme,
    /// `@`, `/` and the like in user or password.
    #[error("special characters in the proxy's user and password percent-encoded, such as %40 for @")]
    User,
    /// No host, or more than a host and a port.
    #[error("the proxy's host and port and nothing behind them, such as \"http://proxy.example.com:3128\"")]
    Host,
}

impl ProxyChoice {
    /// The variables that say which proxy there is, and for whom it is not; the first that is set counts. In small
    /// letters first, as curl has it. `HTTP_PROXY` is not among them: the API is asked over HTTPS alone.
    pub const VARIABLES: [&str; 6] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"];

    /// The proxy, if there is one. `lookup` knows the variables; an empty one is not set.
    ///
    /// # Errors
    /// Which variable names no proxy, and what it would have to be.
    pub fn resolve(
        &self,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Proxy>, (&'static str, ProxyUrlError)> {
        let set = |name: &&'static str| Some((*name, lookup(name)?)).filter(|(_, text)| !text.trim().is_empty());
        let (whose, excepted) = Self::VARIABLES.split_at(4);
        match self {
            Self::None => Ok(None),
            Self::Url(url) => Ok(Some(Proxy { url: url.clone(), except: String::new() })),
            Self::Environment => {
                let Some((name, text)) = whose.iter().find_map(set) else { return Ok(None) };
                let (_, except) = excepted.iter().find_map(set).unwrap_or_default();
                // Blanks may stand between them, too.
                let except: Vec<_> = except.split([',', ' ']).filter(|host| !host.is_empty()).collect();
                if except.contains(&"*") {
                    return Ok(None);
                }
                let url = ProxyUrl::parse(text.trim()).map_err(|error| (name, error))?;
                Ok(Some(Proxy { url, except: except.join(",") }))
            }
        }
    }
}

impl ProxyUrl {
    /// Reads `http://[USER[:PASSWORD]@]HOST[:PORT]`, or the same with https; without a scheme it is HTTP. Without a
    /// port it is the scheme's own.
    ///
    /// # Errors
    /// The situations of [`ProxyUrlError`].
    pub fn parse(text: &str) -> Result<Self, ProxyUrlError> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let scheme = scheme.to_ascii_lowercase();
        match scheme.as_str() {
            "http" | "https" => {}
            socks if socks.starts_with("socks") => return Err(ProxyUrlError::Socks),
            _ => return Err(ProxyUrlError::Scheme),
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, host) = rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
        // Those of RFC 3986; whatever else is taken in some other way by each program.
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:".contains(&b);
        if user.is_some_and(|user| !user.bytes().all(good)) {
            return Err(ProxyUrlError::User);
        }
        host_of(host).ok_or(ProxyUrlError::Host)?;
        let hidden = if user.is_some() { HIDDEN_USER } else { "" };
        Ok(Self { whole: Secret::new(format!("{scheme}://{rest}")), shown: format!("{scheme}://{hidden}{host}") })
    }

    /// The same with nothing in it to prove who asks.
    #[must_use]
    pub fn without_user(&self) -> String {
        self.shown.replacen(HIDDEN_USER, "", 1)
    }

    /// All of it: for the HTTP client, nowhere else.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.whole.expose()
    }
}

/// Without user and password.
impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(set: &[(&str, &str)]) -> Result<Option<Proxy>, (&'static str, ProxyUrlError)> {
        let lookup = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        assert_eq!(ProxyChoice::None.resolve(lookup), Ok(None), "{set:?}");
        ProxyChoice::Environment.resolve(lookup)
    }

    #[test]
    fn user_and_password_are_shown_nowhere() {
        let url = ProxyUrl::parse("http://agent:hunter%402@proxy.example.com:3128/").unwrap();
        assert_eq!(url.expose(), "http://agent:hunter%402@proxy.example.com:3128");
        assert_eq!(url.without_user(), "http://proxy.example.com:3128");
        for shown in [url.to_string(), format!("{url:?}"), format!("{:?}", ProxyChoice::Url(url.clone()))] {
            assert!(shown.contains("http://[secret]@proxy.example.com:3128"), "{shown}");
            assert!(!shown.contains("hunter") && !shown.contains("agent"), "{shown}");
        }
    }

    #[test]
    fn what_is_no_http_proxy_says_what_it_should_be() {
        for good in ["proxy.example.com:3128", "https://[::1]:3128", "HTTP://10.0.0.9", "http://u@h.example/"] {
            assert!(ProxyUrl::parse(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("socks5h://h:1080", ProxyUrlError::Socks),
            ("ftp://h:21", ProxyUrlError::Scheme),
            ("http://u:p@ss@h:1", ProxyUrlError::User),
            ("http://u:p/w@h:1", ProxyUrlError::User),
            ("http://h:1/path", ProxyUrlError::Host),
            ("http://h:0", ProxyUrlError::Host),
            ("http://", ProxyUrlError::Host),
            ("h:3128?x", ProxyUrlError::Host),
            ("", ProxyUrlError::Host),
        ] {
            assert_eq!(ProxyUrl::parse(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn variables_are_read_as_curl_reads_them() {
        let proxy = |set: &[(&str, &str)]| resolved(set).unwrap().map(|proxy| (proxy.url.to_string(), proxy.except));
        let one = |url: &str, except: &str| Some((url.to_owned(), except.to_owned()));
        assert_eq!(proxy(&[]), None);
        assert_eq!(proxy(&[("HTTP_PROXY", "http://a:1"), ("NO_PROXY", "b")]), None, "the API is asked over HTTPS");
        assert_eq!(proxy(&[("HTTPS_PROXY", " a:1\n")]), one("http://a:1", ""));
        assert_eq!(proxy(&[("HTTPS_PROXY", "http://a:1"), ("https_proxy", "http://b:1")]), one("http://b:1", ""));
        assert_eq!(proxy(&[("https_proxy", ""), ("ALL_PROXY", "http://a:1")]), one("http://a:1", ""));
        let excepted = [("all_proxy", "http://a:1"), ("no_proxy", "x.example, .y.example 10.0.0.0/8")];
        assert_eq!(proxy(&excepted), one("http://a:1", "x.example,.y.example,10.0.0.0/8"));
        assert_eq!(proxy(&[("all_proxy", "http://a:1"), ("NO_PROXY", "*")]), None, "for nobody");
        assert_eq!(resolved(&[("ALL_PROXY", "socks5://a:1")]), Err(("ALL_PROXY", ProxyUrlError::Socks)));
    }

    #[test]
    fn one_that_is_named_is_for_all() {
        let url = ProxyUrl::parse("http://a:1").unwrap();
        let proxy = ProxyChoice::Url(url.clone()).resolve(|_| Some("*".to_owned()));
        assert_eq!(proxy, Ok(Some(Proxy { url, except: String::new() })));
    }
}
