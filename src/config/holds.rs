//! What the values of a key may give away, and so which parts of them are hidden (B15).

use std::iter;

use super::keys::{self, Key};
use crate::model::secret_parts::{SecretParts, of_statement, of_text, of_url, of_words};

/// The key whose values are secret.
pub(crate) const HEADERS: &str = "endpoint.probe.headers";

/// The table that people write a key's own value at.
const CREDENTIALS: &str = "cloud.credentials";

/// What the values of a key may give away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// A value of a form of its own. People write URLs with all that is in them in its place.
    Form,
    /// As [`Holds::Form`], but `?`, `=` and the like are parts of names.
    Path,
    /// As [`Holds::Form`], but `?` and `#` mean something else.
    Words,
    /// SQL.
    Statement,
    /// Anything.
    Text,
    /// JSON, or anything.
    Policy,
    /// The id of an AccessKey, or the secret beside it.
    KeyId,
}

fn holds(key: &Key) -> Holds {
    match key.kind {
        "an absolute path" | "an absolute path or \"credential:NAME\"" => Holds::Path,
        "a user's name" | "a regular expression" => Holds::Words,
        "a statement" => Holds::Statement,
        "a string" | "an external id" => Holds::Text,
        "a policy in JSON" => Holds::Policy,
        "an AccessKey id" => Holds::KeyId,
        _ => Holds::Form,
    }
}

/// True if the values of a key may be texts that nothing but their end can be told of.
pub(super) fn is_free_text(path: &str) -> bool {
    keys::find(path).is_some_and(|key| !matches!(holds(key), Holds::Form | Holds::Path))
}

/// What to hide of a text that stands at `path`, in a table of this `kind`, if it has one.
pub(crate) fn secret_parts(path: &str, kind: Option<&str>, text: &str) -> SecretParts {
    const KEY_IDS: [&str; 3] = ["LTAI", "STS.", "TMP."];
    match keys::find(path).map_or(Holds::Form, holds) {
        Holds::Path if names_a_place(text) => SecretParts::new(),
        // Basic authentication can't carry a user with a colon: what is behind it is the password.
        Holds::Words if kind == Some("tdengine") && path.ends_with(".user") && text.contains(':') => {
            let begin = text.find(':').map_or(0, |at| at + 1);
            iter::once(begin..text.len()).collect()
        }
        Holds::Words => of_words(text),
        Holds::Statement => of_statement(text),
        Holds::Text => of_text(text),
        Holds::Policy if is_json(text) => of_words(text),
        Holds::KeyId if KEY_IDS.iter().any(|id| text.starts_with(id)) => of_url(text),
        Holds::Policy | Holds::KeyId => of_text(text),
        Holds::Form if path == CREDENTIALS && !keys::providers().iter().any(|(word, _)| *word == text) => of_text(text),
        Holds::Form | Holds::Path => of_url(text),
    }
}

/// True if a text can be shown because it says where a secret is, not what it is.
pub(crate) fn names_a_place(text: &str) -> bool {
    text.starts_with('/') || text.starts_with("./") || text.starts_with("../")
}

/// True if a text that stands for a secret can be shown, because it says where the secret is: a path, or the name of
/// one of systemd's credentials.
pub(crate) fn names_a_secret(text: &str) -> bool {
    names_a_place(text) || matches!(credential(text), Some(Some(_)))
}

/// What follows `credential:`, if the text begins so: the name of a credential, or `None` for what can't be one. A name
/// is a file's in one folder, so nothing in it may lead elsewhere.
pub(crate) fn credential(text: &str) -> Option<Option<&str>> {
    const LONGEST: usize = 128;
    let name = text.strip_prefix("credential:")?;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-@".contains(&b);
    let good = (1..=LONGEST).contains(&name.len()) && name.bytes().all(is_plain) && name != "." && name != "..";
    Some(good.then_some(name))
}

