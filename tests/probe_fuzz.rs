//! Whatever a server sends, the https prober answers in time and never panics.

use std::sync::Arc;
use std::time::Duration;

use privatelinkd::model::{Failure, FailureReason, HttpsSpec, TlsSpec, Trust, TrustBundle};
use privatelinkd::probe::dial::{self, Deadline};
use privatelinkd::probe::https::Exchange;
use privatelinkd::probe::tls::{Sessions, TrustSets};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, timeout};

use crate::support::cases;

pub(crate) const DEADLINE: Duration = Duration::from_secs(2);

const REPLIES: [&[u8]; 12] = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: a\r\n\r\nffffffffffffffff\r\n",
    b"HTTP/1.0 503 Service Unavailable\r\n\r\nuntil the end",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n\x81\x05hello",
    b"HTTP/1.1 301 Moved Permanently\r\nlocation: https://elsewhere.example/\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\n",
    b"HTTP/2.0 200 OK\r\n\r\n",
    b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
    b"ICY 200 OK\r\nicy-name: radio\r\n\r\n",
];

/// What a hostile or broken server sends, in which pieces, whether it waits to be asked first, and whether it hangs up
/// then.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) bytes: Vec<u8>,
    pub(crate) piece: usize,
    pub(crate) asked: bool,
    pub(crate) hang_up: bool,
}

pub(crate) fn scripts(seeds: &'static [&'static [u8]]) -> impl Strategy<Value = Script> {
    let random = vec(any::<u8>(), 0..200);
    let edits = vec((any::<Index>(), any::<u8>(), 0..4u8), 0..6);
    let mutated = (select(seeds), edits).prop_map(|(seed, edits)| edits.into_iter().fold(seed.to_vec(), edit));
    let repeated = (select(seeds), 1..40usize, 1..200usize).prop_map(|(seed, keep, times)| {
        let line = &seed[..keep.min(seed.len())];
        [seed.strip_suffix(b"\r\n").unwrap_or(seed), &line.repeat(times)].concat()
    });
    let bytes = prop_oneof![1 => random, 4 => mutated, 1 => repeated];
    let shape = (1..64usize, any::<bool>(), any::<bool>());
    (bytes, shape).prop_map(|(bytes, (piece, asked, hang_up))| Script { bytes, piece, asked, hang_up })
}

/// Changes, inserts, removes or doubles a part.
fn edit(mut bytes: Vec<u8>, (at, value, how): (Index, u8, u8)) -> Vec<u8> {
    if bytes.is_empty() {
        return vec![value];
    }
    let at = at.index(bytes.len());
    match how {
        0 => bytes[at] = value,
        1 => bytes.insert(at, value),
        2 => drop(bytes.drain(at..(at + usize::from(value) % 8).min(bytes.len()))),
        _ => bytes.extend_from_within(at..),
    }
    bytes
}

/// Plays a script and stays, without reading more than the beginning of what is asked.
pub(crate) async fn play(mut stream: DuplexStream, script: Script) {
    if script.asked {
        let _some = stream.read(&mut [0; 16]).await;
    }
    for piece in script.bytes.chunks(script.piece) {
        if stream.write_all(piece).await.is_err() {
            return;
        }
    }
    if script.hang_up {
        let _ = stream.shutdown().await;
    }
    std::future::pending::<()>().await;
}

/// Our side of one exchange with a scripted server: the verdict, and how long it took.
async fn converse(exchange: &Exchange, script: Script) -> (Result<Duration, Failure>, Duration) {
    // Small enough that a server that does not read blocks us, too.
    let (mut ours, theirs) = tokio::io::duplex(64);
    let started = Instant::now();
    let asked = exchange.run(&mut ours, Deadline::after(DEADLINE));
    let outcome = tokio::select! {
        biased;
        outcome = timeout(2 * DEADLINE, asked) => outcome.expect("no hang"),
        () = play(theirs, script) => unreachable!("the server stays"),
    };
    (outcome, started.elapsed())
}

pub(crate) fn runner() -> TestRunner {
    TestRunner::new(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })
}

pub(crate) fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

fn spec() -> HttpsSpec {
    HttpsSpec {
        tls: TlsSpec {
            server_name: "gw.example.com".parse().unwrap(),
            trust: Trust::System,
            expiry_warning: Duration::ZERO,
        },
        method: "GET".into(),
        path: "/".into(),
        headers: Vec::new(),
        body: String::new(),
        expect_status: vec![200, 204],
        expect_body: None,
    }
}

