//! The agent's work done once, for people who want to see it: the same sources, probes and rules. Nothing is written,
//! but which TLS handshakes have broken off: that budget is shared with the agent.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::cloud::{self, CredentialScope};
use super::settings::{self, probes};
use super::start::{cache, host_facts, needs_to_ask, recall, tls_budget};
use super::steering;
use crate::cloud::credentials::Credentials;
use crate::config::Config;
use crate::discover::rounds::{self, Said};
use crate::discover::{Api, Cache, Memory, Round, SourceError, fold};
use crate::model::{
    Boottime, Certificate, Check, CheckHealth, CheckState, EventKind, HealthView, HostFacts, Inventory, Overrides,
    Plan, Probed, Schedule, SourceKind, TargetHealth, TargetKey, TargetSpec,
};
use crate::probe::runner::{Probes, Runner};
use crate::probe::{Prober as _, Probers, TargetSet};
use crate::steer::{Inputs, steer};
use crate::sys::clock::Clock;
use crate::sys::event_queue;
use crate::sys::heartbeat::Stages;
use crate::sys::in_force::Projection;

/// However slow the targets are, their first verdicts are not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many probes are under way at the same time.
const AT_A_TIME: usize = 32;
/// What takes longer is told.
const SLOW: Duration = Duration::from_millis(700);
/// A runner that is looked at this often.
const LOOK: Duration = Duration::from_millis(10);

/// Who looks.
#[derive(Debug, Clone, Copy)]
pub struct LookupContext {
    /// Where credentials are looked for.
    pub scope: CredentialScope,
    /// The clock that decisions go by.
    pub clock: Clock,
    /// Told before each wait for a throttled API, with its length.
    pub on_throttle: fn(Duration),
    /// Told what is being done, once that takes a while.
    pub on_wait: fn(&'static str),
}

impl LookupContext {
    /// Awaits a part of the work, and says what it is if it takes a while.
    pub fn telling<T>(self, doing: &'static str, work: impl Future<Output = T>) -> impl Future<Output = T> {
        // Part of no other future, whose size it would double.
        let mut work = Box::pin(work);
        async move {
            match tokio::time::timeout(SLOW, &mut work).await {
                Ok(done) => done,
                Err(_) => {
                    (self.on_wait)(doing);
                    work.await
                }
            }
        }
    }
}

/// Where we are, and why not more of it is known.
#[derive(Debug, Clone)]
pub struct Whereabouts {
    /// What the config says, and else what the metadata service told.
    pub host: HostFacts,
    /// What the metadata service said instead, if it was asked.
    pub error: Option<String>,
}

/// What one round found.
#[derive(Debug, Clone)]
pub struct Discovered {
    /// Where we are.
    pub at: Whereabouts,
    /// What each source said.
    pub round: Round,
    /// What follows from that.
    pub inventory: Inventory,
}

/// What each check saw.
#[derive(Debug, Clone)]
pub struct Examined {
    /// What was found.
    pub found: Discovered,
    /// Each check of every target, in the order of the targets.
    pub probed: Vec<Probed>,
}

/// What the agent would do.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What was found.
    pub found: Discovered,
    /// How it does.
    pub health: HealthView,
    /// What would be published.
    pub plan: Plan,
    /// What was found of an earlier agent.
    pub events: Vec<EventKind>,
}

/// Finds out where we are, as far as the endpoints of the config need it.
async fn whereabouts(config: &Config, context: LookupContext) -> Whereabouts {
    look_around(config, needs_to_ask(config), context).await
}

/// Finds out in which region and VPC we are, for an admin who wants to see every endpoint there.
pub async fn whereabouts_for_all(config: &Config, context: LookupContext) -> Whereabouts {
    look_around(config, config.host.region.is_none() || config.host.vpc_id.is_none(), context).await
}

/// What the config says, and the metadata service if it is to be asked.
async fn look_around(config: &Config, asks: bool, context: LookupContext) -> Whereabouts {
    if !asks {
        return Whereabouts { host: host_facts(config, None), error: None };
    }
    let asked = cloud::instance_facts(config, context.scope, context.clock);
    let told = context.telling("asking the metadata service", asked).await;
    Whereabouts { host: host_facts(config, told.as_ref().ok()), error: told.err() }
}

