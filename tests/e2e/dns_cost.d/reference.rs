//! The stub's server without the replies that are written beforehand: `dns_reference ADDRESS FILE`, with lines
//! `NAME ADDRESS…` in the file. For measuring.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use privatelinkd::model::{Answer, AnswerReason, HostName, Wall};
use privatelinkd::publish::dns::forwarders::Forwarders;
use privatelinkd::publish::dns::reference::Reference;
use privatelinkd::publish::dns::server::{self, Listener, Shared, Socket};
use privatelinkd::publish::dns::wire::Images;
use privatelinkd::publish::dns::zone::Zones;
use privatelinkd::publish::dns::{Answers, Counters, Published};
use privatelinkd::sys::clock::Clock;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

fn main() -> anyhow::Result<()> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [address, file] = &words[..] else { anyhow::bail!("usage: dns_reference ADDRESS FILE") };
    let zones = Zones::default().next(
        (&names(&std::fs::read_to_string(file)?)?, &std::collections::BTreeSet::new()),
        Duration::from_secs(7),
        Wall(0),
    );
    let published =
        Published { reference: Reference::new(Arc::new(zones)), images: Images::default(), forward: Vec::new() };
    let answers = Answers::default();
    answers.store(Arc::new(published));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(address.parse()?, answers))
}

fn names(text: &str) -> anyhow::Result<BTreeMap<HostName, Answer>> {
    let name = |line: &str| {
        let (name, addresses) = line.split_once(' ').unwrap_or((line, ""));
        let addresses = addresses.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let answer = Answer { addresses, standby: Vec::new(), reason: AnswerReason::Healthy };
        let name = name.parse().map_err(|_| anyhow::anyhow!("expected a name, found {name:?}"))?;
        Ok((name, answer))
    };
    text.lines().map(name).collect()
}

async fn serve(address: SocketAddr, answers: Answers) -> anyhow::Result<()> {
    let socket = UdpSocket::bind(address)?;
    let (listeners, handed) = mpsc::channel(1);
    let (ended, mut reports) = mpsc::unbounded_channel();
    listeners.send(Listener { address, socket: Socket::Udp(socket), token: CancellationToken::new() }).await?;
    let forwarders = Arc::new(Forwarders::new(Clock::System));
    let shared = Shared { answers, counters: Arc::new(Counters::default()), forwarders };
    tokio::select! {
        () = server::run(handed, shared, ended, CancellationToken::new()) => {}
        ended = reports.recv() => anyhow::bail!("{ended:?}"),
    }
    Ok(())
}
