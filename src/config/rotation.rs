//! Secrets whose files are written anew while a configuration is in force: they are read again, and nothing else is.
//!
//! The texts of the configuration stay as they were loaded, whatever is on the disk by now: that is for a reload. They
//! are judged once more, by the same rules as ever, with what their secret files hold now, and of the outcome only
//! secrets are taken.

use std::sync::Arc;

use super::complaint::Complaints;
use super::credentials::CredentialsConfig;
use super::facts::Environment;
use super::loader;
use super::source_text::Texts;
use super::sources::Sources;
use super::types::{Config, EndpointConfig};

/// A configuration with the secrets that its files hold now.
#[derive(Debug)]
pub struct Renewed {
    /// The configuration; the same as before in all other respects.
    pub config: Config,
    /// The files that were read, for [`Sources::renew_secrets`].
    sources: Sources,
    /// What can't be taken over, in words; the secrets before stay in use there.
    pub refused: Vec<String>,
}

impl Texts {
    /// The configuration `running`, which these texts made, with the secrets that its files hold now. A file that can't
    /// be used costs its own endpoint, or the cloud's API, the new secret, and no other. Blocks.
    ///
    /// # Errors
    /// What is wrong with a secret that belongs to neither.
    pub fn renewed(&self, running: &Config, environment: &Environment) -> Result<Renewed, Complaints> {
        let (loaded, without) = loader::judge(self.clone(), environment, Sources::default(), true)?;
        let mut config = running.clone();
        let lost = loaded.config.cloud.credentials == CredentialsConfig::Lost;
        if !lost {
            config.cloud.credentials = loaded.config.cloud.credentials;
        }
        for (name, endpoint) in &mut config.endpoints {
            endpoint.take_secrets(loaded.config.endpoints.get(name));
        }
        // The words are those of a start, at which there is no secret to go on with.
        let kept = |lack: String| {
            let lack = lack.replace(": no probe, because ", ": the secret before stays in use, because ");
            lack.replace(": no credentials, because ", ": the keys before stay in use, because ")
        };
        let lacks = |lack: &String| {
            let had_keys = running.cloud.credentials != CredentialsConfig::Lost;
            let mut probed = running.endpoints.iter().filter(|(_, endpoint)| endpoint.probe.is_some());
            (lost && had_keys && lack.starts_with("the cloud's API: "))
                || probed.any(|(name, _)| lack.starts_with(&format!("endpoint {name}: ")))
        };
        let refused = without.into_iter().filter(lacks).map(kept).collect();
        Ok(Renewed { config, sources: loaded.sources, refused })
    }
}

impl EndpointConfig {
    fn take_secrets(&mut self, read: Option<&Self>) {
        if let (Some(probe), Some(new)) = (&self.probe, read.and_then(|read| read.probe.as_ref())) {
            let renewed = probe.with_secrets_of(new);
            if renewed != **probe {
                self.probe = Some(Arc::new(renewed));
            }
        }
    }
}

impl Sources {
    /// Files that hold a secret were read again: what was found then is what is compared from now on.
    pub fn renewed(&mut self, by: &Renewed) {
        self.renew_secrets(by.sources.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::from_texts;

    fn probe(name: &str, file: &std::path::Path) -> String {
        format!(
            "[[endpoint]]\nname = \"{name}\"\naddresses = {{ \"cn-hangzhou-h\" = \"10.0.0.1\" }}\nprivate_dns = [\"{name}.example.internal\"]\n\
             probe = {{ kind = \"tdengine\", token_file = \"{}\" }}\n",
            file.display()
        )
    }

    fn write(path: &std::path::Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_used_costs_its_own_endpoint_the_new_secret() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        write(&a, "one", 0o600);
        write(&b, "two", 0o600);
        let text = probe("orders", &a) + &probe("ledger", &b);
        let environment = Environment::current();
        let mut loaded = from_texts(&[("config.toml", &text)], &environment).unwrap();
        assert_eq!(loaded.sources.secrets().collect::<Vec<_>>(), [&a, &b]);
        let same = loaded.texts.renewed(&loaded.config, &environment).unwrap();
        assert_eq!(same.config, loaded.config);
        assert!(same.refused.is_empty() && loaded.sources.secrets_on_disk().is_none());

        write(&a, "three", 0o600);
        write(&b, "four", 0o644);
        assert!(loaded.sources.secrets_on_disk().is_some() && loaded.sources.changed_on_disk());
        let renewed = loaded.texts.renewed(&loaded.config, &environment).unwrap();
        loaded.sources.renewed(&renewed);
        assert!(!loaded.sources.changed_on_disk(), "it was looked at");
        let secret = |config: &Config, name: &str| {
            let probe = config.endpoints[&name.parse().unwrap()].probe.clone().unwrap();
            probe.kind.secret().unwrap().secret.expose().to_owned()
        };
        assert_eq!(
            (secret(&renewed.config, "orders").as_str(), secret(&renewed.config, "ledger").as_str()),
            ("three", "two")
        );
        let [refused] = &renewed.refused[..] else { panic!("{:?}", renewed.refused) };
        assert!(refused.starts_with("endpoint ledger: the secret before stays in use, because "), "{refused}");
        assert!(!refused.contains("four"), "{refused}");
    }

    #[test]
    fn what_cannot_be_used_is_not_judged_again_before_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        write(&file, "one", 0o600);
        let text = format!(
            "[cloud.credentials]\nprovider = \"access_key\"\naccess_key_id = \"AK\"\naccess_key_secret_file = \"{}\"\n",
            file.display()
        );
        let environment = Environment::current();
        let mut loaded = from_texts(&[("config.toml", &text)], &environment).unwrap();
        write(&file, "two", 0o666);
        let now = loaded.sources.secrets_on_disk().unwrap();
        let renewed = loaded.texts.renewed(&loaded.config, &environment).unwrap();
        assert_eq!(renewed.config.cloud.credentials, loaded.config.cloud.credentials, "the keys before stay");
        let [refused] = &renewed.refused[..] else { panic!("{:?}", renewed.refused) };
        assert!(refused.starts_with("the cloud's API: the keys before stay in use, because "), "{refused}");
        loaded.sources.renew_secrets(now);
        assert!(loaded.sources.secrets_on_disk().is_none(), "it was looked at");
        fs::remove_file(&file).unwrap();
        assert!(loaded.sources.secrets_on_disk().is_some());
    }
}