/// The API of the region that we are in.
///
/// # Errors
/// Why it can't be asked.
pub fn api(
    config: &Config,
    host: &HostFacts,
    LookupContext { scope, clock, on_throttle, .. }: LookupContext,
) -> Result<Arc<Api<Credentials>>, SourceError> {
    cloud::connect(scope, clock, Some(on_throttle))(config, host).api
}

/// One round: every source is asked once for every endpoint.
pub async fn discover(config: &Config, context: LookupContext) -> Discovered {
    let at = whereabouts(config, context).await;
    look_round(config, at, Inventory::default(), context).await
}

/// One round, and each check of every target once.
pub async fn examine(config: &Config, context: LookupContext) -> Examined {
    let at = whereabouts(config, context).await;
    let mut known = disown(&at.host, remembered(config, context.clock).await).inventory;
    // Where the agent sends no secret, none goes from here either.
    known.endpoints.retain(|_, endpoint| endpoint.missing.is_some());
    let found = look_round(config, at, known, context).await;
    let probers = Probers::new(context.clock).with_tls_budget(tls_budget(config, context.clock));
    let probed = probe_once(&TargetSet::from_inventory(&found.inventory, &probes(config)), &probers).await;
    Examined { found, probed }
}

/// Each check of every target once, some at a time.
async fn probe_once(work: &TargetSet, probers: &Probers) -> Vec<Probed> {
    let turns = Arc::new(Semaphore::new(AT_A_TIME));
    let mut tasks = JoinSet::new();
    for (number, spec) in work.targets.values().enumerate() {
        for (check, schedule) in spec.probe.checks() {
            let (prober, target, turns) = (probers.prober(spec, check), spec.key.clone(), turns.clone());
            tasks.spawn(async move {
                // Never closed.
                let _turn = turns.acquire().await;
                let outcome = prober.probe(schedule.timeout).await;
                let certificate = prober.certificate().map(|c| Certificate::clone(&c));
                let remark = prober.remark();
                ((number, check), Probed { target, check, outcome, certificate, remark })
            });
        }
    }
    let mut probed: Vec<_> = tasks.join_all().await;
    probed.sort_by_key(|(order, _)| *order);
    probed.into_iter().map(|(_, probed)| probed).collect()
}

/// One round, every target probed until there is a verdict, and one decision, all on top of what an earlier agent knew.
pub async fn plan(config: &Config, context: LookupContext) -> Planned {
    let clock = context.clock;
    let memory = remembered(config, clock).await;
    let at = whereabouts(config, context).await;
    let Memory { inventory, plan: previous, events, .. } = disown(&at.host, memory);
    let found = look_round(config, at, inventory, context).await;
    let health = probe(config, &found.inventory, clock).await;
    let steered = steer(&Inputs {
        inventory: &found.inventory,
        health: &health,
        host: &found.at.host,
        overrides: &Overrides::default(),
        policy: &steering::policy(config),
        previous: previous.as_ref(),
        now: clock.now(),
    });
    Planned { found, health, plan: steered.plan, events }
}

/// What an earlier agent knew.
async fn remembered(config: &Config, clock: Clock) -> Memory {
    let local = host_facts(config, None);
    let cache = Arc::new(cache(config, &local.identity));
    recall(cache, settings::policy(config), Cache::look, clock).await
}

/// What another machine wrote down counts for nothing (B12).
fn disown(host: &HostFacts, mut memory: Memory) -> Memory {
    if let Some(part) = memory.written_by.as_ref().and_then(|by| host.identity.mismatch(by)) {
        memory.inventory = Inventory::default();
        memory.plan = memory.plan.as_ref().map(steering::disowned);
        memory.events.push(EventKind::CacheForeign { part });
    }
    memory
}

