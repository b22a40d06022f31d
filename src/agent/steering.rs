//! The steering stage: looks at everything a decision depends on, decides, and hands the plan on. The rules are all in
//! [`crate::steer`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::settings;
use super::withdrawn::{Withdrawn, Word};
use crate::config::Config;
use crate::discover::Cache;
use crate::model::{
    Answer, AnswerHistory, AnswerReason, EndpointName, EventKind, HealthView, HostFacts, HostName, Inventory, Now,
    Overrides, Plan, PlanState, Policy, Receipts, Withdrawal,
};
use crate::steer::{Inputs, Steered, outages, steer};
use crate::sys::clock::Clock;
use crate::sys::event_queue::EventSender;
use crate::sys::heartbeat::{Beat, LOOK};
use crate::sys::save_attempts::SaveAttempts;

/// The steering stage.
pub struct Steering {
    /// The clock that decisions go by.
    pub clock: Clock,
    /// Its sign of life.
    pub beat: Beat,
    /// What there is.
    pub inventory: watch::Receiver<Arc<Inventory>>,
    /// How it does.
    pub health: watch::Receiver<Arc<HealthView>>,
    /// Where we are.
    pub host: watch::Receiver<Arc<HostFacts>>,
    /// What the admin wants.
    pub config: watch::Receiver<Arc<Config>>,
    /// The plan in force. Its first value is the last known good.
    pub plan: watch::Sender<PlanState>,
    /// Wishes for discovery. A full queue already holds a wish.
    pub ask: mpsc::Sender<BTreeSet<EndpointName>>,
    /// What happened.
    pub events: EventSender,
    /// What became of the plan in force.
    pub receipts: watch::Receiver<Receipts>,
}

/// What it remembers from one decision to the next, beside the plan.
#[derive(Default)]
struct Memory {
    /// Another machine's plan was given up.
    disowned: bool,
    /// Names that went and are still spoken of.
    withdrawn: Withdrawn,
    /// Names of which it was said that they still lead to what their endpoint was before.
    outstayed: BTreeSet<HostName>,
    /// Endpoints of which it was said that they are kept although the cloud no longer has them.
    put_off: BTreeSet<EndpointName>,
    /// Names of which it was said that they are out, since their reason became `all_down_kept`.
    out: BTreeSet<HostName>,
}

impl Memory {
    /// Names that are out of which no change of their answers has said so in this life: they were out before it began,
    /// or what was known of them at the change fell short of an outage. Each is given once.
    fn untold(&mut self, Steered { plan, events, out, .. }: &Steered) -> Vec<HostName> {
        let is_out = |answer: &Answer| answer.reason == AnswerReason::AllDownKept;
        self.out.retain(|name| plan.answers.get(name).is_some_and(is_out));
        self.out.extend(events.iter().filter_map(|event| match event {
            EventKind::AnswerChanged { name, outage: Some(_), .. }
            | EventKind::ReasonChanged { name, outage: Some(_), .. } => Some(name.clone()),
            _ => None,
        }));
        out.iter().filter(|name| self.out.insert((*name).clone())).cloned().collect()
    }
}

