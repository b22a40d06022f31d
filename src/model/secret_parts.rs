//! Which parts of a text may be secret, as the text itself tells: what a config, a variable or a profile says is shown
//! without them, whatever it was meant for (B15).

use std::iter;
use std::net::Ipv6Addr;
use std::ops::Range;

use super::secret::HIDDEN;

/// What names have in them that a secret stands behind, or one mistyped.
const SECRETIVE: &[&str] = &["auth", "cookie", "cred", "key", "pas", "phrase", "pin", "pw", "sec", "tok"];

/// What health pages and databases answer with.
const ANSWERS: &[&str] = &["true", "false", "alive", "ready", "passing", "healthy", "running", "success"];

const QUOTES: [char; 2] = ['\'', '"'];

/// True if a name says that there may be a secret behind it.
#[must_use]
pub fn is_secretive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !name.is_ascii() || SECRETIVE.iter().any(|part| name.contains(part))
}

/// True for what is too short to be a secret, for numbers and for a few words.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    const TOO_SHORT: usize = 4;
    const LONGEST_NUMBER: usize = 10;
    let is_number = text.len() <= LONGEST_NUMBER && text.bytes().all(|b| b.is_ascii_digit());
    text.len() <= TOO_SHORT || is_number || ANSWERS.iter().any(|answer| answer.eq_ignore_ascii_case(text))
}

/// True for what turns something on or off, or counts it, whatever its name has in it.
fn is_setting(value: &str) -> bool {
    const LONGEST_COUNT: usize = 3;
    let is_count = value.len() <= LONGEST_COUNT && value.bytes().all(|b| b.is_ascii_digit());
    is_count || ["true", "false"].iter().any(|word| word.eq_ignore_ascii_case(value))
}

/// Parts of a text that may be secret, from left to right, in bytes.
pub type SecretParts = Vec<Range<usize>>;

/// Of a URL, a request's path, or what should have been a name or an address: who logs in and with what, what the query
/// asks, the fragment, and what stands behind a word for a secret.
#[must_use]
pub fn of_url(text: &str) -> SecretParts {
    merged(login_and_query(text).into_iter().chain(named(text)))
}

/// As [`of_url`], but whatever names stand in it.
#[must_use]
pub fn login_and_query(text: &str) -> SecretParts {
    let user = userinfo(text);
    let behind = user.as_ref().map_or(0, |user| user.end);
    merged(user.into_iter().chain(query(text, behind)))
}

/// Of words in which `?` and `#` mean something else: a regular expression, the name of a user.
#[must_use]
pub fn of_words(text: &str) -> SecretParts {
    merged(userinfo(text).into_iter().chain(named(text)))
}

/// Of an SQL statement, or what should have been one: its literals, from the first to the last, and its comments.
#[must_use]
pub fn of_statement(text: &str) -> SecretParts {
    let comment = ["--", "#", "/*"].iter().filter_map(|begin| Some(text.find(begin)? + begin.len())).min();
    let literals = text.find(QUOTES).map(|first| {
        let last = text.rfind(QUOTES).filter(|last| *last > first);
        first + 1..last.unwrap_or(text.len())
    });
    let literals = literals.filter(|literals| !is_plain(&text[literals.clone()]));
    merged(literals.into_iter().chain(comment.map(|begin| begin..text.len())).chain(of_words(text)))
}

/// The literals of a statement that may be secret, each by itself: servers repeat them in what they say of it.
pub fn literals(statement: &str) -> impl Iterator<Item = &str> {
    let parts = of_statement(statement).into_iter().filter_map(|part| statement.get(part));
    parts.flat_map(|part| part.split(QUOTES)).filter(|literal| !is_plain(literal))
}

/// Of a text that may be of any kind: all of it, unless it [`is_plain`].
#[must_use]
pub fn of_text(text: &str) -> SecretParts {
    if is_plain(text) { SecretParts::new() } else { iter::once(0..text.len()).collect() }
}

