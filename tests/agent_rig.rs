//! The built binary in a folder of its own, with a hosts file, a config and services on loopback: what the tests of
//! [`crate::agent`] drive from outside, as an admin would.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use privatelink_sim::{TcpMode, TcpService, free_address};
use privatelinkd::model::{AnswerReason, HostName};
use privatelinkd::observe::status::{AddressReport, AddressState, StatusReport};
use privatelinkd::publish::hosts::block;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::spawn_blocking;

/// Bytes that are not ours, some of them no UTF-8, no newline at the end.
pub(crate) const FOREIGN: &[u8] = b"127.0.0.1 localhost\n\xff\xfe caf\xe9\n# the end";
/// The name that most tests publish.
pub(crate) const NAME: &str = "db.example.internal";
const ZONES: [&str; 2] = ["cn-hangzhou-h", "cn-hangzhou-i"];

/// Where everything of one agent is.
pub(crate) struct Rig {
    dir: tempfile::TempDir,
    pub(crate) metrics: SocketAddr,
    agent: Option<Child>,
    /// More arguments of `run`.
    pub(crate) arguments: Vec<&'static str>,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Rig {
    /// A folder with a hosts file and this config below the [`header`](Self::header).
    pub(crate) fn new(endpoints: &str) -> Self {
        let metrics = free_address(9965).unwrap();
        let rig = Self { dir: tempfile::tempdir().unwrap(), metrics, agent: None, arguments: Vec::new() };
        std::fs::create_dir(rig.path("etc")).unwrap();
        std::fs::write(rig.path("etc/hosts"), FOREIGN).unwrap();
        rig.configure(endpoints);
        rig
    }

    /// As [`new`](Self::new), started, and the block written.
    pub(crate) async fn started(endpoints: &str) -> Self {
        let mut rig = Self::new(endpoints);
        rig.start();
        rig.settled().await;
        rig
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Everything of a config but its endpoints.
    pub(crate) fn header(&self) -> String {
        let dir = self.dir.path().display();
        format!(
            "[cloud]\nmetadata_endpoint = \"http://127.0.0.1:9\"\n[host]\nzone = \"{}\"\ninstance_id = \"i-test\"\nstate_dir = \"{dir}/state\"\nrun_dir = \"{dir}/run\"\n\
             admin_dir = \"{dir}/admin\"\n\
             [hosts]\npath = \"{dir}/etc/hosts\"\nallowed_ranges = [\"127.0.0.0/8\"]\nreassert_interval = \"1s\"\n\
             removal_grace = \"10m\"\nrun_dir = \"{dir}/run-hosts\"\nstate_dir = \"{dir}/state-hosts\"\n\
             [metrics]\nlisten = \"{}\"\n[log]\nlevel = \"info\"\n",
            ZONES[0], self.metrics
        )
    }

    /// Writes the config: the header and these endpoints.
    pub(crate) fn configure(&self, endpoints: &str) {
        self.write_config(&(self.header() + endpoints));
    }

    pub(crate) fn write_config(&self, text: &str) {
        let path = self.path("config.toml");
        std::fs::write(&path, text).unwrap();
        // Whatever the umask: what others could write is refused.
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    }

    pub(crate) fn start(&mut self) {
        assert!(self.agent.is_none(), "one agent a rig");
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = self.command(&["run", "--all-in-one"]);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.agent = Some(command.spawn().unwrap());
    }

    /// Takes over an agent that was started otherwise.
    pub(crate) fn adopt(&mut self, agent: Child) {
        assert!(self.agent.is_none(), "one agent a rig");
        self.agent = Some(agent);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.agent.as_ref().expect("a running agent").id();
        kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
    }

    /// Sends a signal and waits for the end.
    pub(crate) async fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        let mut child = self.agent.take().unwrap();
        spawn_blocking(move || child.wait()).await.unwrap().unwrap()
    }

    /// Ends the agent as a power cut would.
    pub(crate) async fn crash(&mut self) {
        assert_eq!(self.end(Signal::SIGKILL).await.signal(), Some(9));
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.agent.as_mut().is_some_and(|c| c.try_wait().unwrap().is_none())
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_with("config.toml", arguments)
    }

