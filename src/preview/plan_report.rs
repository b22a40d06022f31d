//! What `plan` answers: the verdict on every address, where each name would point and why, and what that would change.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::advice::error_with_advice;
use super::agent::{AgentAnswer, Comparison};
use super::common::{Host, SCHEMA, count, trouble};
use crate::discover::Round;
use crate::model::{
    Answer, AnswerReason, Check, CheckHealth, CheckState, EndpointName, Failure, FailureReason, HealthView, HostName,
    Inventory, Plan, TargetKey, Withdrawal, Zone,
};
use crate::observe::status::{Placed, StatusReport};
use crate::observe::text_table::{Cell, Tone, columns, head, line, reason_tone};

/// What was found, judged and decided.
#[derive(Debug, Clone, Copy)]
pub struct Decided<'a> {
    /// Where we are.
    pub host: &'a Host,
    /// What each source said.
    pub round: &'a Round,
    /// What there is.
    pub inventory: &'a Inventory,
    /// How it does.
    pub health: &'a HealthView,
    /// What would be published.
    pub plan: &'a Plan,
    /// What the running agent says, or why it says nothing.
    pub agent: Result<&'a StatusReport, &'a str>,
}

/// What the hosts file has to say to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Hosts {
    /// The file.
    pub path: PathBuf,
    /// False if `[hosts] publish` is.
    pub publish: bool,
    /// What would change, as a unified diff; empty if nothing, `null` if that can't be told.
    pub diff: Option<String>,
    /// Why there is no diff; `None` if there is one.
    pub error: Option<String>,
    /// Names whose answer the hosts writer would refuse, and why.
    pub refused: BTreeMap<HostName, String>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Where we are.
    pub host: Host,
    /// Each check of each address.
    pub checks: Vec<CheckSaid>,
    /// By name.
    pub names: BTreeMap<HostName, NamePlanned>,
    /// Names that would be given up, and why.
    pub withdrawn: BTreeMap<HostName, Withdrawal>,
    /// Sources that could not tell, and what was found of an earlier agent, a error_with_advice each.
    pub problems: Vec<String>,
    /// The hosts file.
    pub hosts: Hosts,
    /// Whether the running agent answers.
    pub agent: AgentAnswer,
}

/// One check of one address.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckSaid {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The zone.
    pub zone: Zone,
    /// The address.
    pub address: IpAddr,
    /// Which check; `null` if nothing probes the address.
    pub check: Option<Check>,
    /// `up`, `down`, `unknown`, `unprobed`.
    pub verdict: &'static str,
    /// Of the latest probe, in milliseconds, if it succeeded.
    pub latency_ms: Option<f64>,
    /// Why the latest probe failed, if it did.
    pub reason: Option<FailureReason>,
    /// What was seen then.
    pub detail: Option<String>,
}

/// Where a name would point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamePlanned {
    /// In order.
    pub addresses: Vec<Placed>,
    /// Kept back by choice.
    pub standby: Vec<Placed>,
    /// Why these addresses.
    pub reason: AnswerReason,
    /// The reason in words.
    pub why: &'static str,
    /// Beside what the running agent answers, if it does.
    pub agent: Option<Comparison>,
}

impl PlanReport {
    /// Of a plan; `found_earlier` is what was found of an earlier agent.
    #[must_use]
    pub fn new(decided: Decided<'_>, found_earlier: Vec<String>, hosts: Hosts) -> Self {
        let Decided { host, round, inventory, health: _, plan, agent } = decided;
        let names = plan.answers.iter().map(|(name, answer)| (name.clone(), planned(name, answer, decided)));
        let mut problems = found_earlier;
        for (endpoint, said) in round {
            for (kind, said) in said {
                let error = said.as_ref().map_or_else(Some, |found| found.incomplete.as_ref());
                problems.extend(error.map(|e| format!("endpoint {endpoint}: source {kind}: {}", error_with_advice(e))));
            }
        }
        for (name, endpoint) in &inventory.endpoints {
            let left_out = endpoint.left_out.iter();
            problems.extend(left_out.map(|(kind, what)| format!("endpoint {name}: source {kind}: {what}")));
        }
        Self {
            schema: SCHEMA,
            host: host.clone(),
            checks: checks(decided),
            names: names.collect(),
            withdrawn: plan.withdrawn.clone(),
            problems,
            hosts,
            agent: AgentAnswer::new(agent),
        }
    }

