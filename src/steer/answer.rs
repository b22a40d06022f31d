//! Which candidates make the answer.
//!
//! First the *pool*: who may be published at all. Then the *choice*: drains, overload, priorities and preferences pick
//! from the pool. A suspect, an address that is down but not yet disproved, stays in the pool as if it were healthy, so
//! that no preference moves a name before the evidence does; and no preference picks a suspect in place of what
//! answers.
//!
//! Who may be published, the first of these that there are, the others only in so far as they are published already:
//!
//! 1. those that are up (or that nothing probes); and if all of these are overloaded those on hold, too;
//! 2. unless a published one has not been judged yet: those whose deep check has not been judged or that have met
//!    a failure just now, those on hold, those that begin to answer. Recovery is earned by `rise` and hold, unless
//!    nothing else is healthy. What fails just now comes in only where nothing published can stay;
//! 3. those whose path is up, if every published one has its path down beside that: an address that connects is better
//!    than one that does not. What comes in passes just now. Between equals nothing moves;
//! 4. what is published already, unchanged (B1).
//!
//! A published one leaves if it is disproved (`evidence`) by one of the first three; if it is retired, it leaves for
//! any of them. A retired one is no hope: no answer waits for it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::candidate::{Candidate, CandidateState, Candidates};
use super::inputs::Inputs;
use super::shed::{self, Shed};
use super::slow;
use super::unproven;
use crate::model::{Answers, Boottime, Prefer, TargetKey};

/// The outcome for one name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) standby: Vec<IpAddr>,
    /// A drained address is used because nothing else is healthy.
    pub(super) drained_but_needed: bool,
    /// Some candidate is left out because of a drain.
    pub(super) drained: bool,
    /// What this host keeps away from because it is overloaded.
    pub(super) shed: BTreeSet<TargetKey>,
    /// When this host's turn comes to leave an overloaded or a slow address, or to return to it.
    pub(super) wake: Option<Boottime>,
}

/// Who may be published.
struct Pool<'a> {
    members: Vec<&'a Candidate>,
    /// Those of them that answer, as far as is known.
    good: Vec<&'a Candidate>,
    /// What is retired and published, and goes if one that answers takes its place.
    yielding: Vec<&'a Candidate>,
    /// What is published; `None` before the first answer.
    published: Option<&'a [IpAddr]>,
}

impl Pool<'_> {
    fn is_published(&self, c: &Candidate) -> bool {
        self.published.is_some_and(|p| p.contains(&c.key.address))
    }

    fn is_good(&self, c: &Candidate) -> bool {
        self.good.iter().any(|g| g.key == c.key)
    }
}

/// `None` if there is neither a candidate nor anything published.
///
/// What is published is itself an input (a suspect stays only if it is published), so a choice that leaves an address
/// out can enable another one. The decision is followed to where it stands still, so that it takes one step instead of
/// several in a row. Each further round can only lose published addresses that preferences left out, so few rounds do.
pub(super) fn choose(candidates: &Candidates, published: Option<&[IpAddr]>, inputs: &Inputs<'_>) -> Option<Chosen> {
    const ROUNDS: usize = 8;
    let mut chosen = choose_once(candidates, published, inputs)?;
    for _ in 0..ROUNDS {
        let next = choose_once(candidates, Some(&chosen.addresses), inputs)?;
        if next == chosen {
            break;
        }
        chosen = next;
    }
    Some(chosen)
}

fn choose_once(candidates: &Candidates, published: Option<&[IpAddr]>, inputs: &Inputs<'_>) -> Option<Chosen> {
    let pool = pool(&candidates.list, published, inputs);
    if pool.members.is_empty() {
        // Nothing of what we know may be published: the last set stays (B1).
        let kept = published.filter(|p| !p.is_empty())?;
        return Some(Chosen { addresses: kept.to_vec(), ..Chosen::default() });
    }
    let mut choice = pool.members.clone();
    let shed = shed::decide(candidates, published, inputs);
    let mut wake = shed.wake;
    // Where nothing answers nothing is better than anything else: the last set stays.
    if !pool.good.is_empty() || !choice.iter().any(|c| pool.is_published(c)) {
        prefer(&mut choice, &pool, |c| !c.drained);
        leave(&mut choice, &shed);
        let first = choice.iter().map(|c| c.priority).min();
        prefer(&mut choice, &pool, |c| Some(c.priority) == first);
        if candidates.steering.prefer == Prefer::LocalZone {
            let slow = slow::decide(&choice, published, inputs);
            leave(&mut choice, &slow);
            wake = wake.into_iter().chain(slow.wake).min();
            prefer(&mut choice, &pool, |c| c.local);
        }
        if !choice.iter().any(|c| pool.is_good(c)) && choice.iter().any(|c| pool.is_published(c)) {
            // What answers is second choice, and the first may be dead: of that nothing is preferred to anything, and
            // nothing has come in a retired one's place.
            let stay = pool.members.iter().copied().filter(|c| pool.is_published(c));
            choice = stay.chain(pool.yielding.iter().copied()).collect();
        }
        if candidates.steering.answers == Answers::One {
            keep_one(&mut choice, &pool);
        }
    }
    let addresses = in_order(&choice, published);
    let rest = pool.members.iter().filter(|c| c.serves() && !c.is_retired() && !addresses.contains(&c.key.address));
    Some(Chosen {
        standby: unique(rest.map(|c| c.key.address)),
        drained_but_needed: choice.iter().any(|c| c.drained),
        drained: candidates.list.iter().any(|c| c.drained && !is_sick(c) && !addresses.contains(&c.key.address)),
        shed: shed.left,
        wake,
        addresses,
    })
}

