//! `[endpoint.probe]` of kind `tdengine`: who asks, where, and what.

use super::section::Section;
use super::tls::NameFallback;
use super::{deep, https, mysql, read, secret, tls};
use crate::model::{DeepSpec, TdengineLogin, TdengineSpec};

const LONGEST_SQL: usize = 4_000;

/// The keys of this kind.
pub(super) fn tdengine(
    section: &mut Section<'_>,
    fallback: &NameFallback,
    around: &deep::Around,
) -> Option<(TdengineSpec, Option<DeepSpec>)> {
    let login = login(section);
    // What was complained about is taken for given.
    let has_login = login.as_ref().is_none_or(Option::is_some);
    let means = deep::SecretUse {
        has_secret: has_login,
        lacks: (!has_login).then_some("`token_file`, or `user` and `password_file`, beside it"),
        of_query: ["sql", "expect"],
    };
    let deep = deep::deep(section, around, &means);
    let tls = tls::verified(section, fallback);
    let path = section.value_or("path", Some("/rest/sql".to_owned()), https::path_without_query);
    let sql = section.value("sql", |n| read::bounded_text(n, LONGEST_SQL));
    let expect = mysql::expected_value(section);
    let spec = TdengineSpec { tls: tls?, path: path?, login: login?, sql: sql?, expect: expect? };
    Some((spec, deep?))
}

/// Who asks: a token, or a user and a password. The outer `None` if something was wrong.
fn login(section: &mut Section<'_>) -> Option<Option<TdengineLogin>> {
    let [token, user, password] = ["token_file", "user", "password_file"].map(|name| section.has(name));
    if token && (user || password) {
        let help = "the cloud takes a token, a server of your own takes a user and a password";
        section.report_conflict("token_file", "`token_file`, or `user` and `password_file`", "both", help);
        section.forget(&["token_file", "user", "password_file"]);
        return None;
    }
    if user != password {
        section.report_missing(if user { "password_file" } else { "user" }, None);
    }
    let by_token = mysql::file_secret(section, "token_file").map(TdengineLogin::Token);
    let name = mysql::user(section, mysql::LoginRules::Plain);
    let secret = mysql::file_secret(section, "password_file");
    match (token, user && password) {
        (true, _) => by_token.map(Some),
        (false, true) => {
            let user = name.filter(|user| has_no_colon(user, section))?;
            Some(Some(TdengineLogin::Basic { user, password: secret? }))
        }
        (false, false) => (user == password).then_some(None),
    }
}

/// HTTP's Basic authentication can't carry a user with a colon (RFC 7617, section 2).
fn has_no_colon(user: &str, section: &Section<'_>) -> bool {
    let fits = !user.contains(':');
    if !fits {
        let help = "Basic authentication ends the user's name at the first one";
        section.report_conflict("user", "a user without `:`", &secret::shown_user(user, Some("tdengine")), help);
    }
    fits
}
