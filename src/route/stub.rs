//! Asks the stub itself whether it serves the names, before other clients are sent there.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use super::question::{LARGEST, Names, Round, query, serves};
use crate::model::{Boottime, HostName};
use crate::sys::clock::Clock;

/// How long one answer may take. The stub is on this host; while it starts, systemd keeps the question for it.
const ANSWER: Duration = Duration::from_millis(500);
/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(100);
/// How long other servers are waited for once one serves every name: one of IPv6, say, on a host without.
const OTHERS: Duration = Duration::from_secs(2);

/// Asks until every planned name is served, or for as long as `patience` lasts; then with what there is.
pub(super) fn wait(servers: &[SocketAddr], names: &mut dyn FnMut() -> Names, patience: Duration) -> (Round, Names) {
    let began = now();
    let mut complete_since: Option<Boottime> = None;
    loop {
        let wanted = names();
        let round = ask(servers, &wanted.planned);
        let complete = !round.names.is_empty() && round.names == wanted.planned;
        if complete {
            let since = *complete_since.get_or_insert_with(now);
            if round.servers.len() == servers.len() || now().since(since) >= OTHERS {
                return (round, wanted);
            }
        } else {
            complete_since = None;
        }
        if now().since(began) >= patience {
            return (round, wanted);
        }
        thread::sleep(PAUSE);
    }
}

fn now() -> Boottime {
    Clock::System.now().boottime
}

/// Asks each server for each name, once.
pub(super) fn ask(servers: &[SocketAddr], names: &BTreeSet<HostName>) -> Round {
    let mut round = Round { servers: Vec::new(), names: names.clone() };
    for server in servers {
        // Who can't be asked serves nothing.
        let served = served(*server, names).unwrap_or_default();
        if !served.is_empty() {
            round.servers.push(*server);
            round.names.retain(|name| served.contains(name));
        }
    }
    if round.servers.is_empty() { Round::default() } else { round }
}

/// The names that a server serves; those before its first silence, if it falls silent.
fn served(server: SocketAddr, names: &BTreeSet<HostName>) -> io::Result<BTreeSet<HostName>> {
    let from = if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind::<SocketAddr>(from)?;
    socket.connect(server)?;
    let answers = names.iter().map_while(|name| Some((name, ask_one(&socket, name).ok()?)));
    Ok(answers.filter(|(_, served)| *served).map(|(name, _)| name.clone()).collect())
}

fn ask_one(socket: &UdpSocket, name: &HostName) -> io::Result<bool> {
    let id = fastrand::u16(..);
    socket.send(&query(id, name))?;
    let asked = now();
    let mut packet = [0; LARGEST];
    loop {
        let left = ANSWER.saturating_sub(now().since(asked));
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut packet)?;
        // Else it is a late answer to an earlier question.
        if let Some(served) = serves(&packet[..length], id, name) {
            return Ok(served);
        }
    }
}
