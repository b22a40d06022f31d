//! Ending a handshake that we don't go on with, by the login of a user that does not exist.
//!
//! A server counts a handshake that breaks off, and blocks the host after enough of them; a refused login it does not
//! count so. But it is a line in the server's log, feeds whatever watches for refused logins (`connection_control`,
//! fail2ban), and may be refused with a delay that grows. So it is made seldom, and while one is not answered, none
//! else.
//!
//! A server that froze right after its greeting looks the same: a decline that is not answered. Only another greeting
//! tells. So a decline is in the way of the next greeting for five minutes, or for twice as long as the server took for
//! the last one, since delays grow step by step; it is kept beyond that, and each further one that is not answered is
//! in the way for twice as long as the one before. A frozen server is found out then, since it does not greet, and one
//! that goes on delaying has few of our connections. (Five minutes, and not less: a server freezes seldom in the one
//! round trip a minute that a decline takes, while an account that many hosts share is soon delayed by minutes.)

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};

use super::goodbye;
use super::greeting::{Greeting, MAX_GREETING};
use super::handshake_limit::{HandshakeLimit, Turn};
use super::packet::Packets;
use crate::model::{Failure, FailureReason};
use crate::sys::lock::lock;

/// How many declines a second a whole fleet may make at one server.
pub(super) const FLEET_RATE: u32 = 10;
/// By how much later than the quickest refusal one comes that is held back on purpose.
const LATE: Duration = Duration::from_millis(500);
/// How long a verdict, and the next handshake, wait for a decline to end; most take one round trip.
const GRACE: Duration = Duration::from_millis(500);
/// A refusal that has not come by then is held back on purpose, too.
const UNANSWERED: Duration = Duration::from_secs(5);
/// How long one keeps us from greeting the server again at first, and at most.
const PATIENCE: Duration = Duration::from_secs(300);
const MOST_PATIENCE: Duration = Duration::from_secs(12 * 3600);
/// How many times as long its connection is kept open.
const KEPT: u32 = 5;

/// How a server refuses logins.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// How long the quickest refusal took; absent before the first.
    quickest: Option<Duration>,
    /// How long the latest refusal took.
    latest: Duration,
    /// Whether refusals are held back on purpose.
    delays: bool,
    /// Declines that are in the way of others.
    awaited: u32,
    /// Declines in a row that were not answered for so long that others were made.
    endless: u32,
}

impl Refusals {
    /// What people should do where refusals are held back.
    pub(super) const DELAYED: &'static str = "the server delays refused logins: give a probe user";

    /// Whether it holds refusals back on purpose.
    pub(super) fn delays(&self) -> bool {
        lock(&self.0).delays
    }

    /// Whether a decline may be made.
    ///
    /// # Errors
    /// [`FailureReason::Local`], since it says nothing of the server, while an earlier one is not answered.
    pub(super) fn check_none_awaited(&self) -> Result<(), Failure> {
        if lock(&self.0).awaited == 0 {
            return Ok(());
        }
        Err(Failure::new(FailureReason::Local, format_args!("{}; the last refusal is still awaited", Self::DELAYED)))
    }

    fn note_refused(&self, took: Duration, normal: Duration) {
        let mut known = lock(&self.0);
        let quickest = known.quickest.map_or(took, |quickest| quickest.min(took));
        // Where every refusal is held back, the greeting shows how quick the server is.
        known.delays = took > quickest.min(normal) + LATE;
        known.quickest = Some(quickest);
        known.latest = took;
        known.endless = 0;
    }

    fn patience(&self) -> Duration {
        let known = lock(&self.0);
        PATIENCE.saturating_mul(1 << known.endless.min(10)).max(known.latest * 2).min(MOST_PATIENCE)
    }
}

/// A decline that is not answered in time, and in the way of others as long as it lives.
struct Awaited {
    limit: Arc<HandshakeLimit>,
}

impl Awaited {
    /// One more.
    fn new(limit: &Arc<HandshakeLimit>) -> Self {
        lock(&limit.refusals.0).awaited += 1;
        Self { limit: limit.clone() }
    }

