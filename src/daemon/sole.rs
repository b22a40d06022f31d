//! One agent and one hosts writer a folder: a second one would take the files of the first over, and their readers
//! would obey it.
//!
//! Both folders of a process are locked, since `/run` may be emptied at any time, and a lock on a file that is gone
//! keeps no process out.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::sys::file_lock::{self, FileLock, HoldError};
use crate::sys::identity;

/// Who there may be only one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `run`
    Agent,
    /// `hosts run`, and `run --all-in-one` beside the agent.
    Writer,
}

impl Role {
    fn noun(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Writer => "hosts writer",
        }
    }

    fn lock(self) -> &'static str {
        match self {
            Self::Agent => "agent.lock",
            Self::Writer => "writer.lock",
        }
    }

    /// No other process looks into the state of a writer.
    fn state_mode(self) -> u32 {
        match self {
            Self::Agent => 0o750,
            Self::Writer => 0o700,
        }
    }
}

/// There is one already.
#[derive(Debug, thiserror::Error)]
#[error("another {} runs{}: it holds {}", .role.noun(), with_pid(*.pid), .lock.display())]
pub struct Another {
    /// What it is.
    pub role: Role,
    /// Its process id, if that could be told.
    pub pid: Option<u32>,
    /// What it holds.
    pub lock: PathBuf,
}

fn with_pid(pid: Option<u32>) -> String {
    pid.map(|pid| format!(", pid {pid}")).unwrap_or_default()
}

/// The folders that are this process's alone, for as long as it keeps this.
#[derive(Debug, Default)]
pub struct Claim {
    held: Vec<(PathBuf, FileLock)>,
    unlocked: Vec<String>,
}

impl Claim {
    /// Claims both folders of a process, making them if they are missing. What is claimed already stays so. A folder
    /// that can't be locked, on a file system that can't be written, say, is no reason not to start: see
    /// [`Self::unlocked`]. Blocks.
    ///
    /// # Errors
    /// Another process has claimed one of them. No file but the locks has been touched by then.
    pub fn add(&mut self, role: Role, run_dir: &Path, state_dir: &Path) -> Result<(), Another> {
        let before = self.held.len();
        for (folder, mode) in [(run_dir, 0o755), (state_dir, role.state_mode())] {
            let lock = folder.join(role.lock());
            if self.held.iter().any(|(held, _)| *held == real(&lock)) {
                continue;
            }
            match hold(folder, mode, &lock) {
                Ok(held) => self.held.push((real(&lock), held)),
                Err(HoldError::Held { pid }) => {
                    // All or nothing: who may not have the one has no use for the other.
                    self.held.truncate(before);
                    return Err(Another { role, pid, lock });
                }
                Err(HoldError::Io(e)) => {
                    let what = format!("{}: can't be locked: {e}{}", lock.display(), whose(folder, &e));
                    if !self.unlocked.contains(&what) {
                        self.unlocked.push(what);
                    }
                }
            }
        }
        Ok(())
    }

    /// What could not be locked, and why.
    #[must_use]
    pub fn unlocked(&self) -> &[String] {
        &self.unlocked
    }
}

/// The process that has claimed the folders of this role, if one has. Blocks.
#[must_use]
pub fn runs(role: Role, run_dir: &Path, state_dir: &Path) -> Option<Another> {
    let mut locks = [run_dir, state_dir].into_iter().map(|folder| folder.join(role.lock()));
    locks.find_map(|lock| Some(Another { role, pid: file_lock::holder(&lock)?, lock }))
}

/// Whose folder it is that may not be written: who runs a service by hand as root may have made it.
fn whose(folder: &Path, error: &io::Error) -> String {
    let facts = std::fs::metadata(folder).ok().filter(|_| error.kind() == io::ErrorKind::PermissionDenied);
    let own = identity::effective_uid();
    let said = |facts: std::fs::Metadata| {
        let (folder, owner, mode) = (folder.display(), facts.uid(), facts.mode() & 0o7777);
        let remedy = if owner == own { "its mode or a security policy keeps it out" } else { "chown it" };
        let [owner, own] = [owner, own].map(|uid| if uid == 0 { "root".to_owned() } else { format!("uid {uid}") });
        format!("; {folder} belongs to {owner} with mode {mode:04o}, and this process is {own}: {remedy}")
    };
    facts.map(said).unwrap_or_default()
}

/// By whatever links it was named: one folder is claimed once.
fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn hold(folder: &Path, mode: u32, lock: &Path) -> Result<FileLock, HoldError> {
    match file_lock::hold(lock) {
        Err(HoldError::Io(e)) if e.kind() == io::ErrorKind::NotFound => {
            std::fs::DirBuilder::new().recursive(true).mode(mode).create(folder)?;
            file_lock::hold(lock)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_of_each_a_folder_and_the_other_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (run, state) = (dir.path().join("run"), dir.path().join("state"));
        let mut first = Claim::default();
        first.add(Role::Agent, &run, &state).unwrap();
        first.add(Role::Agent, &run, &state).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&run, &link).unwrap();
        first.add(Role::Agent, &link, &state).unwrap();
        assert!(runs(Role::Writer, &run, &state).is_none());
        first.add(Role::Writer, &run, &state).unwrap();
        assert!(runs(Role::Writer, &run, &state).is_some_and(|there| there.pid == Some(std::process::id())));
        let ours = std::process::id();
        let said = Claim::default().add(Role::Agent, &run, &dir.path().join("other")).unwrap_err().to_string();
        assert_eq!(said, format!("another agent runs, pid {ours}: it holds {}", run.join("agent.lock").display()));
        assert!(!dir.path().join("other").exists(), "nothing is touched in vain");
        // Who empties one folder has not made it free.
        std::fs::remove_dir_all(&run).unwrap();
        let said = Claim::default().add(Role::Writer, &run, &state).unwrap_err().to_string();
        assert_eq!(
            said,
            format!("another hosts writer runs, pid {ours}: it holds {}", state.join("writer.lock").display())
        );
        drop(first);
        let mut next = Claim::default();
        next.add(Role::Agent, &run, &state).unwrap();
        assert_eq!(next.unlocked(), [""; 0]);
    }

    #[test]
    fn what_can_not_be_locked_is_told() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let mut claim = Claim::default();
        claim.add(Role::Agent, &dir.path().join("file/run"), dir.path()).unwrap();
        assert!(claim.unlocked()[0].contains("file/run/agent.lock: can't be locked: "), "{:?}", claim.unlocked());
        assert_eq!(claim.unlocked().len(), 1);
    }
}
