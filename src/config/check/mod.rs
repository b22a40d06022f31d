//! The rules: from the merged tree to a [`Config`], or to everything that is wrong with it.
//!
//! Pure: the files that the tree names were read before and come in as facts. One small file a section; `cross`
//! holds what only several sections together can tell. Every taker goes on after a complaint, so that all are found
//! in one go, and a `Config` comes out only if there was none.

mod cloud;
mod context;
mod credentials;
mod cross;
mod deep;
mod dns;
mod endpoint;
pub(super) mod file_ownership;
mod files;
mod general;
mod hosts;
mod https;
mod matrixone_user;
mod mysql;
mod names;
mod origin;
mod probe;
mod read;
mod room;
mod secret;
mod section;
mod slips;
mod tdengine;
mod tls;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use self::context::CheckContext;
pub(crate) use self::context::World;
use self::endpoint::{Draft, Shared};
use self::general::HostDraft;
use self::hosts::HostsDraft;
use self::section::Section;
use super::effective::Effective;
use super::facts::Environment;
use super::findings::Findings;
use super::holds::HEADERS;
use super::raw::{Node, Table, Value};
use super::source_text::SourceText;
use super::{CloudConfig, Config, DnsConfig, Folders, LogConfig, MetricsConfig, WriterConfig, keys};
use crate::model::Steering;

/// What the rules made of a tree.
pub(crate) struct Checked {
    /// Only if nothing was found that is an error.
    pub(crate) config: Option<Config>,
    pub(crate) effective: Effective,
    pub(crate) findings: Findings,
    /// What a kept configuration has to do without, in words.
    pub(crate) without: Vec<String>,
}

/// Judges a merged tree.
pub(crate) fn check(tree: Table, texts: &[SourceText], world: World<'_>) -> Checked {
    let context = CheckContext::new(world, texts, Findings::default());
    secret::warn_of_unseen(secret_nodes(&tree).into_iter().chain(oidc_token(&tree)), &context);
    let config = config(Drafts::read(tree, &context), &context);
    let (findings, effective) = (context.findings.into_inner(), context.effective.into_inner());
    let config = config.filter(|_| !findings.has_errors());
    Checked { config, effective, findings, without: context.without.into_inner() }
}

/// Judges what the hosts writer needs of a merged tree, by the same rules: what they find elsewhere is dropped.
pub(crate) fn check_for_writer(
    tree: Table,
    texts: &[SourceText],
    environment: &Environment,
) -> (Option<WriterConfig>, Findings) {
    // No file that the tree names is looked at; they concern probes alone.
    let world = World { environment, facts: None, left_out: None };
    let context = CheckContext::new(world, texts, Findings::for_writer());
    let drafts = Drafts::read(tree, &context);
    let ((), of_agent) = context.aside(|| drafts.check_probes_and_addresses(&context));
    context.findings.borrow_mut().tolerate(&of_agent);
    let config = writer_config(drafts, &context);
    let findings = context.findings.into_inner();
    (config.filter(|_| !findings.has_errors()), findings)
}

/// What each section says.
struct Drafts {
    host: Option<HostDraft>,
    cloud: Option<CloudConfig>,
    steering: Option<Steering>,
    endpoints: Vec<Draft>,
    hosts: Option<HostsDraft>,
    dns: Option<DnsConfig>,
    metrics: Option<MetricsConfig>,
    log: Option<LogConfig>,
}

impl Drafts {
    fn read(tree: Table, context: &CheckContext<'_>) -> Self {
        let mut root = Section::root(context, tree);
        let host = general::host(root.section("host"));
        let cloud = cloud::cloud(root.section("cloud"));
        let steering = general::steering(root.section("steering"));
        let fleet_size = host.as_ref().map_or(1, |host| host.config.fleet_size);
        let shared = Shared { steering: steering.unwrap_or_default(), fleet_size };
        let endpoints = endpoint::endpoints(&mut root, shared);
        let hosts = hosts::hosts(root.section("hosts"));
        let dns = dns::dns(root.section("dns"));
        let metrics = general::metrics(root.section("metrics"));
        let log = general::log(root.section("log"));
        root.finish();
        Self { host, cloud, steering, endpoints, hosts, dns, metrics, log }
    }

    /// Rules that concern the agent alone.
    fn check_probes_and_addresses(&self, context: &CheckContext<'_>) {
        cross::endpoints(&self.endpoints, context);
        if let Some(host) = &self.host {
            cross::host_zone(host, &self.endpoints, context);
        }
        if let Some(hosts) = &self.hosts {
            cross::addresses(&self.endpoints, hosts, context);
            room::names(&self.endpoints, hosts, context);
        }
    }

    /// Rules that hold whatever is probed and discovered.
    fn check_names_and_paths(&self, context: &CheckContext<'_>) {
        cross::names(&self.endpoints, context);
        if let (Some(host), Some(hosts)) = (&self.host, &self.hosts) {
            cross::paths(host, hosts, context);
        }
    }
}

