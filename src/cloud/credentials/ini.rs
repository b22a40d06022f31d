//! The shared credentials file of the official SDKs: INI, a section a profile.

use std::collections::BTreeMap;

use super::recipe::{Recipe, Role, StsPlace, WhyNot};
use crate::cloud::sign::Keys;
use crate::model::Secret;

/// The profile that counts if nothing else is said.
pub const DEFAULT_PROFILE: &str = "default";

/// The recipe of a profile. `sts` is for profiles that take on a role.
///
/// # Errors
/// No such profile, or one that is incomplete, switched off or of no use to a daemon.
pub fn recipe(text: &str, profile: &str, sts: &StsPlace) -> Result<Recipe, WhyNot> {
    let keys = section(text, profile)?;
    let section = Section { profile, keys };
    if section.get("enable").is_some_and(|v| v.expose().eq_ignore_ascii_case("false")) {
        return Err(WhyNot::Disabled("enable = false"));
    }
    match section.text("type")?.as_str() {
        "access_key" => Ok(Recipe::Given(section.keys(false)?)),
        "sts" => Ok(Recipe::Given(section.keys(true)?)),
        "ecs_ram_role" => Ok(Recipe::EcsRole { role: section.text("role_name").ok() }),
        "ram_role_arn" => {
            let base = Box::new(Recipe::Given(section.keys(false)?));
            Ok(Recipe::AssumeRole { base, role: section.role(sts)? })
        }
        "oidc_role_arn" => Ok(Recipe::OidcRole {
            role: section.role(sts)?,
            provider_arn: section.text("oidc_provider_arn")?,
            token_file: section.text("oidc_token_file_path")?.into(),
        }),
        kind => Err(WhyNot::unsupported(profile, kind)),
    }
}

struct Section<'a> {
    profile: &'a str,
    keys: BTreeMap<String, Secret>,
}

impl Section<'_> {
    fn get(&self, key: &str) -> Option<&Secret> {
        self.keys.get(key).filter(|value| !value.expose().is_empty())
    }

    fn secret(&self, key: &'static str) -> Result<Secret, WhyNot> {
        self.get(key).cloned().ok_or_else(|| WhyNot::Incomplete { profile: self.profile.to_owned(), key })
    }

    fn text(&self, key: &'static str) -> Result<String, WhyNot> {
        Ok(self.secret(key)?.expose().to_owned())
    }

    fn keys(&self, temporary: bool) -> Result<Keys, WhyNot> {
        let token = if temporary { Some(self.secret("security_token")?) } else { None };
        Ok(Keys { id: self.text("access_key_id")?, secret: self.secret("access_key_secret")?, token })
    }

    fn role(&self, sts: &StsPlace) -> Result<Role, WhyNot> {
        let (session, policy) = (self.text("role_session_name").ok(), self.text("policy").ok());
        Ok(Role { arn: self.text("role_arn")?, session, policy, sts: sts.clone(), ..Role::default() })
    }
}

/// The keys of one section. Everything else in the file is passed over, whatever it is: other profiles are none of our
/// business. Values are held as secrets, because which of them are is not known yet.
fn section(text: &str, profile: &str) -> Result<BTreeMap<String, Secret>, WhyNot> {
    let mut found = None;
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
            if found.is_some() {
                break;
            }
            found = (name.trim() == profile).then(BTreeMap::new);
        } else if let Some(keys) = &mut found {
            let syntax = || WhyNot::Syntax { expected: "key = value", line: number + 1 };
            // The Python SDK takes both.
            let (key, value) = line.split_once(['=', ':']).ok_or_else(syntax)?;
            // The Python SDK cuts a value at its first `#`.
            let value = value.split('#').next().unwrap_or_default().trim();
            keys.insert(key.trim().to_ascii_lowercase(), Secret::new(value.to_owned()));
        }
    }
    found.ok_or_else(|| WhyNot::NoProfile(profile.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\u{feff}# shared
[default]
type = access_key          # what else
access_key_id = LTAI
Access_Key_Secret: hunter2

[session]
type = sts
access_key_id = STS.x
access_key_secret = hunter2
security_token = a=b==
[host]
type = ecs_ram_role
role_name = Reader
[any-host]
type = ecs_ram_role
[chain]
type = ram_role_arn
access_key_id = LTAI
access_key_secret = hunter2
role_arn = acs:ram::1:role/r
role_session_name = s
[pod]
type = oidc_role_arn
role_arn = acs:ram::1:role/r
oidc_provider_arn = acs:ram::1:oidc-provider/p
oidc_token_file_path = /var/run/token
[off]
type = access_key
enable = False
[old]
type = rsa_key_pair
[half]
type = access_key
access_key_id = LTAI
access_key_secret = #hunter2
[broken]
type = access_key
hunter2
[empty]
";

    fn of(profile: &str) -> Result<Recipe, WhyNot> {
        recipe(FILE, profile, &StsPlace { region: Some("cn-hangzhou".into()), ..StsPlace::default() })
    }

    fn keys(id: &str, token: Option<&str>) -> Keys {
        let token = token.map(|t| Secret::new(t.into()));
        Keys { id: id.into(), secret: Secret::new("hunter2".into()), token }
    }

    #[test]
    fn every_kind_of_profile_is_read() {
        assert_eq!(of("default"), Ok(Recipe::Given(keys("LTAI", None))));
        assert_eq!(of("session"), Ok(Recipe::Given(keys("STS.x", Some("a=b==")))));
        assert_eq!(of("host"), Ok(Recipe::EcsRole { role: Some("Reader".into()) }));
        assert_eq!(of("any-host"), Ok(Recipe::EcsRole { role: None }));
        let Ok(Recipe::AssumeRole { base, role }) = of("chain") else { panic!() };
        assert_eq!(*base, Recipe::Given(keys("LTAI", None)));
        assert_eq!((role.arn.as_str(), role.session.as_deref()), ("acs:ram::1:role/r", Some("s")));
        assert_eq!(role.sts.region.as_deref(), Some("cn-hangzhou"));
        assert!(matches!(of("pod"), Ok(Recipe::OidcRole { .. })));
    }

    #[test]
    fn what_cannot_be_used_says_why_and_shows_no_secret() {
        let table = [
            ("none", "expected a profile \"none\", found none"),
            ("off", "disabled by enable = false"),
            ("old", "profile \"old\" is of kind \"rsa_key_pair\", which needs a person or runs a command"),
            ("half", "expected access_key_secret in profile \"half\", found none"),
            ("broken", "expected key = value, found an error in line 39"),
            ("empty", "expected type in profile \"empty\", found none"),
        ];
        for (profile, message) in table {
            assert_eq!(of(profile).unwrap_err().to_string(), message);
        }
    }
}
