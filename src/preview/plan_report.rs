//! What `plan` answers: the verdict on every address, where each name would point and why, and what that would change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::agent::{AgentAnswer, Comparison};
use super::common::{Host, NO_ENDPOINT, SCHEMA, Seen, source_problems};
use crate::model::{
    Answer, AnswerReason, Check, CheckHealth, CheckState, Failure, FailureReason, HealthView, HostName, Plan,
    TargetKey, Withdrawal,
};
use crate::observe::status::{NO_ADDRESS, NameReason, Placed, Screen, StatusReport, placed, places, reason_cell};
use crate::observe::text_table::{Cell, Page, Tone, count, head};

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
    /// That `hosts remove` keeps our block out of it; `null` if it does not.
    pub removed: Option<String>,
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
    /// Names of the config of which no address is known, so that they would not be published.
    pub unresolved: BTreeSet<HostName>,
    /// Names that would be given up, and why.
    pub withdrawn: BTreeMap<HostName, Withdrawal>,
    /// Sources that could not tell, and what was found of an earlier agent, a sentence each.
    pub problems: Vec<String>,
    /// The hosts file.
    pub hosts: Hosts,
    /// Whether the running agent answers.
    pub agent: AgentAnswer,
}

/// One check of one address.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckSaid {
    /// The endpoint, the zone and the address.
    #[serde(flatten)]
    pub target: TargetKey,
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
    /// Of a plan that was made of what was seen and how that does; `problems` begins with what was found of an earlier
    /// agent.
    #[must_use]
    pub fn new(seen: Seen<'_>, health: &HealthView, plan: &Plan, mut problems: Vec<String>, hosts: Hosts) -> Self {
        let Seen { host, round, inventory, agent } = seen;
        let names = plan.answers.iter().map(|(name, answer)| (name.clone(), planned(name, answer, seen)));
        problems.extend(inventory.configured().next().is_none().then(|| NO_ENDPOINT.to_owned()));
        problems.extend(source_problems(round, |_| true));
        for (name, endpoint) in &inventory.endpoints {
            let left_out = endpoint.left_out.iter();
            problems.extend(left_out.map(|(kind, what)| format!("endpoint {name}: source {kind}: {what}")));
        }
        let of_config = inventory.configured().flat_map(|(_, endpoint)| endpoint.all_names());
        let is_unresolved = |name: &&HostName| !plan.answers.contains_key(*name) && !plan.withdrawn.contains_key(*name);
        Self {
            schema: SCHEMA,
            host: host.clone(),
            checks: checks(seen, health),
            names: names.collect(),
            unresolved: of_config.filter(is_unresolved).cloned().collect(),
            withdrawn: plan.withdrawn.clone(),
            problems,
            hosts,
            agent: AgentAnswer::new(agent),
        }
    }

    /// For people, with a final newline.
    #[must_use]
    pub fn text(&self, screen: Screen) -> String {
        let Self { schema: _, host, checks, names, unresolved, withdrawn, problems, hosts, agent } = self;
        let mut page = Page::new(screen);
        host.show(&mut page);
        problems.iter().for_each(|problem| page.trouble("", problem));
        if !checks.is_empty() {
            page.blank();
            page.columns(&check_rows(checks));
        }
        page.blank();
        page.columns(&rows_of_names(names, unresolved));
        for (name, why) in withdrawn {
            page.say(format!("{name} would be given up: {}", given_up(*why)));
        }
        if names.is_empty() && unresolved.is_empty() && withdrawn.is_empty() {
            page.say("no name to publish");
        }
        agent.show(&mut page);
        page.blank();
        hosts.show(&mut page);
        page.into_text()
    }
}

