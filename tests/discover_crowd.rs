//! Many domain names at a real resolver on loopback, most of which it never answers for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use privatelinkd::cloud::resolve::Resolver;
use privatelinkd::config::from_toml;
use privatelinkd::discover::rounds::{self, Cloud, Question, Said};
use privatelinkd::discover::{LookupPool, Lookups, SourceAnswer, SourceError};
use privatelinkd::model::{Families, Inventory, SourceKind};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long a lookup waits for a name that nobody answers for: two attempts.
const ATTEMPT: Duration = Duration::from_secs(3);

/// Answers for names that begin with `y`, and swallows the others.
async fn resolver() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
            let query = &buffer[..length];
            if query[13] != b'y' {
                continue;
            }
            let name_end = 12 + query[12..].iter().position(|b| *b == 0).unwrap() + 1;
            let mut reply = query[..2].to_vec();
            reply.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            reply.extend(&query[12..name_end + 4]);
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 0, 0, 1]);
            socket.send_to(&reply, peer).await.unwrap();
        }
    });
    address
}

#[derive(Clone)]
struct Domains(Lookups);

impl Cloud for Domains {
    async fn ask(&self, question: &Question) -> Option<Result<SourceAnswer, SourceError>> {
        self.0.endpoint_domain(question.wanted()?).await
    }
}

#[tokio::test]
async fn a_hundred_silent_names_hold_up_nobody() {
    let resolver = Resolver::new(&[resolver().await], ATTEMPT).unwrap();
    let families = Families { ipv4: true, ipv6: false };
    let domains = Lookups { resolver, pool: LookupPool::default(), families };
    // In the order of their names the silent ones come first.
    let endpoint = |n: usize| {
        let first = if n < 100 { "n" } else { "y" };
        format!(
            "[[endpoint]]\nname = \"{first}{n}\"\ndomain = \"{first}{n}.example.com\"\n\
             private_dns = [\"db{n}.example.com\"]\n"
        )
    };
    let config = Arc::new(from_toml(&(0..120).map(endpoint).collect::<String>()).unwrap());
    let questions = rounds::questions(&[SourceKind::EndpointDomain], &config, &Arc::new(Inventory::default()), None);
    assert_eq!(questions.len(), 120);
    let (tell, mut heard) = mpsc::unbounded_channel();
    let began = Instant::now();
    let round = tokio::spawn(rounds::side_by_side(Domains(domains), questions, tell));
    for _ in 0..20 {
        let Said { question, said } = heard.recv().await.unwrap();
        assert!(question.name.as_str().starts_with('y') && said.is_ok(), "{question:?}: {said:?}");
    }
    assert!(began.elapsed() < ATTEMPT, "{:?}", began.elapsed());
    // The others are told one by one as they fail.
    let Said { said, .. } = heard.recv().await.unwrap();
    assert!(matches!(said, Err(SourceError::Resolve(_))), "{said:?}");
    round.abort();
}
