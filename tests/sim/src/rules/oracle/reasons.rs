//! Whether an answer's reason tells the truth.

use std::net::IpAddr;

use privatelinkd::model::{Answer, AnswerReason};

use super::log::{FALL, Found};
use super::truth::State;
use super::{Case, Oracle, Promise, told};
use crate::rules::history::{Ms, SECOND, Spot};

/// Between a failure and the reason that tells of it: its own deadline, and a sibling's answer.
const TOLD_SOON: Ms = 20 * SECOND;

impl Oracle {
    pub(super) fn reason(&self, case: &Case<'_>, new: &Answer) -> Option<(Promise, String)> {
        let false_ = |why: &str| Some((Promise::TrueReason, format!("{}: {}: {why}", case.name, told(new))));
        if new.reason == AnswerReason::Healthy && new.addresses.iter().any(|a| self.is_down(case, *a)) {
            return false_("a published address is down");
        }
        // What follows goes by the truth, which takes its time to be seen.
        let stable = self.names.get(case.name).is_some_and(|watch| watch.stable.is_some());
        let quiet = case.now.saturating_sub(self.last_event) >= 140 * SECOND;
        if !(stable && quiet) || case.pinned() || self.truth.calm.is_none() {
            return None;
        }
        let states: Vec<_> =
            case.addresses().filter_map(|(s, a)| Some((s, a, self.truth.spots.get(&s)?.state))).collect();
        let published = |a: &IpAddr| new.addresses.contains(a);
        let best = states.iter().filter(|(_, a, _)| published(a)).map(|(s, ..)| self.key(*s, case)).max();
        let all_dead = states.iter().all(|(.., state)| state.is_dead());
        let all_well = states.iter().all(|(.., state)| *state == State::Healthy);
        let left_out =
            states.iter().any(|(s, a, st)| st.is_dead() && !published(a) && Some(self.key(*s, case)) <= best);
        let held = states
            .iter()
            .any(|(s, a, _)| !published(a) && Some(self.key(*s, case)) <= best && self.may_be_held(case, *s, *a));
        let left = |(_, a, _): &(_, IpAddr, _)| self.names.get(case.name).is_some_and(|w| w.left.contains_key(a));
        let works = |(_, a, st): &(Spot, IpAddr, State)| *st == State::Healthy && published(a);
        let stays = |(s, a, _): &(Spot, IpAddr, State)| published(a) && !self.truth.is_given_up(*s, *a, case.world);
        // Nobody asks what the config or the cloud lacks.
        let is_given_up = |spot: Spot| {
            case.world.address(spot).is_none_or(|address| self.truth.is_given_up(spot, address, case.world))
        };
        let mut asked = self.truth.spots.iter().filter(|(spot, _)| !is_given_up(**spot));
        let everybody = asked.all(|(_, s)| s.state.is_dead() || s.state == State::Noisy);
        match new.reason {
            AnswerReason::FailedOver if all_well && !held => false_("nothing is dead"),
            AnswerReason::FailedOver if !left_out && !held => false_("nothing that is dead was left out"),
            AnswerReason::FailedOver
                if case.world.setup.one && self.restarted.is_none() && !states.iter().any(left) =>
            {
                false_("only a standby died")
            }
            AnswerReason::AllDownKept if !all_dead && states.iter().any(works) => false_("one of them is well"),
            AnswerReason::LocalFaultHeld if !everybody => false_("others are well"),
            AnswerReason::Healthy if all_dead => false_("all are dead"),
            AnswerReason::Healthy if left_out && !case.world.setup.one => false_("a dead one was left out"),
            AnswerReason::Unprobed => false_("all are probed"),
            AnswerReason::Pinned => false_("it is no zone's own name"),
            // Also of what the cloud no longer has.
            AnswerReason::RemovalPending if states.iter().any(stays) => false_("one of them stays"),
            AnswerReason::Drained | AnswerReason::DrainedButNeeded => false_("nothing is drained"),
            _ => None,
        }
    }

    /// It failed `fall` times in a row by what moves a name, and siblings had time to prove themselves since.
    fn is_down(&self, case: &Case<'_>, address: IpAddr) -> bool {
        let Some((spot, _)) = case.world.spot(address) else { return false };
        self.checks(spot, case.world).iter().any(|check| {
            let run: Vec<_> = self.log.failing(address, *check).collect();
            let known = run.last().is_some_and(|e| e.ended + TOLD_SOON < case.now);
            known && run.len() >= FALL && run.iter().take(FALL).all(|e| e.found == Found::Bad)
        })
    }
}