/// A text without some parts of it.
#[must_use]
pub fn masked(text: &str, parts: &[Range<usize>]) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for part in parts {
        shown.push_str(text.get(from..part.start).unwrap_or_default());
        shown.push_str(HIDDEN);
        from = part.end;
    }
    shown.push_str(text.get(from..).unwrap_or_default());
    shown
}

/// `user:password` before an `@`. A password may have any character in it, so that the last one counts.
fn userinfo(text: &str) -> Option<Range<usize>> {
    let authority = text.find("//").filter(|at| *at == 0 || text[..*at].ends_with(':')).map(|at| at + 2);
    let start = authority.unwrap_or_default();
    match (text.rfind('@').filter(|end| start < *end), authority) {
        (Some(end), Some(_)) => Some(start..end),
        (Some(end), None) => (!text.starts_with('/') && text[..end].contains(':')).then_some(0..end),
        (None, Some(_)) => password_without_host(text, start),
        (None, None) => None,
    }
}

/// What stands in a URL where its port should, as where the `@` and the host are lost.
fn password_without_host(text: &str, start: usize) -> Option<Range<usize>> {
    let authority = text[start..].split(['/', '?', '#', '"', '\'', ',']).next()?;
    let (host, port) = authority.split_once(':')?;
    let is_password = !port.bytes().all(|b| b.is_ascii_digit()) && authority.parse::<Ipv6Addr>().is_err();
    (is_password && !host.starts_with('[')).then_some(start + host.len() + 1..start + authority.len())
}

/// The values of a query, from byte `from` on, and the fragment.
fn query(text: &str, from: usize) -> SecretParts {
    let mut parts = SecretParts::new();
    let asked = text[from..].find('?').map(|at| from + at + 1);
    let is_url = asked.is_some() || text.contains("://");
    let fragment = text[from..].find('#').map(|at| from + at + 1).filter(|_| is_url);
    let end = fragment.map_or(text.len(), |at| at - 1);
    let mut at = asked.filter(|at| *at <= end).unwrap_or(end);
    for pair in text[at..end].split(['&', ';']) {
        let (name, value) = pair.split_once('=').unwrap_or(("", pair));
        let range = at + pair.len() - value.len()..at + pair.len();
        if !is_setting(value) && (is_secretive(name) || !is_plain(value)) {
            parts.push(range);
        }
        at += pair.len() + 1;
    }
    parts.extend(fragment.filter(|at| *at < text.len()).map(|at| at..text.len()));
    parts
}

/// From what stands behind the first `password=`, `token: ` or the like to the end.
fn named(text: &str) -> Option<Range<usize>> {
    let behind_name = |(at, sign): (usize, &str)| {
        let before = text[..at].trim_end().trim_end_matches(QUOTES);
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let name = &before[before.trim_end_matches(is_part).len()..];
        let rest = &text[at + sign.len()..];
        let value = rest.trim_start().trim_start_matches(QUOTES);
        // A colon has other meanings where nothing sets it off: `ssm:a`, `token::1`.
        let assigns = sign != ":" || value.len() < rest.len();
        let first = value.split([' ', ',', ';', '&', '}', '"', '\'']).next().unwrap_or(value);
        (!name.is_empty() && is_secretive(name) && assigns && !is_setting(first)).then(|| text.len() - value.len())
    };
    let start = text.match_indices(['=', ':', '\u{ff1d}', '\u{ff1a}']).find_map(behind_name)?;
    Some(start..text.len())
}

