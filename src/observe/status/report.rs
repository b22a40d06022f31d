//! The snapshot as a [`StatusReport`].

use std::net::IpAddr;

use super::schema::{
    AddressReport, AddressState, CertificateReport, CheckReport, CloudReport, ConfigReport, EndpointReport,
    EventReport, HostReport, NameReason, NameReport, Placed, PublisherReport, SCHEMA, SourceReport, StageReport, State,
    StatusReport,
};
use super::target::{hold, latency, latest_failure, millis, since, when};
use super::{credentials, former, problems, unresolved};
use crate::model::{
    AddressEntry, Answer, Certificate, CheckHealth, CheckState, CloudFacts, Endpoint, EndpointName, Event, EventClass,
    Freshness, HostFacts, HostName, Inventory, Now, Presence, PublisherState, TargetHealth, TargetKey, Verdict, Wall,
    Zone, ZoneEntry,
};
use crate::observe::{ConfigState, Snapshot};
use crate::sys::heartbeat::StageLife;

/// The report of a snapshot.
#[must_use]
pub fn report(snapshot: &Snapshot) -> StatusReport {
    // In full, so that a new part has to be thought of here. Lost log lines and counts are metrics.
    let Snapshot {
        build,
        now,
        started,
        config,
        host,
        api,
        inventory,
        capped: _,
        health: _,
        plan,
        receipts: _,
        dns: _,
        events,
        stages,
        log_dropped: _,
    } = snapshot;
    let problems = problems::all(snapshot);
    let answers = plan.plan.iter().flat_map(|p| &p.answers);
    let withdrawn = plan.plan.iter().flat_map(|p| &p.withdrawn);
    StatusReport {
        schema: SCHEMA,
        version: build.version.to_owned(),
        started: when(*started, *now),
        state: if problems.is_empty() { State::Ok } else { State::Degraded },
        problems,
        host: host_report(host),
        config: config_report(config, *now),
        credentials: credentials::report(api, *now),
        endpoints: inventory.endpoints.iter().map(|(n, e)| (n.clone(), endpoint_report(snapshot, n, e))).collect(),
        names: answers
            .map(|(n, a)| (n.clone(), name_report(snapshot, n, a)))
            .chain(unresolved::rows(snapshot))
            .collect(),
        withdrawn: withdrawn.map(|(n, why)| (n.clone(), *why)).collect(),
        publishers: config.publishers.iter().map(|(n, place)| publisher_report(snapshot, n, place)).collect(),
        stages: stages.iter().map(stage_report).collect(),
        events: events.iter().map(|e| event_report(e, *now)).collect(),
    }
}

fn host_report(host: &HostFacts) -> HostReport {
    // The identity is for telling machines apart, not for showing.
    let HostFacts { zone, region, vpc_id, instance_id, hostname: _, identity: _, foreign_cache: _, awaited: _ } =
        host.clone();
    HostReport { zone, region, vpc_id, instance_id }
}

fn config_report(config: &ConfigState, now: Now) -> ConfigReport {
    ConfigReport {
        paths: config.paths.clone(),
        loaded: when(config.loaded, now),
        reloads: config.reloads,
        last_reload_ok: config.last_reload_ok,
        complaints: config.complaints.clone(),
        changed_on_disk: config.changed_on_disk,
        without: config.without.clone(),
    }
}

fn endpoint_report(snapshot: &Snapshot, name: &EndpointName, endpoint: &Endpoint) -> EndpointReport {
    let Endpoint { id, domain, zones, presence, sources, cloud, missing, not_found, left_out, .. } = endpoint;
    let probe = snapshot.config.probes.get(name);
    let address = |zone: &Zone, address: IpAddr, entry: &AddressEntry| {
        let key = TargetKey { endpoint: name.clone(), zone: zone.clone(), address };
        let report = address_report(snapshot.health.targets.get(&key).map(AsRef::as_ref), entry, snapshot.now);
        // Its probe has not begun yet.
        let awaited = report.state == AddressState::Unprobed && !report.retired && probe.is_some();
        if awaited { AddressReport { state: AddressState::Unknown, ..report } } else { report }
    };
    let zone_status =
        |(zone, entry): (&Zone, &ZoneEntry)| Some((zone.clone(), entry.cloud.as_ref()?.status.to_string()));
    let of_cloud = |facts: &CloudFacts| CloudReport {
        status: facts.status.to_string(),
        business: facts.business.to_string(),
        connection: facts.connection.to_string(),
        zones: zones.iter().filter_map(zone_status).collect(),
        gone: missing.is_some_and(|m| m.confirmed.is_some()),
    };
    let cloud = cloud.as_ref().map(of_cloud);
    let plan = snapshot.plan.plan.as_deref();
    let is_shown = |address: &IpAddr, entry: &AddressEntry| !entry.former || former::is_published(plan, *address);
    let zones = zones
        .iter()
        .filter(|(_, entry)| entry.addresses.iter().any(|(a, e)| is_shown(a, e)))
        .map(|(zone, entry)| (zone, entry.addresses.iter().filter(|(a, e)| is_shown(a, e))))
        .map(|(zone, shown)| (zone.clone(), shown.map(|(a, e)| (*a, address(zone, *a, e))).collect()));
    EndpointReport {
        id: id.clone(),
        domain: domain.clone(),
        probe: probe.map(|p| format!("{}:{}", p.kind, p.port)),
        leaving: matches!(presence, Presence::Removed { .. }),
        sources: sources.iter().map(|(kind, f)| (*kind, source_report(f, snapshot.now))).collect(),
        cloud,
        not_found: !not_found.is_empty(),
        left_out: left_out.iter().map(|(kind, what)| (*kind, what.to_string())).collect(),
        zones: zones.collect(),
    }
}

