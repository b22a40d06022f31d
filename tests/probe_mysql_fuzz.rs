//! Whatever a MySQL server sends, a login and a statement come to an end, without panic and without a secret.

use privatelinkd::model::{Failure, FailureReason};
use privatelinkd::probe::mysql::converse;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Duration, timeout};

use crate::probe_mysql::{CAPS, EOF, OK, PASSWORD, SSL, contains, greeting, login, switch};
use crate::support::cases;

/// Longer than any of them takes on a busy machine.
const HANG: Duration = Duration::from_secs(30);

fn wire(packets: &[(u8, &[u8])]) -> Vec<u8> {
    let packet = |(number, payload): &(u8, &[u8])| {
        let [a, b, c, _] = u32::try_from(payload.len()).unwrap().to_le_bytes();
        [&[a, b, c, *number], *payload].concat()
    };
    packets.iter().flat_map(packet).collect()
}

/// Whole conversations, as a server speaks them.
fn conversations() -> Vec<Vec<u8>> {
    let column: &[u8] = b"\x03def\0\0\0\x011\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0";
    let (native, sha2) =
        (greeting("8.0.36", CAPS, "mysql_native_password"), greeting("8.4.0", CAPS | SSL, "caching_sha2_password"));
    let (to_native, to_sha2) = (switch("mysql_native_password"), switch("caching_sha2_password"));
    let clear = switch("mysql_clear_password");
    vec![
        wire(&[(0, &native), (2, OK), (1, &[1]), (2, column), (3, EOF), (4, b"\x011"), (5, EOF)]),
        wire(&[(0, &sha2), (2, &[1, 3]), (3, OK), (1, &[2]), (2, column), (3, column), (4, EOF), (5, EOF)]),
        wire(&[(0, &sha2), (2, &to_native), (4, OK), (1, OK)]),
        wire(&[(0, &native), (2, &to_sha2), (4, &[1, 3]), (5, OK), (1, b"\xff\x7a\x04#42S02no")]),
        wire(&[(0, &native), (2, &to_sha2), (4, &[1, 4]), (5, OK)]),
        wire(&[(0, &sha2), (2, &[1, 4]), (3, b"\x01-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----")]),
        wire(&[(0, &native), (2, &clear), (4, OK)]),
        wire(&[(0, &native), (2, OK), (1, b"\xfb/etc/passwd"), (3, OK)]),
        wire(&[(0, &native), (2, OK), (1, b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f")]),
        wire(&[(0, b"\xff\x10\x04Too many connections")]),
    ]
}

fn edit(mut bytes: Vec<u8>, (at, value, how): (Index, u8, u8)) -> Vec<u8> {
    if bytes.is_empty() {
        return vec![value];
    }
    let at = at.index(bytes.len());
    match how {
        0 => bytes[at] = value,
        1 => bytes[at] = bytes[at].wrapping_add(1),
        2 => bytes.insert(at, value),
        3 => drop(bytes.drain(at..(at + usize::from(value) % 8).min(bytes.len()))),
        4 => bytes.truncate(at),
        _ => bytes.extend_from_within(at..),
    }
    bytes
}

/// Says everything at once, hangs up, and hears what there is to hear.
async fn play(mut stream: DuplexStream, bytes: &[u8]) -> Vec<u8> {
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard).await;
    heard
}

async fn converse_with(bytes: &[u8]) -> (Result<(), Failure>, Vec<u8>) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let login = login(PASSWORD);
    timeout(HANG, async { tokio::join!(converse(ours, &login, "SELECT 1"), play(theirs, bytes)) })
        .await
        .expect("no hang")
}

#[tokio::test]
async fn known_conversations_have_their_verdicts() {
    use FailureReason as R;
    let expected = [
        None,
        None,
        None,
        Some(R::Misconfigured),
        Some(R::Auth),
        Some(R::Auth),
        Some(R::Auth),
        Some(R::Protocol),
        Some(R::Protocol),
        Some(R::Overloaded),
    ];
    for (bytes, expected) in conversations().iter().zip(expected) {
        let (outcome, heard) = converse_with(bytes).await;
        assert_eq!(outcome.as_ref().err().map(|failure| failure.reason), expected, "{outcome:?}");
        assert!(!contains(&heard, PASSWORD.as_bytes()));
    }
}

#[test]
fn any_conversation_ends_with_a_verdict_and_without_a_secret() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let edits = vec((any::<Index>(), any::<u8>(), 0..6u8), 0..5);
    let mutated = (select(conversations()), edits).prop_map(|(seed, edits)| edits.into_iter().fold(seed, edit));
    let conversations = prop_oneof![9 => mutated, 1 => vec(any::<u8>(), 0..300)];
    let config = ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&conversations, |bytes| {
            let (outcome, heard) = runtime.block_on(converse_with(&bytes));
            prop_assert!(!contains(&heard, PASSWORD.as_bytes()), "a password in clear");
            if let Err(failure) = outcome {
                prop_assert_ne!(failure.reason, FailureReason::Local, "{}", failure);
                prop_assert!(!failure.detail.contains(PASSWORD), "{}", failure);
            }
            Ok(())
        })
        .unwrap();
}
