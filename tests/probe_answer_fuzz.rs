//! Whatever body a gateway sends, in whatever pieces: the probers that read one judge what was sent, in time, and say
//! nothing that they should not.

use std::time::Duration;

use privatelinkd::model::{
    Failure, FailureReason as R, FileSecret, HttpsSpec, Secret, TdengineLogin, TdengineSpec, TlsSpec, Trust, Wall,
};
use privatelinkd::probe::dial::Deadline;
use privatelinkd::probe::https::Exchange;
use privatelinkd::probe::tdengine::{self, Question, Text, judge};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tokio::io::DuplexStream;
use tokio::time::{Instant, timeout};

use crate::probe_fuzz::{DEADLINE, Script, paused, play, runner, scripts};

/// A token that repeats nowhere by chance.
const TOKEN: &str = "5ca1ab1e-hunter2-0token";
/// The most of a body that is read.
const MOST: usize = 64 * 1024;

const REPLIES: [&[u8]; 10] = [
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1b\r\n{\"code\":0,\"data\":[[1]],\"rows\r\n4\r\n\":1}\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 31\r\n\r\n{\"code\":0,\"data\":[[1]],\"rows\":1}",
    b"HTTP/1.1 200 OK\r\n\r\n{\"code\":855,\"desc\":\"no token 5ca1ab1e-hunter2-0token\"}",
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 26\r\n\r\n\"memory exceeds threshold\"\xff",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\n{\"cod\r\nffffffffffffffff\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: 5ca1ab1e-hunter2-0token\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\n\x1f\x8b\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n{\"code\":0,\"desc\":\"\xf0\x28\x8c\x28\",\"data\":[[1]],\"rows\":1}",
    b"HTTP/1.1 401 5ca1ab1e-hunter2-0token\r\nwww-authenticate: 5ca1ab1e-hunter2-0token\r\n\r\n<html>\xc3\x28",
];

fn tls() -> TlsSpec {
    TlsSpec { server_name: "gw.example.com".parse().unwrap(), trust: Trust::System, expiry_warning: Duration::ZERO }
}

fn tdengine() -> TdengineSpec {
    let path = "/etc/privatelinkd/orders.token".into();
    let token = FileSecret { secret: Secret::new(TOKEN.into()), path, written: Wall(1) };
    TdengineSpec {
        tls: tls(),
        path: "/rest/sql".into(),
        login: Some(TdengineLogin::Token(token)),
        sql: "show databases".into(),
        expect: None,
    }
}

fn https(pattern: &str) -> Exchange {
    let spec = HttpsSpec {
        tls: tls(),
        method: "POST".into(),
        path: "/".into(),
        headers: Vec::new(),
        body: "ping".into(),
        expect_status: vec![200],
        expect_body: Some(pattern.to_owned()),
    };
    Exchange::new(&spec, 443).unwrap()
}

fn question() -> Question {
    Question::Query { expect: None }
}

/// What a conversation with a scripted server comes to, and how long it took.
async fn against<T>(
    script: Script,
    pipe: usize,
    ask: impl AsyncFnOnce(&mut DuplexStream) -> Result<T, Failure>,
) -> (Result<(), Failure>, Duration) {
    let (mut ours, theirs) = tokio::io::duplex(pipe);
    let started = Instant::now();
    let outcome = tokio::select! {
        biased;
        outcome = timeout(2 * DEADLINE, ask(&mut ours)) => outcome.expect("no hang"),
        () = play(theirs, script) => unreachable!("the server stays"),
    };
    (outcome.map(drop), started.elapsed())
}

async fn ask_tdengine(script: Script, pipe: usize) -> (Result<(), Failure>, Duration) {
    let spec = tdengine();
    let ask = async |stream: &mut DuplexStream| {
        tdengine::converse(stream, &spec, &question(), Deadline::after(DEADLINE)).await
    };
    against(script, pipe, ask).await
}

async fn ask_https(exchange: &Exchange, script: Script, pipe: usize) -> (Result<(), Failure>, Duration) {
    let ask = async |stream: &mut DuplexStream| exchange.run(stream, Deadline::after(DEADLINE)).await;
    against(script, pipe, ask).await
}

fn said(bytes: Vec<u8>, hang_up: bool) -> Script {
    Script { bytes, piece: 4096, asked: true, hang_up }
}

#[tokio::test(start_paused = true)]
async fn broken_bodies_have_their_reasons() {
    let chunked = |body: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}").into_bytes();
    let counted = |n: usize, body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {n}\r\n\r\n{body}").into_bytes();
    let good = r#"{"code":0,"data":[[1]],"rows":1}"#;
    let long = format!("{{\"code\":0,\"data\":[{}[1]],\"rows\":30001}}", "[1],".repeat(30_000));
    let page = format!("<html>{}</html>", "x".repeat(2 * MOST));
    // What comes, whether the server hangs up then, and what it is.
    let table: Vec<(Vec<u8>, bool, Option<R>)> = vec![
        (counted(good.len(), good), false, None),
        (chunked(&format!("{:x}\r\n{good}\r\n0\r\n\r\n", good.len())), false, None),
        (chunked(&format!("{:X};ext=\"a\"\r\n{good}\r\n0\r\ntrailer: a\r\n\r\n", good.len())), false, None),
        // Chunks that are none.
        (chunked("xyz\r\n"), false, Some(R::Protocol)),
        (chunked("\r\n\r\n"), false, Some(R::Protocol)),
        (chunked("-5\r\nhello\r\n"), false, Some(R::Protocol)),
        (chunked("5\r\nhelloworld\r\n"), false, Some(R::Protocol)),
        (chunked("fffffffffffffffff\r\n"), false, Some(R::Protocol)),
        (
            chunked(&format!("{:x}\r\n{good}\r\n0\r\n{}\r\n", good.len(), "a: b\r\n".repeat(9000))),
            false,
            Some(R::Protocol),
        ),
        // Bodies that break off, or don't come to an end.
        (chunked(&format!("{:x}\r\n{good}\r\n", good.len())), true, Some(R::Reset)),
        (chunked(&format!("{:x}\r\n{good}", good.len() + 1)), true, Some(R::Reset)),
        (counted(good.len() + 1, good), true, Some(R::Reset)),
        (counted(good.len() + 1, good), false, Some(R::Timeout)),
        (chunked("ffffffff\r\nabc"), false, Some(R::Timeout)),
        // Complete, and no reply.
        (counted(good.len() - 1, good), false, Some(R::Protocol)),
        (counted(0, ""), false, Some(R::Protocol)),
        // More than a probe reads.
        (counted(long.len(), &long), false, Some(R::Misconfigured)),
        (chunked(&format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len())), false, Some(R::Misconfigured)),
        (counted(page.len(), &page), false, Some(R::Protocol)),
    ];
    for (bytes, hang_up, expected) in table {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(150)]).into_owned();
        let (outcome, _) = ask_tdengine(said(bytes, hang_up), 1 << 16).await;
        assert_eq!(outcome.as_ref().err().map(|f| f.reason), expected, "{text}: {outcome:?}");
    }
}

