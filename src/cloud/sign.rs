//! ACS3-HMAC-SHA256, the signature of the OpenAPI ("V3 request body & signature").
//!
//! Pure: the date and the nonce come in as values. What is signed is `host`, `content-type` (if there is a body) and
//! every `x-acs-*` header, and nothing else: a middlebox that edits `accept` or `user-agent` must not break us. The
//! steps and their order are those of the published document; vectors made by the official SDK hold us to them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::{digest, hmac};

use crate::model::{Secret, Wall, hex};

/// The name of the algorithm, as it stands in the string to sign and in `Authorization`.
pub const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// Everything but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The same for a path, whose slashes stay.
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// What a request is signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The AccessKey id; not secret, but of no use in a log.
    pub id: String,
    /// The AccessKey secret.
    pub secret: Secret,
    /// The security token of temporary (STS) keys.
    pub token: Option<Secret>,
}

/// Query parameters, decoded. Sorted by the bytes of their names, as the canonical query wants them: `Tag.10.Key`
/// stands before `Tag.2.Key`.
pub type Params = BTreeMap<String, String>;

/// The parameters of these that have a value.
#[must_use]
pub fn params(pairs: &[(&str, Option<&str>)]) -> Params {
    pairs.iter().filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned()))).collect()
}

/// A request as the signature sees it.
#[derive(Debug, Clone, Copy)]
pub struct Canonical<'a> {
    /// `GET`, `POST` and so on.
    pub method: &'a str,
    /// The path, decoded; `/` for every RPC call.
    pub path: &'a str,
    /// The query.
    pub params: &'a Params,
    /// The headers to sign: lower-case names, in any order.
    pub headers: &'a [(&'a str, &'a str)],
    /// [`hex_sha256`] of the exact bytes of the body.
    pub body_sha256: &'a str,
}

/// A signature and how it came about. The steps are shown so that a `SignatureDoesNotMatch`, whose message echoes the
/// server's own string to sign, can be told apart from a wrong secret. None of them contains the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The query for the wire, encoded exactly as it was signed.
    pub query: String,
    /// Step 5 of the document.
    pub canonical_request: String,
    /// Step 6.
    pub string_to_sign: String,
    /// The value of `Authorization`.
    pub authorization: String,
}

impl Canonical<'_> {
    /// Signs.
    #[must_use]
    pub fn sign(&self, keys: &Keys) -> Signature {
        let query = encoded_query(self.params);
        let (lines, names) = self.header_lines();
        let path = utf8_percent_encode(self.path, RESERVED_IN_PATH);
        let canonical_request = format!("{}\n{path}\n{query}\n{lines}\n{names}\n{}", self.method, self.body_sha256);
        let string_to_sign = format!("{ALGORITHM}\n{}", hex_sha256(canonical_request.as_bytes()));
        // The secret is the key as it is: no prefix, no key derivation.
        let key = hmac::Key::new(hmac::HMAC_SHA256, keys.secret.expose().as_bytes());
        let signature = hex(hmac::sign(&key, string_to_sign.as_bytes()).as_ref());
        let authorization = format!("{ALGORITHM} Credential={},SignedHeaders={names},Signature={signature}", keys.id);
        Signature { query, canonical_request, string_to_sign, authorization }
    }

    /// One `name:value` line a header, and the names joined by semicolons.
    fn header_lines(&self) -> (String, String) {
        let mut sorted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in self.headers {
            sorted.entry(name).or_default().push(value.trim());
        }
        let mut lines = String::new();
        for (name, values) in &mut sorted {
            values.sort_unstable();
            let _ = writeln!(lines, "{name}:{}", values.join(","));
        }
        let names = sorted.keys().copied().collect::<Vec<_>>().join(";");
        (lines, names)
    }
}

/// The canonical query, which is also the query for the wire: percent-encoded (a space is `%20`, never `+`), sorted,
/// an empty value as `name=`.
#[must_use]
pub fn encoded_query(params: &Params) -> String {
    let pair = |(name, value): (&String, &String)| {
        format!("{}={}", utf8_percent_encode(name, RESERVED), utf8_percent_encode(value, RESERVED))
    };
    params.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// Lower-case hexadecimal SHA-256.
#[must_use]
pub fn hex_sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// One question to a product, an RPC call before it is signed: `POST https://{host}/?{params}`.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Such as `ListVpcEndpoints`.
    pub action: &'static str,
    /// The version of the product's API, such as `2020-04-15`.
    pub version: &'static str,
    /// The business parameters. Action, version and format are headers and no parameters.
    pub params: &'a Params,
    /// What must not stand in a URL, as a form body (`application/x-www-form-urlencoded`); empty for none.
    pub form: &'a [u8],
}

/// What has to differ at every attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The service's idea of the time; it tolerates 15 minutes.
    pub date: Wall,
    /// Unique for ever; the service refuses one that it has seen.
    pub nonce: String,
}