/// Who may be published.
fn pool<'a>(list: &'a [Candidate], published: Option<&'a [IpAddr]>, inputs: &Inputs<'_>) -> Pool<'a> {
    let now = inputs.now.boottime;
    let is_published = |c: &Candidate| published.is_some_and(|p| p.contains(&c.key.address));
    let list: Vec<_> = list.iter().filter(|c| c.leaves_at.is_none_or(|at| at > now)).collect();
    let live = |c: &&Candidate| !c.is_retired();
    let gives_way = |c: &Candidate| unproven::gives_way(c, list.iter().copied().filter(live));
    let waits = |c: &&Candidate| c.standing == CandidateState::Unknown && is_published(c) && !gives_way(c);
    let hope = list.iter().copied().filter(live).any(|c| waits(&c));
    let good = good(&list, published, hope);
    let connects = |c: &&Candidate| if is_published(c) { c.connects() } else { c.passes_path() };
    let connecting: Vec<_> = match good.is_empty() && !hope {
        true => list.iter().copied().filter(live).filter(connects).collect(),
        false => vec![],
    };
    let (own, others): (Vec<_>, Vec<_>) = connecting.into_iter().partition(|c| is_published(c));
    let yields = |c: &Candidate| good.iter().any(|other| c.yields_to(other, now));
    let stays = |c: &Candidate, proving: &[&Candidate]| {
        let is_good = good.iter().any(|g| g.key == c.key);
        is_good
            || match c.standing {
                _ if c.is_retired() => is_published(c) && !yields(c) && (c.former.is_some() || own.is_empty()),
                CandidateState::Unknown => (is_published(c) && !gives_way(c)) || published.is_none(),
                CandidateState::Down | CandidateState::Recovering => {
                    is_published(c) && !proving.iter().any(|other| c.is_disproved_by(other, inputs))
                }
                CandidateState::Trusted | CandidateState::Up | CandidateState::Holding(_) => false,
            }
    };
    let beside = |proving: &[&Candidate]| list.iter().copied().filter(|c| stays(c, proving)).collect::<Vec<_>>();
    let mut members = beside(if own.is_empty() { &good } else { &own });
    // A retired one stays only beside what may answer yet: it leaves together with what comes in its place, and not
    // before that.
    let may_answer = |c: &&Candidate| !c.is_retired() || c.former.is_some();
    if own.is_empty() && !others.is_empty() && !beside(&others).iter().any(may_answer) {
        members = others;
    }
    let yielding = list.iter().copied().filter(|c| c.is_retired() && is_published(c) && yields(c)).collect();
    if members.is_empty() && !published.is_some_and(|p| list.iter().any(|c| p.contains(&c.key.address))) {
        // Nothing good, and what is published (if anything) is no candidate any more: whatever there is.
        members = list.into_iter().filter(live).collect();
    }
    Pool { members, good, yielding, published }
}

