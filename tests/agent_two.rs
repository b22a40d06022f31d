//! Agent and hosts writer as two processes, and what they tell the service manager. The booted test does the same with
//! a real systemd and real rights; here every word is looked at.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use privatelinkd::model::{Boottime, Receipts};
use privatelinkd::sys::clock::Clock;
use tokio::task::spawn_blocking;

use crate::agent_rig::{FOREIGN, NAME, Pair, Rig, until};

/// Far longer than any of the waits below needs.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the agent says when there is nothing to say.
const ALL_WELL: &str = "1 name published; 2 of 2 addresses up";

/// A process, and the socket that it takes for the service manager's.
struct Process {
    child: Child,
    socket: UnixDatagram,
    began: Boottime,
    /// Every message so far, and when it came.
    heard: Vec<(Duration, String)>,
}

impl Process {
    fn start(rig: &Rig, label: &str, arguments: &[&str], watchdog: Option<Duration>) -> Self {
        let path = rig.path(&format!("{label}-{}.sock", fastrand::u32(..)));
        let socket = UnixDatagram::bind(&path).unwrap();
        let log = std::fs::File::options().create(true).append(true).open(rig.path("log")).unwrap();
        let mut command: Command = rig.command(arguments);
        command.env("NOTIFY_SOCKET", &path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        if let Some(longest) = watchdog {
            command.env("WATCHDOG_USEC", longest.as_micros().to_string());
        }
        let began = now();
        Self { child: command.spawn().unwrap(), socket, began, heard: Vec::new() }
    }

    fn agent(rig: &Rig) -> Self {
        Self::start(rig, "agent", &["run"], None)
    }

    fn writer(rig: &Rig) -> Self {
        Self::start(rig, "writer", &["hosts", "run"], None)
    }

    /// Waits until this is the state that it tells.
    async fn says(&mut self, status: &str) {
        let line = format!("STATUS={status}");
        let said = self.heard.iter().flat_map(|(_, text)| text.lines()).rfind(|l| l.starts_with("STATUS="));
        if !said.is_some_and(|said| said.starts_with(&line)) {
            self.hears(&line).await;
        }
    }

    /// Waits for a message with a line that begins so, and says when it came.
    async fn hears(&mut self, line: &str) -> Duration {
        let socket = self.socket.try_clone().unwrap();
        let (wanted, began) = (line.to_owned(), self.began);
        let listen = move || {
            let mut heard = Vec::new();
            let end = now().after(PATIENCE);
            let mut bytes = [0; 4096];
            loop {
                let left = end.since(now());
                assert!(!left.is_zero(), "expected {wanted}, heard {heard:?}");
                socket.set_read_timeout(Some(left)).unwrap();
                let Ok(n) = socket.recv(&mut bytes) else { continue };
                let text = String::from_utf8(bytes[..n].to_vec()).unwrap();
                let found = text.lines().any(|l| l.starts_with(&wanted));
                heard.push((now().since(began), text));
                if found {
                    return heard;
                }
            }
        };
        let heard = spawn_blocking(listen).await.unwrap();
        let at = heard.last().unwrap().0;
        self.heard.extend(heard);
        at
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    async fn end(mut self, signal: Signal) -> std::process::ExitStatus {
        self.signal(signal);
        spawn_blocking(move || self.child.wait()).await.unwrap().unwrap()
    }
}

fn now() -> Boottime {
    Clock::System.now().boottime
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Databases in two zones, and the files of a host that is to use them.
async fn prepared() -> (Pair, Rig) {
    let zones = Pair::start().await;
    let rig = Rig::new(&zones.endpoint("db", NAME));
    (zones, rig)
}

/// A host on which both services are at work.
struct Host {
    zones: Pair,
    rig: Rig,
    writer: Process,
    agent: Process,
}

impl Host {
    async fn start() -> Self {
        let (zones, rig) = prepared().await;
        let mut writer = Process::writer(&rig);
        writer.hears("READY=1").await;
        let mut agent = Process::agent(&rig);
        agent.says(ALL_WELL).await;
        Self { zones, rig, writer, agent }
    }
}

#[tokio::test]
async fn each_does_its_part_and_survives_the_other() {
    let (zones, rig) = prepared().await;
    let mut writer = Process::writer(&rig);
    writer.hears("READY=1").await;
    let mut agent = Process::agent(&rig);
    let ready = agent.hears("READY=1").await;
    println!("agent: ready {} ms after its start", ready.as_millis());
    rig.moves_to(NAME, &zones.ips()).await;
    agent.says(ALL_WELL).await;
    writer.says("1 name published").await;

    assert!(!agent.end(Signal::SIGKILL).await.success());
    rig.moves_to(NAME, &zones.ips()).await;
    let mut agent = Process::agent(&rig);
    agent.hears("READY=1").await;

    assert!(!writer.end(Signal::SIGKILL).await.success());
    rig.moves_to(NAME, &zones.ips()).await;
    rig.write_hosts(FOREIGN);
    let mut writer = Process::writer(&rig);
    writer.hears("READY=1").await;
    rig.moves_to(NAME, &zones.ips()).await;

    assert!(agent.end(Signal::SIGTERM).await.success());
    let status = rig.run(&["status"]).await;
    assert_eq!(status.code, 69);
    assert!(status.err.contains("no agent answers") && status.err.contains("names: 1 published"), "{}", status.err);
    assert!(writer.end(Signal::SIGTERM).await.success());
    rig.moves_to(NAME, &zones.ips()).await;
}

#[tokio::test]
async fn without_a_writer_the_agent_is_ready_late_and_says_why() {
    let (_zones, rig) = prepared().await;
    let mut agent = Process::agent(&rig);
    let ready = agent.hears("READY=1").await;
    assert!(ready >= Duration::from_secs(9), "{ready:?}: nothing was published");
    let said: String = agent.heard.iter().map(|(_, text)| text.as_str()).collect();
    assert!(said.contains("STATUS=degraded: ") && said.contains("no word from the writer yet"), "{said}");
    assert_eq!(rig.run(&["status"]).await.code, 1);
}

/// The receipt that a stopped writer leaves behind speaks of the right plan, so it alone would say that all is well.
#[tokio::test]
async fn a_writer_with_nothing_to_do_shows_life_and_one_that_hangs_does_not() {
    let Host { zones: _zones, rig, writer, mut agent } = Host::start().await;
    tokio::time::sleep(Receipts::SILENT_AFTER + Duration::from_secs(3)).await;
    assert_eq!(rig.run(&["status"]).await.code, 0, "nothing has happened, and the writer lives");
    writer.signal(Signal::SIGSTOP);
    agent.hears("STATUS=degraded: ").await;
    let status = rig.run(&["status"]).await;
    assert!(status.code == 1 && status.out.contains("the hosts writer has shown no sign of life for 3"), "{status:?}");
    writer.signal(Signal::SIGCONT);
    agent.hears(&format!("STATUS={ALL_WELL}")).await;
}

/// As whoever tries `privatelinkd run` by hand while the service runs: the second would write the plan that the hosts
/// writer obeys, with what it alone knows.
#[tokio::test]
async fn there_is_one_agent_and_one_writer_a_folder() {
    let Host { zones: _zones, rig, writer, agent } = Host::start().await;
    let before = rig.files();
    let seconds: [(&[&str], &Process); 3] =
        [(&["run"], &agent), (&["run", "--all-in-one"], &agent), (&["hosts", "run"], &writer)];
    for (arguments, other) in seconds {
        let said = rig.run(arguments).await;
        assert_eq!(said.code, 69, "{said:?}");
        let what = if arguments[0] == "run" { "agent" } else { "hosts writer" };
        let line = format!("another {what} runs, pid {}: it holds ", other.child.id());
        assert!(said.err.contains(&line), "{said:?}");
    }
    let changed = |files: &[(std::path::PathBuf, Vec<u8>)]| {
        let kept = |name: &str| files.iter().find(|(path, _)| path.ends_with(name)).map(|(_, bytes)| bytes.clone());
        ["run/plan.json", "etc/hosts", "run/agent.lock", "run-hosts/writer.lock"].map(kept)
    };
    assert_eq!(changed(&rig.files()), changed(&before), "no file was touched");

    // Killed, they leave no lock behind; and a folder of its own is no other's.
    assert!(!agent.end(Signal::SIGKILL).await.success());
    let mut second = Process::start(&rig, "second", &["run", "--all-in-one"], None);
    assert_eq!(spawn_blocking(move || second.child.wait()).await.unwrap().unwrap().code(), Some(69), "the writer runs");
    let mut agent = Process::agent(&rig);
    agent.says(ALL_WELL).await;
}

#[tokio::test]
async fn life_reloads_and_the_end_are_told() {
    let (_zones, rig) = prepared().await;
    for arguments in [&["hosts", "run"][..], &["run"]] {
        let mut process = Process::start(&rig, "p", arguments, Some(Duration::from_secs(1)));
        process.hears("READY=1").await;
        process.hears("WATCHDOG=1").await;
        process.hears("WATCHDOG=1").await;
        process.signal(Signal::SIGHUP);
        process.hears("RELOADING=1").await;
        let reloading = &process.heard.last().unwrap().1;
        assert!(reloading.lines().any(|l| l.starts_with("MONOTONIC_USEC=")), "{reloading}");
        process.hears("READY=1").await;
        process.signal(Signal::SIGTERM);
        process.hears("STOPPING=1").await;
    }
}

#[tokio::test]
async fn what_somebody_takes_out_of_the_run_folders_comes_back() {
    let Host { zones, rig, writer: _writer, agent: _agent } = Host::start().await;
    let files = ["run/plan.json", "run/alive", "run/status.sock", "run-hosts/receipt.json"];
    let all_there = async || files.iter().all(|f| rig.path(f).exists());
    until("every file", all_there).await;
    for file in files {
        std::fs::remove_file(rig.path(file)).unwrap();
    }
    until("every file again", all_there).await;
    until("an answer", async || rig.report().await.is_some()).await;
    rig.moves_to(NAME, &zones.ips()).await;
}

/// However often somebody takes the block out, it comes back (B11). The third time is told wherever people look, and
/// from then on five seconds lie between two writes.
#[tokio::test]
async fn who_keeps_taking_the_block_out_is_told_everywhere_and_meets_a_slower_writer() {
    let Host { zones, rig, writer: _writer, agent: _agent } = Host::start().await;
    let mut written = Vec::new();
    for removal in 1..=5 {
        rig.write_hosts(FOREIGN);
        let removed = now();
        rig.moves_to(NAME, &zones.ips()).await;
        println!("removal {removal}: seen back after {} ms", now().since(removed).as_millis());
        written.push(std::fs::metadata(rig.path("etc/hosts")).unwrap().modified().unwrap());
    }
    for (earlier, later) in [(2, 3), (3, 4)] {
        let between = written[later].duration_since(written[earlier]).unwrap();
        assert!(between >= Duration::from_millis(4_900), "{between:?} between writes {earlier} and {later}");
    }
    let report = rig.reports("a conflict", |report| report.publishers["hosts"].conflict).await;
    assert!(report.problems.iter().any(|problem| problem.contains("somebody keeps removing our block")), "{report:?}");
    assert_eq!(rig.run(&["status"]).await.code, 1);
    assert_eq!(rig.metric("privatelink_hosts_conflicts_total").await, Some(1.0));
    let told =
        "somebody keeps removing our block, or puts its names back beside it; writing at most every 5 s from now on";
    rig.logs(told).await;
}