/// Text of a failure is bounded and printable, and tells nobody's token.
fn discreet(failure: &Failure) {
    let shown = failure.to_string();
    assert!(!failure.detail.chars().any(char::is_control), "{shown:?}");
    assert!(failure.detail.chars().count() <= Failure::MAX_DETAIL, "{shown}");
    assert!(!shown.contains(TOKEN), "{shown}");
    assert!(!matches!(failure.reason, R::Local), "{shown}");
}

#[test]
fn any_answer_of_a_gateway_gets_a_verdict_in_time() {
    let (runtime, exchange) = (paused(), https("rows"));
    runner()
        .run(&scripts(&REPLIES), |script| {
            let (outcome, took) = runtime.block_on(ask_tdengine(script.clone(), 64));
            prop_assert!(took <= DEADLINE);
            match outcome {
                Ok(()) => {
                    let text = String::from_utf8_lossy(&script.bytes);
                    // A status line may lack its reason, and the space before that.
                    let is_ok = [" 200 ", " 200\r", " 200\n"].iter().any(|status| text.contains(status));
                    prop_assert!(is_ok && text.contains("\"code\""), "{text}");
                }
                Err(failure) => discreet(&failure),
            }
            let (outcome, took) = runtime.block_on(ask_https(&exchange, script.clone(), 64));
            prop_assert!(took <= DEADLINE);
            match outcome {
                Ok(()) => prop_assert!(script.bytes.windows(4).any(|w| w == b"HTTP")),
                Err(failure) => discreet(&failure),
            }
            Ok(())
        })
        .unwrap();
}

/// How a body is framed.
#[derive(Debug, Clone)]
enum Framing {
    /// By its length.
    Counted,
    /// By the end of the connection.
    ToTheEnd,
    /// In chunks that end at these places, with or without extensions.
    Chunks(Vec<Index>, bool),
}

