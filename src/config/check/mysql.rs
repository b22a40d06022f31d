//! `[endpoint.probe]` of the kinds `matrixone` and `mysql`: who logs in, over which TLS, and what is asked.

use std::sync::Arc;

use super::context::Bad;
use super::section::Section;
use super::tls::NameFallback;
use super::{deep, matrixone_user, read, secret, tls};
use crate::model::{DeepSpec, FileSecret, MysqlLogin, MysqlSpec, MysqlTls};

const LONGEST_QUERY: usize = 4_000;
const LONGEST_VALUE: usize = 1_000;
/// MatrixOne's are longer than MySQL's 32: an account's UUID, user and role.
const LONGEST_USER: usize = 300;

/// Whose rules the name of the user who logs in follows, and whether the probe needs a login.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LoginRules {
    /// Any name; a probe of kind `mysql` can do nothing without one.
    Plain,
    /// As MatrixOne reads names; a probe of kind `matrixone` can do without a login.
    Matrixone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Off,
    Preferred,
    Required,
    VerifyCa,
    Verify,
}

const MODES: [(&str, Mode); 5] = [
    ("off", Mode::Off),
    ("preferred", Mode::Preferred),
    ("required", Mode::Required),
    ("verify_ca", Mode::VerifyCa),
    ("verify", Mode::Verify),
];

/// A user of MatrixOne's.
const MATRIXONE_NAME: &str = "account:user or account:user:role";

/// Users and roles that may do everything: more than a probe needs.
const ADMINS: [&str; 6] = ["root", "admin", "accountadmin", "moadmin", "sysadmin", "dump"];

/// The keys of these kinds.
pub(super) fn mysql(
    section: &mut Section<'_>,
    fallback: &NameFallback,
    rules: LoginRules,
    around: &deep::Around,
) -> Option<(MysqlSpec, Option<DeepSpec>)> {
    let login = login(section, rules);
    // What was complained about is taken for given.
    let given = |is: fn(&MysqlLogin) -> bool| login.as_ref().is_none_or(|l| l.as_ref().is_some_and(is));
    let means = deep::SecretUse {
        has_secret: given(|login| login.password.is_some()),
        lacks: (!given(|_| true)).then_some("`user` and `password_file` beside it"),
        of_query: ["query", "expect"],
    };
    let deep = deep::deep(section, around, &means);
    let tls = tls(section, fallback);
    let query = section.value("query", |n| read::bounded_text(n, LONGEST_QUERY));
    let expect = expected_value(section);
    let (tls, expiry_warning) = tls?;
    let spec = MysqlSpec { tls, expiry_warning, login: login?, query: query?, expect: expect? };
    Some((spec, deep?))
}

/// Who logs in. The outer `None` if something was wrong.
fn login(section: &mut Section<'_>, rules: LoginRules) -> Option<Option<MysqlLogin>> {
    let user_needed = rules == LoginRules::Plain;
    let (has_user, has_password) = (section.has("user"), section.has("password_file"));
    if !has_user && (user_needed || has_password) {
        let help = if has_password { None } else { Some("an unfinished login would get this host blocked") };
        section.report_missing("user", help);
    }
    if has_user && !has_password && !user_needed {
        section.report_missing("password_file", Some("without a secret nothing logs in: leave `user` out, too"));
    }
    let user = user(section, rules);
    let password = file_secret(section, "password_file");
    match (has_user, has_password) {
        (false, false) => (!user_needed).then_some(None),
        (true, false) if user_needed => Some(Some(MysqlLogin { user: user?, password: None })),
        _ => Some(Some(MysqlLogin { user: user?, password: Some(password?) })),
    }
}

