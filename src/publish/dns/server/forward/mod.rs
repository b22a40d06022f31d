//! Names of others, where `[dns].forward` says whom to ask: for containers that have no resolver but the stub.
//!
//! A relay and no resolver: the packet goes on as it came, with an id of ours, and the reply comes back as it came,
//! with theirs, unless a datagram of ours can't carry it. It keeps nothing. So whatever the resolver knows, the asker
//! gets, and there is nothing here to poison but one reply: a port of its own and a random id for each question, and a
//! reply counts only if it repeats the question.
//!
//! The list serves no worse than the same list in resolv.conf(5) would: what a libc passes over is passed over here
//! (glibc asks the next server after SERVFAIL, NOTIMP and REFUSED, and where recursion is not offered; musl takes
//! NOERROR and NXDOMAIN alone), each has the five seconds that a libc gives it, and a server that has not replied soon
//! is no longer alone in being asked. Of several replies that a libc would pass over the first goes back.

mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_server::proto::op::ResponseCode;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use self::upstream::{Fault, question_end};
use crate::model::DnsTransport;
use crate::publish::dns::answer::LARGEST_UDP;
use crate::publish::dns::forwarders::{Forwarders, Order, Watched};
use crate::publish::dns::question;
use crate::publish::dns::reference::Written;

/// How long it may take before the next is asked, too. Most names are resolved sooner, and a client notices nothing
/// of one that is silent.
const ALONE: Duration = Duration::from_millis(200);

/// Their reply, or that there is none.
pub(super) async fn reply(
    forwarders: &Arc<Forwarders>,
    resolvers: &[SocketAddr],
    query: &[u8],
    transport: DnsTransport,
) -> Written {
    let code = |reply: &[u8]| reply.get(3).map_or(ResponseCode::ServFail, |flags| ResponseCode::from(0, flags & 0x0f));
    let race =
        Race { forwarders, query: query.into(), transport, asked: JoinSet::new(), pending: vec![], others: vec![] };
    match race.run(forwarders.order(resolvers)).await {
        Some(bytes) => {
            let fits = transport == DnsTransport::Tcp || bytes.len() <= usize::from(LARGEST_UDP);
            Written { code: code(&bytes), bytes: if fits { bytes } else { cut(&bytes) } }
        }
        None => Written { code: ResponseCode::ServFail, bytes: failure(query) },
    }
}

/// One question, and those that are asked.
struct Race<'f> {
    forwarders: &'f Arc<Forwarders>,
    query: Arc<[u8]>,
    transport: DnsTransport,
    asked: JoinSet<Asked>,
    /// Those that have not ended.
    pending: Vec<SocketAddr>,
    /// Those whose reply is not waited for once another one has answered.
    others: Vec<AbortHandle>,
}

/// How it ended to ask one of them.
struct Asked {
    resolver: SocketAddr,
    outcome: Result<Vec<u8>, Fault>,
    /// Until this is dropped.
    _watched: Option<Watched>,
}