/// In their order, those that touch as one.
fn merged(parts: impl Iterator<Item = Range<usize>>) -> SecretParts {
    let mut all: SecretParts = parts.filter(|part| !part.is_empty()).collect();
    all.sort_by_key(|part| part.start);
    let mut merged = SecretParts::new();
    for part in all {
        match merged.last_mut() {
            Some(last) if part.start <= last.end => last.end = last.end.max(part.end),
            _ => merged.push(part),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(parts: fn(&str) -> SecretParts, text: &str) -> String {
        masked(text, &parts(text))
    }

    #[test]
    fn of_a_url_only_what_may_be_secret_is_hidden() {
        for (text, expected) in [
            ("http://root:hunter2@a.b:80/x?token=T", "http://[secret]@a.b:80/x?token=[secret]"),
            ("https://hunter2@a.b", "https://[secret]@a.b"),
            ("http://u:hunter/2@hunter?2@a.b/c", "http://[secret]@a.b/c"),
            ("//u:hunter2@a.b", "//[secret]@a.b"),
            ("http://u:hunter2", "http://u:[secret]"),
            ("root:hunter2@tcp(a.b:6001)/db", "[secret]@tcp(a.b:6001)/db"),
            ("/rest/sql?token=T", "/rest/sql?token=[secret]"),
            ("/rest/sql?tz=UTC", "/rest/sql?tz=UTC"),
            ("/x?deep=true&n=1000&id=hunter2&ok", "/x?deep=true&n=1000&id=[secret]&ok"),
            ("/x?hunter2", "/x?[secret]"),
            ("/x?passing=true&timeout_seconds=5&token=T", "/x?passing=true&timeout_seconds=5&token=[secret]"),
            ("http://a.b/#hunter2", "http://a.b/#[secret]"),
            ("jdbc:mysql://a.b/db?user=root&password=hunter2", "jdbc:mysql://a.b/db?user=root&password=[secret]"),
            ("Server=a.b;Pwd=hunter2;", "Server=a.b;Pwd=[secret]"),
            ("Authorization: Bearer hunter2", "Authorization: [secret]"),
            ("password \u{ff1d} hunter2", "password \u{ff1d} [secret]"),
        ] {
            assert_eq!(shown(of_url, text), expected, "{text}");
        }
        for whole in [
            "",
            "https://a.b:6001/c/d",
            "http://[fd00::1]:80/",
            "http://fd00::1/",
            "acs:ram::1:oidc-provider/x",
            "fd00::1",
            "a@b",
            "/a@b:c",
            "10.0.0.1:53",
            "?",
            "#x",
            "a b",
            "token",
            "token=",
            "key:value",
            "/a\"b\\c?d='e'",
        ] {
            assert!(of_url(whole).is_empty(), "{whole}");
        }
    }

    #[test]
    fn of_words_a_question_mark_hides_nothing() {
        assert_eq!(shown(of_words, "acc1:probe?x=y?z=w"), "acc1:probe?x=y?z=w");
        assert_eq!(shown(of_words, "\"status\":\\s*\"(ok|UP)\""), "\"status\":\\s*\"(ok|UP)\"");
        assert_eq!(shown(of_words, "\"token\": \"hunter2\""), "\"token\": \"[secret]");
    }

    #[test]
    fn of_a_statement_the_literals_are_hidden() {
        for (text, expected) in [
            ("select * from t where k = 'hunter2' and n = 1", "select * from t where k = '[secret]' and n = 1"),
            ("select \"hunter2\", 'x'", "select \"[secret]'"),
            ("select 'hunter2", "select '[secret]"),
            ("select 1 -- hunter2", "select 1 --[secret]"),
            ("select 'ok'", "select 'ok'"),
            ("SELECT @@read_only", "SELECT @@read_only"),
            ("select * from t where key = 5", "select * from t where key = 5"),
            ("set password = hunter2", "set password = [secret]"),
        ] {
            assert_eq!(shown(of_statement, text), expected, "{text}");
        }
        let repeated: Vec<_> = literals("select * from t where k = 'hunter2' and n = '1' or k = \"hunter3\"").collect();
        assert!(repeated.contains(&"hunter2") && repeated.contains(&"hunter3"), "{repeated:?}");
        assert_eq!(literals("select 1").count(), 0);
    }

    #[test]
    fn of_other_texts_only_plain_ones_are_shown() {
        for plain in ["", "1", "0123456789", "ok", "UP", "Healthy"] {
            assert!(of_text(plain).is_empty(), "{plain}");
        }
        assert_eq!(shown(of_text, "hunter2"), "[secret]");
        assert!(is_secretive("pasword") && is_secretive("API_KEY") && !is_secretive("enabled"));
    }
}
