//! A server that accepts connections and does not greet: a load balancer in front of a dead one, or a frozen one, which
//! counts each connection that was closed meanwhile when it thaws. So it is tried again more and more seldom.

use std::sync::Mutex;
use std::time::Duration;

use crate::sys::lock::lock;
use tokio::time::Instant;

/// How long a greeting is waited for. A server that sends none for so long has ended the connection on its side, or
/// counted it, by then.
pub(super) const GREETING: Duration = Duration::from_secs(15);
/// How long a server is left alone after that at first, and at most.
const FIRST: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_secs(60);

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
