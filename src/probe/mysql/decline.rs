//! Ending a handshake that we don't go on with, by the login of a user that does not exist.
//!
//! A server counts a handshake that breaks off, and blocks the host after enough of them; a refused login it does not
//! count so. But it is a line in the server's log, feeds whatever watches for refused logins (`connection_control`,
//! fail2ban), and may be refused with a delay that grows. So it is made seldom, and one that is not answered is waited for
//! to its end while no other is made.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};

use super::gate::{Gate, Turn};
use super::goodbye;
use super::greeting::{Greeting, MOST};
use super::packet::Packets;
use crate::model::{Failure, FailureReason};
use crate::probe::tls::lock;

/// How many declines a second a whole fleet may make at one server.
pub(super) const A_SECOND: u32 = 10;
/// By how much later than the quickest refusal one comes that is held back on purpose.
const LATE: Duration = Duration::from_millis(500);
/// How long a verdict, and the next handshake, wait for a decline to end; most take one round trip.
const GRACE: Duration = Duration::from_millis(500);
/// A refusal that has not come by then is held back on purpose, too.
const UNANSWERED: Duration = Duration::from_secs(5);
/// How long one is waited for at first. Twice as long after each that did not end, so that few pile up on the server.
const PATIENCE: Duration = Duration::from_secs(300);
const MOST_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// How a server refuses logins.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    quickest: Option<Duration>,
    delays: bool,
    awaited: u32,
    /// Declines in a row that never ended.
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
    pub(super) fn check(&self) -> Result<(), Failure> {
        if lock(&self.0).awaited == 0 {
            return Ok(());
        }
        Err(Failure::new(FailureReason::Local, format_args!("{}; the last refusal is still awaited", Self::DELAYED)))
    }

    fn refused(&self, took: Duration, normal: Duration) {
        let mut known = lock(&self.0);
        let quickest = known.quickest.map_or(took, |quickest| quickest.min(took));
        // Where every refusal is held back, the greeting shows how quick the server is.
        known.delays = took > quickest.min(normal) + LATE;
        known.quickest = Some(quickest);
        known.endless = 0;
    }

    fn patience(&self) -> Duration {
        PATIENCE.saturating_mul(1 << lock(&self.0).endless.min(10)).min(MOST_PATIENCE)
    }
}

/// A decline that is not answered in time, as long as it lives.
struct Awaited(Arc<Gate>);

impl Awaited {
    /// One more.
    fn new(gate: &Arc<Gate>) -> Self {
        lock(&gate.refusals.0).awaited += 1;
        Self(gate.clone())
    }

    /// Waits for the end of a conversation that began then, and whose answers take so long normally.
    async fn end(
        &self,
        conversation: impl Future<Output = Result<(), Failure>>,
        (started, normal): (Instant, Duration),
    ) {
        let refusals = &self.0.refusals;
        let conversation = timeout(refusals.patience(), conversation);
        tokio::pin!(conversation);
        let ended = tokio::select! {
            ended = &mut conversation => ended,
            () = sleep_until(started + UNANSWERED) => {
                lock(&refusals.0).delays = true;
                conversation.await
            }
        };
        match ended {
            Ok(Ok(())) => refusals.refused(started.elapsed(), normal),
            Ok(Err(_)) => {}
            Err(_) => {
                let mut known = lock(&refusals.0);
                known.endless = known.endless.saturating_add(1);
            }
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let mut known = lock(&self.0.refusals.0);
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

/// Ends a handshake, at MatrixOne by a plain goodbye. Comes back once that is done; or goes on beside, without its turn, if
/// it takes longer than a verdict should wait.
pub(super) async fn decline<S>(handshake: Handshake<'_, S>, gate: &Arc<Gate>, turn: Option<Turn>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Handshake { mut packets, greeting, tls, normal } = handshake;
    let Some(login) = greeting.declining_login(tls) else {
        let _ = timeout(goodbye::GRACE, goodbye::leave(packets.stream_mut())).await;
        return drop(turn);
    };
    let started = Instant::now();
    let mut conversation = Box::pin(async move { converse(&mut packets, &login, tls).await });
    match timeout(GRACE, &mut conversation).await {
        Ok(Ok(())) => gate.refusals.refused(started.elapsed(), normal),
        // The peer has gone; that is the next attempt's to find out.
        Ok(Err(_)) => {}
        Err(_) => {
            let awaited = Awaited::new(gate);
            tokio::spawn(async move { awaited.end(conversation, (started, normal)).await });
        }
    }
    drop(turn);
}

/// A login that is refused, and the answers to it.
async fn converse<S>(packets: &mut Packets<S>, login: &[u8], tls: bool) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut number = 1 + u8::from(tls);
    packets.write(number, login).await?;
    // The refusal, or a question for another kind of password first.
    for _ in 0..2 {
        let packet = packets.read(MOST).await?;
        match packet.payload.first() {
            Some(0xfe) => {
                number += 2;
                packets.write(number, &[]).await?;
            }
            // It takes everybody.
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
            refusals.refused(ms(took), ms(30));
            assert_eq!(refusals.delays(), delays, "{took} ms");
        }
    }

    #[test]
    fn the_patience_grows_with_each_that_never_ends() {
        let refusals = Refusals::default();
        for expected in [300, 600, 1200] {
            assert_eq!(refusals.patience(), Duration::from_secs(expected));
            lock(&refusals.0).endless += 1;
        }
        lock(&refusals.0).endless = u32::MAX;
        assert_eq!(refusals.patience(), MOST_PATIENCE);
    }
}
