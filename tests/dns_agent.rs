//! The stub from outside: it says what the hosts file says, and is there when it should be.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hickory_server::proto::op::{Message, ResponseCode};
use hickory_server::proto::rr::{RData, RecordType};
use nix::sys::signal::Signal;
use privatelink_sim::{TcpMode, free_address};
use privatelinkd::model::AnswerReason;
use privatelinkd::publish::hosts::block;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::agent_rig::{NAME, Pair, Rig, until};
use crate::dns_fixture::{query, wire_name};

const A: u16 = 1;
const TXT: u16 = 16;

fn dns_section(listen: &[SocketAddr]) -> String {
    let listen: Vec<_> = listen.iter().map(|a| format!("\"{a}\"")).collect();
    format!("[dns]\npublish = true\nlisten = [{}]\nttl = \"0s\"\n", listen.join(", "))
}

/// One query by UDP; `None` without a reply within a second.
fn ask(server: SocketAddr, name: &str, kind: u16) -> Option<Message> {
    let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.send_to(&query(&wire_name(name), kind, &[]), server).unwrap();
    let mut reply = [0; 1500];
    let (length, from) = socket.recv_from(&mut reply).ok()?;
    assert_eq!(from, server);
    Some(Message::from_vec(&reply[..length]).unwrap())
}

fn addresses(message: &Message) -> Vec<IpAddr> {
    let of = |data: &RData| match data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(a) => Some(IpAddr::V6(a.0)),
        _ => None,
    };
    message.answers.iter().filter_map(|r| of(&r.data)).collect()
}

fn points_at(server: SocketAddr, name: &str) -> Option<Vec<IpAddr>> {
    ask(server, name, A).map(|m| addresses(&m))
}

