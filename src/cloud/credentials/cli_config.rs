//! `~/.aliyun/config.json` of the official command line tool.

use serde::Deserialize;

use super::recipe::{Recipe, Role, StsPlace, WhyNot};
use crate::cloud::sign::Keys;
use crate::model::{Secret, Wall};

/// The recipe of a profile; of the file's current one if none is named. What the profile does not say of STS is taken
/// from `sts`.
///
/// # Errors
/// No such profile, or one that is incomplete, stands on itself or is of no use to a daemon.
pub fn recipe(json: &[u8], profile: Option<&str>, sts: &StsPlace) -> Result<Recipe, WhyNot> {
    // serde's own messages quote what they found, so only the place is told.
    let syntax = |e: serde_json::Error| WhyNot::Syntax { expected: "the command line tool's JSON", line: e.line() };
    let file: File = serde_json::from_slice(json).map_err(syntax)?;
    let current = profile.or(file.current.as_deref()).filter(|name| !name.is_empty());
    let name = current.ok_or(WhyNot::NotSet("a current profile"))?;
    file.recipe(name, sts, &mut Vec::new())
}

#[derive(Deserialize)]
struct File {
    current: Option<String>,
    #[serde(default)]
    profiles: Vec<Profile>,
}

/// Only what is used; the tool keeps much more in there.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Profile {
    name: String,
    mode: String,
    access_key_id: Option<String>,
    access_key_secret: Option<Secret>,
    sts_token: Option<Secret>,
    sts_expiration: Option<serde_json::Value>,
    ram_role_name: Option<String>,
    ram_role_arn: Option<String>,
    ram_session_name: Option<String>,
    role_session_name: Option<String>,
    expired_seconds: Option<u32>,
    policy: Option<String>,
    external_id: Option<String>,
    source_profile: Option<String>,
    oidc_provider_arn: Option<String>,
    oidc_token_file: Option<String>,
    credentials_uri: Option<String>,
    sts_endpoint: Option<String>,
    sts_region: Option<String>,
    enable_vpc: Option<bool>,
}

impl File {
    /// `above` are the profiles that stand on this one.
    fn recipe<'a>(&'a self, name: &'a str, sts: &StsPlace, above: &mut Vec<&'a str>) -> Result<Recipe, WhyNot> {
        if above.contains(&name) {
            return Err(WhyNot::Circle(name.to_owned()));
        }
        above.push(name);
        let profile =
            self.profiles.iter().find(|p| p.name == name).ok_or_else(|| WhyNot::NoProfile(name.to_owned()))?;
        // The SDKs want the exact case, the tool itself does not.
        match profile.mode.to_ascii_lowercase().as_str() {
            "ak" => Ok(Recipe::Given(profile.keys(false)?)),
            "ststoken" => profile.sts_token(),
            "ecsramrole" => Ok(Recipe::EcsRole { role: some(&profile.ram_role_name) }),
            "credentialsuri" => Ok(Recipe::Uri(profile.need(&profile.credentials_uri, "credentials_uri")?)),
            "ramrolearn" => {
                let base = Box::new(Recipe::Given(profile.keys(false)?));
                Ok(Recipe::AssumeRole { base, role: profile.role(sts)? })
            }
            "chainableramrolearn" => {
                let source = profile.source_profile.as_deref().filter(|s| !s.is_empty());
                let source = source.ok_or_else(|| profile.incomplete("source_profile"))?;
                let base = Box::new(self.recipe(source, sts, above)?);
                Ok(Recipe::AssumeRole { base, role: profile.role(sts)? })
            }
            "oidc" => Ok(Recipe::OidcRole {
                role: profile.role(sts)?,
                provider_arn: profile.need(&profile.oidc_provider_arn, "oidc_provider_arn")?,
                token_file: profile.need(&profile.oidc_token_file, "oidc_token_file")?.into(),
            }),
            _ => Err(WhyNot::unsupported(name, &profile.mode)),
        }
    }
}