fn planned(name: &HostName, answer: &Answer, seen: Seen<'_>) -> NamePlanned {
    let Answer { addresses, standby, reason } = answer;
    NamePlanned {
        addresses: placed(addresses, name, seen.inventory),
        standby: placed(standby, name, seen.inventory),
        reason: *reason,
        why: why(*reason),
        agent: seen.agent.ok().map(|agent| compare(name, answer, agent)),
    }
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

fn checks(seen: Seen<'_>, health: &HealthView) -> Vec<CheckSaid> {
    let mut all = Vec::new();
    for key in seen.inventory.endpoints.iter().flat_map(|(name, endpoint)| TargetKey::of_endpoint(name, endpoint)) {
        match health.targets.get(&key) {
            Some(health) => all.extend(health.checks.iter().map(|(check, h)| last_check(&key, *check, h))),
            None => all.push(unprobed(&key)),
        }
    }
    all
}

fn unprobed(key: &TargetKey) -> CheckSaid {
    let target = key.clone();
    CheckSaid { target, check: None, verdict: "unprobed", latency_ms: None, reason: None, detail: None }
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
    for CheckSaid { target, check, verdict, latency_ms, reason, detail } in checks {
        let TargetKey { endpoint, zone, address } = target;
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
        let (name, notes) = (Cell::name(name), Cell::prose(notes.join(": "), Tone::Plain));
        let [zone, address] = [zone.to_string(), address.to_string()].map(Cell::plain);
        let check = Cell::plain(check.map_or("", Check::label));
        rows.push([name, zone, address, check, Cell::toned(*verdict, tone), notes]);
    }
    rows
}

fn rows_of_names(names: &BTreeMap<HostName, NamePlanned>, unresolved: &BTreeSet<HostName>) -> Vec<[Cell; 5]> {
    let mut rows = vec![head(["NAME", "WOULD POINT AT", "REASON", "BECAUSE", "AGENT"])];
    for (name, NamePlanned { addresses, standby, reason, why, agent }) in names {
        let agent = agent.as_ref().map(Comparison::words).unwrap_or_default();
        let places = places(addresses, standby, "not found now");
        let [why, agent] = [*why, agent.as_str()].map(|text| Cell::prose(text, Tone::Plain));
        rows.push([
            Cell::name(name.to_string()),
            Cell::list(places),
            reason_cell(NameReason::Answered(*reason)),
            why,
            agent,
        ]);
    }
    for name in unresolved {
        let [why, agent] = ["no source has told one", ""].map(|text| Cell::prose(text, Tone::Plain));
        let (nowhere, reason) = (Cell::plain(NO_ADDRESS), reason_cell(NameReason::UNRESOLVED));
        rows.push([Cell::name(name.to_string()), nowhere, reason, why, agent]);
    }
    rows
}

impl Hosts {
    fn show(&self, page: &mut Page) {
        let Self { path, publish, diff, error, removed, refused } = self;
        for (name, why) in refused {
            page.trouble("", &format!("the hosts writer would refuse {name}: {why}"));
        }
        let path = path.display();
        if let Some(removed) = removed {
            page.trouble("", &format!("{path}: {removed}"));
        }
        let said = match (diff, error) {
            _ if !publish => format!("{path}: not published to ([hosts] publish is false)"),
            (_, Some(error)) => return page.trouble("", &format!("what would change can't be told: {error}")),
            (Some(diff), _) if !diff.is_empty() => return show_diff(page, diff),
            _ => format!("{path}: nothing would change"),
        };
        page.say(said);
    }
}

fn show_diff(page: &mut Page, diff: &str) {
    for text in diff.lines() {
        let tone = match text.as_bytes() {
            [b'+', b'+', ..] | [b'-', b'-', ..] => Tone::Head,
            [b'+', ..] => Tone::Good,
            [b'-', ..] => Tone::Bad,
            _ => Tone::Plain,
        };
        page.say_toned(text, tone);
    }
    let (more, fewer) = (changed(diff, '+'), changed(diff, '-'));
    page.say(format!("{} more, {fewer} fewer; nothing was written", count(more, "line")));
}

fn changed(diff: &str, sign: char) -> usize {
    // Behind the two lines of the head.
    diff.lines().skip(2).filter(|text| text.starts_with(sign)).count()
}
