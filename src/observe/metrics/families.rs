//! The metric families, one small function each. Users rely on names and labels: adding is free, a
//! change is not.

use std::collections::BTreeMap;
use std::time::Duration;

use super::family::{Family, Histogram, Labels, labels};
use crate::model::limits::{CapCounts, Capped};
use crate::model::{
    AnswerHistory, ApiState, BusinessStatus, Check, CheckHealth, CheckState, CloudFacts, DNS_DURATION_BUCKETS,
    DnsCounts, Endpoint, EndpointName, HealthView, HostFacts, HostName, Inventory, Now, PlanState, Receipt, Receipts,
    TargetHealth, TargetKey, Verdict, Zone, ZoneEntry,
};
use crate::observe::status::hosts_in_sync;
use crate::observe::{Build, ConfigState, Snapshot};
use crate::sys::process_stats::ProcessStats;

/// Hands every family over in the order in which they are shown: one after the other, since those of many targets are
/// large.
pub(super) fn each(snapshot: &Snapshot, process: &ProcessStats, mut write: impl FnMut(Family)) {
    // In full, so that a new part has to be thought of here. Events and stages have no series: events are counted
    // where they are decided, and a stage that hangs shows in /healthz.
    let Snapshot {
        build,
        now,
        started,
        config,
        host,
        api,
        inventory,
        capped,
        health,
        plan,
        receipts,
        dns,
        events: _,
        stages: _,
        log_dropped,
    } = snapshot;
    write(build_info(*build));
    write(endpoint_info(inventory, host));
    write(target_info(inventory));
    for family in [endpoint_status, connection_status, zone_status] {
        write(family(inventory));
    }
    write(discovery_age(inventory, *now));
    write(discovery_stale(inventory));
    write(inputs_capped(capped));
    for family in [api_requests, credentials_expiry] {
        write(family(api));
    }
    for family in [probe_success, probe_duration, probe_failures, probes] {
        write(family(health));
    }
    for family in [certificate_expiry, probe_late, target_up, target_slow] {
        write(family(health));
    }
    write(target_transitions(health));
    for family in [answer_addresses, answer_reason, answer_changes, last_change] {
        write(family(plan));
    }
    write(in_sync(snapshot));
    receipts.receipt(Receipts::HOSTS).into_iter().flat_map(hosts).for_each(&mut write);
    dns.iter().flat_map(dns_families).for_each(&mut write);
    config_families(config).into_iter().for_each(&mut write);
    write(Family::counter("privatelink_log_dropped_total", "Log lines dropped.").value(*log_dropped));
    process_families(process, *started).into_iter().for_each(write);
}

fn build_info(build: Build) -> Family {
    let Build { version, revision } = build;
    Family::gauge("privatelink_build_info", "The running program.")
        .samples([(labels([("version", &version), ("revision", &revision)]), true)])
}

fn endpoint_info(inventory: &Inventory, host: &HostFacts) -> Family {
    let text = |s: &Option<String>| s.clone().unwrap_or_default();
    let info = |(name, endpoint): (&EndpointName, &Endpoint)| {
        let id = endpoint.id.as_ref().map(ToString::to_string).unwrap_or_default();
        let labels = labels([
            ("endpoint", name),
            ("endpoint_id", &id),
            ("service_name", &told(endpoint, |c| &c.service_name, "")),
            ("region", &told(endpoint, |c| &c.region, &text(&host.region))),
            ("vpc_id", &told(endpoint, |c| &c.vpc_id, &text(&host.vpc_id))),
        ]);
        (labels, true)
    };
    Family::gauge("privatelink_endpoint_info", "What is known of an endpoint.")
        .samples(inventory.endpoints.iter().map(info))
}

/// What the cloud's API tells, or what stands in for it.
fn told(endpoint: &Endpoint, tell: impl Fn(&CloudFacts) -> &String, instead: &str) -> String {
    let told = endpoint.cloud.as_ref().map(tell).filter(|text| !text.is_empty());
    told.map_or_else(|| instead.to_owned(), Clone::clone)
}

fn target_info(inventory: &Inventory) -> Family {
    let info = zones(inventory).flat_map(|(endpoint, zone, entry)| {
        let eni = entry.cloud.as_ref().and_then(|cloud| cloud.eni_id.as_deref()).unwrap_or_default();
        let label =
            move |address| labels([("endpoint", endpoint), ("zone", zone), ("address", address), ("eni_id", &eni)]);
        entry.addresses.keys().map(move |address| (label(address), true))
    });
    Family::gauge("privatelink_target_info", "An address of an endpoint.").samples(info)
}