/// The tool writes unset keys as empty texts. White space around a value, such as the newline at the end of a file that
/// it was filled from, is none of it.
fn some(text: &Option<String>) -> Option<String> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Seconds since 1970, as the tool writes it, or a time in words. An absent or empty one, or the tool's 0, is not
/// known.
fn expiration(value: &serde_json::Value) -> Result<Option<Wall>, ()> {
    let seconds = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
    let in_words = || value.as_str().and_then(|text| Wall::parse(text.trim()));
    let is_unset = value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
    match (is_unset, seconds) {
        (true, _) | (_, Some(0)) => Ok(None),
        (_, Some(seconds)) => Ok(Some(Wall(seconds.saturating_mul(1000)))),
        (_, None) => in_words().map(Some).ok_or(()),
    }
}

impl Profile {
    fn incomplete(&self, key: &'static str) -> WhyNot {
        WhyNot::Incomplete { profile: self.name.clone(), key }
    }

    fn need(&self, text: &Option<String>, key: &'static str) -> Result<String, WhyNot> {
        some(text).ok_or_else(|| self.incomplete(key))
    }

    /// Keys that end, as a rule, and often say when.
    fn sts_token(&self) -> Result<Recipe, WhyNot> {
        let keys = self.keys(true)?;
        let odd = |()| WhyNot::BadExpiration { profile: self.name.clone() };
        let expires = self.sts_expiration.as_ref().map_or(Ok(None), expiration).map_err(odd)?;
        Ok(match expires {
            None => Recipe::Given(keys),
            Some(expires) => Recipe::Temporary { profile: self.name.clone(), keys, expires },
        })
    }

    fn keys(&self, temporary: bool) -> Result<Keys, WhyNot> {
        let given =
            |secret: &Option<Secret>| secret.as_ref().map(Secret::trimmed).filter(|secret| !secret.expose().is_empty());
        let secret = |secret, key| given(secret).ok_or_else(|| self.incomplete(key));
        Ok(Keys {
            id: self.need(&self.access_key_id, "access_key_id")?,
            secret: secret(&self.access_key_secret, "access_key_secret")?,
            token: temporary.then(|| secret(&self.sts_token, "sts_token")).transpose()?,
        })
    }

