//! The rules: from the merged tree to a [`Config`], or to everything that is wrong with it.
//!
//! Pure: the files that the tree names were read before and come in as facts. One small file a section; `cross`
//! holds what only several sections together can tell. Every taker goes on after a complaint, so that all are found
//! in one go, and a `Config` comes out only if there was none.

mod cloud;
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
mod probe;
mod read;
mod room;
mod secret;
mod section;
mod tdengine;
mod tls;

use std::collections::BTreeSet;
use std::path::PathBuf;

use self::endpoint::Draft;
use self::general::HostDraft;
use self::hosts::HostsDraft;
use self::section::{Bad, Section};
use super::complaint::Severity;
use super::effective::{Effective, Source, place};
use super::facts::{Environment, OutsideFacts};
use super::findings::{About, Finding, Findings};
use super::raw::{Node, Origin, Table, parse_value};
use super::source_text::SourceText;
use super::{CloudConfig, Config, DnsConfig, Folders, LogConfig, MetricsConfig, WriterConfig, keys};
use crate::model::Steering;

/// A value and where it stands.
#[derive(Debug, Clone)]
struct Located<T> {
    value: T,
    at: Option<Origin>,
}

/// What was gathered beforehand.
#[derive(Clone, Copy)]
pub(crate) struct World<'i> {
    pub(crate) environment: &'i Environment,
    /// What was found at each path that the tree names; `None` if nobody may look.
    pub(crate) facts: Option<&'i OutsideFacts>,
    /// `Some` if the tree is that of a configuration that was kept: the names of the endpoints that lost a header
    /// value by that. A probe that can't be set up then costs the endpoint its probe alone.
    pub(crate) left_out: Option<&'i BTreeSet<String>>,
}

/// What every rule has at hand: what it may look at, and where it writes down what it finds.
struct CheckContext<'i> {
    world: World<'i>,
    texts: &'i [SourceText],
    findings: Findings,
    effective: Effective,
    /// What a kept configuration has to do without.
    without: Vec<String>,
}

impl<'i> CheckContext<'i> {
    fn new(world: World<'i>, texts: &'i [SourceText], findings: Findings) -> Self {
        Self { world, texts, findings, effective: Effective::default(), without: Vec::new() }
    }
}

impl CheckContext<'_> {
    /// Takes a complaint down.
    fn complain(&mut self, key: &str, bad: Bad) {
        self.find(Severity::Error, key, bad);
    }

    /// Takes a warning down.
    fn warn(&mut self, key: &str, bad: Bad) {
        self.find(Severity::Warning, key, bad);
    }

    fn find(&mut self, severity: Severity, key: &str, bad: Bad) {
        let Bad { expected, found, help, at } = bad;
        self.findings.add(Finding { severity, key: key.to_owned(), expected, found, help, at, about: About::Written });
    }

    /// Does something, and hands out what it finds instead of taking it down.
    fn aside<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> (T, Findings) {
        let before = std::mem::take(&mut self.findings);
        let result = work(self);
        (result, std::mem::replace(&mut self.findings, before))
    }

    fn show(&mut self, label: &str, pattern: &str, node: Option<&Node>, source: Source) {
        let origin = match source {
            Source::Default => "default".to_owned(),
            Source::Written(origin) => place(self.texts, &origin),
        };
        self.effective.add(label, pattern, node, origin);
    }

    fn derive(&mut self, label: &str, value: &str, from: &str) {
        self.effective.derive(label, value, from);
    }
}

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
    let mut context = CheckContext::new(world, texts, Findings::default());
    let config = config(Drafts::read(tree, &mut context), &mut context);
    let CheckContext { findings, effective, without, .. } = context;
    Checked { config: config.filter(|_| !findings.has_errors()), effective, findings, without }
}

/// Judges what the hosts writer needs of a merged tree, by the same rules: what they find elsewhere is dropped.
pub(crate) fn check_for_writer(
    tree: Table,
    texts: &[SourceText],
    environment: &Environment,
) -> (Option<WriterConfig>, Findings) {
    // No file that the tree names is looked at; they concern probes alone.
    let world = World { environment, facts: None, left_out: None };
    let mut context = CheckContext::new(world, texts, Findings::for_writer());
    let drafts = Drafts::read(tree, &mut context);
    let ((), of_agent) = context.aside(|context| drafts.check_probes_and_addresses(context));
    context.findings.tolerate(&of_agent);
    let config = writer_config(drafts, &mut context);
    (config.filter(|_| !context.findings.has_errors()), context.findings)
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
    fn read(tree: Table, context: &mut CheckContext<'_>) -> Self {
        let mut root = Section::root(tree);
        let host = general::host(root.section(context, "host"), context);
        let cloud = cloud::cloud(root.section(context, "cloud"), context);
        let steering = general::steering(root.section(context, "steering"), context);
        let fleet_size = host.as_ref().map_or(1, HostDraft::fleet_size);
        let endpoints = endpoint::endpoints(&mut root, context, (steering.unwrap_or_default(), fleet_size));
        let hosts = hosts::hosts(root.section(context, "hosts"), context);
        let dns = dns::dns(root.section(context, "dns"), context);
        let metrics = general::metrics(root.section(context, "metrics"), context);
        let log = general::log(root.section(context, "log"), context);
        root.finish(context);
        Self { host, cloud, steering, endpoints, hosts, dns, metrics, log }
    }

    /// Rules that concern the agent alone.
    fn check_probes_and_addresses(&self, context: &mut CheckContext<'_>) {
        cross::endpoints(&self.endpoints, context);
        if let Some(hosts) = &self.hosts {
            cross::addresses(&self.endpoints, hosts, context);
            room::names(&self.endpoints, hosts, context);
        }
    }

    /// Rules that hold whatever is probed and discovered.
    fn check_names_and_paths(&self, context: &mut CheckContext<'_>) {
        cross::names(&self.endpoints, context);
        if let (Some(host), Some(hosts)) = (&self.host, &self.hosts) {
            cross::paths(host, hosts, context);
        }
    }
}