#[tokio::test(start_paused = true)]
async fn known_replies_have_their_verdicts() {
    use FailureReason as R;
    let table: [(&[u8], bool, Option<R>); 11] = [
        (REPLIES[0], false, None),
        (REPLIES[1], false, None),
        // The status decides, however the body ends, and however long the server keeps the connection.
        (REPLIES[2], true, None),
        (REPLIES[3], true, Some(R::BackendDown)),
        (REPLIES[4], false, None),
        (REPLIES[6], false, Some(R::Result)),
        (REPLIES[10], true, Some(R::Protocol)),
        (b"220 mail.example.com ESMTP\r\n", false, Some(R::Protocol)),
        (b"", true, Some(R::Reset)),
        (b"HTTP/1.1 200 OK\r\nserver: half a he", true, Some(R::Reset)),
        (b"HTTP/1.1 200 OK\r\nserver: half a he", false, Some(R::Timeout)),
    ];
    let exchange = Exchange::new(&spec(), 443).unwrap();
    for (bytes, hang_up, expected) in table {
        let script = Script { bytes: bytes.to_vec(), piece: 7, asked: true, hang_up };
        let (outcome, took) = converse(&exchange, script).await;
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(outcome.as_ref().err().map(|failure| failure.reason), expected, "{text}: {outcome:?}");
        assert_eq!(took == DEADLINE, expected == Some(R::Timeout), "{text}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_without_end_is_cut_off() {
    let exchange = Exchange::new(&spec(), 443).unwrap();
    let bytes = [b"HTTP/1.1 200 OK\r\n".as_slice(), &b"a: b\r\n".repeat(1 << 16)].concat();
    let (outcome, took) = converse(&exchange, Script { bytes, piece: 64, asked: true, hang_up: false }).await;
    assert_eq!(outcome.unwrap_err().reason, FailureReason::Protocol);
    assert!(took < DEADLINE);
}

#[test]
fn any_http_reply_gets_a_verdict_in_time() {
    let runtime = paused();
    // Each of them changes how the end of an answer is found.
    let methods = ["GET", "HEAD", "POST", "CONNECT"];
    let exchanges = methods.map(|method| Exchange::new(&HttpsSpec { method: method.into(), ..spec() }, 443).unwrap());
    runner()
        .run(&(0..methods.len(), scripts(&REPLIES)), |(method, script)| {
            let (outcome, took) = runtime.block_on(converse(&exchanges[method], script));
            prop_assert!(took <= DEADLINE);
            if let Err(failure) = outcome {
                prop_assert_ne!(failure.reason, FailureReason::Local, "{}", failure);
                let blames_us = failure.reason == FailureReason::Misconfigured;
                prop_assert_eq!(blames_us, refuses_what_we_ask(&failure), "{}", failure);
            }
            Ok(())
        })
        .unwrap();
}

/// Whether the failure is a status by which a server refuses what our config asks for. Only such an answer of a server
/// may blame the config.
fn refuses_what_we_ask(failure: &Failure) -> bool {
    let text = failure.to_string();
    let status = text.rsplit_once("found ").and_then(|(_, status)| status.parse::<u16>().ok());
    let tells_another_cause = |status| matches!(status, 401 | 402 | 403 | 404 | 408 | 429 | 451);
    status.is_some_and(|it| matches!(it, 307 | 308 | 400..=499 | 501 | 505) && !tells_another_cause(it))
}

const HELLOS: [&[u8]; 5] = [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2p1\r\n",
    // A fatal alert, handshake_failure.
    b"\x15\x03\x03\x00\x02\x02\x28",
    // The greeting of a MySQL server.
    b"\x4a\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00abcdefgh\x00\xff\xf7\xff\x02\x00\xff\xdf\x15",
    // The beginning of a server hello of TLS 1.2.
    b"\x16\x03\x03\x00\x31\x02\x00\x00\x2d\x03\x03\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\
      \x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x00\xc0\x2f\x00\x00\x05\xff\x01\x00\x01\x00",
];

#[test]
fn any_tls_reply_gets_a_verdict_in_time() {
    let runtime = paused();
    let pki = privatelink_sim::Pki::new("test").unwrap();
    let bundle = TrustBundle { path: "ca.pem".into(), certificates: vec![pki.ca_der()] };
    let sessions = Sessions::new(TrustSets::default().for_trust(&Trust::File(Arc::new(bundle))));
    let config = runtime.block_on(sessions.config()).unwrap();
    let name = "gw.example.com".try_into().unwrap();
    let run = |script: Script| async {
        let (ours, theirs) = tokio::io::duplex(4096);
        let started = Instant::now();
        let shaken = dial::handshake_over(ours, &name, config.clone(), Deadline::after(DEADLINE));
        let outcome = tokio::select! {
        biased;
            outcome = timeout(2 * DEADLINE, shaken) => outcome.expect("no hang"),
            () = play(theirs, script) => unreachable!("the server stays"),
        };
        (outcome.map(drop), started.elapsed())
    };
    runner()
        .run(&scripts(&HELLOS), |script| {
            let (outcome, took) = runtime.block_on(run(script));
            prop_assert!(took <= DEADLINE);
            let failure = outcome.expect_err("nobody here has a certificate");
            prop_assert_ne!(failure.reason, FailureReason::Local, "{}", failure);
            Ok(())
        })
        .unwrap();
}