fn config(drafts: Drafts, context: &CheckContext<'_>) -> Option<Config> {
    drafts.check_probes_and_addresses(context);
    drafts.check_names_and_paths(context);
    let Drafts { host, cloud, steering, endpoints, hosts, dns, metrics, log } = drafts;
    let host = host?.config;
    let region = host.region.as_deref();
    Some(Config {
        endpoints: endpoints.into_iter().filter_map(|draft| draft.into_config(region)).collect(),
        host,
        cloud: cloud?,
        steering: steering?,
        hosts: hosts?.config,
        dns: dns?,
        metrics: metrics?,
        log: log?,
    })
}

fn writer_config(drafts: Drafts, context: &CheckContext<'_>) -> Option<WriterConfig> {
    drafts.check_names_and_paths(context);
    let Drafts { host, cloud: _, steering: _, endpoints, hosts, dns, metrics: _, log } = drafts;
    let enabled = || endpoints.iter().filter(|e| e.enabled);
    let of_zones = enabled().flat_map(|e| &e.zones).flat_map(|(_, names)| names);
    let host = host?.config;
    Some(WriterConfig {
        hosts: hosts?.config,
        own_domains: enabled().filter_map(|e| e.own_domains(&host)).collect(),
        agent_run_dir: host.run_dir,
        admin_dir: host.admin_dir,
        names: enabled().flat_map(|e| &e.names).chain(of_zones).map(|n| n.value.clone()).collect(),
        dns,
        log: log?,
    })
}

/// The five folders, each as it is written if that can be one, whatever is wrong with the rest of the tree.
pub(crate) fn folders(tree: &Table) -> Folders {
    let folder = |table: &str, name: &str| {
        let written = || read::path(&tree.get(table)?.node.table()?.get(name)?.node).ok();
        written().unwrap_or_else(|| keys::default_path(&keys::join(table, name)))
    };
    Folders {
        state_dir: folder("host", "state_dir"),
        run_dir: folder("host", "run_dir"),
        hosts_run_dir: folder("hosts", "run_dir"),
        hosts_state_dir: folder("hosts", "state_dir"),
        admin_dir: folder("host", "admin_dir"),
    }
}

/// Every file that the tree names, for the loader to look at before the rules judge it. `credentials` is the folder of
/// systemd's credentials.
pub(crate) fn references(tree: &Table, credentials: Option<&Path>) -> BTreeSet<PathBuf> {
    let mut paths = secrets(tree, credentials);
    let roots = probes(tree).filter_map(|probe| probe.get("ca_file"));
    paths.extend(roots.filter_map(|e| read::path(&e.node).ok()));
    paths.extend(oidc_token(tree).and_then(|(_, node)| secret::path(node, credentials)));
    paths
}

/// The files among them that hold a secret.
pub(crate) fn secrets(tree: &Table, credentials: Option<&Path>) -> BTreeSet<PathBuf> {
    secret_nodes(tree).into_iter().filter_map(|(_, node)| secret::path(node, credentials)).collect()
}

/// What stands in the tree for secrets that are read with the configuration, each with its key.
fn secret_nodes(tree: &Table) -> Vec<(String, &Node)> {
    let mut nodes = Vec::new();
    nodes.extend(secret_files("cloud.credentials", credentials(tree)));
    for probe in probes(tree) {
        let headers = probe.get("headers").and_then(|e| e.node.table());
        let files = headers.into_iter().flatten().filter_map(|(_, e)| e.node.table()?.get("file"));
        nodes.extend(files.map(|e| (HEADERS.to_owned(), &e.node)));
        nodes.extend(secret_files("endpoint.probe", Some(probe)));
    }
    nodes
}

fn credentials(tree: &Table) -> Option<&Table> {
    tree.get("cloud")?.node.table()?.get("credentials")?.node.table()
}

/// What stands for the one secret that is read at each use alone, with its key.
fn oidc_token(tree: &Table) -> Option<(String, &Node)> {
    let node = &credentials(tree)?.get("oidc_token_file")?.node;
    Some(("cloud.credentials.oidc_token_file".to_owned(), node))
}

/// The table of each probe.
fn probes(tree: &Table) -> impl Iterator<Item = &Table> {
    let endpoints = match tree.get("endpoint").map(|e| &e.node.value) {
        Some(Value::List(endpoints)) => endpoints.as_slice(),
        _ => &[],
    };
    endpoints.iter().filter_map(|e| e.table()?.get("probe")?.node.table())
}

/// The values of the keys for secret files in a table of the path `pattern`.
fn secret_files<'t>(pattern: &str, table: Option<&'t Table>) -> impl Iterator<Item = (String, &'t Node)> {
    let names = keys::SECRET_FILES.iter().filter_map(move |key| key.strip_prefix(pattern)?.strip_prefix('.'));
    names.filter_map(move |name| Some((keys::join(pattern, name), &table?.get(name)?.node)))
}
