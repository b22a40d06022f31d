//! Who may log in to the stand-in, and how a password is proved.

use std::collections::BTreeMap;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde::{Deserialize, Serialize};

use super::cluster::Release;
use super::mode::LoginFault;

/// What a MatrixOne front end is, and whom it knows. Passwords are no secrets: they open nothing but the stand-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MatrixoneSetup {
    /// Passwords by full name, `account:user:role`; an empty one is a user without.
    pub users: BTreeMap<String, String>,
    /// The version of the greeting: up to v2 it answers as v2.0.3 does, from v3 on as v4.2.0.
    pub version: String,
    /// Whether TLS is offered, where the service has certificates.
    pub tls: bool,
    /// How long a login may take before the connection is dropped, in milliseconds. v2.0.3 has no such limit.
    pub login_limit_ms: u64,
    /// How long the front end waits for a compute node to finish a login, in milliseconds.
    pub backend_limit_ms: u64,
}

impl MatrixoneSetup {
    /// The one user of the default, in the form that the cloud gives out.
    pub const USER: &'static str = "01926ad5-7c1e-7f3a-9b2d-3c4e5f607182:admin:accountadmin";
    /// The version of the older cluster that was seen.
    pub const V2: &'static str = "8.0.30-MatrixOne-v2.0.3";
    /// The version of the newer one.
    pub const V4: &'static str = "8.0.30-MatrixOne-v4.2.0";
    /// That user's password.
    pub const PASSWORD: &'static str = "standin-password-of-admin-01";
}

impl Default for MatrixoneSetup {
    fn default() -> Self {
        Self {
            users: BTreeMap::from([(Self::USER.to_owned(), Self::PASSWORD.to_owned())]),
            version: "8.0.30-MatrixOne-v3.0.9".to_owned(),
            tls: true,
            login_limit_ms: 10_000,
            backend_limit_ms: 10_000,
        }
    }
}

/// A full name in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) account: String,
    pub(super) user: String,
    /// None is the user's own.
    pub(super) role: Option<String>,
}

impl Name {
    /// `account:user:role`, also with `#` or `%3A`, with or without `?labels`; without an account it is `sys`.
    pub(super) fn parse(text: &str) -> Self {
        let name = text.split_once('?').map_or(text, |(name, _labels)| name);
        let name = name.replace("%3A", ":").replace("%3a", ":").replace('#', ":");
        let mut parts = name.split(':').map(str::to_owned);
        let first = parts.next().unwrap_or_default();
        match parts.next() {
            None => Self { account: "sys".to_owned(), user: first, role: None },
            Some(user) => Self { account: first, user, role: parts.next() },
        }
    }
}

impl MatrixoneSetup {
    /// As which release it answers.
    pub(super) fn release(&self) -> Release {
        Release::of(&self.version)
    }

    /// Whether `proof` proves the password of `user`, in the order in which the server looks.
    pub(super) fn check(&self, user: &str, salt: &[u8], proof: &[u8]) -> Result<(), LoginFault> {
        let asked = Name::parse(user);
        let known = || self.users.iter().map(|(name, password)| (Name::parse(name), password));
        if !known().any(|(name, _)| name.account == asked.account) {
            return Err(LoginFault::NoTenant);
        }
        let theirs = |name: &Name| name.account == asked.account && name.user == asked.user;
        if !known().any(|(name, _)| theirs(&name)) {
            return Err(LoginFault::NoUser);
        }
        let mut fitting = known().filter(|(name, _)| theirs(name) && (asked.role.is_none() || name.role == asked.role));
        let Some((_, password)) = fitting.next() else { return Err(LoginFault::RoleNotGranted) };
        if scramble(password, salt) == proof { Ok(()) } else { Err(LoginFault::WrongPassword) }
    }
}

/// `mysql_native_password`: SHA1(password) XOR SHA1(salt + SHA1(SHA1(password))), nothing for no password.
pub(super) fn scramble(password: &str, salt: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let sha1 = |bytes: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
    let once = sha1(password.as_bytes());
    let twice = sha1(once.as_ref());
    let key = sha1(&[salt, twice.as_ref()].concat());
    once.as_ref().iter().zip(key.as_ref()).map(|(a, b)| a ^ b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_parts() {
        let name = |account: &str, user: &str, role: Option<&str>| Name {
            account: account.to_owned(),
            user: user.to_owned(),
            role: role.map(str::to_owned),
        };
        for (text, expected) in [
            ("a:u:r", name("a", "u", Some("r"))),
            ("a#u#r", name("a", "u", Some("r"))),
            ("a%3Au%3ar", name("a", "u", Some("r"))),
            ("a:u:r?k:v", name("a", "u", Some("r"))),
            ("a:u", name("a", "u", None)),
            ("u", name("sys", "u", None)),
            ("", name("sys", "", None)),
        ] {
            assert_eq!(Name::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn refuses_in_the_servers_order() {
        let users = [("a:u:r", "secret"), ("a:nobody:r", "")];
        let users = users.map(|(name, password)| (name.to_owned(), password.to_owned())).into();
        let setup = MatrixoneSetup { users, ..MatrixoneSetup::default() };
        let salt = [7; 20];
        let proof = scramble("secret", &salt);
        for (user, proof, expected) in [
            ("a:u:r", proof.as_slice(), Ok(())),
            ("a#u", &proof, Ok(())),
            ("a:nobody:r", &[], Ok(())),
            ("a:nobody:r", &proof, Err(LoginFault::WrongPassword)),
            ("a:u:r", &[], Err(LoginFault::WrongPassword)),
            ("a:u:r", b"secret", Err(LoginFault::WrongPassword)),
            ("b:u:r", &proof, Err(LoginFault::NoTenant)),
            ("u", &proof, Err(LoginFault::NoTenant)),
            ("a:v:r", &proof, Err(LoginFault::NoUser)),
            ("a:u:s", &proof, Err(LoginFault::RoleNotGranted)),
        ] {
            assert_eq!(setup.check(user, &salt, proof), expected, "{user}");
        }
    }

    /// As every MySQL client computes it.
    #[test]
    fn scrambles_as_mysql() {
        let hex: String =
            scramble("secret", b"01234567890123456789").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "7abe1a8776b59e931059451f81e596a60dbbf7a8");
    }
}
