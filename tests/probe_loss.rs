//! What TCP had to send again is told by each probe: of the SYN, and of what follows it, but no tail-loss probe.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use privatelink_sim::{TcpMode, TcpService, free_address};
use privatelinkd::model::{Check, ProbeKind};
use privatelinkd::probe::Prober as _;
use privatelinkd::probe::dial::{Connected, Deadline, ResentSinceLook, connect};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::probe_tcp::{PATIENT, probers, target};

#[tokio::test]
async fn a_syn_that_was_sent_again_is_told_by_successes_and_by_failures() {
    let service = TcpService::start(free_address(5432).unwrap()).await.unwrap();
    let prober = probers().prober(&target(service.address(), ProbeKind::Tcp), Check::Path);
    assert_eq!(prober.probe(PATIENT).await.unwrap().retransmissions, 0);
    service.set(TcpMode::Silent).await.unwrap();
    // The kernel sends a SYN again after a second.
    let hasty = prober.probe(Duration::from_millis(500)).await.unwrap_err();
    let failed = prober.probe(Duration::from_millis(1500)).await.unwrap_err();
    assert_eq!((hasty.retransmissions, failed.retransmissions), (0, 1));
    let (succeeded, ()) = tokio::join!(prober.probe(PATIENT), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        service.set(TcpMode::Up).await.unwrap();
    });
    assert_eq!(succeeded.unwrap().retransmissions, 1);
}

/// Set where this test runs a second time, in a network of its own.
const INSIDE: &str = "PRIVATELINKD_TEST_OWN_NETWORK";

#[test]
fn what_a_timer_sent_again_is_told_and_a_tail_loss_probe_is_not() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let name = concat!(module_path!(), "::what_a_timer_sent_again_is_told_and_a_tail_loss_probe_is_not");
    let name = name.split_once("::").unwrap().1;
    let mut command = Command::new("unshare");
    command.args(["--net", "--map-root-user"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", name]).env(INSIDE, "1").stdin(Stdio::null());
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return println!("skipped: no unshare: {error}"),
    };
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    if let Some(why) = err.strip_prefix("unshare: ") {
        return println!("skipped: no network namespace to be had: {why}");
    }
    assert!(output.status.success(), "{out}{err}");
    if let Some(why) = out.lines().find(|line| line.starts_with("skipped:")) {
        println!("{why}");
    }
}

fn run(program: &str, args: &[&str], input: &str) -> Result<(), String> {
    let mut command = Command::new(program);
    // Folders of root's.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    command.args(args).env("PATH", path).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).map_err(|error| error.to_string())?;
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Loses the first `packets` segments of data that go to a port.
fn lose(packets: u32, port: u16) -> Result<(), String> {
    let rule = format!("tcp dport {port} tcp flags & psh == psh limit rate 1/day burst {packets} packets drop");
    let rules = format!("table inet loss {{\nchain in_ {{\ntype filter hook input priority 0;\n{rule}\n}}\n}}\n");
    run("nft", &["-f", "-"], &rules)
}

fn inside() {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    if let Err(why) = run("ip", &["link", "set", "lo", "up"], "").and_then(|()| lose(1, port)) {
        return println!("skipped: no packets can be lost here: {why}");
    }
    run("nft", &["delete", "table", "inet", "loss"], "").unwrap();
    std::thread::spawn(move || {
        for peer in listener.incoming() {
            let mut peer = peer.unwrap();
            std::thread::spawn(move || {
                let mut byte = [0];
                while peer.read_exact(&mut byte).is_ok() && peer.write_all(&byte).is_ok() {}
            });
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let Connected { mut stream, mut resent, .. } = connect(address, Deadline::after(PATIENT)).await.unwrap();
        // The probe is sent some 200 ms after what was lost; the timer runs out as much later.
        for (lost, by_a_timer) in [(0, 0), (1, 0), (2, 2), (3, 3), (0, 0)] {
            if lost > 0 {
                lose(lost, port).unwrap();
            }
            stream.write_all(&[7]).await.unwrap();
            stream.read_exact(&mut [0]).await.unwrap();
            let again = ResentSinceLook { by_a_timer, tail_loss_probe: lost == 1 };
            assert_eq!(resent.since_last_look(&stream), again, "of {lost} lost");
            if lost > 0 {
                run("nft", &["delete", "table", "inet", "loss"], "").unwrap();
            }
        }
    });
}
