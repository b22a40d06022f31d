//! The rules: from the merged tree to a [`Config`], or to everything that is wrong with it.
//!
//! Pure: the files that the tree names were read before and come in as facts. One small file a section; `cross`
//! holds what only several sections together can tell. Every taker goes on after a complaint, so that all are found
//! in one go, and a `Config` comes out only if there was none.

mod cross;
mod endpoint;
mod files;
mod general;
mod hosts;
mod https;
mod names;
mod probe;
mod read;
mod section;

use std::collections::BTreeSet;
use std::path::PathBuf;

use self::section::{Bad, Section};
use super::complaint::Severity;
use super::document::Document;
use super::effective::{Effective, Source, place};
use super::facts::{Environment, Facts};
use super::findings::{Finding, Findings};
use super::raw::{Node, Origin, Table};
use super::{Config, WriterConfig, keys};
use crate::model::Steering;

/// A value and where it stands.
#[derive(Debug, Clone)]
struct Located<T> {
    value: T,
    at: Option<Origin>,
}

/// What was gathered beforehand.
#[derive(Clone, Copy)]
struct World<'i> {
    environment: &'i Environment,
    facts: &'i Facts,
}

/// What every rule has at hand: what it may look at, and where it writes down what it finds.
struct Desk<'i> {
    world: World<'i>,
    texts: &'i [Document],
    /// Only what the hosts writer needs is judged.
    for_writer: bool,
    findings: Findings,
    effective: Effective,
}

impl Desk<'_> {
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
        self.add(Finding { severity, key: key.to_owned(), expected, found, help, at, absence: false });
    }

    fn add(&mut self, finding: Finding) {
        if !self.for_writer || keys::concerns_writer(&finding.key) {
            self.findings.add(finding);
        }
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
}

/// Judges a merged tree.
pub(crate) fn check(tree: Table, texts: &[Document], environment: &Environment, facts: &Facts) -> Checked {
    let world = World { environment, facts };
    let mut desk =
        Desk { world, texts, for_writer: false, findings: Findings::default(), effective: Effective::default() };
    let mut root = Section::root(tree);
    let config = config(&mut root, &mut desk);
    root.finish(&mut desk);
    let Desk { findings, effective, .. } = desk;
    Checked { config: config.filter(|_| !findings.has_errors()), effective, findings }
}

/// What the rules made of a tree for the hosts writer.
pub(crate) struct CheckedWriter {
    /// Only if nothing was found that is an error.
    pub(crate) config: Option<WriterConfig>,
    pub(crate) findings: Findings,
}

/// Judges what the hosts writer needs of a merged tree, by the same rules, and nothing else of it. No file that the tree
/// names is looked at.
pub(crate) fn check_writer(tree: Table, texts: &[Document], environment: &Environment) -> CheckedWriter {
    let facts = Facts::new();
    let world = World { environment, facts: &facts };
    let (findings, effective) = (Findings::default(), Effective::default());
    let mut desk = Desk { world, texts, for_writer: true, findings, effective };
    let config = writer_config(&mut Section::root(tree), &mut desk);
    CheckedWriter { config: config.filter(|_| !desk.findings.has_errors()), findings: desk.findings }
}

fn writer_config(root: &mut Section, desk: &mut Desk<'_>) -> Option<WriterConfig> {
    let host = general::host(root.section(desk, "host"), desk);
    let drafts = endpoint::endpoints(root, desk, Steering::default());
    let hosts = hosts::hosts(root.section(desk, "hosts"), desk);
    let log = general::log(root.section(desk, "log"), desk);
    if let (Some(host), Some(hosts)) = (&host, &hosts) {
        cross::paths(host, hosts, desk);
    }
    let enabled = || drafts.iter().filter(|d| d.enabled);
    let names = enabled().flat_map(|d| d.names.iter().chain(d.zones.iter().flat_map(|(_, names)| names)));
    Some(WriterConfig {
        hosts: hosts?.value(),
        agent_run_dir: host?.value().run_dir,
        names: names.map(|n| n.value.clone()).collect(),
        endpoint_ids: enabled().filter_map(|d| d.id.clone()).collect(),
        log: log?,
    })
}

fn config(root: &mut Section, desk: &mut Desk<'_>) -> Option<Config> {
    let host = general::host(root.section(desk, "host"), desk);
    let steering = general::steering(root.section(desk, "steering"), desk);
    let drafts = endpoint::endpoints(root, desk, steering.unwrap_or_default());
    let hosts = hosts::hosts(root.section(desk, "hosts"), desk);
    let metrics = general::metrics(root.section(desk, "metrics"), desk);
    let log = general::log(root.section(desk, "log"), desk);
    cross::endpoints(&drafts, desk);
    if let Some(hosts) = &hosts {
        cross::addresses(&drafts, hosts, desk);
    }
    if let (Some(host), Some(hosts)) = (&host, &hosts) {
        cross::paths(host, hosts, desk);
    }
    let endpoints = drafts.into_iter().filter_map(endpoint::Draft::into_config).collect();
    Some(Config {
        host: host?.value(),
        endpoints,
        steering: steering?,
        hosts: hosts?.value(),
        metrics: metrics?,
        log: log?,
    })
}

/// Every file that the tree names, for the loader to look at before the rules judge it.
pub(crate) fn references(tree: &Table) -> BTreeSet<PathBuf> {
    let mut paths = BTreeSet::new();
    let Some(super::raw::Value::List(endpoints)) = tree.get("endpoint").map(|e| &e.node.value) else { return paths };
    let probes = endpoints.iter().filter_map(|e| e.table()?.get("probe")?.node.table());
    for probe in probes {
        let headers = probe.get("headers").and_then(|e| e.node.table());
        let files = headers.into_iter().flatten().filter_map(|(_, e)| e.node.table()?.get("file"));
        let named = files.chain(probe.get("ca_file"));
        paths.extend(named.filter_map(|e| read::path(&e.node).ok()));
    }
    paths
}