impl Framing {
    fn frame(&self, status: u16, body: &[u8]) -> Vec<u8> {
        let head = |line: &str| format!("HTTP/1.1 {status} X\r\n{line}\r\n").into_bytes();
        match self {
            Self::Counted => [head(&format!("content-length: {}\r\n", body.len())), body.to_vec()].concat(),
            Self::ToTheEnd => [head("connection: close\r\n"), body.to_vec()].concat(),
            Self::Chunks(at, extended) => {
                let mut ends: Vec<usize> = at.iter().map(|index| index.index(body.len() + 1)).collect();
                ends.push(body.len());
                ends.sort_unstable();
                let mut framed = head("transfer-encoding: chunked\r\n");
                let mut from = 0;
                for end in ends {
                    if end > from {
                        let extension = if *extended { ";x=\"y z\"" } else { "" };
                        framed.extend(format!("{:x}{extension}\r\n", end - from).bytes());
                        framed.extend(&body[from..end]);
                        framed.extend(b"\r\n");
                        from = end;
                    }
                }
                framed.extend(b"0\r\n\r\n");
                framed
            }
        }
    }

    /// Whether a cut can be told from the end.
    fn has_an_end(&self) -> bool {
        !matches!(self, Self::ToTheEnd)
    }
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    const BODIES: [&str; 6] = [
        r#"{"code":0,"column_meta":[["name","VARCHAR",64]],"data":[["information_schema"]],"rows":1}"#,
        r#"{"code":855,"desc":"Authentication failure for 5ca1ab1e-hunter2-0token","timing":7}"#,
        r#"{"code":0,"data":[],"rows":0}"#,
        r#""memory exceeds threshold""#,
        "<html>5ca1ab1e-hunter2-0token</html>",
        "",
    ];
    let edits = vec((any::<Index>(), any::<u8>()), 0..3);
    let known = (select(&BODIES[..]), edits).prop_map(|(text, edits)| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, byte) in edits.into_iter().filter(|_| !text.is_empty()) {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    });
    // Around the size at which a body is cut.
    let long = (MOST - 40..MOST + 40).prop_map(|n| {
        let result = r#"{"code":0,"data":[[1]],"rows":1}"#;
        [result.as_bytes(), &b" ".repeat(n - result.len())].concat()
    });
    prop_oneof![30 => known, 10 => vec(any::<u8>(), 0..300), 1 => long]
}

fn framing() -> impl Strategy<Value = Framing> {
    prop_oneof![
        1 => Just(Framing::Counted),
        1 => Just(Framing::ToTheEnd),
        3 => (vec(any::<Index>(), 0..5), any::<bool>()).prop_map(|(at, extended)| Framing::Chunks(at, extended)),
    ]
}