    /// Waits for the end of a conversation that began then, and whose answers take so long normally.
    async fn wait_for_refusal(
        self,
        conversation: impl Future<Output = Result<(), Failure>>,
        (started, normal): (Instant, Duration),
    ) {
        let limit = self.limit.clone();
        let (refusals, patience) = (&limit.refusals, limit.refusals.patience());
        tokio::pin!(conversation);
        let mut ended = timeout_at(started + UNANSWERED, &mut conversation).await;
        if ended.is_err() {
            lock(&refusals.0).delays = true;
            ended = timeout_at(started + patience, &mut conversation).await;
        }
        if ended.is_err() {
            {
                let mut known = lock(&refusals.0);
                known.endless = known.endless.saturating_add(1);
            }
            drop(self);
            ended = timeout_at(started + patience * KEPT, &mut conversation).await;
        }
        if let Ok(Ok(())) = ended {
            refusals.note_refused(started.elapsed(), normal);
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let mut known = lock(&self.limit.refusals.0);
        known.awaited = known.awaited.saturating_sub(1);
    }
}

/// A handshake that is to end.
pub(super) struct Handshake<'a, S> {
    /// The connection.
    pub(super) packets: Packets<S>,
    /// What the server said first.
    pub(super) greeting: &'a Greeting,
    /// Whether it has been sealed.
    pub(super) tls: bool,
    /// How long an answer takes normally, as far as this connection shows.
    pub(super) normal: Duration,
}

/// Ends a handshake, at MatrixOne by a plain goodbye. Comes back once that is done; or goes on beside, without its
/// turn, if it takes longer than a verdict should wait.
pub(super) async fn decline<S>(handshake: Handshake<'_, S>, limit: &Arc<HandshakeLimit>, turn: Option<Turn>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Handshake { mut packets, greeting, tls, normal } = handshake;
    let Some(login) = greeting.declining_login(tls) else {
        let _ = timeout(goodbye::GRACE, goodbye::leave(packets.stream_mut())).await;
        return drop(turn);
    };
    let started = Instant::now();
    let mut conversation = Box::pin(async move { send_declining_login(&mut packets, &login, tls).await });
    match timeout(GRACE, &mut conversation).await {
        Ok(Ok(())) => limit.refusals.note_refused(started.elapsed(), normal),
        // The peer has gone; that is the next attempt's to find out.
        Ok(Err(_)) => {}
        Err(_) => {
            let awaited = Awaited::new(limit);
            tokio::spawn(async move { awaited.wait_for_refusal(conversation, (started, normal)).await });
        }
    }
    drop(turn);
}

/// A login that is refused, and the answers to it.
async fn send_declining_login<S>(packets: &mut Packets<S>, login: &[u8], tls: bool) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut number = 1 + u8::from(tls);
    packets.write(number, login).await?;
    // The refusal, or a question for another kind of password first.
    for _ in 0..2 {
        let packet = packets.read(MAX_GREETING).await?;
        match packet.payload.first() {
            Some(0xfe) => {
                number += 2;
                packets.write(number, &[]).await?;
            }
            // It lets any login in.
            Some(0x00) => return packets.write(0, &[1]).await,
            _ => return Ok(()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_comes_much_later_than_others_is_held_back() {
        let (ms, refusals) = (Duration::from_millis, Refusals::default());
        for (took, delays) in [(40, false), (530, false), (541, true), (2, false), (503, true), (501, false)] {
            refusals.note_refused(ms(took), ms(30));
            assert_eq!(refusals.delays(), delays, "{took} ms");
        }
    }

    #[test]
    fn the_patience_grows_with_each_that_is_not_answered_and_with_the_delay_of_the_last() {
        let (s, refusals) = (Duration::from_secs, Refusals::default());
        for expected in [300, 600, 1200] {
            assert_eq!(refusals.patience(), s(expected));
            lock(&refusals.0).endless += 1;
        }
        lock(&refusals.0).endless = u32::MAX;
        assert_eq!(refusals.patience(), MOST_PATIENCE);
        for (took, expected) in [(1, 300), (149, 300), (151, 302), (600, 1200), (50_000, 43_200)] {
            refusals.note_refused(s(took), s(0));
            assert_eq!(refusals.patience(), s(expected), "after one that took {took} s");
        }
    }
}
