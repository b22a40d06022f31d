//! Streams: for answers that don't fit a datagram, and for who prefers them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::forward;
use super::shared::{Shared, is_of_one_peer};
use crate::model::DnsTransport;
use crate::publish::dns::counters::Tally;
use crate::publish::dns::reference::Written;

/// Connections at a time. Others wait in the kernel's queue until one ends.
const CONNECTIONS: usize = 128;
/// How long the next query, and the way of a reply, may take (RFC 7766, section 6.2.3: a few seconds).
const IDLE: Duration = Duration::from_secs(10);
/// The same while more than half of the places are taken (RFC 7766, section 6.2.3: less under load): a client that
/// holds connections and asks nothing keeps no other out.
const IDLE_IN_A_CROWD: Duration = Duration::from_millis(500);
/// Bytes of a query, as of those that come by UDP: nothing that is answered here is nearly as long, and so many
/// connections together keep half a megabyte at most.
const LONGEST: usize = crate::sys::datagrams::LONGEST;
/// After a failure to accept that is ours, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until the listener fails.
pub(super) async fn serve(listener: TcpListener, shared: &Shared) -> io::Result<()> {
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // It is never closed.
        let place = Arc::clone(&free).acquire_owned().await.map_err(io::Error::other)?;
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let (shared, free) = (shared.clone(), Arc::clone(&free));
                connections.spawn(async move {
                    // Whatever ends a connection ends it alone.
                    let _ = converse(stream, &shared, &free).await;
                    drop(place);
                });
            }
            Err(e) if is_of_one_peer(&e) => {}
            Err(e) if is_passing(&e) => tokio::time::sleep(PAUSE).await,
            Err(e) => return Err(e),
        }
    }
}

/// One query after the other, each answered before the next is read: who sends many at once gets its replies in order,
/// and no more of our time than who waits.
async fn converse(stream: TcpStream, shared: &Shared, free: &Semaphore) -> io::Result<()> {
    let idle = || if free.available_permits() < CONNECTIONS / 2 { IDLE_IN_A_CROWD } else { IDLE };
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut message = Vec::new();
    while timeout(idle(), read(&mut stream, &mut message)).await?? {
        let read = Instant::now();
        let Some(reply) = reply(shared, &message).await else {
            shared.counters.dropped(1);
            return Ok(());
        };
        let length = u16::try_from(reply.bytes.len()).map_err(io::Error::other)?;
        // In one segment (RFC 7766, section 8).
        let framed = [&length.to_be_bytes()[..], &reply.bytes].concat();
        timeout(idle(), stream.write_all(&framed)).await??;
        shared.counters.answered(DnsTransport::Tcp, &Tally::one(reply.code), read.elapsed());
    }
    Ok(())
}

async fn reply(shared: &Shared, query: &[u8]) -> Option<Written> {
    let published = shared.answers.load_full();
    let reply = published.reference.reply(query, DnsTransport::Tcp)?;
    if published.is_for_others(query, &reply) {
        return Some(forward::reply(&shared.forwarders, &published.forward, query, DnsTransport::Tcp).await);
    }
    Some(reply)
}

/// Reads a message and its length before it; false at the end of the stream.
async fn read(stream: &mut BufReader<TcpStream>, message: &mut Vec<u8>) -> io::Result<bool> {
    let length = match stream.read_u16().await {
        Ok(length) => length,
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        Err(e) => return Err(e),
    };
    if usize::from(length) > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    message.resize(usize::from(length), 0);
    stream.read_exact(message).await?;
    Ok(true)
}

/// True for a want of open files or memory.
fn is_passing(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(number, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM))
}