/// Watches two ways to publish, each as it answers, until told to stop: for how long they differed at most, and every
/// answer that both gave, one after the other. Where one of them does not answer they don't differ.
fn watch(
    stop: &Arc<AtomicBool>,
    looks: [impl Fn() -> Option<Vec<IpAddr>> + Send + 'static; 2],
) -> std::thread::JoinHandle<(Duration, Vec<Vec<IpAddr>>)> {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let (mut longest, mut agreed, mut same) = (Duration::ZERO, Instant::now(), Vec::new());
        while !stop.load(Ordering::Relaxed) {
            match looks.each_ref().map(|look| look()) {
                [Some(a), Some(b)] if a != b => longest = longest.max(agreed.elapsed()),
                [Some(a), Some(_)] => {
                    agreed = Instant::now();
                    if same.last() != Some(&a) {
                        same.push(a);
                    }
                }
                _ => agreed = Instant::now(),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        (longest, same)
    })
}

#[tokio::test]
async fn hosts_and_dns_say_the_same_through_every_change() {
    let pair = Pair::start().await;
    let [a, b] = pair.ips();
    let listen = free_address(1053).unwrap();
    let mut rig = Rig::new(&(dns_section(&[listen]) + &pair.endpoint("db", NAME)));
    rig.start();
    rig.settled().await;
    rig.moves_to(NAME, &[a, b]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let hosts_path = rig.path("etc/hosts");
    let from_hosts = move || {
        let name = NAME.parse().unwrap();
        let block = block::salvage(&std::fs::read(&hosts_path).ok()?)?;
        block.entries.get(&name).map(|e| e.addresses.clone())
    };
    let looks: [Box<dyn Fn() -> Option<Vec<IpAddr>> + Send>; 2] =
        [Box::new(from_hosts), Box::new(move || points_at(listen, NAME))];
    let watcher = watch(&stop, looks);

    // A zone dies and comes back, then both die.
    pair.set(0, TcpMode::Refused).await;
    rig.moves_to(NAME, &[b]).await;
    let said = ask(listen, NAME, TXT).unwrap();
    assert!(said.answers[0].data.to_string().contains("reason=failed_over"), "{said:?}");
    pair.set(0, TcpMode::Up).await;
    rig.moves_to(NAME, &[a, b]).await;
    pair.set(0, TcpMode::Silent).await;
    rig.moves_to(NAME, &[b]).await;
    pair.set(1, TcpMode::Refused).await;
    rig.answers_as(AnswerReason::AllDownKept).await;
    // The agent dies; the cached plan is asserted by both.
    let kept = rig.path("state/plan.json");
    until("the plan is kept", async || std::fs::read_to_string(&kept).is_ok_and(|p| p.contains("all_down_kept"))).await;
    rig.crash().await;
    rig.start();
    rig.answers_as(AnswerReason::AllDownKept).await;
    until("the stub is back", async || points_at(listen, NAME) == Some(vec![b])).await;
    pair.set(0, TcpMode::Up).await;
    rig.moves_to(NAME, &[a]).await;
    pair.set(1, TcpMode::Up).await;
    rig.moves_to(NAME, &[a, b]).await;
    until("the stub says so too", async || points_at(listen, NAME) == Some(vec![a, b])).await;

    // The watcher sees the last one, too.
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);
    let (longest, same) = watcher.join().unwrap();
    println!("they differed for {longest:?} at most; both said {same:?}");
    // Two fsyncs lie between them; more than a moment only on a machine that is very busy.
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    assert!(same.len() >= 6 && same.contains(&vec![a]) && same.contains(&vec![b]), "{same:?}");
}

#[tokio::test]
async fn a_name_that_leaves_the_config_leaves_both_after_the_grace() {
    let pair = Pair::start().await;
    let listen = free_address(1053).unwrap();
    let config = |names: &str| dns_section(&[listen]) + &pair.endpoint("db", names);
    let mut rig = Rig::new(&config("db.example.internal\", \"old.example.internal"));
    rig.start();
    rig.settled().await;
    rig.moves_to("old.example.internal", &pair.ips()).await;
    rig.write_config(&(rig.header().replace("removal_grace = \"10m\"", "removal_grace = \"2s\"") + &config(NAME)));
    rig.reload().await;
    assert_eq!(points_at(listen, "old.example.internal"), Some(pair.ips().to_vec()), "it stays for the grace");
    assert_eq!(rig.points_at("old.example.internal"), pair.ips());
    until("it left the block", async || rig.points_at("old.example.internal").is_empty()).await;
    let gone = async || ask(listen, "old.example.internal", A).unwrap().metadata.response_code == ResponseCode::Refused;
    until("it left the stub", gone).await;
    assert_eq!(points_at(listen, NAME), Some(pair.ips().to_vec()));
}

#[tokio::test]
async fn streams_are_answered_in_order_and_what_is_cut_is_whole_there() {
    let listen = free_address(1053).unwrap();
    let wide: Vec<_> = (1..=60).map(|n| format!("\"127.9.0.{n}\"")).collect();
    let endpoint = format!(
        "[[endpoint]]\nname = \"db\"\naddresses = {{ h = [{}] }}\nprivate_dns = [\"{NAME}\"]\n",
        wide.join(", ")
    );
    let mut rig = Rig::new(&(dns_section(&[listen]) + &endpoint));
    rig.start();
    until("the stub serves", async || ask(listen, NAME, A).is_some()).await;
    let cut = ask(listen, NAME, A).unwrap();
    assert!(cut.metadata.truncation && cut.answers.is_empty(), "{cut:?}");

    let mut stream = TcpStream::connect(listen).await.unwrap();
    let mut many = Vec::new();
    for id in 0..50_u16 {
        let mut query = query(&wire_name(NAME), A, &[]);
        query[..2].copy_from_slice(&id.to_be_bytes());
        many.extend_from_slice(&u16::try_from(query.len()).unwrap().to_be_bytes());
        many.extend_from_slice(&query);
    }
    // In pieces that have nothing to do with messages.
    for piece in many.chunks(7) {
        stream.write_all(piece).await.unwrap();
    }
    for id in 0..50 {
        let mut reply = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut reply).await.unwrap();
        let reply = Message::from_vec(&reply).unwrap();
        assert_eq!((reply.metadata.id, reply.answers.len()), (id, 60));
    }
    // A reply is no query: the connection ends, and nobody else's.
    let reply = [0, 12, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    stream.write_all(&reply).await.unwrap();
    assert_eq!(stream.read(&mut [0; 2]).await.unwrap(), 0);
    assert!(ask(listen, NAME, A).is_some());
}

#[tokio::test]
async fn a_taken_address_is_waited_for_and_the_others_are_served() {
    let pair = Pair::start().await;
    let [first, second, third] = [1053, 1053, 1053].map(|port| free_address(port).unwrap());
    let squatter = UdpSocket::bind(second).unwrap();
    let config = |listen: &[SocketAddr]| dns_section(listen) + &pair.endpoint("db", NAME);
    let mut rig = Rig::new(&config(&[first, second]));
    rig.start();
    rig.settled().await;
    assert_eq!(points_at(first, NAME), Some(pair.ips().to_vec()));
    let problem =
        format!("the DNS stub does not serve {second} (udp): expected {second} to be free, found another process");
    let report = rig.reports("the taken address is told", |r| r.problems.iter().any(|p| p.starts_with(&problem))).await;
    assert!(report.publishers["dns"].in_sync, "it is served elsewhere");
    assert_eq!(rig.run(&["status"]).await.code, 1);
    drop(squatter);
    until("the freed address is served", async || points_at(second, NAME).is_some()).await;
    rig.reports("all is well", |r| r.problems.is_empty()).await;
    let told = ["listener_failed", "listener_back"].map(|event| rig.log().matches(event).count());
    assert_eq!(told, [1, 1], "its failure is told once, and so is its end");

    // A reload opens what is new, closes what is gone, and leaves the others alone.
    let mut stream = TcpStream::connect(first).await.unwrap();
    rig.configure(&config(&[first, third]));
    rig.reload().await;
    until("the new address is served", async || points_at(third, NAME).is_some()).await;
    until("the old one is not", async || UdpSocket::bind(second).is_ok()).await;
    let query = query(&wire_name(NAME), A, &[]);
    let framed = [&u16::try_from(query.len()).unwrap().to_be_bytes()[..], &query].concat();
    stream.write_all(&framed).await.unwrap();
    assert!(stream.read_u16().await.unwrap() > 12, "an unchanged listener keeps its connections");

    let queries = rig.metric("privatelink_dns_queries_total{transport=\"udp\",rcode=\"noerror\"}").await;
    assert!(queries.is_some_and(|n| n >= 3.0), "{queries:?}");
    assert!(rig.metric("privatelink_dns_query_duration_seconds_count").await.is_some());
}

#[tokio::test]
async fn a_restart_loses_no_query_of_a_socket_that_was_handed_over() {
    let pair = Pair::start().await;
    let listen = free_address(1053).unwrap();
    let mut rig = Rig::new(&(dns_section(&[listen]) + &pair.endpoint("db", NAME)));
    let udp = UdpSocket::bind(listen).unwrap();
    let tcp = std::net::TcpListener::bind(listen).unwrap();
    // As systemd does it: from the third descriptor on, for this process.
    let start = |rig: &Rig| {
        let agent = rig.command(&["run", "--all-in-one"]);
        let mut shell = Command::new("sh");
        shell.args(["-c", "LISTEN_PID=$$ LISTEN_FDS=2; export LISTEN_PID LISTEN_FDS; exec \"$0\" \"$@\" 3<&0 4<&1 </dev/null >/dev/null"]);
        shell.arg(agent.get_program()).args(agent.get_args());
        shell.envs(agent.get_envs().filter_map(|(k, v)| Some((k, v?))));
        let log = std::fs::File::options().create(true).append(true).open(rig.path("log")).unwrap();
        let fds = [OwnedFd::from(udp.try_clone().unwrap()), OwnedFd::from(tcp.try_clone().unwrap())];
        let [udp, tcp] = fds.map(Stdio::from);
        shell.stdin(udp).stdout(tcp).stderr(log).spawn().unwrap()
    };
    rig.adopt(start(&rig));
    rig.settled().await;
    until("the stub serves", async || points_at(listen, NAME).is_some()).await;
    rig.end(Signal::SIGKILL).await;

    let client = UdpSocket::bind((listen.ip(), 0)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.send_to(&query(&wire_name(NAME), A, &[]), listen).unwrap();
    let mut stream = TcpStream::connect(listen).await.unwrap();
    let asked = Instant::now();
    rig.adopt(start(&rig));
    let mut reply = [0; 1500];
    let (length, _) = client.recv_from(&mut reply).unwrap();
    println!("answered {:?} after it was asked of nobody", asked.elapsed());
    let reply = Message::from_vec(&reply[..length]).unwrap();
    assert_eq!(addresses(&reply), pair.ips());
    assert_eq!(reply.queries[0].query_type(), RecordType::A);
    let query = query(&wire_name(NAME), A, &[]);
    stream.write_all(&[&u16::try_from(query.len()).unwrap().to_be_bytes()[..], &query].concat()).await.unwrap();
    assert!(stream.read_u16().await.unwrap() > 12);
}

/// A resolver that says REFUSED to nobody: to everything there is one address, and the id and question come back.
fn resolver(address: SocketAddr) -> std::thread::JoinHandle<usize> {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    std::thread::spawn(move || {
        let mut asked = 0;
        let mut query = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            if query[..length].ends_with(b"stop") {
                break;
            }
            asked += 1;
            let mut reply = query[..length].to_vec();
            reply[2..4].copy_from_slice(&[0x81, 0x80]);
            reply[7] = 1;
            reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1]);
            if query[13..].starts_with(b"long") {
                reply.resize(1233, 0);
            }
            // A guess at the id first: it must not be taken.
            let mut guess = reply.clone();
            guess[0] ^= 0xff;
            guess[length + 15] = 66;
            socket.send_to(&guess, from).unwrap();
            socket.send_to(&reply, from).unwrap();
        }
        asked
    })
}