    fn role(&self, sts: &StsPlace) -> Result<Role, WhyNot> {
        Ok(Role {
            arn: self.need(&self.ram_role_arn, "ram_role_arn")?,
            // The SDKs read one, the tool writes the other.
            session: some(&self.ram_session_name).or_else(|| some(&self.role_session_name)),
            seconds: self.expired_seconds.filter(|seconds| *seconds > 0),
            policy: some(&self.policy),
            external_id: some(&self.external_id),
            sts: StsPlace {
                endpoint: some(&self.sts_endpoint),
                region: some(&self.sts_region).or_else(|| sts.region.clone()),
                vpc: self.enable_vpc.unwrap_or(sts.vpc),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"current":"ak","profiles":[
        {"name":"ak","mode":"AK","access_key_id":"LTAI","access_key_secret":"hunter2","sts_token":"","region_id":"x"},
        {"name":"sts","mode":"StsToken","access_key_id":"STS.x","access_key_secret":"hunter2","sts_token":"t"},
        {"name":"role","mode":"RamRoleArn","access_key_id":"LTAI","access_key_secret":"hunter2",
         "ram_role_arn":"acs:ram::1:role/r","ram_session_name":"s","expired_seconds":900,"sts_region":"cn-beijing"},
        {"name":"chain","mode":"ChainableRamRoleArn","source_profile":"role","ram_role_arn":"acs:ram::1:role/q"},
        {"name":"loop","mode":"ChainableRamRoleArn","source_profile":"pool","ram_role_arn":"acs:ram::1:role/q"},
        {"name":"pool","mode":"ChainableRamRoleArn","source_profile":"loop","ram_role_arn":"acs:ram::1:role/q"},
        {"name":"ecs","mode":"ecsramrole"},
        {"name":"pod","mode":"OIDC","ram_role_arn":"acs:ram::1:role/r","oidc_provider_arn":"p","oidc_token_file":"/t",
         "role_session_name":"pod"},
        {"name":"uri","mode":"CredentialsURI","credentials_uri":"http://127.0.0.1:1/"},
        {"name":"ext","mode":"External","process_command":"rm -rf /"},
        {"name":"half","mode":"AK","access_key_id":"LTAI","access_key_secret":""}]}"#;

    fn of(profile: Option<&str>) -> Result<Recipe, WhyNot> {
        recipe(FILE.as_bytes(), profile, &StsPlace { region: Some("cn-hangzhou".into()), ..StsPlace::default() })
    }

    #[test]
    fn every_mode_is_read() {
        let Ok(Recipe::Given(keys)) = of(None) else { panic!() };
        assert_eq!((keys.id.as_str(), keys.token), ("LTAI", None));
        let Ok(Recipe::Given(keys)) = of(Some("sts")) else { panic!() };
        assert_eq!(keys.token, Some(Secret::new("t".into())));
        let Ok(Recipe::AssumeRole { role, .. }) = of(Some("role")) else { panic!() };
        assert_eq!((role.seconds, role.sts.region.as_deref()), (Some(900), Some("cn-beijing")));
        let Ok(Recipe::AssumeRole { base, role }) = of(Some("chain")) else { panic!() };
        assert!(matches!(*base, Recipe::AssumeRole { .. }));
        assert_eq!(role.sts.region.as_deref(), Some("cn-hangzhou"));
        assert_eq!(of(Some("ecs")), Ok(Recipe::EcsRole { role: None }));
        let Ok(Recipe::OidcRole { role, .. }) = of(Some("pod")) else { panic!() };
        assert_eq!(role.session.as_deref(), Some("pod"));
        assert_eq!(of(Some("uri")), Ok(Recipe::Uri("http://127.0.0.1:1/".into())));
    }

    #[test]
    fn keys_that_end_say_when_and_white_space_is_none_of_them() {
        let of = |expiration: &str| {
            let json = format!(
                r#"{{"current":"a","profiles":[{{"name":"a","mode":"StsToken","access_key_id":" STS.x\n",
                    "access_key_secret":"hunter2\n","sts_token":"t\r\n","sts_expiration":{expiration}}}]}}"#
            );
            recipe(json.as_bytes(), None, &StsPlace::default())
        };
        let [secret, token] = ["hunter2", "t"].map(|text| Secret::new(text.to_owned()));
        let keys = || Keys { id: "STS.x".to_owned(), secret: secret.clone(), token: Some(token.clone()) };
        let ends = || Recipe::Temporary { profile: "a".into(), keys: keys(), expires: Wall(1_767_225_600_000) };
        for told in ["1767225600", "\"1767225600\"", "\"2026-01-01T00:00:00Z\""] {
            assert_eq!(of(told), Ok(ends()), "{told}");
        }
        for untold in ["0", "null", "\"\"", "\" \""] {
            assert_eq!(of(untold), Ok(Recipe::Given(keys())), "{untold}");
        }
        for odd in ["-1", "1.5", "{}", "\"soon\""] {
            let said = of(odd).unwrap_err().to_string();
            assert!(said.starts_with("expected sts_expiration in profile \"a\" in seconds since 1970, or "), "{said}");
        }
    }

    #[test]
    fn what_cannot_be_used_says_why_and_shows_no_secret() {
        let table = [
            ("none", "expected a profile \"none\", found none"),
            ("loop", "profile \"loop\" stands on itself"),
            ("ext", "profile \"ext\" is of kind \"External\", which needs a person or runs a command"),
            ("half", "expected access_key_secret in profile \"half\", found none"),
        ];
        for (profile, message) in table {
            assert_eq!(of(Some(profile)).unwrap_err().to_string(), message);
        }
        let none = recipe(br#"{"profiles":[{"name":"default"}]}"#, None, &StsPlace::default());
        assert_eq!(none.unwrap_err().to_string(), "a current profile not set");
        let odd = FILE.replace("\"LTAI\"", "[\"hunter2\"]");
        let error = recipe(odd.as_bytes(), None, &StsPlace::default()).unwrap_err();
        assert_eq!(error.to_string(), "expected the command line tool's JSON, found an error in line 2");
    }
}