    /// For people, with a final newline.
    #[must_use]
    pub fn text(&self, color: bool) -> String {
        let Self { schema: _, host, checks, names, withdrawn, problems, hosts, agent } = self;
        let mut out = String::new();
        host.text(&mut out, color);
        for problem in problems {
            trouble(&mut out, "", problem, color);
        }
        out.push('\n');
        columns(&mut out, check_rows(checks), color);
        out.push('\n');
        columns(&mut out, name_rows(names), color);
        for (name, why) in withdrawn {
            line(&mut out, &[Cell::plain(format!("{name} would be given up: {}", given_up(*why)))], &[], color);
        }
        if names.is_empty() && withdrawn.is_empty() {
            line(&mut out, &[Cell::plain("no name to publish")], &[], color);
        }
        if let Some(error) = &agent.error {
            line(&mut out, &[Cell::plain(format!("agent: {error}"))], &[], color);
        }
        out.push('\n');
        hosts.text(&mut out, color);
        out
    }
}

fn planned(name: &HostName, answer: &Answer, decided: Decided<'_>) -> NamePlanned {
    let Answer { addresses, standby, reason } = answer;
    let place = |all: &[IpAddr]| all.iter().map(|ip| placed(name, *ip, decided.inventory)).collect();
    NamePlanned {
        addresses: place(addresses),
        standby: place(standby),
        reason: *reason,
        why: why(*reason),
        agent: decided.agent.ok().map(|agent| compare(name, answer, agent)),
    }
}

fn placed(name: &HostName, address: IpAddr, inventory: &Inventory) -> Placed {
    let zones = inventory.endpoints.values().flat_map(|e| {
        let whole = e.names.contains(name) || e.leaving.contains_key(name);
        e.zones.iter().filter(move |(_, z)| whole || z.names.contains(name) || z.leaving.contains_key(name))
    });
    let zone = zones.filter(|(_, entry)| entry.addresses.contains_key(&address)).map(|(zone, _)| zone.clone()).next();
    Placed { address, zone }
}

fn compare(name: &HostName, answer: &Answer, agent: &StatusReport) -> Comparison {
    let Some(known) = agent.names.get(name) else {
        return Comparison::new(vec!["the agent does not publish it".to_owned()]);
    };
    let listed = |all: &[IpAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let then: Vec<IpAddr> = known.addresses.iter().map(|p| p.address).collect();
    let addresses = (then != answer.addresses).then(|| format!("the agent answers {}", listed(&then)));
    let reason = (known.reason != answer.reason).then(|| format!("the agent's reason is {}", known.reason));
    Comparison::new(addresses.into_iter().chain(reason).collect())
}

/// The reason of an answer in words.
fn why(reason: AnswerReason) -> &'static str {
    match reason {
        AnswerReason::Pinned => "a zone's own name always points there",
        AnswerReason::RemovalPending => "it left the config and goes after the grace",
        AnswerReason::LocalFaultHeld => "nothing answers on any endpoint: probably this host's own fault",
        AnswerReason::AllDownKept => "no address answers, so the last ones stay",
        AnswerReason::DrainedButNeeded => "a drained zone is used because nothing else answers",
        AnswerReason::Drained => "a drained zone is left out",
        AnswerReason::FailedOver => "an address that does not answer is left out",
        AnswerReason::DownKept => "an address that does not answer stays: nothing has proved to be better",
        AnswerReason::Stale => "the source of the addresses fails at present",
        AnswerReason::Unprobed => "there is no verdict on some address",
        AnswerReason::Fixed => "nothing probes the addresses",
        AnswerReason::Healthy => "all is well",
    }
}

fn given_up(why: Withdrawal) -> &'static str {
    match why {
        Withdrawal::Gone => "the cloud says twice that the endpoint is gone",
        Withdrawal::Removed => "it left the config, and the grace is over",
        Withdrawal::ForeignCache => "it came from another machine's cache",
    }
}

fn checks(decided: Decided<'_>) -> Vec<CheckSaid> {
    let mut all = Vec::new();
    for (endpoint, entry) in &decided.inventory.endpoints {
        for (zone, z) in &entry.zones {
            for (address, _) in z.addresses.iter().filter(|(_, a)| a.retired.is_none()) {
                let key = TargetKey { endpoint: endpoint.clone(), zone: zone.clone(), address: *address };
                match decided.health.targets.get(&key) {
                    Some(health) => all.extend(health.checks.iter().map(|(check, h)| last_check(&key, *check, h))),
                    None => all.push(unprobed(&key)),
                }
            }
        }
    }
    all
}

fn unprobed(TargetKey { endpoint, zone, address }: &TargetKey) -> CheckSaid {
    CheckSaid {
        endpoint: endpoint.clone(),
        zone: zone.clone(),
        address: *address,
        check: None,
        verdict: "unprobed",
        latency_ms: None,
        reason: None,
        detail: None,
    }
}

