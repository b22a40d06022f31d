//! Logins that a server wants otherwise than we can give them: by another plugin, or with the password in clear. Each
//! try is a refused login in its log and may count towards locking the user, so both checks leave it for a while. A
//! login or TLS that the config changes is another login.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Failure, MysqlLogin, MysqlTls};
use crate::probe::tls::lock;

/// The first pause: what a restarted server has forgotten, the next login of an application may have told it again.
const FIRST: Duration = Duration::from_secs(60);
/// Each later one.
const LATER: Duration = Duration::from_secs(600);

/// Which login, sealed how.
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
    /// The server wanted something else.
    pub(super) fn note(&self, key: LoginKey, why: Failure) {
        let (mut pauses, now) = (lock(&self.0), Instant::now());
        // Of logins that nobody tries any more nothing is kept.
        pauses.retain(|_, pause| now < pause.until + LATER);
        let pause = if pauses.contains_key(&key) { LATER } else { FIRST };
        pauses.insert(key, Pause { until: now + pause, why });
    }

    /// It was accepted.
    pub(super) fn end(&self, key: LoginKey) {
        lock(&self.0).remove(&key);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FailureReason;

    #[tokio::test(start_paused = true)]
    async fn a_login_rests_for_a_minute_and_then_for_ten_and_another_login_does_not() {
        let login = |user: &str| MysqlLogin { user: user.into(), password: None };
        let key = |user: &str, tls: MysqlTls| LoginKey::new(Some(&login(user)), &tls);
        let (pauses, ours) = (Pauses::default(), key("probe", MysqlTls::Preferred));
        let why = Failure::new(FailureReason::Auth, "in clear");
        for pause in [60, 600, 600] {
            pauses.note(ours, why.clone());
            assert_eq!(pauses.check(ours), Err(why.clone()));
            for other in [key("probe", MysqlTls::Required), key("other", MysqlTls::Preferred)] {
                assert_eq!(pauses.check(other), Ok(()));
            }
            tokio::time::advance(Duration::from_secs(pause)).await;
            assert_eq!(pauses.check(ours), Ok(()));
        }
        pauses.end(ours);
        pauses.note(ours, why);
        tokio::time::advance(FIRST).await;
        assert_eq!(pauses.check(ours), Ok(()));
    }
}
