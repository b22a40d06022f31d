//! Who serves a Unix socket, and what that process was given.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use rustix::fs::{Mode, OFlags, openat};

/// Far more than the kernel lets a process have by default.
const LARGEST: u64 = 8 << 20;

/// The environment that the server of a socket was started with, if it runs as this user. For root, or for that user as
/// long as the server has not closed its memory.
///
/// # Errors
/// No process serves it, one of another user does, or what the system said.
pub fn environment(socket: &Path, uid: u32) -> io::Result<Vec<(OsString, OsString)>> {
    let other = || io::Error::new(io::ErrorKind::PermissionDenied, format!("expected a process of uid {uid}"));
    let peer = getsockopt(&UnixStream::connect(socket)?, PeerCredentials)?;
    if peer.uid() != uid {
        return Err(other());
    }
    // That process may have ended, and its number be another's: what is opened in this folder is of one process. And
    // the folder tells whose it is, where the files of one that has closed its memory are root's.
    let process = File::open(format!("/proc/{}", peer.pid()))?;
    if process.metadata()?.uid() != uid {
        return Err(other());
    }
    let file = File::from(openat(&process, "environ", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(variables(&bytes))
}

/// `name=value`, each with a zero byte behind it (proc_pid_environ(5)).
fn variables(bytes: &[u8]) -> Vec<(OsString, OsString)> {
    let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let variable = |entry: &[u8]| {
        let at = entry.iter().position(|b| *b == b'=').filter(|at| *at > 0)?;
        Some((text(&entry[..at]), text(&entry[at + 1..])))
    };
    bytes.split(|b| *b == 0).filter_map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_taken_apart() {
        let pair = |(name, value): (&str, &str)| (OsString::from(name), OsString::from(value));
        let found = variables(b"A=1\0B=x=y\0C=\0nonsense\0=D\0\0");
        assert_eq!(found, [("A", "1"), ("B", "x=y"), ("C", "")].map(pair));
        assert_eq!(variables(b""), []);
    }

    #[test]
    fn only_a_process_of_that_user_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status.sock");
        assert_eq!(environment(&path, 0).unwrap_err().kind(), io::ErrorKind::NotFound);
        let _served = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let own = crate::sys::identity::effective_uid();
        assert!(environment(&path, own).unwrap().iter().any(|(name, _)| name == "PATH"));
        assert_eq!(environment(&path, own + 1).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