#[tokio::test]
async fn names_of_others_are_asked_of_others_and_ours_are_not() {
    let pair = Pair::start().await;
    let listen = free_address(1053).unwrap();
    let [dead, upstream] = [5353, 5353].map(|port| free_address(port).unwrap());
    let forward = |all: &[SocketAddr]| {
        let all: Vec<_> = all.iter().map(|a| format!("\"{a}\"")).collect();
        format!("{}forward = [{}]\n{}", dns_section(&[listen]), all.join(", "), pair.endpoint("db", NAME))
    };
    let resolver = resolver(upstream);
    let mut rig = Rig::new(&forward(&[upstream]));
    rig.start();
    rig.settled().await;
    assert_eq!(points_at(listen, NAME), Some(pair.ips().to_vec()));
    let reply = ask(listen, "www.example.org", A).unwrap();
    assert_eq!(addresses(&reply), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    assert_eq!((reply.metadata.id, reply.metadata.recursion_available), (0x1234, true));
    let long = ask(listen, "long.example.org", A).unwrap();
    assert!(long.metadata.truncation && long.answers.is_empty(), "no datagram of ours carries it: {long:?}");
    let beneath = ask(listen, &format!("x.{NAME}"), A).unwrap();
    assert_eq!(beneath.metadata.response_code, ResponseCode::NXDomain, "what lies beneath is ours to deny");

    // Nobody replies: the asker is told so, and others are answered meanwhile.
    rig.configure(&forward(&[dead]));
    rig.reload().await;
    let socket = UdpSocket::bind((listen.ip(), 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.send_to(&query(&wire_name("www.example.org"), A, &[]), listen).unwrap();
    assert_eq!(points_at(listen, NAME), Some(pair.ips().to_vec()));
    let mut reply = [0; 512];
    let (length, _) = socket.recv_from(&mut reply).unwrap();
    assert_eq!(Message::from_vec(&reply[..length]).unwrap().metadata.response_code, ResponseCode::ServFail);

    UdpSocket::bind((upstream.ip(), 0)).unwrap().send_to(b"stop", upstream).unwrap();
    assert_eq!(resolver.join().unwrap(), 2, "only the names of others");
}

/// Reads 54 bytes of hickory's least liked options: it warns of each such query.
const MALFORMED: &[u8] =
    b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x06lab-db\x07example\x08internal\x00\x00\x01\x00\x01\
    \x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x02\x00\x85";

/// A library's warnings of what anybody may send are summed up; none of our own lines is lost for them.
#[tokio::test]
async fn who_floods_the_stub_with_malformed_queries_writes_no_log() {
    const LOADED: &str = "config in force";
    let pair = Pair::start().await;
    let listen = free_address(1053).unwrap();
    let mut rig = Rig::new(&(dns_section(&[listen]) + &pair.endpoint("db", NAME)));
    rig.start();
    rig.settled().await;
    until("the stub answers", async || points_at(listen, NAME).is_some()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let flood = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let socket = UdpSocket::bind((listen.ip(), 0)).unwrap();
            let mut sent = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                sent += u64::from(socket.send_to(MALFORMED, listen).is_ok());
            }
            sent
        })
    };
    let log = || std::fs::read_to_string(rig.path("log")).unwrap();
    let lines = |log: &str, text: &str| log.lines().filter(|line| line.contains(text)).count();
    let before = lines(&log(), LOADED);
    for _ in 0..30 {
        rig.reload().await;
    }
    // Long enough for a summary, which comes while the flood goes on.
    until("what was left out is told", async || log().contains("more like it: incomplete or poorly")).await;
    let left_out = rig.metric("privatelink_log_dropped_total").await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let sent = flood.join().unwrap();
    let log = log();
    println!("{sent} packets sent, {left_out} lines left out, {} lines written", log.lines().count());
    assert_eq!(lines(&log, LOADED) - before, 30, "each reload has its line");
    assert!(lines(&log, "EDNS options") < 40, "{} lines of a library", lines(&log, "EDNS options"));
    assert!(left_out >= 1_000.0 && !log.contains("were dropped"), "{left_out}");
}