fn last_check(key: &TargetKey, check: Check, health: &CheckHealth) -> CheckSaid {
    let last = health.shown.last.as_ref().map(|last| &last.outcome);
    let failure: Option<&Failure> = last.and_then(|last| last.as_ref().err());
    CheckSaid {
        check: Some(check),
        verdict: health.state.label(),
        latency_ms: last.and_then(|last| last.as_ref().ok()).map(|t| t.total.as_secs_f64() * 1000.0),
        reason: failure.map(|f| f.reason),
        detail: match (failure, health.state) {
            (Some(f), _) => Some(f.detail.to_string()),
            (None, CheckState::Unknown) => Some("no verdict in time".to_owned()),
            (None, _) => None,
        },
        ..unprobed(key)
    }
}

fn check_rows(checks: &[CheckSaid]) -> Vec<[Cell; 6]> {
    let mut rows = vec![head(["ENDPOINT", "ZONE", "ADDRESS", "CHECK", "VERDICT", "LATENCY, OR WHY NOT"])];
    let mut above = None;
    for CheckSaid { endpoint, zone, address, check, verdict, latency_ms, reason, detail } in checks {
        let name = if above.replace(endpoint) == Some(endpoint) { String::new() } else { endpoint.to_string() };
        let tone = match *verdict {
            "up" => Tone::Good,
            "down" => Tone::Bad,
            "unknown" => Tone::Warn,
            _ => Tone::Plain,
        };
        let latency = latency_ms.map(|ms| format!("{ms:.1} ms"));
        let reason = reason.map(|r| r.label().to_owned());
        let notes: Vec<String> = latency.into_iter().chain(reason).chain(detail.clone()).collect();
        rows.push([
            Cell::plain(name),
            Cell::plain(zone.to_string()),
            Cell::plain(address.to_string()),
            Cell::plain(check.map_or("", Check::label)),
            Cell::toned(*verdict, tone),
            Cell::plain(notes.join(": ")),
        ]);
    }
    rows
}

fn name_rows(names: &BTreeMap<HostName, NamePlanned>) -> Vec<[Cell; 5]> {
    let mut rows = vec![head(["NAME", "WOULD POINT AT", "REASON", "BECAUSE", "AGENT"])];
    for (name, NamePlanned { addresses, standby, reason, why, agent }) in names {
        let place = |p: &Placed, what: &str| {
            let zone = p.zone.as_ref().map_or_else(|| "not found now".to_owned(), ToString::to_string);
            format!("{} ({zone}{what})", p.address)
        };
        let all = addresses.iter().map(|p| place(p, "")).chain(standby.iter().map(|p| place(p, ", standby")));
        for (i, place) in all.enumerate() {
            let only_first = |text: String| if i == 0 { text } else { String::new() };
            rows.push([
                Cell::plain(only_first(name.to_string())),
                Cell::plain(place),
                Cell::toned(only_first(reason.to_string()), reason_tone(*reason)),
                Cell::plain(only_first((*why).to_owned())),
                Cell::plain(only_first(agent.as_ref().map(Comparison::words).unwrap_or_default())),
            ]);
        }
    }
    rows
}

impl Hosts {
    fn text(&self, out: &mut String, color: bool) {
        let Self { path, publish, diff, error, refused } = self;
        for (name, why) in refused {
            trouble(out, "", &format!("the hosts writer would refuse {name}: {why}"), color);
        }
        let path = path.display();
        let said = match (diff, error) {
            _ if !publish => format!("{path}: not published to ([hosts] publish is false)"),
            (_, Some(error)) => return trouble(out, "", &format!("what would change can't be told: {error}"), color),
            (Some(diff), _) if !diff.is_empty() => return diff_text(out, diff, color),
            _ => format!("{path}: nothing would change"),
        };
        line(out, &[Cell::plain(said)], &[], color);
    }
}

fn diff_text(out: &mut String, diff: &str, color: bool) {
    for text in diff.lines() {
        let tone = match text.as_bytes() {
            [b'+', b'+', ..] | [b'-', b'-', ..] => Tone::Head,
            [b'+', ..] => Tone::Good,
            [b'-', ..] => Tone::Bad,
            _ => Tone::Plain,
        };
        line(out, &[Cell::toned(text, tone)], &[], color);
    }
    let (more, fewer) = (changed(diff, '+'), changed(diff, '-'));
    let counted = format!("{} more, {} fewer; nothing was written", count(more, "line"), fewer);
    line(out, &[Cell::plain(counted)], &[], color);
}

fn changed(diff: &str, sign: char) -> usize {
    // Behind the two lines of the head.
    diff.lines().skip(2).filter(|text| text.starts_with(sign)).count()
}