fn zones(inventory: &Inventory) -> impl Iterator<Item = (&EndpointName, &Zone, &ZoneEntry)> {
    inventory.endpoints.iter().flat_map(|(name, e)| e.zones.iter().map(move |(zone, entry)| (name, zone, entry)))
}

/// One series an endpoint, which carries its present state in the cloud's words.
fn status_of(inventory: &Inventory, word: impl Fn(&CloudFacts) -> String) -> Vec<(Labels, bool)> {
    let state = |(name, endpoint): (&EndpointName, &Endpoint)| {
        Some((labels([("endpoint", name), ("state", &word(endpoint.cloud.as_ref()?))]), true))
    };
    inventory.endpoints.iter().filter_map(state).collect()
}

fn endpoint_status(inventory: &Inventory) -> Family {
    // Overdue payment outweighs that the endpoint is there.
    let word = |c: &CloudFacts| match &c.business {
        BusinessStatus::Normal => c.status.to_string(),
        business => business.to_string(),
    };
    let never_there = inventory.endpoints.iter().filter(|(_, e)| e.cloud.is_none() && !e.not_found.is_empty());
    let never_there = never_there.map(|(name, _)| (labels([("endpoint", name), ("state", &"not_found")]), true));
    Family::gauge("privatelink_endpoint_status", "1 for what the cloud says of the endpoint.")
        .samples(status_of(inventory, word).into_iter().chain(never_there))
}

fn connection_status(inventory: &Inventory) -> Family {
    Family::gauge("privatelink_connection_status", "1 for what the cloud says of the endpoint's connection.")
        .samples(status_of(inventory, |c| c.connection.to_string()))
}

fn zone_status(inventory: &Inventory) -> Family {
    let states = zones(inventory).filter_map(|(name, zone, z)| {
        let status = &z.cloud.as_ref()?.status;
        Some((labels([("endpoint", name), ("zone", zone), ("state", status)]), true))
    });
    Family::gauge("privatelink_zone_status", "1 for what the cloud says of the endpoint's zone.").samples(states)
}

fn discovery_age(inventory: &Inventory, now: Now) -> Family {
    let ages = inventory.endpoints.iter().flat_map(|(name, endpoint)| {
        endpoint.sources.iter().map(move |(source, freshness)| {
            let age = now.boottime.since(freshness.confirmed().boottime);
            (labels([("endpoint", name), ("source", source)]), age.as_secs_f64())
        })
    });
    Family::gauge("privatelink_discovery_age_seconds", "Since a source last confirmed the addresses.").samples(ages)
}

fn discovery_stale(inventory: &Inventory) -> Family {
    let stale = |(name, e): (&EndpointName, &Endpoint)| {
        (labels([("endpoint", name)]), e.sources.values().any(crate::model::Freshness::is_stale))
    };
    Family::gauge("privatelink_discovery_stale", "1 if a source of the endpoint fails.")
        .samples(inventory.endpoints.iter().map(stale))
}

fn inputs_capped(capped: &CapCounts) -> Family {
    let counts = Capped::ALL.map(|what| (labels([("what", &what)]), capped.get(what)));
    Family::counter("privatelink_inputs_capped_total", "What was refused because there was too much of it.")
        .samples(counts)
}

fn api_requests(api: &ApiState) -> Family {
    let counts = api.requests.iter();
    Family::counter("privatelink_api_requests_total", "Requests to the cloud's API.")
        .samples(counts.map(|((action, outcome), n)| (labels([("action", action), ("outcome", outcome)]), *n)))
}

/// No series for keys that never end.
fn credentials_expiry(api: &ApiState) -> Family {
    let expires = api.credentials.as_ref().and_then(|c| c.expires);
    Family::gauge("privatelink_credentials_expiry_timestamp_seconds", "When the keys for the cloud's API end.")
        .known(expires.map(|at| at.as_secs_f64()))
}

/// Every check of every target.
fn checks(health: &HealthView) -> impl Iterator<Item = (&TargetKey, Check, &CheckHealth)> {
    health.targets.iter().flat_map(|(key, target)| target.checks.iter().map(move |(check, h)| (key, *check, h)))
}

/// One value a zone and check: an endpoint may have several addresses in a zone, whose counts are summed.
type Zoned<'a, T> = BTreeMap<(&'a EndpointName, &'a Zone, Check), T>;