/// Those that answer, the best of what there is.
fn good<'a>(list: &[&'a Candidate], published: Option<&[IpAddr]>, hope: bool) -> Vec<&'a Candidate> {
    let is_published = |c: &Candidate| published.is_some_and(|p| p.contains(&c.key.address));
    let joins = |c: &Candidate| c.unproven && !c.is_doubtful();
    let firm = |c: &Candidate| match c.standing {
        CandidateState::Trusted | CandidateState::Up => published.is_none() || is_published(c) || !c.is_doubtful(),
        CandidateState::Holding(_) => is_published(c) || joins(c),
        CandidateState::Recovering => !is_published(c) && joins(c),
        CandidateState::Unknown | CandidateState::Down => false,
    };
    let lesser: [fn(CandidateState) -> bool; 3] =
        [|s| s == CandidateState::Up, |s| matches!(s, CandidateState::Holding(_)), |s| s == CandidateState::Recovering];
    let live = || list.iter().copied().filter(|c| !c.is_retired());
    let mut firm: Vec<_> = live().filter(|c| firm(c)).collect();
    let all_that = |lesser: fn(CandidateState) -> bool| live().filter(|c| lesser(c.standing)).collect::<Vec<_>>();
    if !firm.is_empty() && firm.iter().all(|c| c.is_overloaded()) {
        // Who is on hold is better than nothing but overload.
        let held = all_that(|s| matches!(s, CandidateState::Holding(_)));
        firm.extend(held.into_iter().filter(|c| !is_published(c)));
    }
    if !firm.is_empty() || hope {
        return firm;
    }
    let mut found = lesser.into_iter().map(all_that).find(|found| !found.is_empty()).unwrap_or_default();
    // One that fails just now may be met by the same fault of this host as what is published: that stays until one of
    // them answers.
    if live().any(is_published) {
        found.retain(|c| !c.is_failing());
    }
    found
}

/// True if a drain is not what keeps it out.
fn is_sick(c: &Candidate) -> bool {
    matches!(c.standing, CandidateState::Down | CandidateState::Recovering)
}

/// Leaves out what this host keeps away from, as long as something else serves.
fn leave(choice: &mut Vec<&Candidate>, shed: &Shed) {
    let is_left = |c: &Candidate| shed.left.contains(&c.key);
    if choice.iter().any(|c| c.serves() && !is_left(c)) {
        choice.retain(|c| !is_left(c));
    }
}

/// Keeps those that are preferred if one of them answers. If none does and one is published, it may yet: what is
/// published stays, and nothing is added in its place.
fn prefer(list: &mut Vec<&Candidate>, pool: &Pool<'_>, preferred: impl Fn(&Candidate) -> bool) {
    let fresh = pool.good.is_empty() && !list.iter().any(|c| pool.is_published(c));
    if list.iter().any(|c| preferred(c) && (fresh || pool.is_good(c))) {
        list.retain(|c| preferred(c));
    } else if list.iter().any(|c| preferred(c) && pool.is_published(c)) {
        list.retain(|c| pool.is_published(c));
    }
}

/// Keeps the address that is published already, if it can be one that answers; else the first that does, else the
/// first.
fn keep_one(list: &mut Vec<&Candidate>, pool: &Pool<'_>) {
    let published_that = |is: &dyn Fn(&Candidate) -> bool| {
        let place = |wanted: &IpAddr| list.iter().position(|c| c.key.address == *wanted && is(c));
        pool.published.unwrap_or_default().iter().find_map(place)
    };
    let first_good = || list.iter().position(|c| pool.is_good(c));
    let kept =
        published_that(&|c| pool.is_good(c)).or_else(|| published_that(&|_| true)).or_else(first_good).unwrap_or(0);
    list.swap(0, kept);
    list.truncate(1);
}

/// The addresses. What is published already keeps its order but for the local zone's, which come first: another order
/// of the same addresses is no change.
fn in_order(choice: &[&Candidate], published: Option<&[IpAddr]>) -> Vec<IpAddr> {
    let addresses = unique(choice.iter().map(|c| c.key.address));
    let Some(published) = published.filter(|p| p.len() == addresses.len()) else { return addresses };
    if !addresses.iter().all(|a| published.contains(a)) {
        return addresses;
    }
    let mut same = published.to_vec();
    same.sort_by_key(|a| !choice.iter().any(|c| c.local && c.key.address == *a));
    same
}

fn unique(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut seen = BTreeSet::new();
    addresses.filter(|address| seen.insert(*address)).collect()
}

/// Who would be published if all were well, as far as one answer allows.
pub(super) fn wanted(candidates: &Candidates) -> Vec<&Candidate> {
    let mut wanted: Vec<_> = candidates.list.iter().filter(|c| !c.is_retired()).collect();
    keep_if_any(&mut wanted, |c| !c.drained);
    let first = wanted.iter().map(|c| c.priority).min();
    wanted.retain(|c| Some(c.priority) == first);
    if candidates.steering.prefer == Prefer::LocalZone {
        keep_if_any(&mut wanted, |c| c.local);
    }
    wanted
}

/// Keeps the matching ones if there are any.
fn keep_if_any(list: &mut Vec<&Candidate>, keep: impl Fn(&Candidate) -> bool) {
    if list.iter().any(|c| keep(c)) {
        list.retain(|c| keep(c));
    }
}
