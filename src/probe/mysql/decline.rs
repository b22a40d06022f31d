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
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::greeting::{Greeting, MAX_GREETING};
use super::handshake_limit::{HandshakeLimit, Turn};
use super::packet::Packets;
use crate::model::Failure;
use crate::probe::dial::{Deadline, Stream};
use crate::probe::goodbye;

/// How many declines a second a whole fleet may make at one server.
pub(super) const FLEET_RATE: u32 = 10;
/// How long a verdict, and the next handshake, wait for a decline to end, at most; most take one round trip.
const GRACE: Duration = Duration::from_millis(500);
/// A refusal that has not come by then is held back on purpose, too.
const UNANSWERED: Duration = Duration::from_secs(5);
/// How many times as long its connection is kept open.
const KEPT: u32 = 5;

/// A decline that is not answered in time, and in the way of others as long as it lives.
struct Awaited(Arc<HandshakeLimit>);

impl Awaited {
    /// One more.
    fn new(limit: &Arc<HandshakeLimit>) -> Self {
        limit.refusals.begin_wait();
        Self(limit.clone())
    }
}

/// A decline that goes on beside its verdict.
struct Pending {
    limit: Arc<HandshakeLimit>,
    turn: Option<Turn>,
    awaited: Option<Awaited>,
}

impl Pending {
    /// Waits for the end of a conversation that began then, and whose answers take so long normally. It has its turn
    /// for no longer than [`GRACE`], and is in the way of other declines from then on.
    async fn wait_for_refusal(
        self,
        conversation: impl Future<Output = Result<(), Failure>>,
        started: Instant,
        normal: Duration,
    ) {
        let Self { limit, turn, awaited } = self;
        let (refusals, patience) = (&limit.refusals, limit.refusals.patience());
        tokio::pin!(conversation);
        let mut ended = timeout_at(started + GRACE, &mut conversation).await;
        if let Ok(Ok(())) = ended {
            refusals.note_refused(started.elapsed(), normal);
        }
        if ended.is_ok() {
            return;
        }
        // What takes the turn next has to know of it.
        let awaited = awaited.unwrap_or_else(|| Awaited::new(&limit));
        drop(turn);
        ended = timeout_at(started + UNANSWERED, &mut conversation).await;
        if ended.is_err() {
            refusals.note_delay();
            ended = timeout_at(started + patience, &mut conversation).await;
        }
        if ended.is_err() {
            refusals.note_endless();
            drop(awaited);
            ended = timeout_at(started + patience * KEPT, &mut conversation).await;
        }
        if let Ok(Ok(())) = ended {
            refusals.note_refused(started.elapsed(), normal);
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.refusals.end_wait();
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
    /// By when the verdict has to be there, which is known.
    pub(super) deadline: Deadline,
}

/// Ends a handshake, at MatrixOne by a plain goodbye. Comes back once that is done; or goes on beside, and soon without
/// its turn, if it takes longer than the verdict should wait.
pub(super) async fn decline(
    handshake: Handshake<'_, impl Stream + 'static>,
    limit: &Arc<HandshakeLimit>,
    turn: Option<Turn>,
) {
    let Handshake { mut packets, greeting, tls, normal, deadline } = handshake;
    let grace = GRACE.min(deadline.spare());
    let Some(login) = greeting.declining_login(tls) else {
        let _ = timeout(grace.min(goodbye::GRACE), goodbye::leave(packets.stream_mut())).await;
        return drop(turn);
    };
    let started = Instant::now();
    let mut conversation = Box::pin(async move { send_declining_login(&mut packets, &login, tls).await });
    match timeout(grace, &mut conversation).await {
        Ok(Ok(())) => limit.refusals.note_refused(started.elapsed(), normal),
        // The peer has gone; that is the next attempt's to find out.
        Ok(Err(_)) => {}
        Err(_) => {
            // A verdict that could not wait says nothing of the server: its turn keeps others away for the rest.
            let is_late = grace >= GRACE || turn.is_none();
            let awaited = is_late.then(|| Awaited::new(limit));
            let pending = Pending { limit: limit.clone(), turn, awaited };
            tokio::spawn(async move { pending.wait_for_refusal(conversation, started, normal).await });
        }
    }
}

/// A login that is refused, and the answers to it.
async fn send_declining_login(packets: &mut Packets<impl Stream>, login: &[u8], tls: bool) -> Result<(), Failure> {
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
