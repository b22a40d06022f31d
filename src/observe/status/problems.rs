//! What is not well, in sentences; and the yes or no of `/healthz` and `/readyz`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::target::latest_failure;
use super::{credentials, discovery, evidence, former, outage, unresolved};
use crate::model::shown::{complaint_in_a_line, count};
use crate::model::{
    CheckState, HostName, PublishErrorKind, PublisherState, Receipt, Receipts, Slowness, TargetKey, Verdict, taken_out,
};
use crate::observe::{ConfigState, Snapshot};

/// Everything that is not well, the most urgent first.
pub(super) fn all(snapshot: &Snapshot) -> Vec<String> {
    let mut all = outage::problems(snapshot);
    all.extend(former::problems(snapshot));
    all.extend(targets(snapshot));
    all.extend(evidence::weaker(snapshot));
    all.extend(publishing(snapshot));
    all.extend(unresolved::problems(snapshot));
    all.extend(left_out(snapshot));
    all.extend(snapshot.receipts.0.values().flat_map(|publisher| publisher.failed_places().cloned()));
    all.extend(snapshot.receipts.0.values().flat_map(|publisher| publisher.remarks.clone()));
    all.extend(discovery::found(snapshot));
    all.extend(credentials::problem(snapshot));
    all.extend(discovery::sources(snapshot));
    all.extend(config(&snapshot.config));
    all.extend(stages(snapshot));
    all
}

/// Are all stages alive? If not: which are overdue, a sentence each.
///
/// # Errors
/// The sentences.
pub fn healthy(snapshot: &Snapshot) -> Result<(), Vec<String>> {
    none(stages(snapshot))
}

/// Is the plan published where every user may read it, with nothing that shadows it, and no name's first address
/// awaited? If not: why, a sentence each.
///
/// # Errors
/// The sentences.
pub fn ready(snapshot: &Snapshot) -> Result<(), Vec<String>> {
    let mut problems = publishing(snapshot);
    problems.extend(unresolved::awaited(snapshot));
    none(problems)
}

fn none(problems: Vec<String>) -> Result<(), Vec<String>> {
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Whether the hosts file holds the present plan; `None` if nothing is published there. A name that is shadowed or
/// refused is a problem of its own: the block is what it can be.
pub(in crate::observe) fn hosts_in_sync(snapshot: &Snapshot) -> Option<bool> {
    snapshot.config.publishers.contains_key(Receipts::HOSTS).then(|| in_sync(snapshot, Receipts::HOSTS))
}

/// Whether a publisher has the present plan, and shows all of it.
pub(super) fn in_sync(snapshot: &Snapshot, publisher: &str) -> bool {
    receipt_problem(snapshot, publisher).is_none()
}

/// Why the receipt of a publisher does not say that the plan is in force.
fn receipt_problem(snapshot: &Snapshot, publisher: &str) -> Option<String> {
    let state = snapshot.receipts.0.get(publisher);
    let Some((state, receipt)) = state.and_then(|state| Some((state, state.receipt.as_ref()?))) else {
        return Some("no word from the writer yet".to_owned());
    };
    if let Some(silent) = state.silent(snapshot.now.boottime) {
        return Some(format!("the {publisher} writer has shown no sign of life for {} s", silent.as_secs()));
    }
    let error = receipt.error.map(|kind| {
        let detail = receipt.error_detail.clone();
        (kind, detail.unwrap_or_else(|| describe(kind).to_owned()))
    });
    match (receipt.removed, error) {
        (Some(since), Some((kind, error))) if kind.is_of_the_file() => {
            return Some(format!("`hosts remove` of {since} is not carried out: {error}"));
        }
        (Some(since), Some((_, error))) => return Some(format!("{}; {error}", taken_out(since))),
        (Some(since), None) => return Some(taken_out(since)),
        (None, Some((_, error))) => return Some(error),
        (None, None) => {}
    }
    let Some(plan) = &snapshot.plan.plan else { return Some("no plan yet".to_owned()) };
    let digest = snapshot.plan.digest.as_ref();
    if !state.has(digest) {
        return Some("the present plan is not written yet".to_owned());
    }
    let lacking = plan
        .answers
        .keys()
        .filter(|name| matches!(state.verdict(name, digest), Verdict::Pending | Verdict::UnsupportedMetadata));
    match lacking.count() {
        0 => None,
        n => Some(format!("{} {} not written", count(n, "name"), if n == 1 { "is" } else { "are" })),
    }
}

fn describe(error: PublishErrorKind) -> &'static str {
    match error {
        PublishErrorKind::BadHandover => "the hand-over could not be read",
        PublishErrorKind::Refused => "the policy does not admit some name or address",
        PublishErrorKind::UnsupportedMetadata => "the file has metadata that can't be carried over",
        PublishErrorKind::MountPoint => {
            "the file is a mount point of its own, and `hosts.in_place` forbids to write it in place"
        }
        PublishErrorKind::Busy => "somebody else changed the file in every attempt",
        PublishErrorKind::UnclearMarkers => "its markers do not tell which lines are ours",
        PublishErrorKind::Io => "the system refused to write it",
    }
}