/// What goes onto the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The encoded query.
    pub query: String,
    /// Every header but `host` and `content-length`, which the HTTP client writes.
    pub headers: Vec<(&'static str, Secret)>,
}

impl Call<'_> {
    /// The content type of [`form`](Self::form).
    pub const FORM: &'static str = "application/x-www-form-urlencoded";

    /// Signs a call of this host, which has its port if that is not the default one; without keys the call is
    /// anonymous, as AssumeRoleWithOIDC is.
    #[must_use]
    pub fn sign(&self, host: &str, keys: Option<&Keys>, moment: &Moment) -> Signed {
        let body_sha256 = hex_sha256(self.form);
        let mut headers: Vec<(&'static str, Secret)> = Vec::with_capacity(10);
        let mut add = |name, value: &str| headers.push((name, Secret::new(value.to_owned())));
        add("x-acs-action", self.action);
        add("x-acs-version", self.version);
        add("x-acs-date", &moment.date.to_string());
        add("x-acs-signature-nonce", &moment.nonce);
        add("x-acs-content-sha256", &body_sha256);
        if !self.form.is_empty() {
            add("content-type", Self::FORM);
        }
        if let Some(token) = keys.and_then(|keys| keys.token.as_ref()) {
            add("x-acs-security-token", token.expose());
        }
        let query = match keys {
            None => encoded_query(self.params),
            Some(keys) => {
                let to_sign = headers.iter().map(|(name, value)| (*name, value.expose()));
                let signed: Vec<_> = to_sign.chain([("host", host)]).collect();
                let canonical = Canonical {
                    method: "POST",
                    path: "/",
                    params: self.params,
                    headers: &signed,
                    body_sha256: &body_sha256,
                };
                let Signature { query, authorization, .. } = canonical.sign(keys);
                headers.push(("authorization", Secret::new(authorization)));
                query
            }
        };
        headers.push(("accept", Secret::new("application/json".to_owned())));
        Signed { query, headers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(token: Option<&str>) -> Keys {
        let token = token.map(|t| Secret::new(t.to_owned()));
        Keys { id: "LTAI".into(), secret: Secret::new("hunter2".into()), token }
    }

    const HOST: &str = "a.example:8443";

    fn call(params: &Params) -> Call<'_> {
        Call { action: "Do", version: "2020-04-15", params, form: b"" }
    }

    fn names(signed: &Signed) -> Vec<&str> {
        signed.headers.iter().map(|(name, _)| *name).collect()
    }

    fn header<'a>(signed: &'a Signed, name: &str) -> &'a str {
        signed.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.expose()).unwrap()
    }

    #[test]
    fn only_the_unreserved_characters_stay() {
        let every: String = (0..128u8).map(char::from).collect();
        let params = Params::from([("a b".to_owned(), every), ("é".to_owned(), "*~/+".to_owned())]);
        let query = encoded_query(&params);
        let left: String = query.replace("a%20b=", "").split('%').map(|s| s.get(2..).unwrap_or("")).collect();
        assert_eq!(left.split('&').next(), Some("-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"));
        assert!(query.ends_with("&%C3%A9=%2A~%2F%2B"), "{query}");
    }

    #[test]
    fn what_differs_at_every_attempt_is_signed() {
        let params = Params::new();
        let sign = |date, nonce: &str| {
            let moment = Moment { date: Wall(date), nonce: nonce.to_owned() };
            header(&call(&params).sign(HOST, Some(&keys(None)), &moment), "authorization").to_owned()
        };
        let first = sign(0, "a");
        assert!(first.contains(
            "SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,"
        ));
        assert_ne!(first, sign(0, "b"));
        assert_ne!(first, sign(1000, "a"));
        assert_eq!(first, sign(999, "a"), "the date has whole seconds");
    }

    #[test]
    fn temporary_keys_bring_their_token_and_sign_it() {
        let params = Params::new();
        let moment = Moment { date: Wall(0), nonce: "n".into() };
        let signed = call(&params).sign(HOST, Some(&keys(Some("tok"))), &moment);
        assert_eq!(header(&signed, "x-acs-security-token"), "tok");
        assert!(header(&signed, "authorization").contains(";x-acs-security-token;"));
        assert!(!format!("{signed:?}").contains("tok\""), "{signed:?}");
    }

    #[test]
    fn without_keys_nothing_is_signed() {
        let params = Params::from([("A".to_owned(), "1".to_owned())]);
        let call = Call { form: b"OIDCToken=x", ..call(&params) };
        let signed = call.sign(HOST, None, &Moment { date: Wall(0), nonce: "n".into() });
        assert_eq!(signed.query, "A=1");
        assert!(!names(&signed).contains(&"authorization"));
        assert!(names(&signed).contains(&"content-type"));
    }
}