/// A list or an object.
fn is_json(text: &str) -> bool {
    text.starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret_parts::masked;

    /// What the values are of keys that hold no text, or one of a form of its own. Who adds a kind says here whether
    /// its values may hold more than that.
    const FORMS: &[&str] = &[
        "\"all\" or \"one\"",
        "\"any\" or \"local_zone\"",
        "\"auto\" or a provider",
        "\"environment\" or the URL of an HTTP proxy",
        "\"auto\", \"dns_delegate\", \"resolved\" or \"none\"",
        "\"auto\", \"journald\" or \"stderr\"",
        "\"matrixone\", \"mysql\", \"tdengine\", \"https\" or \"tcp\"",
        "\"none\", \"login\" or \"query\"",
        "\"text\" or \"json\"",
        "a URL",
        "a URL without a path",
        "a VPC id",
        "a count, 1 to 1000000",
        "a count, 1 to 20",
        "a duration",
        "a duration of whole seconds",
        "a host name",
        "a label",
        "a level",
        "a list of \"ipv4\", \"ipv6\"",
        "a list of \"status\" and host names",
        "a list of addresses, with or without a port",
        "a list of host names",
        "a list of networks",
        "a list of status codes",
        "a number",
        "a port, 1 to 65535",
        "a region id",
        "a request path",
        "a session name",
        "a table of header name to value, or { file = PATH }",
        "a table of zone id to address, or list of addresses",
        "a word",
        "a zone id",
        "an HTTP method",
        "an address and port, or \"\"",
        "an endpoint id",
        "an https URL without a path",
        "an instance id",
        "an integer",
        "the ARN of a role",
        "the ARN of an OIDC provider",
        "the name of a profile",
        "the name of a role",
        "true or false",
        "true, false or \"auto\"",
    ];

    #[test]
    fn of_every_key_it_is_said_what_its_values_may_hold() {
        for key in keys::KEYS {
            let is_form = FORMS.contains(&key.kind);
            assert_eq!(holds(key) == Holds::Form, is_form, "{}: is {:?} a form, or a text?", key.path, key.kind);
        }
        for kind in FORMS {
            assert!(keys::KEYS.iter().any(|key| key.kind == *kind), "{kind:?} is of no key");
        }
    }

    #[test]
    fn defaults_are_shown() {
        for key in keys::KEYS {
            let text = key.default.and_then(|default| default.strip_prefix('"')?.strip_suffix('"'));
            assert!(secret_parts(key.path, None, text.unwrap_or_default()).is_empty(), "{}", key.path);
        }
    }

    #[test]
    fn each_kind_of_value_is_judged_by_what_it_may_hold() {
        let shown = |path: &str, text: &str| masked(text, &secret_parts(path, Some("https"), text));
        for (path, text, expected) in [
            ("endpoint.probe.body", "{\"q\": \"hunter2\"}", "[secret]"),
            ("endpoint.probe.expect", "hunter2", "[secret]"),
            ("endpoint.probe.expect", "1", "1"),
            ("endpoint.probe.sql", "select 'hunter2'", "select '[secret]'"),
            ("endpoint.probe.path", "/x?token=hunter2", "/x?token=[secret]"),
            ("endpoint.probe.expect_body", "hunter[0-9]?", "hunter[0-9]?"),
            ("endpoint.probe.expect_body", "token=hunter2", "token=[secret]"),
            ("endpoint.probe.user", "acc:probe?x=y", "acc:probe?x=y"),
            ("endpoint.probe.ca_file", "/etc/a?token=b", "/etc/a?token=b"),
            ("endpoint.probe.ca_file", "https://u:hunter2@a.b", "https://[secret]@a.b"),
            ("cloud.proxy", "http://u:hunter2@h:3128", "http://[secret]@h:3128"),
            ("cloud.proxy", "http://h:3128", "http://h:3128"),
            ("cloud.credentials.policy", "[]", "[]"),
            ("cloud.credentials.policy", "hunter2", "[secret]"),
            ("cloud.credentials.access_key_id", "LTAI5tStandIn", "LTAI5tStandIn"),
            ("cloud.credentials.access_key_id", "hunter2", "[secret]"),
            ("cloud.credentials", "ecs_role", "ecs_role"),
            ("cloud.credentials", "hunter2", "[secret]"),
            ("endpoint", "http://u:hunter2@a.b", "http://[secret]@a.b"),
        ] {
            assert_eq!(shown(path, text), expected, "{path} {text}");
        }
        let user = secret_parts("endpoint.probe.user", Some("tdengine"), "root:hunter2");
        assert_eq!(masked("root:hunter2", &user), "root:[secret]");
    }
}