fn config(drafts: Drafts, context: &mut CheckContext<'_>) -> Option<Config> {
    drafts.check_probes_and_addresses(context);
    drafts.check_names_and_paths(context);
    let Drafts { host, cloud, steering, endpoints, hosts, dns, metrics, log } = drafts;
    let host = host?.value();
    let region = host.region.as_deref();
    Some(Config {
        endpoints: endpoints.into_iter().filter_map(|draft| draft.into_config(region)).collect(),
        host,
        cloud: cloud?,
        steering: steering?,
        hosts: hosts?.value(),
        dns: dns?,
        metrics: metrics?,
        log: log?,
    })
}

fn writer_config(drafts: Drafts, context: &mut CheckContext<'_>) -> Option<WriterConfig> {
    drafts.check_names_and_paths(context);
    let Drafts { host, cloud: _, steering: _, endpoints, hosts, dns, metrics: _, log } = drafts;
    let enabled = || endpoints.iter().filter(|e| e.enabled);
    let of_zones = enabled().flat_map(|e| &e.zones).flat_map(|(_, names)| names);
    let host = host?.value();
    Some(WriterConfig {
        hosts: hosts?.value(),
        own_domains: enabled().filter_map(|e| e.own_domains(&host)).collect(),
        agent_run_dir: host.run_dir,
        names: enabled().flat_map(|e| &e.names).chain(of_zones).map(|n| n.value.clone()).collect(),
        dns,
        log: log?,
    })
}

/// The four folders, each as it is written if that can be one, whatever is wrong with the rest of the tree.
pub(crate) fn folders(tree: &Table) -> Folders {
    let folder = |table: &str, name: &str| {
        let written = || read::path(&tree.get(table)?.node.table()?.get(name)?.node).ok();
        let default = || keys::find(&keys::join(table, name))?.default.and_then(parse_value)?.text().map(PathBuf::from);
        written().or_else(default).unwrap_or_default()
    };
    Folders {
        state_dir: folder("host", "state_dir"),
        run_dir: folder("host", "run_dir"),
        hosts_run_dir: folder("hosts", "run_dir"),
        hosts_state_dir: folder("hosts", "state_dir"),
    }
}

/// Every file that the tree names, for the loader to look at before the rules judge it.
pub(crate) fn references(tree: &Table) -> BTreeSet<PathBuf> {
    let mut paths = secrets(tree);
    let roots = probes(tree).filter_map(|probe| probe.get("ca_file"));
    paths.extend(roots.filter_map(|e| read::path(&e.node).ok()));
    paths
}

/// The files among them that hold a secret.
pub(crate) fn secrets(tree: &Table) -> BTreeSet<PathBuf> {
    let mut paths = BTreeSet::new();
    let credentials = tree.get("cloud").and_then(|e| e.node.table()?.get("credentials")?.node.table());
    paths.extend(secret_files("cloud.credentials", credentials));
    for probe in probes(tree) {
        let headers = probe.get("headers").and_then(|e| e.node.table());
        let files = headers.into_iter().flatten().filter_map(|(_, e)| e.node.table()?.get("file"));
        paths.extend(files.filter_map(|e| read::path(&e.node).ok()));
        paths.extend(secret_files("endpoint.probe", Some(probe)));
    }
    paths
}

/// The table of each probe.
fn probes(tree: &Table) -> impl Iterator<Item = &Table> {
    let endpoints = match tree.get("endpoint").map(|e| &e.node.value) {
        Some(super::raw::Value::List(endpoints)) => endpoints.as_slice(),
        _ => &[],
    };
    endpoints.iter().filter_map(|e| e.table()?.get("probe")?.node.table())
}

/// The secret files that a table of the path `pattern` names.
fn secret_files(pattern: &str, table: Option<&Table>) -> impl Iterator<Item = PathBuf> {
    let names = keys::SECRET_FILES.iter().filter_map(move |key| key.strip_prefix(pattern)?.strip_prefix('.'));
    names.filter_map(move |name| read::path(&table?.get(name)?.node).ok())
}