impl Steering {
    /// Runs until cancelled.
    pub async fn run(mut self, token: CancellationToken) {
        // Until discovery has looked for the first time the inventory may be an empty one, and an empty inventory
        // would withdraw every name. Until then the last known good stands.
        tokio::select! {
            () = token.cancelled() => return,
            Ok(()) = self.inventory.changed() => {}
        }
        let (mut policy, mut memory) = (settings::follow(self.config.clone(), policy), Memory::default());
        loop {
            self.beat.now();
            let wake = self.decide(policy.look(), &mut memory).map_or(LOOK, |d| d.min(LOOK));
            let wake = Instant::now() + wake;
            tokio::select! {
                // Told to stop.
                () = token.cancelled() => return,
                // Something that the decision depends on changed.
                Ok(()) = self.inventory.changed() => {}
                Ok(()) = self.health.changed() => {}
                Ok(()) = self.host.changed() => {}
                () = policy.changed() => {}
                // A hold or a grace ends, or it is time for a sign of life.
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// The plan in force without withdrawn names that need not be spoken of any more, if there are such.
    fn forget(&self, withdrawn: &mut Withdrawn, config: &Config, now: Now) -> Option<Arc<Plan>> {
        let (state, receipts) = (self.plan.borrow(), self.receipts.borrow());
        if state.plan.as_ref().is_none_or(|plan| plan.withdrawn.is_empty()) {
            return None;
        }
        let policy = settings::policy(config);
        let word = Word { config, policy: &policy, receipts: &receipts, now: now.boottime };
        withdrawn.forget(&state, &word).map(Arc::new)
    }

    /// Decides once; returns after how long to look again.
    fn decide(&mut self, policy: &Policy, memory: &mut Memory) -> Option<Duration> {
        let now = self.clock.now();
        let (inventory, health) = (self.inventory.borrow_and_update().clone(), self.health.borrow_and_update().clone());
        let (host, config) = (self.host.borrow_and_update().clone(), self.config.borrow().clone());
        let in_force = self.plan.borrow().plan.clone();
        let mut previous = self.forget(&mut memory.withdrawn, &config, now).or_else(|| in_force.clone());
        if inventory.disowned && !std::mem::replace(&mut memory.disowned, true) {
            previous = previous.map(|plan| Arc::new(disowned(&plan)));
        }
        let inputs = Inputs {
            inventory: &inventory,
            health: &health,
            host: &host,
            overrides: &Overrides::default(),
            policy,
            previous: previous.as_deref(),
            now,
        };
        let mut steered = steer(&inputs);
        let untold = memory.untold(&steered);
        if !untold.is_empty() {
            let say = |(name, outage)| {
                let addresses = steered.plan.answers.get(&name)?.addresses.clone();
                Some(EventKind::Outage { name, addresses, outage })
            };
            let events: Vec<_> = outages(&inputs, untold.iter()).into_iter().filter_map(say).collect();
            steered.events.extend(events);
        }
        if in_force.as_deref() != Some(&steered.plan) {
            let plan = Arc::new(steered.plan);
            self.plan.send_modify(|state| {
                state.history = history(&state.history, previous.as_deref(), &plan, now);
                state.digest = Some(plan.digest());
                state.plan = Some(plan);
            });
        }
        let outstayed = steered.outstayed.difference(&memory.outstayed).cloned();
        let kept = outstayed.map(|name| EventKind::FormerKept { name });
        let put_off = steered.put_off.difference(&memory.put_off).cloned();
        let put_off = put_off.map(|endpoint| EventKind::GonePutOff { endpoint });
        for kind in steered.events.into_iter().chain(kept).chain(put_off) {
            self.events.tell(now, kind);
        }
        (memory.outstayed, memory.put_off) = (steered.outstayed, steered.put_off);
        if !steered.ask.is_empty() {
            let _ = self.ask.try_send(steered.ask);
        }
        steered.wake_at.map(|at| at.since(now.boottime))
    }
}

/// What is left of a plan that turns out to be another machine's: that its names go (B12). Those that this machine has
/// found for itself come back at once.
pub(super) fn disowned(plan: &Plan) -> Plan {
    let foreign = |name: &HostName| (name.clone(), Withdrawal::ForeignCache);
    let known = plan.withdrawn.iter().map(|(name, why)| (name.clone(), *why));
    Plan { withdrawn: known.chain(plan.answers.keys().map(foreign)).collect(), ..Plan::default() }
}

/// `[steering]` of every endpoint.
#[must_use]
pub fn policy(config: &Config) -> Policy {
    let endpoints = config.endpoints.iter().map(|(name, e)| (name.clone(), e.steering)).collect();
    Policy { default: config.steering, endpoints, graces: config.graces(), spread: config.spread() }
}

/// Whether an answer for this reason leaves it open that what was out before the start is out still.
fn leaves_open(reason: AnswerReason) -> bool {
    use AnswerReason::{AllDownKept, DownKept, LocalFaultHeld, Stale, Unprobed};
    matches!(reason, AllDownKept | DownKept | LocalFaultHeld | Stale | Unprobed)
}

/// How often and when each name of the new plan changed.
fn history(
    before: &BTreeMap<HostName, AnswerHistory>,
    previous: Option<&Plan>,
    plan: &Plan,
    now: Now,
) -> BTreeMap<HostName, AnswerHistory> {
    let known = |name: &HostName, new: &Answer| {
        let old = previous.and_then(|p| p.answers.get(name));
        let same = old.is_some_and(|old| old.addresses == new.addresses);
        let first = || {
            let was_out = old.is_some_and(|old| old.reason == AnswerReason::AllDownKept);
            AnswerHistory { changes: u64::from(old.is_some() && !same), changed: now, recalled: same, was_out }
        };
        let history = match before.get(name) {
            Some(h) if same => *h,
            Some(h) => AnswerHistory { changes: h.changes + 1, changed: now, recalled: false, ..*h },
            None => first(),
        };
        AnswerHistory { was_out: history.was_out && same && leaves_open(new.reason), ..history }
    };
    plan.answers.iter().map(|(name, new)| (name.clone(), known(name, new))).collect()
}

/// Saves every new plan as the last known good, and again what could not be saved. Apart from the stage above, so that
/// no decision waits for a disk.
pub async fn keep(
    mut plan: watch::Receiver<PlanState>,
    cache: Arc<Cache>,
    clock: Clock,
    events: EventSender,
    token: CancellationToken,
) {
    let mut saved: Option<Arc<Plan>> = None;
    let mut attempts = SaveAttempts::default();
    let mut fails = false;
    loop {
        let again = tokio::time::sleep(attempts.due().since(clock.now().boottime));
        tokio::select! {
            () = token.cancelled() => return,
            Ok(()) = plan.changed() => {}
            () = again, if fails => {}
        }
        let latest = plan.borrow_and_update().plan.clone();
        let Some(latest) = latest.filter(|p| saved.as_ref() != Some(p)) else {
            fails = false;
            continue;
        };
        let now = clock.now();
        let result = cache.clone().save(latest.clone(), now).await;
        fails = result.is_err();
        // What a failure leaves on disk is not known.
        saved = Some(latest).filter(|_| !fails);
        if let Some(kind) = attempts.note(result, now.boottime) {
            events.tell(now, kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Outage;

    fn name() -> HostName {
        "db.example".parse().unwrap()
    }

    fn plan(reason: AnswerReason, last: u8) -> Plan {
        let answer = Answer { addresses: vec![[10, 0, 0, last].into()], standby: Vec::new(), reason };
        Plan { answers: [(name(), answer)].into(), ..Plan::default() }
    }

    fn steered(reason: AnswerReason, is_out: bool, events: Vec<EventKind>) -> Steered {
        Steered {
            plan: plan(reason, 1),
            events,
            wake_at: None,
            ask: BTreeSet::new(),
            outstayed: BTreeSet::new(),
            put_off: BTreeSet::new(),
            out: is_out.then(name).into_iter().collect(),
        }
    }

    #[test]
    fn an_outage_that_no_change_has_told_in_this_life_is_told_once() {
        use AnswerReason::{AllDownKept, Healthy};
        let mut memory = Memory::default();
        // What is published is down, and what is not is up: no outage.
        assert_eq!(memory.untold(&steered(AllDownKept, false, vec![])), []);
        assert_eq!(memory.untold(&steered(AllDownKept, true, vec![])), [name()]);
        assert_eq!(memory.untold(&steered(AllDownKept, true, vec![])), []);
        assert_eq!(memory.untold(&steered(Healthy, false, vec![])), []);
        // Where the change of the reason tells it, that is enough.
        let outage = Some(Outage { since: None, says: vec![] });
        let change = EventKind::ReasonChanged { name: name(), from: Healthy, to: AllDownKept, outage };
        assert_eq!(memory.untold(&steered(AllDownKept, true, vec![change])), []);
        assert_eq!(memory.untold(&steered(AllDownKept, true, vec![])), []);
        assert_eq!(Memory::default().untold(&steered(AllDownKept, true, vec![])), [name()], "another life");
    }

    #[test]
    fn what_was_out_before_the_start_is_remembered_until_it_is_known_better() {
        use AnswerReason::{AllDownKept, Healthy, Unprobed};
        let now = Now::default();
        let was_out = |h: &BTreeMap<HostName, AnswerHistory>| h[&name()].was_out;
        let recalled = plan(AllDownKept, 1);
        let first = history(&BTreeMap::new(), Some(&recalled), &plan(Unprobed, 1), now);
        assert!(was_out(&first) && first[&name()].recalled);
        let second = history(&first, Some(&plan(Unprobed, 1)), &plan(AllDownKept, 1), now);
        assert!(was_out(&second));
        let well = history(&second, Some(&plan(AllDownKept, 1)), &plan(Healthy, 1), now);
        assert!(!was_out(&well));
        assert!(!was_out(&history(&well, Some(&plan(Healthy, 1)), &plan(Unprobed, 1), now)), "that is another time");
        assert!(!was_out(&history(&first, Some(&plan(Unprobed, 1)), &plan(Unprobed, 2), now)), "it has moved");
        assert!(!was_out(&history(&BTreeMap::new(), Some(&plan(Healthy, 1)), &plan(Unprobed, 1), now)));
    }
}