    /// A command on another config of the folder.
    pub(crate) fn command_with(&self, config: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_privatelinkd"));
        command.arg("--config").arg(self.path(config)).args(arguments);
        // Credentials of whoever runs the tests are none of their business.
        let theirs = std::env::vars_os().map(|(name, _)| name);
        theirs.filter(|name| name.to_string_lossy().starts_with("ALIBABA_CLOUD_")).for_each(|name| {
            command.env_remove(name);
        });
        command.env("HOME", self.dir.path());
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Said {
        Self::said(self.command(arguments)).await
    }

    /// Runs it to its end.
    pub(crate) async fn said(mut command: Command) -> Said {
        let output = spawn_blocking(move || command.stdin(Stdio::null()).output()).await.unwrap().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        // On a loaded machine everything takes a while, and what does is told.
        let is_waiting = |line: &&str| line.starts_with("privatelinkd: asking ") && line.ends_with(" …\n");
        let err = text(output.stderr);
        let err = err.split_inclusive('\n').filter(|line| !is_waiting(line)).collect();
        Said { code: output.status.code().unwrap(), out: text(output.stdout), err }
    }

    /// What `status.sock` says, if anybody serves it.
    pub(crate) async fn report(&self) -> Option<StatusReport> {
        let mut stream = UnixStream::connect(self.path("run/status.sock")).await.ok()?;
        let mut json = Vec::new();
        stream.read_to_end(&mut json).await.ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// Waits for a report like this, and hands it out.
    pub(crate) async fn reports(&self, what: &str, fits: impl Fn(&StatusReport) -> bool) -> StatusReport {
        let mut found = None;
        until(what, async || {
            found = self.report().await.filter(|r| fits(r));
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Waits until all is as it should be.
    pub(crate) async fn settled(&self) -> StatusReport {
        let up = |a: &AddressReport| matches!(a.state, AddressState::Up | AddressState::Down);
        let judged =
            |r: &StatusReport| r.endpoints.values().flat_map(|e| e.zones.values()).flat_map(|z| z.values()).all(up);
        self.reports("every address is judged and the plan is published", |r| {
            !r.names.is_empty() && judged(r) && r.publishers["hosts"].in_sync
        })
        .await
    }

    /// Waits for a reload to be over.
    pub(crate) async fn reload(&self) -> StatusReport {
        let before = self.report().await.unwrap().config.reloads;
        self.signal(Signal::SIGHUP);
        self.reports("the reload is done", |r| r.config.reloads > before).await
    }

    /// One request over HTTP: status and body; `None` if nobody answers.
    pub(crate) async fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.metrics).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.metrics);
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// The value of a series, if it is there.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics").await?;
        text.lines().find_map(|l| l.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    pub(crate) fn hosts(&self) -> Vec<u8> {
        std::fs::read(self.path("etc/hosts")).unwrap_or_default()
    }

    pub(crate) fn write_hosts(&self, bytes: &[u8]) {
        std::fs::write(self.path("etc/hosts"), bytes).unwrap();
    }

    /// Where our block says that a name points; empty if it does not say.
    pub(crate) fn points_at(&self, name: &str) -> Vec<IpAddr> {
        let name: HostName = name.parse().unwrap();
        let block = block::salvage(&self.hosts()).unwrap_or_default();
        block.entries.get(&name).map(|e| e.addresses.clone()).unwrap_or_default()
    }

    /// Waits until the block says so.
    pub(crate) async fn moves_to(&self, name: &str, addresses: &[IpAddr]) {
        until(&format!("{name} points at {addresses:?}"), async || self.points_at(name) == addresses).await;
        assert!(self.hosts().starts_with(FOREIGN), "foreign bytes stay");
    }

    /// Waits for the reason of [`NAME`]'s answer.
    pub(crate) async fn answers_as(&self, reason: AnswerReason) -> StatusReport {
        let name: HostName = NAME.parse().unwrap();
        self.reports(&format!("the reason is {reason}"), |r| r.names.get(&name).is_some_and(|n| n.reason == reason))
            .await
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits for a log line.
    pub(crate) async fn logs(&self, text: &str) {
        until(&format!("the log says {text:?}"), async || self.log().contains(text)).await;
    }

    /// Every file that the agent wrote, with its content.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let dirs = ["etc", "run", "state", "run-hosts", "state-hosts"].map(|d| std::fs::read_dir(self.path(d)));
        let files = dirs.into_iter().flatten().flatten().flatten().map(|e| e.path());
        files.filter_map(|p| Some((p.clone(), std::fs::read(p).ok()?))).collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(mut child) = self.agent.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            println!("the agent's log:\n{}", self.log());
            println!("the hosts file:\n{}", String::from_utf8_lossy(&self.hosts()));
        }
    }
}

/// Waits, with a bound that only a fault reaches.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let patience = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(40), patience).await.is_err() {
        panic!("never happened: {what}");
    }
}

/// A service in each of two zones.
pub(crate) struct Pair {
    pub(crate) services: [TcpService; 2],
}

impl Pair {
    pub(crate) async fn start() -> Self {
        let start = || TcpService::start(free_address(5432).unwrap());
        Self { services: [start().await.unwrap(), start().await.unwrap()] }
    }

    pub(crate) fn ips(&self) -> [IpAddr; 2] {
        self.services.each_ref().map(|s| s.address().ip())
    }

    pub(crate) async fn set(&self, zone: usize, mode: TcpMode) {
        self.services[zone].set(mode).await.unwrap();
    }

    /// `[[endpoint]]` of this label for this name.
    pub(crate) fn endpoint(&self, label: &str, name: &str) -> String {
        endpoint(label, name, &self.ips())
    }
}

/// `[[endpoint]]` with addresses in the zones of [`ZONES`], probed on port 5432 in a hurry.
pub(crate) fn endpoint(label: &str, name: &str, ips: &[IpAddr]) -> String {
    let zones: Vec<_> = ZONES.iter().zip(ips).map(|(zone, ip)| format!("{zone} = \"{ip}\"")).collect();
    format!(
        "[[endpoint]]\nname = \"{label}\"\naddresses = {{ {} }}\nprivate_dns = [\"{name}\"]\n[endpoint.probe]\n\
         kind = \"tcp\"\nport = 5432\ninterval = \"300ms\"\nfast_interval = \"100ms\"\ntimeout = \"1s\"\n\
         rise = 2\nfall = 3\nhold = \"500ms\"\n",
        zones.join(", ")
    )
}