#[test]
fn a_body_is_judged_alike_however_it_is_framed() {
    let runtime = paused();
    let statuses = select(vec![200_u16, 200, 200, 401, 403, 500, 503]);
    let pieces = prop_oneof![1..64_usize, Just(1 << 16)];
    runner()
        .run(&(statuses, body(), framing(), pieces), |(status, body, framing, piece)| {
            let script =
                Script { bytes: framing.frame(status, &body), piece, asked: true, hang_up: !framing.has_an_end() };
            let secrets = [Secret::new(TOKEN.into())];
            let (kept, cut) = (&body[..body.len().min(MOST)], body.len() > MOST);
            let expected = judge(&Text { status, body: kept, cut, secrets: &secrets }, &question());
            let (found, _) = runtime.block_on(ask_tdengine(script.clone(), 1 << 16));
            prop_assert_eq!(&found, &expected.map_err(|refusal| refusal.failure));
            found.err().iter().for_each(discreet);
            // The pattern is looked for in the same bytes, whatever they are.
            let exchange = https("rows|memory");
            let text = String::from_utf8_lossy(kept);
            let fits = status == 200 && (text.contains("rows") || text.contains("memory"));
            let (found, _) = runtime.block_on(ask_https(&exchange, script, 1 << 16));
            prop_assert_eq!(found.is_ok(), fits, "{:?}", found);
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_body_that_breaks_off_is_never_taken_for_a_whole_one() {
    let runtime = paused();
    let good = r#"{"code":0,"data":[["information_schema"]],"rows":1}"#.as_bytes();
    let framing = framing().prop_filter("it has an end", Framing::has_an_end);
    runner()
        .run(&(framing, any::<Index>(), 1..64_usize), |(framing, at, piece)| {
            let whole = framing.frame(200, good);
            let bytes = whole[..at.index(whole.len())].to_vec();
            let script = Script { bytes, piece, asked: true, hang_up: true };
            let (outcome, _) = runtime.block_on(ask_tdengine(script, 64));
            let failure = outcome.expect_err("it broke off");
            prop_assert_eq!(failure.reason, R::Reset, "{}", failure);
            Ok(())
        })
        .unwrap();
}

mod certificates {
    use privatelinkd::model::Certificate;
    use privatelinkd::probe::certificate::read;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

    use super::*;

    /// As a server may show them, some of them odd.
    fn seeds() -> Vec<Vec<u8>> {
        let key = KeyPair::generate().unwrap();
        let of = |params: CertificateParams| params.self_signed(&key).unwrap().der().to_vec();
        let named = |names: &[&str]| CertificateParams::new(names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>());
        let mut plain = named(&["gw.example.com", "*.example.com", "10.0.0.1", "2001:db8::1"]).unwrap();
        plain.distinguished_name.push(DnType::CommonName, "an authority");
        let mut many = CertificateParams::default();
        many.subject_alt_names = (0..100)
            .map(|n| SanType::DnsName(format!("{n}.{}.example.com", "x".repeat(60)).try_into().unwrap()))
            .collect();
        many.distinguished_name = rcgen::DistinguishedName::new();
        many.distinguished_name.push(DnType::OrganizationName, DnValue::Utf8String("\u{1b}[31m\u{7}é".repeat(200)));
        let mut printable = CertificateParams::default();
        let name = DnValue::PrintableString("Printable Inc".try_into().unwrap());
        printable.distinguished_name.push(DnType::CommonName, name);
        printable.not_after = rcgen::date_time_ymd(9999, 12, 31);
        printable.not_before = rcgen::date_time_ymd(1970, 1, 1);
        vec![of(plain), of(many), of(printable), privatelink_sim::Pki::new("ca").unwrap().ca_der()]
    }

    fn check(certificate: &Certificate) {
        let shown = |text: &str| text.chars().count() <= 253 && !text.chars().any(char::is_control);
        assert!(certificate.names.len() <= 20, "{certificate:?}");
        assert!(certificate.names.iter().all(|name| shown(name)), "{certificate:?}");
        assert!(shown(&certificate.issuer), "{certificate:?}");
    }

    #[test]
    fn the_seeds_are_certificates() {
        for (n, der) in seeds().iter().enumerate() {
            let certificate = read(der).unwrap_or_else(|| panic!("seed {n}"));
            check(&certificate);
            assert!(!certificate.issuer.is_empty(), "{certificate:?}");
        }
        assert_eq!(read(&seeds()[0]).unwrap().names, ["gw.example.com", "*.example.com", "10.0.0.1", "2001:db8::1"]);
        assert_eq!(read(&seeds()[1]).unwrap().names.len(), 20);
    }

    #[test]
    fn whatever_is_shown_as_a_certificate_is_read_or_none_and_fit_to_be_shown() {
        // Bytes that mean something in DER: tags and lengths.
        let byte = prop_oneof![
            any::<u8>(),
            select(vec![0, 1, 2, 4, 5, 6, 0xc, 0x13, 0x17, 0x18, 0x30, 0x31, 0x80, 0x82, 0x84, 0x87, 0xa0, 0xa3, 0xff])
        ];
        let edits = vec((any::<Index>(), byte, 0..5_u8), 1..6);
        let mutated = (select(seeds()), edits).prop_map(|(seed, edits)| edits.into_iter().fold(seed, edit));
        let any_bytes = prop_oneof![20 => mutated, 1 => vec(any::<u8>(), 0..300)];
        let understood = std::cell::Cell::new(0_u32);
        runner()
            .run(&any_bytes, |der| {
                if let Some(certificate) = read(&der) {
                    check(&certificate);
                    understood.set(understood.get() + 1);
                }
                Ok(())
            })
            .unwrap();
        assert!(understood.get() > 0, "some changes leave a certificate");
    }

    /// Changes, inserts, removes, cuts off or doubles a part.
    fn edit(mut bytes: Vec<u8>, (at, value, how): (Index, u8, u8)) -> Vec<u8> {
        if bytes.is_empty() {
            return vec![value];
        }
        let at = at.index(bytes.len());
        match how {
            0 | 1 => bytes[at] = value,
            2 => bytes.insert(at, value),
            3 => drop(bytes.drain(at..(at + usize::from(value) % 8).min(bytes.len()))),
            _ => bytes.truncate(at),
        }
        bytes
    }
}
