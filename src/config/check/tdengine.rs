//! `[endpoint.probe]` of kind `tdengine`: who asks, where, and what.

use super::context::CheckContext;
use super::section::{Conflict, Section};
use super::tls::NameFallback;
use super::{deep, https, mysql, read, tls};
use crate::config::source_text::quote;
use crate::model::{DeepSpec, TdengineLogin, TdengineSpec};

const DEFAULT_PATH: https::DefaultPath = https::DefaultPath { path: "/rest/sql", from: "default of tdengine" };
const LONGEST_SQL: usize = 4_000;

/// The keys of this kind.
pub(super) fn tdengine(
    section: &mut Section,
    context: &mut CheckContext<'_>,
    fallback: &NameFallback,
    around: &deep::Around,
) -> Option<(TdengineSpec, Option<DeepSpec>)> {
    let login = login(section, context);
    // What was complained about is taken for given.
    let has_login = login.as_ref().is_none_or(Option::is_some);
    let means = deep::SecretUse {
        has_secret: has_login,
        lacks: (!has_login).then_some("`token_file`, or `user` and `password_file`, beside it"),
        of_query: ["sql", "expect"],
    };
    let deep = deep::deep(section, context, around, &means);
    let tls = tls::verified(section, context, fallback);
    let path = https::path_or(section, context, https::path_without_query, DEFAULT_PATH);
    let sql = section.value(context, "sql", |n| read::bounded_text(n, LONGEST_SQL));
    let expect = mysql::expected_value(section, context);
    let spec = TdengineSpec { tls: tls?, path: path?, login: login?, sql: sql?, expect: expect? };
    Some((spec, deep?))
}

/// Who asks: a token, or a user and a password. The outer `None` if something was wrong.
fn login(section: &mut Section, context: &mut CheckContext<'_>) -> Option<Option<TdengineLogin>> {
    let [token, user, password] = ["token_file", "user", "password_file"].map(|name| section.has(name));
    if token && (user || password) {
        let help = "the cloud takes a token, a server of your own takes a user and a password";
        let expected = "`token_file`, or `user` and `password_file`".to_owned();
        section.report_conflict(context, "token_file", Conflict { expected, found: "both", help });
        section.forget(&["token_file", "user", "password_file"]);
        return None;
    }
    if user != password {
        section.report_missing(context, if user { "password_file" } else { "user" }, None);
    }
    let by_token = mysql::file_secret(section, context, "token_file").map(TdengineLogin::Token);
    let name = mysql::user(section, context, mysql::LoginRules::Plain);
    let secret = mysql::file_secret(section, context, "password_file");
    match (token, user && password) {
        (true, _) => by_token.map(Some),
        (false, true) => {
            let user = name.filter(|user| has_no_colon(user, section, context))?;
            Some(Some(TdengineLogin::Basic { user, password: secret? }))
        }
        (false, false) => (user == password).then_some(None),
    }
}

/// HTTP's Basic authentication can't carry a user with a colon (RFC 7617, section 2).
fn has_no_colon(user: &str, section: &Section, context: &mut CheckContext<'_>) -> bool {
    let fits = !user.contains(':');
    if !fits {
        let help = "Basic authentication ends the user's name at the first one";
        let expected = "a user without `:`".to_owned();
        section.report_conflict(context, "user", Conflict { expected, found: &quote(user), help });
    }
    fits
}