async fn look_round(config: &Config, at: Whereabouts, known: Inventory, context: LookupContext) -> Discovered {
    let askers = cloud::connect(context.scope, context.clock, Some(context.on_throttle))(config, &at.host);
    let config = Arc::new(config.clone());
    let (mut whole, mut inventory) = (Round::new(), Arc::new(known));
    let mut take = |round: Round, inventory: &Inventory| {
        for (name, said) in &round {
            whole.entry(name.clone()).or_default().extend(said.clone());
        }
        Arc::new(fold(inventory, &config, round, context.clock.now()).inventory)
    };
    inventory = take(rounds::fixed(&config), &inventory);
    // The API tells the domain names that DNS is asked for.
    for kinds in [&[SourceKind::Api][..], &[SourceKind::ZoneDomain, SourceKind::EndpointDomain]] {
        let questions = rounds::questions(kinds, &config, &inventory, None);
        let (tell, mut heard) = mpsc::unbounded_channel();
        match kinds {
            [SourceKind::Api] => {
                let asked = rounds::one_by_one(askers.clone(), questions, tell);
                context.telling("asking the cloud's API", asked).await;
            }
            _ => {
                let asked = rounds::side_by_side(askers.clone(), questions, tell);
                context.telling("asking the DNS", asked).await;
            }
        }
        let mut round = Round::new();
        while let Some(Said { question, said }) = heard.recv().await {
            round.entry(question.name).or_default().insert(question.kind, said);
        }
        inventory = take(round, &inventory);
    }
    Discovered { at, round: whole, inventory: Arc::unwrap_or_clone(inventory) }
}

/// Probes as the agent does after its start, until every target has a verdict.
async fn probe(config: &Config, inventory: &Inventory, clock: Clock) -> HealthView {
    let probes = probes(config);
    let work = TargetSet::from_inventory(inventory, &probes);
    let patience = patience(&probes).min(PATIENCE);
    let inventory = watch::Sender::new(Arc::new(inventory.clone()));
    let view = watch::Sender::<Arc<HealthView>>::default();
    let probers = Probers::new(clock).with_tls_budget(tls_budget(config, clock));
    let runner = Runner {
        make: move |spec: &TargetSpec, check| probers.prober(spec, check),
        clock,
        beat: Stages::new(clock).add("probe", PATIENCE),
        seed: fastrand::u64(..),
        inventory: inventory.subscribe(),
        probes: Projection::new(watch::channel(probes).1, Probes::clone),
        view: view.clone(),
        // No event log listens.
        events: event_queue::queue().0,
    };
    let judged = async {
        while !is_judged(&work, &view.borrow()) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        // A runner that ends by itself leaves what it found.
        _ = runner.run(CancellationToken::new()) => {}
        _ = tokio::time::timeout(patience, judged) => {}
    }
    HealthView::clone(&view.borrow())
}

/// How long the slowest verdict takes, and after it the evidence of its siblings and of other endpoints.
fn patience(probes: &Probes) -> Duration {
    let longest = |(_, schedule): (Check, Schedule)| {
        let Schedule { interval, fast_interval, timeout, rise: _, fall } = schedule;
        (timeout + fast_interval) * (fall + 2) + interval.mul_f64(1.1) + Duration::from_secs(1)
    };
    probes.values().flat_map(|p| p.spec.checks()).map(longest).max().unwrap_or_default()
}

/// Whether steering has all it needs: a verdict on every target; of the siblings of those that are down a probe that
/// began after that was decided (B4); and a success of any target since they began to fail, if one works at all (B5).
fn is_judged(work: &TargetSet, view: &HealthView) -> bool {
    let known = |key: &TargetKey| view.targets.get(key);
    let works = |health: &&Arc<TargetHealth>| health.summary().is_up();
    let latest = view.targets.values().filter(works).map(|health| last_success(health)).max();
    let vouched =
        |check: &CheckHealth| check.failing_since.is_none_or(|since| latest.is_none_or(|latest| latest >= Some(since)));
    work.targets.keys().all(|key| {
        let Some(health) = known(key) else { return false };
        health.checks.iter().all(|(kind, check)| match check.state {
            CheckState::Unknown => is_never_judged(check),
            CheckState::Up { .. } => true,
            CheckState::Down { decided: None } => vouched(check),
            CheckState::Down { decided: Some(at) } => {
                let siblings = work.siblings(key).filter_map(known);
                vouched(check) && siblings.filter_map(|s| s.checks.get(kind)).all(|s| has_answered_since(s, at))
            }
        })
    })
}

/// Of our own faults there is never a verdict, and what moves no name need not be waited for.
fn is_never_judged(check: &CheckHealth) -> bool {
    check.shown.failing().is_some_and(|f| !f.reason.moves_a_name())
}

fn last_success(health: &TargetHealth) -> Option<Boottime> {
    health.checks.values().filter_map(|check| check.last_success_started).max()
}

fn has_answered_since(check: &CheckHealth, at: Boottime) -> bool {
    !check.state.is_up() || check.last_success_started > Some(at)
}

#[cfg(test)]
mod tests;
