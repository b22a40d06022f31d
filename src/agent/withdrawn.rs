//! For how long a plan speaks of names that went: until all who publish them have let go. Otherwise every plan would be
//! longer than the one before.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::model::{Boottime, HostName, Plan, PlanState, PublishErrorKind, Receipts};
use crate::publish::hosts::HostsPolicy;

/// What tells who has let go.
pub(super) struct Word<'w> {
    pub(super) config: &'w Config,
    pub(super) policy: &'w HostsPolicy,
    pub(super) receipts: &'w Receipts,
    pub(super) now: Boottime,
}

/// Names that went, and since when the config has lacked them, as far as it does.
#[derive(Debug, Default)]
pub(super) struct Withdrawn(BTreeMap<HostName, Boottime>);

impl Withdrawn {
    /// The plan in force without withdrawn names that no publisher needs to hear of any more; `None` if there are none.
    /// The stub must have heard of a name. The hosts writer must have said that it let go, or the config must have
    /// lacked the name for `removal_grace`: then the writer, whenever it comes, lets go by itself.
    pub(super) fn forget(&mut self, state: &PlanState, word: &Word<'_>) -> Option<Plan> {
        let plan = state.plan.as_ref()?;
        self.0.retain(|name, _| plan.withdrawn.contains_key(name) && !word.policy.rules.has_name(name));
        for name in plan.withdrawn.keys().filter(|name| !word.policy.rules.has_name(name)) {
            self.0.entry(name.clone()).or_insert(word.now);
        }
        if !word.stub_has_heard(state) {
            return None;
        }
        let is_over = |since: &Boottime| word.now.since(*since) >= word.policy.rules.removal_grace;
        let goes = |name: &HostName| word.writer_let_go(state, name) || self.0.get(name).is_some_and(is_over);
        let withdrawn: BTreeMap<_, _> =
            plan.withdrawn.iter().filter(|(name, _)| !goes(name)).map(|(name, why)| (name.clone(), *why)).collect();
        let news = withdrawn.len() < plan.withdrawn.len();
        news.then(|| Plan { withdrawn, ..Plan::clone(plan) })
    }
}