fn publishing(snapshot: &Snapshot) -> Vec<String> {
    let Some(plan) = &snapshot.plan.plan else { return vec!["no plan yet".to_owned()] };
    let mut problems: Vec<String> = stub_problem(snapshot).into_iter().collect();
    for (publisher, place) in &snapshot.config.publishers {
        let why = receipt_problem(snapshot, publisher).filter(|_| *publisher != Receipts::DNS);
        problems.extend(why.map(|why| format!("{place} is not in sync: {why}")));
        let Some(receipt) = snapshot.receipts.receipt(publisher) else { continue };
        if receipt.in_conflict {
            problems.push(format!("{place}: somebody keeps removing our block, or puts names of ours back beside it"));
        }
        if receipt.names.values().any(|verdict| *verdict == Verdict::Unreadable) {
            problems.push(format!(
                "{place}: not every user may read it, and its names serve only those who may: chmod o+r {place}"
            ));
        }
        problems.extend(plan.answers.keys().filter_map(|name| name_problem(name, publisher, receipt)));
        problems.extend(receipt.rewriters.iter().map(|who| format!("{place}: {who}")));
    }
    problems
}

/// Why names are not served by the stub, if they should be.
fn stub_problem(snapshot: &Snapshot) -> Option<String> {
    let has_plan = |stub: &PublisherState| stub.has(snapshot.plan.digest.as_ref());
    if !snapshot.config.publishers.contains_key(Receipts::DNS)
        || snapshot.receipts.0.get(Receipts::DNS).is_some_and(has_plan)
    {
        return None;
    }
    Some(match snapshot.receipts.receipt(Receipts::DNS) {
        Some(receipt) if receipt.digest.is_some() && receipt.digest != snapshot.plan.digest => {
            "the DNS stub does not serve the present plan yet".to_owned()
        }
        Some(_) => "the DNS stub is not heard anywhere".to_owned(),
        None => "the DNS stub has not begun to serve yet".to_owned(),
    })
}

/// What the writer left out of answers that it wrote otherwise: the block is what it can be.
fn left_out(snapshot: &Snapshot) -> Vec<String> {
    let receipts = snapshot.config.publishers.keys().filter_map(|name| snapshot.receipts.receipt(name));
    // Publishers leave out the same.
    let all: BTreeSet<_> = receipts.flat_map(|receipt| &receipt.left_out).collect();
    all.into_iter().map(|(name, what)| format!("{name}: {what}")).collect()
}

fn name_problem(name: &HostName, publisher: &str, receipt: &Receipt) -> Option<String> {
    match receipt.names.get(name)? {
        Verdict::Refused if publisher == Receipts::DNS => {
            let why = receipt.error_detail.as_deref().unwrap_or("no reason given");
            Some(format!("{name} is not served by the DNS stub: {why}; its last admitted answer stays"))
        }
        Verdict::Shadowed => {
            let line = receipt.shadowing.get(name).map(|line| format!(" (line {line})")).unwrap_or_default();
            let what = format!("{name} is shadowed: another line for it{line} stands before ours or beside it");
            Some(format!("{what}; `privatelinkd hosts adopt` takes the name out of that"))
        }
        Verdict::Refused => Some(format!("{name} is refused by the writer's policy; its last admitted answer stays")),
        Verdict::AgentLost => Some(format!("{name}: the writer takes the agent for lost and added the standby")),
        Verdict::Conflict => Some(format!("{name}: somebody keeps removing it")),
        // Counted by the receipt's own problem, or one problem of the whole file.
        Verdict::Pending
        | Verdict::Removed
        | Verdict::UnsupportedMetadata
        | Verdict::Unreadable
        | Verdict::Published => None,
    }
}

