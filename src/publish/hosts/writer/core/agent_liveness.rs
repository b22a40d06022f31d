//! Is the agent alive? (B17) It shows life by touching `alive`; here is counted for how long it has not.
//!
//! Silence is counted in boot time from when a sign was seen, so that a wall clock that jumps changes nothing. Only at
//! the first look the wall clock is asked, for the age of the sign that is there: otherwise each start of the writer
//! would take the standby addresses of a lost agent out again.

use std::time::Duration;

use crate::model::{Boottime, Now};
use crate::publish::hosts::life_file::LifeFile;

/// Looks come every few seconds. Where more than this lies between two, we slept ourselves (the host was suspended, or
/// this process stopped): that time is no silence of the agent's.
const ASLEEP: Duration = Duration::from_secs(30);

/// What is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentTurn {
    /// The agent has shown no life for this long.
    Lost(Duration),
    /// It shows life again.
    Back,
}

/// What was seen of the agent.
#[derive(Debug)]
pub(super) struct AgentLiveness {
    seen: Option<LifeFile>,
    /// When it last showed life, as far as we know.
    heard: Boottime,
    looked: Option<Boottime>,
    /// It was silent for too long when it was judged last.
    pub(super) lost: bool,
}

impl AgentLiveness {
    pub(super) fn new(now: Boottime) -> Self {
        Self { seen: None, heard: now, looked: None, lost: false }
    }

    /// Takes in what is there now; `None` is no sign of life.
    pub(super) fn look(&mut self, sign: Option<LifeFile>, now: Now) {
        let at = now.boottime;
        match self.looked {
            None => self.heard = Boottime(at.0.saturating_sub(sign.map_or(Duration::ZERO, |s| s.age(now)))),
            Some(_) if sign.is_some() && sign != self.seen => self.heard = at,
            Some(before) if at.since(before) > ASLEEP => self.heard = self.heard.after(at.since(before)),
            Some(_) => {}
        }
        self.seen = sign.or(self.seen);
        self.looked = Some(at);
    }

    /// Decides after a look whether it is lost. `patience` is `None` while the writer is idle.
    pub(super) fn judge(&mut self, patience: Option<Duration>, now: Boottime) -> Option<AgentTurn> {
        let silent = now.since(self.heard);
        let lost = self.looked.is_some() && patience.is_some_and(|patience| silent >= patience);
        let turned = std::mem::replace(&mut self.lost, lost) != lost;
        turned.then_some(if lost { AgentTurn::Lost(silent) } else { AgentTurn::Back })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Wall;
    use crate::sys::file_stamp::FileStamp;

    const PATIENCE: Option<Duration> = Some(Duration::from_secs(120));

    fn sign(modified: i64) -> Option<LifeFile> {
        let at = (modified, 0);
        Some(LifeFile(FileStamp { file: (1, 1), modified: at, changed: at, ..FileStamp::default() }))
    }

    /// The first look at `sign`, `up` seconds after the boot, when the wall clock says `wall` seconds.
    fn first(sign: Option<LifeFile>, up: u64, wall: u64) -> bool {
        let at = Boottime(Duration::from_secs(up));
        let mut life = AgentLiveness::new(at);
        life.look(sign, Now { boottime: at, wall: Wall(wall * 1000) });
        life.judge(PATIENCE, at);
        life.lost
    }

    #[test]
    fn the_first_look_goes_by_the_age_of_the_sign() {
        assert!(!first(sign(1000), 500, 1119));
        assert!(first(sign(1000), 500, 1120));
        assert!(!first(sign(1000), 119, 9_999_999), "nothing is older than the boot");
        assert!(!first(sign(i64::MAX), 500, 1000), "the future is now");
        assert!(first(sign(-5), 500, 1000));
        assert!(!first(None, 500, 1000), "nothing there: counted from the start");
    }

    #[test]
    fn nobody_asks_before_a_look_or_without_patience() {
        let later = Boottime(Duration::from_secs(9_999));
        let mut life = AgentLiveness::new(Boottime::default());
        assert_eq!(life.judge(PATIENCE, later), None);
        life.look(None, Now::default());
        assert_eq!(life.judge(None, later), None);
    }
}