/// The name of who logs in; warns of administrators, and of who belongs to no account of MatrixOne.
pub(super) fn user(section: &mut Section<'_>, rules: LoginRules) -> Option<String> {
    let user = section.read("user", |n| {
        let text = read::bounded_text(n, LONGEST_USER)?;
        let clean = !text.is_empty() && text.trim() == text && !text.chars().any(char::is_control);
        match matrixone_user::malformed(&text).filter(|_| rules == LoginRules::Matrixone) {
            _ if !clean => Err(vec![Bad::new("a user's name", n)]),
            Some(why) => Err(vec![Bad::new(MATRIXONE_NAME, n).help(why)]),
            None => Ok(text),
        }
    })?;
    let shown = |user: &str| secret::shown_user(user, None);
    if rules == LoginRules::Matrixone && matrixone_user::lacks_account(&user.value) {
        let help = "MatrixOne looks for it in its provider's own account, and logs each login there that fails; write \
                    \"sys:…\" where that is meant";
        section.warn("user", user.bad(MATRIXONE_NAME, shown(&user.value)).help(help));
    }
    if is_admin(&user.value) {
        let help = "a user with no right but to log in is enough; its password lies on every host";
        section.warn("user", user.bad("a user without an admin's rights", shown(&user.value)).help(help));
    }
    Some(user.value)
}

/// MatrixOne writes `account:user:role`, or with `#` or `%3A`; the last part is the role that counts. Labels stand
/// behind a `?`.
fn is_admin(user: &str) -> bool {
    let name = user.split('?').next().unwrap_or(user).replace("%3A", ":");
    let last = name.rsplit([':', '#']).next().unwrap_or(&name);
    ADMINS.iter().any(|admin| admin.eq_ignore_ascii_case(last))
}

/// A secret file, if the key is there.
pub(super) fn file_secret(section: &mut Section<'_>, name: &str) -> Option<FileSecret> {
    let world = section.context.world;
    section.value(name, |n| secret::file(n, world))
}

/// What is expected of the first column. The outer `None` if it was wrong.
pub(super) fn expected_value(section: &mut Section<'_>) -> Option<Option<String>> {
    section.optional("expect", |n| read::bounded_text(n, LONGEST_VALUE))
}

fn tls(section: &mut Section<'_>, fallback: &NameFallback) -> Option<(MysqlTls, std::time::Duration)> {
    let Some(mode) = section.value("tls", |n| read::word(n, &MODES)) else {
        section.forget(&tls::VERIFIED);
        let _ = tls::expiry_warning(section);
        return None;
    };
    let tls = match mode {
        Mode::Verify => {
            let spec = tls::verified(section, fallback)?;
            let expiry_warning = spec.expiry_warning;
            return Some((MysqlTls::Verify(spec), expiry_warning));
        }
        Mode::VerifyCa => return verify_ca(section),
        Mode::Off => MysqlTls::Off,
        Mode::Preferred => MysqlTls::Preferred,
        Mode::Required => MysqlTls::Required,
    };
    let help = "no other mode looks at who signed the certificate, and for whom";
    refuse_beside(section, mode, &tls::VERIFIED, help);
    section.forget(&tls::VERIFIED);
    Some((tls, tls::expiry_warning(section)?))
}

/// Who signed the certificate is looked at, and not for whom: for servers that made their certificates themselves.
fn verify_ca(section: &mut Section<'_>) -> Option<(MysqlTls, std::time::Duration)> {
    if !section.has("ca_file") {
        let help = "whoever has a certificate of a public authority, for any name, would pass without";
        section.report_missing("ca_file", Some(help));
    }
    refuse_beside(section, Mode::VerifyCa, &["server_name"], "verify_ca does not look at the name");
    section.forget(&["server_name"]);
    let bundle = tls::ca_file(section);
    let expiry_warning = tls::expiry_warning(section)?;
    Some((MysqlTls::VerifyCa(Arc::new(bundle?)), expiry_warning))
}

/// Complains of keys that only `verify` has.
fn refuse_beside(section: &Section<'_>, mode: Mode, keys: &[&str], help: &str) {
    for name in keys.iter().filter(|name| section.has(name)) {
        let modes = if *name == "ca_file" { "\"verify\" or \"verify_ca\"" } else { "\"verify\"" };
        let expected = format!("{modes} beside `{name}`");
        section.report_conflict("tls", expected, &read::quoted_word(&MODES, &mode), help);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_a_user_says_whether_it_is_an_admin() {
        for user in
            ["root", "acct:admin:accountadmin", "a#b#moadmin", "sys:dump", "Admin", "a%3Ab%3Amoadmin", "a:dump?x=y"]
        {
            assert!(is_admin(user), "{user}");
        }
        for user in ["probe", "acct:admin:readonly", "root:probe", "administrator"] {
            assert!(!is_admin(user), "{user}");
        }
    }
}