fn by_zone<'a, T: Default>(health: &'a HealthView, add: impl Fn(&mut T, &CheckHealth)) -> Zoned<'a, T> {
    let mut zones = Zoned::new();
    for (key, check, state) in checks(health) {
        add(zones.entry((&key.endpoint, &key.zone, check)).or_default(), state);
    }
    zones
}

fn zoned<T>(zones: Zoned<'_, T>) -> impl Iterator<Item = (Labels, T)> {
    zones.into_iter().map(|((endpoint, zone, check), value)| {
        (labels([("endpoint", endpoint), ("zone", zone), ("check", &check)]), value)
    })
}

fn probe_success(health: &HealthView) -> Family {
    let latest = checks(health).filter_map(|(TargetKey { endpoint, zone, address }, check, state)| {
        let last = state.shown.last.as_ref()?;
        let labels = labels([("endpoint", endpoint), ("zone", zone), ("address", address), ("check", &check)]);
        Some((labels, last.outcome.is_ok()))
    });
    Family::gauge("privatelink_probe_success", "1 if the latest probe succeeded.").samples(latest)
}

fn probe_duration(health: &HealthView) -> Family {
    let zones = by_zone(health, |sum: &mut Histogram, check| {
        sum.sum += check.shown.stats.duration_sum.as_secs_f64();
        sum.counts.iter_mut().zip(check.shown.stats.durations).for_each(|(a, b)| *a += b);
    });
    Family::histogram("privatelink_probe_duration_seconds", "Duration of successful probes.").samples(zoned(zones))
}

fn probe_failures(health: &HealthView) -> Family {
    let zones = by_zone(health, |sum: &mut BTreeMap<_, u64>, check| {
        check.shown.stats.failures.iter().for_each(|(reason, n)| *sum.entry(*reason).or_default() += n);
    });
    let reasons = zoned(zones).flat_map(|(labels, reasons)| {
        reasons.into_iter().map(move |(reason, n)| {
            let reason = ("reason", reason.label().to_owned());
            (labels.iter().cloned().chain([reason]).collect::<Labels>(), n)
        })
    });
    Family::counter("privatelink_probe_failures_total", "Failed probes by reason.").samples(reasons)
}

fn probes(health: &HealthView) -> Family {
    let zones = by_zone(health, |sum: &mut u64, check| *sum += check.shown.stats.probes);
    Family::counter("privatelink_probes_total", "Finished probes.").samples(zoned(zones))
}

fn probe_late(health: &HealthView) -> Family {
    let zones = by_zone(health, |max: &mut Duration, check| *max = check.shown.stats.late.max(*max));
    Family::gauge("privatelink_probe_late_seconds", "By how much the latest probe started late.")
        .samples(zoned(zones).map(|(labels, late)| (labels, late.as_secs_f64())))
}

fn target_labels(key: &TargetKey) -> Labels {
    let TargetKey { endpoint, zone, address } = key;
    labels([("endpoint", endpoint), ("zone", zone), ("address", address)])
}

/// One an address: its checks meet the same certificate.
fn certificate_expiry(health: &HealthView) -> Family {
    let ends = health
        .targets
        .iter()
        .filter_map(|(key, target)| Some((target_labels(key), target.certificate()?.ends().as_secs_f64())));
    Family::gauge(
        "privatelink_probe_tls_cert_expiry_timestamp_seconds",
        "When the first certificate of the way to a root ends.",
    )
    .samples(ends)
}

/// A target that is not yet judged has no series: neither 0 nor 1 would be true.
fn target_up(health: &HealthView) -> Family {
    let judged = health.targets.iter().filter_map(|(key, target)| match target.summary() {
        CheckState::Unknown => None,
        CheckState::Up { .. } => Some((target_labels(key), true)),
        CheckState::Down { .. } => Some((target_labels(key), false)),
    });
    Family::gauge("privatelink_target_up", "1 if an address is up, after hysteresis.").samples(judged)
}

/// One series each for those that are, at most.
fn target_slow(health: &HealthView) -> Family {
    let slow = health.targets.iter().filter(|(_, target)| target.slow().is_some());
    Family::gauge("privatelink_target_slow", "1 while an address answers much more slowly than a sibling.")
        .samples(slow.map(|(key, _)| (target_labels(key), true)))
}

fn target_transitions(health: &HealthView) -> Family {
    let sum = |target: &TargetHealth| target.checks.values().map(|c| c.shown.stats.transitions).sum::<u64>();
    Family::counter("privatelink_target_transitions_total", "Changes between up and down.")
        .samples(health.targets.iter().map(|(key, target)| (target_labels(key), sum(target))))
}