impl Word<'_> {
    fn stub_has_heard(&self, state: &PlanState) -> bool {
        !self.config.dns.publish || self.receipts.receipt(Receipts::DNS).is_some_and(|stub| stub.digest == state.digest)
    }

    /// A receipt speaks of every name of the block, and of no error unless the block may not be in the file.
    fn writer_let_go(&self, state: &PlanState, name: &HostName) -> bool {
        let hosts = self.receipts.0.get(Receipts::HOSTS).filter(|hosts| hosts.has(state.digest.as_ref()));
        let receipt = hosts.and_then(|hosts| hosts.receipt.as_ref()).filter(|_| self.policy.publish);
        receipt.is_some_and(|receipt| {
            matches!(receipt.error, None | Some(PublishErrorKind::Refused)) && !receipt.names.contains_key(name)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::model::{CutShort, Digest, Receipt, Verdict, Withdrawal};

    const GONE: &str = "gone.example.com";
    const REMOVED: &str = "removed.example.com";

    /// A plan with a name that is still in the config, and one that is not, both withdrawn.
    fn state() -> PlanState {
        let name = |text: &str| text.parse().unwrap();
        let withdrawn = [(name(GONE), Withdrawal::Gone), (name(REMOVED), Withdrawal::Removed)].into();
        let plan = Plan { withdrawn, ..Plan::default() };
        PlanState { digest: Some(plan.digest()), plan: Some(Arc::new(plan)), ..PlanState::default() }
    }

    fn config(more: &str) -> Config {
        let endpoint = "[[endpoint]]\nname = \"a\"\naddresses = { h = \"10.0.0.1\" }\n";
        crate::config::from_toml(&format!("{more}{endpoint}private_dns = [\"{GONE}\"]\n")).unwrap()
    }

    fn receipt(digest: Option<Digest>, names: &[&str]) -> Receipts {
        let names = names.iter().map(|name| (name.parse().unwrap(), Verdict::Published)).collect();
        with(Receipts::default(), Receipts::HOSTS, Receipt { digest, names, ..Receipt::default() })
    }

    fn with(mut receipts: Receipts, publisher: &'static str, receipt: Receipt) -> Receipts {
        receipts.state_mut(publisher).receipt = Some(receipt);
        receipts
    }

    /// What is still spoken of; everything if nothing is forgotten.
    fn kept(memory: &mut Withdrawn, more: &str, receipts: &Receipts, seconds: u64) -> Vec<String> {
        let (state, config) = (state(), config(more));
        let policy = HostsPolicy::new(config.for_writer());
        let now = Boottime(Duration::from_secs(seconds));
        let word = Word { config: &config, policy: &policy, receipts, now };
        let plan = memory.forget(&state, &word).unwrap_or_else(|| Plan::clone(state.plan.as_ref().unwrap()));
        plan.withdrawn.keys().map(ToString::to_string).collect()
    }

    fn at_once(more: &str, receipts: &Receipts) -> Vec<String> {
        kept(&mut Withdrawn::default(), more, receipts, 0)
    }

    #[test]
    fn a_name_is_forgotten_when_the_writer_has_said_that_it_let_go() {
        let both = [GONE, REMOVED];
        let digest = || state().digest;
        assert_eq!(at_once("", &Receipts::default()), both);
        assert_eq!(at_once("", &receipt(Some(Digest::from_bytes(&[7; 16])), &[])), both, "of another plan");
        assert_eq!(at_once("", &receipt(digest(), &[GONE])), [GONE], "it can't let go yet");
        assert_eq!(at_once("", &receipt(digest(), &[])), [""; 0]);
        let failed = |error| {
            let receipt = Receipt { digest: digest(), error: Some(error), ..Receipt::default() };
            with(Receipts::default(), Receipts::HOSTS, receipt)
        };
        assert_eq!(at_once("", &failed(PublishErrorKind::Io)), both, "the file still has it");
        assert_eq!(at_once("", &failed(PublishErrorKind::Refused)), [""; 0], "that is about other names");
        let part = Digest::from_bytes(&[8; 16]);
        let mut cut = receipt(Some(part.clone()), &[]);
        cut.state_mut(Receipts::HOSTS).cut_short = Some(CutShort { plan: digest().unwrap(), handed_over: part });
        assert_eq!(at_once("", &cut), [""; 0]);
        assert_eq!(
            at_once("[hosts]\npublish = false\n", &receipt(digest(), &[])),
            both,
            "an idle writer lets nothing go"
        );
    }

    #[test]
    fn a_name_that_the_config_lacks_is_forgotten_after_the_grace() {
        let mut memory = Withdrawn::default();
        let mut at = |more: &str, seconds| kept(&mut memory, more, &Receipts::default(), seconds);
        assert_eq!(at("", 100), [GONE, REMOVED]);
        assert_eq!(at("", 699), [GONE, REMOVED]);
        assert_eq!(at("", 700), [GONE], "a name of the config would stay in the block for ever");
        let longer = "[hosts]\nremoval_grace = \"1h\"\n";
        assert_eq!(at(longer, 3_699), [GONE, REMOVED]);
        assert_eq!(at(longer, 3_700), [GONE]);
    }

    #[test]
    fn the_stub_must_have_heard_of_it() {
        let served = "[dns]\npublish = true\n";
        let all_gone = || receipt(state().digest, &[]);
        assert_eq!(at_once(served, &all_gone()), [GONE, REMOVED]);
        let heard = |digest| with(all_gone(), Receipts::DNS, Receipt { digest, ..Receipt::default() });
        assert_eq!(at_once(served, &heard(None)), [GONE, REMOVED]);
        assert_eq!(at_once(served, &heard(state().digest)), [""; 0]);
    }
}