impl Race<'_> {
    /// Asks until one answers; else the first of the replies that are no answer, if there is any. That there is no such
    /// name, or nothing of this type, counts only once no server before it in the list may know better.
    async fn run(mut self, Order { at_once, in_turn }: Order) -> Option<Vec<u8>> {
        let ranks: Vec<_> = at_once.iter().take(1).chain(&in_turn).chain(at_once.iter().skip(1)).copied().collect();
        let rank = |resolver: &SocketAddr| ranks.iter().position(|r| r == resolver);
        at_once.into_iter().for_each(|resolver| self.ask(resolver));
        let mut in_turn = in_turn.into_iter();
        let mut next_at = Instant::now() + ALONE;
        let mut failures: Vec<(SocketAddr, Fault)> = Vec::new();
        let mut nothing: Option<(SocketAddr, Vec<u8>)> = None;
        loop {
            tokio::select! {
                Some(Ok(Asked { resolver, outcome, _watched })) = self.asked.join_next() => {
                    self.pending.retain(|pending| *pending != resolver);
                    match outcome {
                        Ok(answer) => {
                            self.forwarders.answered(resolver);
                            if upstream::has_records(&answer) {
                                return Some(self.won(failures, answer));
                            }
                            if nothing.as_ref().is_none_or(|(before, _)| rank(&resolver) < rank(before)) {
                                nothing = Some((resolver, answer));
                            }
                        }
                        Err(fault) => {
                            failures.push((resolver, fault));
                            next_at = Instant::now();
                        }
                    }
                    let is_first = |(by, _): &mut (SocketAddr, Vec<u8>)| self.pending.iter().all(|p| rank(p) > rank(by));
                    if let Some((_, answer)) = nothing.take_if(is_first) {
                        return Some(self.won(failures, answer));
                    }
                }
                () = sleep_until(next_at), if in_turn.len() > 0 => {
                    in_turn.by_ref().take(1).for_each(|resolver| self.ask(resolver));
                    next_at = Instant::now() + ALONE;
                }
                else => return self.lost(failures),
            }
        }
    }

    fn ask(&mut self, resolver: SocketAddr) {
        let watched = self.forwarders.watch(resolver);
        let (query, transport, is_watched) = (Arc::clone(&self.query), self.transport, watched.is_some());
        let handle = self.asked.spawn(async move {
            let outcome = upstream::ask(resolver, &query, transport).await;
            Asked { resolver, outcome, _watched: watched }
        });
        self.pending.push(resolver);
        if !is_watched {
            self.others.push(handle);
        }
    }

    /// One has answered. What is still awaited of the others tells whether they are ill; one question to each is
    /// enough for that.
    fn won(self, failures: Vec<(SocketAddr, Fault)>, answer: Vec<u8>) -> Vec<u8> {
        let Self { forwarders, mut asked, others, query, .. } = self;
        failures.iter().for_each(|(resolver, fault)| fault.tell(*resolver, &query, forwarders));
        others.iter().for_each(AbortHandle::abort);
        if !asked.is_empty() {
            let forwarders = Arc::clone(forwarders);
            tokio::spawn(async move {
                while let Some(asked) = asked.join_next().await {
                    match asked {
                        Ok(Asked { resolver, outcome: Ok(_), .. }) => forwarders.answered(resolver),
                        Ok(Asked { resolver, outcome: Err(fault), .. }) => fault.tell(resolver, &query, &forwarders),
                        // It was not watched.
                        Err(_) => {}
                    }
                }
            });
        }
        answer
    }

    /// None has answered.
    fn lost(self, failures: Vec<(SocketAddr, Fault)>) -> Option<Vec<u8>> {
        failures.iter().for_each(|(resolver, fault)| fault.tell(*resolver, &self.query, self.forwarders));
        failures.into_iter().find_map(|(_, fault)| fault.into_reply())
    }
}

/// The query as a reply that says so.
fn failure(query: &[u8]) -> Vec<u8> {
    const SERVFAIL: u8 = 2;
    const RESPONSE: u8 = 0x80;
    const RECURSION_AVAILABLE: u8 = 0x80;
    let mut reply = without_records(query);
    reply[2] |= RESPONSE;
    reply[3] = RECURSION_AVAILABLE | SERVFAIL;
    reply
}

/// The reply as one that says to ask again by TCP (RFC 2181, section 9).
fn cut(reply: &[u8]) -> Vec<u8> {
    const TRUNCATED: u8 = 0x02;
    let mut reply = without_records(reply);
    reply[2] |= TRUNCATED;
    reply
}

/// A message up to the end of its question.
fn without_records(message: &[u8]) -> Vec<u8> {
    let mut message = message[..question_end(message).unwrap_or(message.len())].to_vec();
    message[question::COUNTS_OF_RECORDS].fill(0);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02db\x03com\0\0\x01\0\x01";

    #[test]
    fn a_reply_that_is_cut_has_its_question_and_says_so() {
        let mut reply = QUERY.to_vec();
        reply[2] |= 0x80;
        reply[7] = 90;
        reply.resize(1500, 1);
        let cut = cut(&reply);
        assert_eq!(cut, [b"\x12\x34\x83\0\0\x01\0\0\0\0\0\0", &QUERY[12..]].concat());
    }
}
