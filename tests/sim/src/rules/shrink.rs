//! Makes a failing history small: fewer events, fewer endpoints and zones, rounder times, as long as the same promise
//! is broken.

use super::history::{Event, History, Ms, SECOND, Spot};
use super::host::{Broken, Workshop};
use super::oracle::Violation;
use super::run::play;

/// So many histories are tried at most.
const TRIES: u32 = 400;

struct Shrinker<'w> {
    workshop: &'w mut Workshop,
    best: (History, Violation),
    tries: u32,
}

pub(super) fn shrink(
    history: History,
    violation: Violation,
    workshop: &mut Workshop,
) -> Result<(History, Violation), Broken> {
    let mut shrinker = Shrinker { workshop, best: (history, violation), tries: 0 };
    loop {
        let before = shrinker.best.0.clone();
        shrinker.cut_off()?;
        shrinker.fewer_events()?;
        shrinker.plainer_setup()?;
        shrinker.rounder_times()?;
        if shrinker.best.0 == before || shrinker.tries >= TRIES {
            return Ok(shrinker.best);
        }
    }
}

impl Shrinker<'_> {
    /// Takes it if it breaks the same promise.
    fn offer(&mut self, history: History) -> Result<bool, Broken> {
        if self.tries >= TRIES || history == self.best.0 {
            return Ok(false);
        }
        self.tries += 1;
        let found = play(&history, self.workshop, false)?.violation;
        let Some(violation) = found.filter(|v| v.promise == self.best.1.promise) else { return Ok(false) };
        self.best = (history, violation);
        Ok(true)
    }

    /// What comes after the violation has no part in it.
    fn cut_off(&mut self) -> Result<(), Broken> {
        let (mut history, at) = (self.best.0.clone(), self.best.1.at);
        history.events.retain(|(when, _)| *when <= at);
        self.offer(history).map(drop)
    }

    fn fewer_events(&mut self) -> Result<(), Broken> {
        let mut n = self.best.0.events.len();
        while n > 0 {
            n -= 1;
            let mut history = self.best.0.clone();
            if n < history.events.len() {
                history.events.remove(n);
                self.offer(history)?;
            }
        }
        Ok(())
    }

    fn plainer_setup(&mut self) -> Result<(), Broken> {
        let changes: [fn(&mut History); 8] = [
            |h| h.setup.endpoints.truncate(h.setup.endpoints.len().saturating_sub(1)),
            |h| h.setup.endpoints.iter_mut().for_each(|e| e.zones = e.zones.min(2)),
            |h| h.setup.endpoints.iter_mut().skip(1).for_each(|e| e.zones = 1),
            |h| h.setup.endpoints.iter_mut().for_each(|e| e.cloud = false),
            |h| h.setup.endpoints.iter_mut().for_each(|e| (e.zone_name, e.shares) = (false, false)),
            |h| h.setup.endpoints.iter_mut().for_each(|e| e.kind = super::history::Kind::Overlapping),
            |h| (h.setup.one, h.setup.prefer_local, h.setup.local) = (false, false, None),
            |h| (h.setup.short_graces, h.setup.hold) = (false, 10),
        ];
        for change in changes {
            let mut history = self.best.0.clone();
            change(&mut history);
            if !history.setup.endpoints.is_empty() && is_about_what_is_there(&history) {
                self.offer(history)?;
            }
        }
        Ok(())
    }

    fn rounder_times(&mut self) -> Result<(), Broken> {
        for n in 0..self.best.0.events.len() {
            for step in [50 * SECOND, 10 * SECOND, SECOND, SECOND / 10] {
                let mut history = self.best.0.clone();
                let Some((at, _)) = history.events.get_mut(n) else { break };
                *at = rounded(*at, step);
                let in_order = history.events.is_sorted_by_key(|(at, _)| *at);
                if in_order && self.offer(history)? {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn rounded(at: Ms, step: Ms) -> Ms {
    ((at + step / 2) / step * step).max(step)
}

fn is_about_what_is_there(history: &History) -> bool {
    let there = |spot: Spot| history.setup.spots().any(|s| s == spot);
    let endpoints = history.setup.endpoints.len();
    history.events.iter().all(|(_, event)| match *event {
        Event::Path(spot, _) | Event::Login(Some(spot), _) | Event::Replace(spot) | Event::Unlist(spot, _) => {
            there(spot)
        }
        Event::UnlistAll(endpoint, _) | Event::Priority(endpoint, _) | Event::Remove(endpoint, _) => {
            endpoint < endpoints
        }
        _ => true,
    })
}
