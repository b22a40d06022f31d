//! What the hosts writer needs of the config.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::{OwnDomains, WriterConfig, keys};
use crate::model::{EndpointId, Families, HostName, InPlace};
use crate::publish::admission::AdmissionRules;

/// Everything that the writer needs of the config. It is kept on disk too, for a start with a config that can't be
/// used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SavedPolicy", into = "SavedPolicy")]
pub struct HostsPolicy {
    /// Whether to publish at all. Without it the writer is idle: what is in the file stays as it is.
    pub publish: bool,
    /// Which names and addresses are let in.
    pub rules: AdmissionRules,
    /// The file; empty while none is known.
    pub path: PathBuf,
    /// Whether our names are taken out of lines of others.
    pub adopt: bool,
    /// How often the file is looked at without any event.
    pub reassert_interval: Duration,
    /// After so long without a sign of life the agent counts as lost (B17).
    pub agent_lost_after: Duration,
    /// Whether the file is written in place.
    pub in_place: InPlace,
    /// Where the agent puts `plan.json` and `alive`.
    pub agent_run_dir: PathBuf,
    /// Where the writer puts `receipt.json` and its lock.
    pub run_dir: PathBuf,
    /// Where the writer keeps its last known good and `hosts.orig`.
    pub state_dir: PathBuf,
    /// Where root leaves orders.
    pub admin_dir: PathBuf,
}

/// A policy as it is on disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedPolicy {
    publish: bool,
    names: BTreeSet<HostName>,
    own_domains: BTreeMap<EndpointId, OwnDomains>,
    allowed_ranges: Vec<IpNet>,
    families: Families,
    path: PathBuf,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    adopt: bool,
    reassert_interval: Duration,
    removal_grace: Duration,
    agent_lost_after: Duration,
    #[serde(default = "auto")]
    in_place: InPlace,
    agent_run_dir: PathBuf,
    run_dir: PathBuf,
    state_dir: PathBuf,
    /// Earlier versions had the default alone.
    #[serde(default = "default_admin_dir")]
    admin_dir: PathBuf,
}

fn default_admin_dir() -> PathBuf {
    keys::default_path("host.admin_dir")
}

/// Earlier versions had no such key.
fn auto() -> InPlace {
    InPlace::Auto
}

impl From<SavedPolicy> for HostsPolicy {
    fn from(saved: SavedPolicy) -> Self {
        Self {
            publish: saved.publish,
            rules: AdmissionRules {
                names: saved.names,
                own_domains: saved.own_domains,
                allowed_ranges: saved.allowed_ranges,
                families: saved.families,
                removal_grace: saved.removal_grace,
            },
            path: saved.path,
            adopt: saved.adopt,
            reassert_interval: saved.reassert_interval,
            agent_lost_after: saved.agent_lost_after,
            in_place: saved.in_place,
            agent_run_dir: saved.agent_run_dir,
            run_dir: saved.run_dir,
            state_dir: saved.state_dir,
            admin_dir: saved.admin_dir,
        }
    }
}

impl From<HostsPolicy> for SavedPolicy {
    fn from(policy: HostsPolicy) -> Self {
        let HostsPolicy { publish, rules, path, adopt, reassert_interval, agent_lost_after, in_place, .. } = policy;
        let AdmissionRules { names, own_domains, allowed_ranges, families, removal_grace } = rules;
        Self {
            publish,
            names,
            own_domains,
            allowed_ranges,
            families,
            path,
            adopt,
            reassert_interval,
            removal_grace,
            agent_lost_after,
            in_place,
            agent_run_dir: policy.agent_run_dir,
            run_dir: policy.run_dir,
            state_dir: policy.state_dir,
            admin_dir: policy.admin_dir,
        }
    }
}

/// Where the writer works: known even if the rest of the config can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// `[host].run_dir`: where the agent puts `plan.json` and `alive`.
    pub agent_run_dir: PathBuf,
    /// `[hosts].run_dir`: where the writer puts `receipt.json` and its lock.
    pub run_dir: PathBuf,
    /// `[hosts].state_dir`: where the writer keeps its last known good and its last good policy.
    pub state_dir: PathBuf,
    /// `[host].admin_dir`: where root leaves orders.
    pub admin_dir: PathBuf,
}

impl HostsPolicy {
    /// Without any config that could be used, now or before: publishes nothing and knows of no hosts file, so that the
    /// first real policy begins with what its own one says.
    #[must_use]
    pub fn idle(folders: Folders) -> Self {
        let Folders { agent_run_dir, run_dir, state_dir, admin_dir } = folders;
        Self {
            publish: false,
            rules: AdmissionRules::default(),
            path: PathBuf::new(),
            adopt: false,
            reassert_interval: Duration::from_secs(5),
            agent_lost_after: Duration::MAX,
            in_place: InPlace::Auto,
            agent_run_dir,
            run_dir,
            state_dir,
            admin_dir,
        }
    }

    /// Takes over what the config says.
    #[must_use]
    pub fn new(config: WriterConfig) -> Self {
        let WriterConfig { hosts, agent_run_dir, admin_dir, names, own_domains, dns: _, log: _ } = config;
        Self {
            publish: hosts.publish,
            rules: AdmissionRules {
                names,
                own_domains,
                allowed_ranges: hosts.allowed_ranges,
                families: hosts.families,
                removal_grace: hosts.removal_grace,
            },
            path: hosts.path,
            adopt: hosts.adopt,
            reassert_interval: hosts.reassert_interval,
            agent_lost_after: hosts.agent_lost_after,
            in_place: hosts.in_place,
            agent_run_dir,
            run_dir: hosts.run_dir,
            state_dir: hosts.state_dir,
            admin_dir,
        }
    }

    /// True if it takes no name away, however long it lacks it.
    #[must_use]
    pub fn holds_every_name(&self) -> bool {
        !self.publish || self.rules.removal_grace == Duration::MAX
    }
}