fn source_report(freshness: &Freshness, now: Now) -> SourceReport {
    let error = match freshness {
        Freshness::Fresh { .. } => None,
        Freshness::Stale { error, .. } => Some(error.clone()),
    };
    SourceReport { stale: freshness.is_stale(), confirmed: when(freshness.confirmed(), now), error }
}

fn address_report(target: Option<&TargetHealth>, entry: &AddressEntry, now: Now) -> AddressReport {
    let AddressEntry { source, given: _, retired, former: _ } = entry;
    let state = match target.map(TargetHealth::summary) {
        None => AddressState::Unprobed,
        Some(CheckState::Unknown) => AddressState::Unknown,
        Some(CheckState::Up { .. }) => AddressState::Up,
        Some(CheckState::Down { .. }) => AddressState::Down,
    };
    AddressReport {
        checks: target.into_iter().flat_map(|t| t.checks.iter()).map(|(c, h)| (*c, check_report(h, now))).collect(),
        certificate: target.and_then(TargetHealth::certificate).map(|c| CertificateReport::new(c, now.wall)),
        state,
        since: target.and_then(since).map(|t| when(t, now)),
        latency_ms: target.and_then(latency).map(|d| d.as_secs_f64() * 1000.0),
        last_failure: target.and_then(|t| latest_failure(t, now)),
        hold_ms: target.and_then(|t| hold(t, now.boottime)).map(millis),
        retired: retired.is_some(),
        source: *source,
    }
}

fn check_report(check: &CheckHealth, now: Now) -> CheckReport {
    let latest = check.shown.last.as_ref().map(|last| &last.outcome);
    CheckReport {
        state: check.state.label().to_owned(),
        since: when(check.since, now),
        latency_ms: latest.and_then(|l| l.as_ref().ok()).map(|t| t.total.as_secs_f64() * 1000.0),
        reason: latest.and_then(|l| l.as_ref().err()).map(|f| f.reason),
        probes: check.shown.stats.probes,
    }
}

impl CertificateReport {
    /// What there is to tell at `now`, but for when it begins.
    pub(crate) fn new(certificate: &Certificate, now: Wall) -> Self {
        let Certificate { names, issuer, not_before: _, not_after: _, ends_earlier, unused } = certificate;
        let ends = certificate.ends();
        let ended = unused.iter().filter(|other| other.not_after <= now);
        Self {
            names: names.clone(),
            issuer: issuer.clone(),
            begins: None,
            ends: ends.to_string(),
            days_left: ends.days_after(now),
            ends_by: ends_earlier.as_ref().map(|intermediate| intermediate.name.clone()),
            unused_and_ended: ended.map(|other| other.name.clone()).collect(),
        }
    }
}

fn name_report(snapshot: &Snapshot, name: &HostName, answer: &Answer) -> NameReport {
    let Answer { addresses, standby, reason } = answer;
    let history = snapshot.plan.history.get(name);
    let verdict = |publisher: &&'static str| {
        let state = snapshot.receipts.0.get(publisher);
        let verdict = state.map_or(Verdict::Pending, |state| state.verdict(name, snapshot.plan.digest.as_ref()));
        ((*publisher).to_owned(), verdict)
    };
    NameReport {
        addresses: placed(addresses, name, &snapshot.inventory),
        standby: placed(standby, name, &snapshot.inventory),
        reason: NameReason::Answered(*reason),
        changed: history.map(|h| when(h.changed, snapshot.now)),
        changes: history.map_or(0, |h| h.changes),
        verdicts: snapshot.config.publishers.keys().map(verdict).collect(),
    }
}

/// Addresses of a name, each with where it is.
pub(crate) fn placed(addresses: &[IpAddr], name: &HostName, inventory: &Inventory) -> Vec<Placed> {
    addresses.iter().map(|ip| Placed { address: *ip, zone: inventory.zone_of(name, *ip).cloned() }).collect()
}

fn publisher_report(snapshot: &Snapshot, publisher: &str, place: &str) -> (String, PublisherReport) {
    let state = snapshot.receipts.0.get(publisher);
    let receipt = snapshot.receipts.receipt(publisher);
    let failed = state.into_iter().flat_map(PublisherState::failed_places).map(String::as_str).collect::<Vec<_>>();
    let report = PublisherReport {
        place: place.to_owned(),
        in_sync: problems::in_sync(snapshot, publisher),
        at: receipt.filter(|receipt| receipt.at != Wall(0)).map(|receipt| receipt.at.to_string()),
        error: match receipt.and_then(|receipt| receipt.error_detail.clone()) {
            None if !failed.is_empty() => Some(failed.join("; ")),
            error => error,
        },
        conflict: receipt.is_some_and(|receipt| receipt.in_conflict),
    };
    (publisher.to_owned(), report)
}

fn stage_report(life: &StageLife) -> StageReport {
    let StageLife { name, silent, allowed } = life;
    StageReport {
        name: (*name).to_owned(),
        silent_ms: millis(*silent),
        allowed_ms: millis(*allowed),
        overdue: life.is_overdue(),
    }
}

fn event_report(event: &Event, now: Now) -> EventReport {
    let Event { at, kind } = event;
    let EventClass { label, maker: _, severity } = kind.class();
    EventReport {
        when: when(*at, now),
        severity: severity.to_string(),
        event: label.to_owned(),
        text: kind.to_string(),
    }
}
