//! The host that the way is set up on: its programs, its files, its systemd-resolved.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::choice::{Resolver, Way, leads_to_resolved, version};
use super::delegate::{self, FILE};
use super::link::{self, LINK, RESOLVECTL, Registration, Step, step};
use super::registration::RouteError;
use crate::sys::atomic_file::{self, Durability};
use crate::sys::file_lock::{self, FileLock};
use crate::sys::{regular_file, subprocess};

/// How long one call may take. systemd-resolved answers at once, but for while it starts.
const CALL: Duration = Duration::from_secs(10);
/// How long another `install` or `remove` is waited for: as long as one may take.
const OTHERS: Duration = Duration::from_secs(45);
const SYSTEMCTL: &str = "systemctl";
const RESOLVED: &str = "systemd-resolved.service";
/// Largest of the files that are read here.
const LARGEST: u64 = 1024 * 1024;

/// Where things are.
#[derive(Debug, Clone)]
pub struct Host {
    /// Where programs are, the first that has one counts.
    pub programs: Vec<PathBuf>,
    /// `/run`
    pub run: PathBuf,
    /// `/etc`
    pub etc: PathBuf,
    /// A folder a network interface.
    pub net: PathBuf,
}

impl Default for Host {
    /// This host.
    fn default() -> Self {
        Self {
            programs: ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from).into(),
            run: "/run".into(),
            etc: "/etc".into(),
            net: "/sys/class/net".into(),
        }
    }
}

impl Host {
    fn delegates(&self) -> PathBuf {
        self.run.join("systemd/dns-delegate.d")
    }

    fn own(&self) -> PathBuf {
        self.run.join("privatelinkd-route")
    }

    fn has_link(&self) -> bool {
        self.net.join(LINK).exists()
    }

    /// No other process of ours changes the registration while this is held.
    pub(super) fn lock(&self) -> Result<FileLock, RouteError> {
        let folder = self.own();
        std::fs::create_dir_all(&folder).map_err(file_error(&folder))?;
        let path = folder.join("lock");
        file_lock::acquire(&path, OTHERS).map_err(file_error(&path))
    }

    /// Notes whether there is anything to keep up to date: privatelinkd-route-refresh.service looks.
    pub(super) fn note(&self, wanted: bool) -> Result<(), RouteError> {
        let path = self.own().join("wanted");
        let done = if wanted { std::fs::write(&path, "") } else { std::fs::remove_file(&path) };
        match done {
            Err(e) if e.kind() == io::ErrorKind::NotFound && !wanted => Ok(()),
            other => other.map_err(file_error(&path)),
        }
    }

    /// What there is for a resolver.
    pub(super) fn look(&self) -> Resolver {
        let text = |path: PathBuf| {
            let bytes = regular_file::read(&path, LARGEST).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        // What can't be asked is not there.
        let said = self.call(&step(RESOLVECTL, &["--version"])).ok();
        let active = self.call(&step(SYSTEMCTL, &["is-active", RESOLVED])).ok();
        Resolver {
            version: said.and_then(|ended| version(&ended.out)),
            active: active.is_some_and(|ended| matches!(ended.out.trim(), "active" | "reloading")),
            used: leads_to_resolved(&text(self.etc.join("resolv.conf")), &text(self.etc.join("nsswitch.conf"))),
        }
    }

    /// What is registered at present, if anything is.
    pub(super) fn registered(&self) -> Result<Option<Registration>, RouteError> {
        let path = self.delegates().join(FILE);
        match regular_file::read(&path, LARGEST) {
            Ok(bytes) => return Ok(Some(delegate::parse(&String::from_utf8_lossy(&bytes)))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(file_error(&path)(e)),
        }
        if !self.has_link() {
            return Ok(None);
        }
        let [dns, domain] = link::ask().map(|step| self.call_well(&step));
        Ok(Some(link::answered(&dns?, &domain?)))
    }

    /// Registers just this, whatever was registered before.
    pub(super) fn register(&self, wanted: &Registration) -> Result<(), RouteError> {
        let Registration { way, servers, names } = wanted;
        match way {
            Way::DnsDelegate => {
                self.unlink()?;
                let folder = self.delegates();
                std::fs::create_dir_all(&folder).map_err(file_error(&folder))?;
                let (path, text) = (folder.join(FILE), delegate::text(names, servers));
                atomic_file::write(&path, text.as_bytes(), 0o644, Durability::Volatile).map_err(file_error(&path))?;
                self.reload()
            }
            Way::Resolved => {
                self.undelegate()?;
                self.make_link()?;
                self.call_all(&link::furnish(names, servers))
            }
        }
    }

    /// Registers nothing. True if anything was.
    pub(super) fn unregister(&self) -> Result<bool, RouteError> {
        let (file, link) = (self.undelegate(), self.unlink());
        Ok(file? | link?)
    }

    fn undelegate(&self) -> Result<bool, RouteError> {
        let path = self.delegates().join(FILE);
        match std::fs::remove_file(&path) {
            Ok(()) => self.reload().map(|()| true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(file_error(&path)(e)),
        }
    }

    fn unlink(&self) -> Result<bool, RouteError> {
        if !self.has_link() {
            return Ok(false);
        }
        self.call_well(&link::unmake()).map(|_| true)
    }

    fn make_link(&self) -> Result<(), RouteError> {
        if self.has_link() {
            return Ok(());
        }
        let [best, other] = link::make();
        self.call_all(&best).or_else(|_| self.call_all(&other))
    }

    /// Has systemd-resolved read its files anew. One that does not run will, when it starts, and one that is about to
    /// end with the system takes no orders.
    fn reload(&self) -> Result<(), RouteError> {
        let Err(error) = self.call_well(&step(SYSTEMCTL, &["reload", RESOLVED])) else { return Ok(()) };
        let state = self.call(&step(SYSTEMCTL, &["is-system-running"]));
        let ends = state.is_ok_and(|ended| ended.out.trim() == "stopping");
        if ends || !self.look().active { Ok(()) } else { Err(error) }
    }

    fn call_all(&self, steps: &[Step]) -> Result<(), RouteError> {
        for step in steps {
            match self.call_well(step) {
                Err(error) if step.needed => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Calls a program, which must succeed; what it printed.
    fn call_well(&self, step: &Step) -> Result<String, RouteError> {
        let ended = self.call(step)?;
        if ended.well {
            return Ok(ended.out);
        }
        Err(RouteError::Failed { call: call_text(step), said: ended.err })
    }

    fn call(&self, step: &Step) -> Result<subprocess::Ended, RouteError> {
        let path = self.programs.iter().map(|folder| folder.join(step.program)).find(|path| path.is_file());
        let path = path.ok_or(RouteError::NoProgram { name: step.program })?;
        let failed = |e: io::Error| RouteError::Failed { call: call_text(step), said: e.to_string() };
        subprocess::run(&path, &step.arguments, CALL).map_err(failed)
    }
}

/// The first words: a list of 256 names says nothing to an admin.
fn call_text(step: &Step) -> String {
    const WORDS: usize = 5;
    let words: Vec<&str> = std::iter::once(step.program).chain(step.arguments.iter().map(String::as_str)).collect();
    if words.len() <= WORDS { words.join(" ") } else { format!("{} …", words[..WORDS].join(" ")) }
}

fn file_error(path: &Path) -> impl Fn(io::Error) -> RouteError + use<> {
    let path = path.to_owned();
    move |source| RouteError::File { path: path.clone(), source }
}