/// Addresses that are down, of endpoints that are still in the config.
fn targets(snapshot: &Snapshot) -> Vec<String> {
    let addresses = snapshot.inventory.configured().flat_map(|(name, endpoint)| TargetKey::of_endpoint(name, endpoint));
    let problems = |key: TargetKey| {
        let remarks = remarks(snapshot, &key);
        let [target, slow] = [target_problem, slow_problem].map(|problem| problem(snapshot, &key));
        [target, slow, certificate_problem(snapshot, &key)].into_iter().flatten().chain(remarks)
    };
    addresses.flat_map(problems).collect()
}

/// An address that answers, and much more slowly than a sibling.
fn slow_problem(snapshot: &Snapshot, key: &TargetKey) -> Option<String> {
    let (check, Slowness { median, beside, .. }) = snapshot.health.targets.get(key)?.slow()?;
    let (target, [median, beside]) = (in_words(key), [median, beside].map(|time| time.as_millis()));
    Some(format!("{target} is slow: its {check} check takes {median} ms, a sibling's {beside} ms (medians of ten)"))
}

/// A certificate that ends soon, or another that leads from it to a trusted root. One that has ended fails the check,
/// where it is verified.
fn certificate_problem(snapshot: &Snapshot, key: &TargetKey) -> Option<String> {
    let certificate = snapshot.health.targets.get(key)?.certificate()?;
    let ends = certificate.ends();
    let warning = snapshot.config.probes.get(&key.endpoint)?.expiry_warning?;
    let (left, now) = (Duration::from_millis(ends.0.saturating_sub(snapshot.now.wall.0)), snapshot.now.wall);
    if left >= warning {
        return None;
    }
    let TargetKey { endpoint, zone, address } = key;
    let when = match ends.days_after(now) {
        _ if ends <= now => "has ended".to_owned(),
        0 => "ends within a day".to_owned(),
        days => format!("ends in {}", count(days, "day")),
    };
    let whose = match &certificate.ends_earlier {
        Some(intermediate) => format!("the intermediate {:?} of the certificate", intermediate.name),
        None => "the certificate".to_owned(),
    };
    Some(format!("{endpoint}: {whose} of {address} in {zone} {when}, at {ends}"))
}

/// What the probers themselves want to be known, each thing once.
fn remarks(snapshot: &Snapshot, key: &TargetKey) -> BTreeSet<String> {
    let checks = snapshot.health.targets.get(key).into_iter().flat_map(|target| target.checks.values());
    let say = |remark: &Arc<str>| format!("{}: {remark}", in_words(key));
    checks.filter_map(|check| check.shown.remark.as_ref().map(say)).collect()
}

fn target_problem(snapshot: &Snapshot, key: &TargetKey) -> Option<String> {
    let target = snapshot.health.targets.get(key)?;
    if !matches!(target.summary(), CheckState::Down { .. }) {
        return None;
    }
    let why = latest_failure(target, snapshot.now).map(|f| format!(": {}: {}", f.reason, f.detail)).unwrap_or_default();
    Some(format!("{} is down{why}", in_words(key)))
}

fn in_words(TargetKey { endpoint, zone, address }: &TargetKey) -> String {
    format!("{endpoint}: {address} in {zone}")
}

fn config(config: &ConfigState) -> Vec<String> {
    let mut problems = Vec::new();
    if !config.last_reload_ok {
        let first = config.complaints.first().map(|first| format!(": {}", complaint_in_a_line(first)));
        let first = first.unwrap_or_default();
        problems.push(format!("the config was refused, an older one is in force{first}"));
    } else if config.changed_on_disk {
        problems.push("the config changed on disk and is not loaded".to_owned());
    }
    problems.extend(config.without.iter().cloned());
    problems
}

fn stages(snapshot: &Snapshot) -> Vec<String> {
    let overdue = snapshot.stages.iter().filter(|s| s.is_overdue());
    let say = |s: &crate::sys::heartbeat::StageLife| {
        let seconds = |d: std::time::Duration| d.as_secs();
        format!("stage {} is overdue: silent for {} s, allowed {} s", s.name, seconds(s.silent), seconds(s.allowed))
    };
    overdue.map(say).collect()
}
