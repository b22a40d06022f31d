//! Giving up root's rights, and keeping others out.

use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::prctl;
use nix::unistd::{Gid, Uid, initgroups, setgid, setuid};

/// Closes the memory of this process to other processes of its user, and leaves no core when it crashes: both would
/// have secrets. Only who may trace every process (root, CAP_SYS_PTRACE) still sees it, its environment included. Holds
/// until the process begins another program.
///
/// # Errors
/// What the system said.
pub fn close_memory() -> io::Result<()> {
    Ok(prctl::set_dumpable(false)?)
}

/// Becomes a user for good, in the groups that it is in. For root, before there is a second thread.
///
/// # Errors
/// What the system said: the process may not, and is to be ended.
pub fn become_user(name: &str, (uid, gid): (u32, u32)) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    // Groups first: afterwards the process may not change them.
    initgroups(&CString::new(name)?, gid)?;
    setgid(gid)?;
    setuid(uid)?;
    // The kernel gives a process that changes its user what fs.suid_dumpable says.
    close_memory()
}

/// Begins this program anew, with other arguments and nothing but this environment. Returns only what went wrong.
pub fn restart(arguments: &[OsString], environment: &[(OsString, OsString)]) -> io::Error {
    // The file that is running, wherever it lies: the way to it may be closed to who this process has become.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("privatelinkd").args(arguments).env_clear().envs(environment.iter().map(|(k, v)| (k, v)));
    command.exec()
}
