//! When a server, or a login to it, is left alone for a while.
//!
//! Logins that are of no use for now: a server wants them by another plugin or with the password in clear, hangs up
//! after each, or holds its answer back. Each try is a refused login in its log and may count towards locking the user,
//! so both checks leave it for a minute, in which the path check asks for the greeting instead; for longer in a large
//! fleet, since the server gets the logins of all. No longer than that: what a restarted server has forgotten, the next
//! login of an application may have told it again, and then recovery shows within the minute. A reload alone ends no
//! pause; a login or TLS that the config changes is another login, and so is a secret that is written anew.
//!
//! A server that accepts connections and does not greet: a load balancer in front of a dead one, or a frozen one, which
//! counts each connection that was closed meanwhile when it thaws. So it is tried again more and more seldom.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Failure, MysqlLogin, MysqlTls};
use crate::sys::lock::lock;

/// The shortest pause.
const PAUSE: Duration = Duration::from_secs(60);
/// How long a greeting is waited for. A server that sends none for so long has ended the connection on its side, or
/// counted it, by then.
pub(super) const GREETING: Duration = Duration::from_secs(15);
/// How long a server is left alone after that at first, and at most.
const FIRST: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_secs(60);

/// A login under a TLS setting, by a hash of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LoginKey(u64);

impl LoginKey {
    /// The key of a login under a TLS setting; tells nothing of the secret.
    pub(super) fn new(login: Option<&MysqlLogin>, tls: &MysqlTls) -> Self {
        let mut hasher = DefaultHasher::new();
        (login, tls).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// The logins that one server can't be given now.
#[derive(Debug, Default)]
pub(super) struct Pauses(Mutex<HashMap<LoginKey, Pause>>);

#[derive(Debug)]
struct Pause {
    until: Instant,
    why: Failure,
}

impl Pauses {
    /// A login was in vain. The next one is made a minute later, or `apart` if that is longer.
    pub(super) fn pause_login(&self, key: LoginKey, why: Failure, apart: Duration) {
        let (mut pauses, now) = (lock(&self.0), Instant::now());
        pauses.retain(|_, pause| now < pause.until);
        pauses.insert(key, Pause { until: now + PAUSE.max(apart), why });
    }

    /// Whether a login may be tried now.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn check(&self, key: LoginKey) -> Result<(), Failure> {
        match lock(&self.0).get(&key) {
            Some(pause) if Instant::now() < pause.until => Err(pause.why.clone()),
            _ => Ok(()),
        }
    }
}

/// How often in a row a server has not greeted.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<Option<Silent>>);

#[derive(Debug, Clone, Copy)]
struct Silent {
    rest: Duration,
    until: Instant,
}

impl Silence {
    /// Nothing has come for [`GREETING`].
    pub(super) fn note_silence(&self) {
        let mut silent = lock(&self.0);
        let rest = silent.map_or(FIRST, |before| (before.rest * 2).min(LONGEST));
        *silent = Some(Silent { rest, until: Instant::now() + rest });
    }

    /// It has said something, or does not accept connections any more.
    pub(super) fn clear(&self) {
        *lock(&self.0) = None;
    }

    /// How long the server is left alone yet.
    pub(super) fn remaining_rest(&self) -> Option<Duration> {
        let rest = (*lock(&self.0))?.until.saturating_duration_since(Instant::now());
        (!rest.is_zero()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FailureReason;

    #[tokio::test(start_paused = true)]
    async fn a_login_rests_for_a_minute_or_as_the_fleet_is_large_and_another_login_does_not() {
        let login = |user: &str| MysqlLogin { user: user.into(), password: None };
        let key = |user: &str, tls: MysqlTls| LoginKey::new(Some(&login(user)), &tls);
        let (pauses, ours) = (Pauses::default(), key("probe", MysqlTls::Preferred));
        let why = Failure::new(FailureReason::Auth, "in clear");
        for (hosts_of_ten, pause) in [(0, 60), (0, 60), (59, 60), (300, 300)] {
            pauses.pause_login(ours, why.clone(), Duration::from_secs(hosts_of_ten));
            assert_eq!(pauses.check(ours), Err(why.clone()));
            for other in [key("probe", MysqlTls::Required), key("other", MysqlTls::Preferred)] {
                assert_eq!(pauses.check(other), Ok(()));
            }
            tokio::time::advance(Duration::from_secs(pause - 1)).await;
            assert_eq!(pauses.check(ours), Err(why.clone()));
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(pauses.check(ours), Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_left_alone_for_longer_and_longer_until_it_speaks() {
        let silence = Silence::default();
        assert_eq!(silence.remaining_rest(), None);
        for expected in [15, 30, 60, 60] {
            silence.note_silence();
            assert_eq!(silence.remaining_rest(), Some(Duration::from_secs(expected)));
            tokio::time::advance(Duration::from_secs(expected)).await;
            assert_eq!(silence.remaining_rest(), None);
        }
        silence.clear();
        silence.note_silence();
        assert_eq!(silence.remaining_rest(), Some(FIRST));
    }
}