fn answer_addresses(plan: &PlanState) -> Family {
    let answers = plan.plan.iter().flat_map(|p| &p.answers);
    Family::gauge("privatelink_answer_addresses", "Addresses that a name points at.")
        .samples(answers.map(|(name, a)| (labels([("name", name)]), a.addresses.len() as u64)))
}

fn answer_reason(plan: &PlanState) -> Family {
    let answers = plan.plan.iter().flat_map(|p| &p.answers);
    Family::gauge("privatelink_answer_reason", "Why a name points there; the present reason only.")
        .samples(answers.map(|(name, a)| (labels([("name", name), ("reason", &a.reason)]), true)))
}

/// Of the names that are in the plan: a name that was given up has no series.
fn histories(plan: &PlanState) -> impl Iterator<Item = (&HostName, &AnswerHistory)> {
    let answers = plan.plan.iter().flat_map(|p| p.answers.keys());
    answers.filter_map(|name| plan.history.get_key_value(name))
}

fn answer_changes(plan: &PlanState) -> Family {
    Family::counter("privatelink_answer_changes_total", "Changes of a name's addresses since the start.")
        .samples(histories(plan).map(|(name, h)| (labels([("name", name)]), h.changes)))
}

fn last_change(plan: &PlanState) -> Family {
    Family::gauge("privatelink_last_change_timestamp_seconds", "When a name's addresses last changed.")
        .samples(histories(plan).map(|(name, h)| (labels([("name", name)]), h.changed.wall.as_secs_f64())))
}

/// No series where nothing is published to the hosts file.
fn in_sync(snapshot: &Snapshot) -> Family {
    Family::gauge("privatelink_hosts_in_sync", "1 if the hosts file holds the present plan.")
        .known(hosts_in_sync(snapshot))
}

fn hosts(receipt: &Receipt) -> [Family; 3] {
    // What was capped is counted with what the agent capped.
    let Receipt { names, writes, failed_writes, conflicts, .. } = receipt;
    let outcomes = [("ok", *writes), ("error", *failed_writes)];
    let shadowed = names.iter().map(|(name, v)| (labels([("name", name)]), *v == Verdict::Shadowed));
    [
        Family::counter("privatelink_hosts_writes_total", "Writes of the hosts file.")
            .samples(outcomes.map(|(outcome, n)| (labels([("outcome", &outcome)]), n))),
        Family::counter("privatelink_hosts_conflicts_total", "Times that somebody kept removing the block.")
            .value(*conflicts),
        Family::gauge("privatelink_hosts_shadowed", "1 if another line for the name stands before ours or beside it.")
            .samples(shadowed),
    ]
}

/// Those of the stub.
fn dns_families(counts: &DnsCounts) -> [Family; 3] {
    let DnsCounts { answered, dropped, durations, seconds } = counts;
    let queries = answered
        .iter()
        .map(|((transport, code), n)| (labels([("transport", transport), ("rcode", &code.label())]), *n));
    let took = Histogram { sum: seconds.as_secs_f64(), bounds: &DNS_DURATION_BUCKETS, counts: durations.to_vec() };
    [
        Family::counter("privatelink_dns_queries_total", "Queries that the stub replied to.").samples(queries),
        Family::counter("privatelink_dns_dropped_total", "Packets that the stub did not reply to.").value(*dropped),
        Family::histogram("privatelink_dns_query_duration_seconds", "From reading a query to sending the reply.")
            .value(took),
    ]
}

fn config_families(config: &ConfigState) -> [Family; 2] {
    [
        Family::gauge("privatelink_config_last_reload_successful", "1 if the latest config was accepted.")
            .value(config.last_reload_ok),
        Family::gauge("privatelink_config_last_reload_success_timestamp_seconds", "When the config came into force.")
            .value(config.loaded.wall.as_secs_f64()),
    ]
}

/// The usual ones, without our prefix.
fn process_families(process: &ProcessStats, started: Now) -> [Family; 6] {
    let ProcessStats { cpu, resident, virtual_size, open_fds, max_fds } = process;
    [
        Family::counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.")
            .known(cpu.map(|d| d.as_secs_f64())),
        Family::gauge("process_resident_memory_bytes", "Resident memory size in bytes.").known(*resident),
        Family::gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.").known(*virtual_size),
        Family::gauge("process_open_fds", "Number of open file descriptors.").known(*open_fds),
        Family::gauge("process_max_fds", "Maximum number of open file descriptors.").known(*max_fds),
        Family::gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.")
            .value(started.wall.as_secs_f64()),
    ]
}
