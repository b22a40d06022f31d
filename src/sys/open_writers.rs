//! Whether any process has a file open for writing: a read lease (fcntl(2), `F_SETLEASE`) is refused while one has.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::libc;

/// `F_SETSIG` of `asm-generic/fcntl.h`, which x86-64 and arm64 go by; the libc crate lacks it.
const F_SETSIG: libc::c_int = 10;

/// True if any process, this one included, has the file open for writing or mapped so. `file` must be open for reading
/// alone. The lease is given back at once.
///
/// # Errors
/// What can't be told here: the file is another user's and the process lacks `CAP_LEASE`, or its file system has no
/// leases.
pub fn is_open_for_writing(file: &File) -> io::Result<bool> {
    // Who opens the file for writing while the lease is held makes the kernel send a signal, SIGIO by default, which
    // ends a process that does not expect it. SIGURG is ignored by default.
    fcntl(file, F_SETSIG, libc::SIGURG)?;
    match fcntl(file, libc::F_SETLEASE, libc::F_RDLCK) {
        Ok(()) => fcntl(file, libc::F_SETLEASE, libc::F_UNLCK).map(|()| false),
        Err(Errno::EAGAIN) => Ok(true),
        Err(e) => Err(e),
    }
    .map_err(io::Error::from)
}

#[expect(unsafe_code, reason = "no crate at hand takes leases")]
fn fcntl(file: &File, command: libc::c_int, value: libc::c_int) -> nix::Result<()> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and these commands take a plain number.
    Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), command, value) }).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    #[test]
    fn who_writes_is_seen_and_who_reads_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        std::fs::write(&path, "a\n").unwrap();
        let file = File::open(&path).unwrap();
        match is_open_for_writing(&file) {
            Err(e) => return println!("skipped: the file system has no leases: {e}"),
            Ok(open) => assert!(!open),
        }
        let reader = File::open(&path).unwrap();
        assert!(!is_open_for_writing(&file).unwrap(), "a reader");
        let writer = OpenOptions::new().append(true).open(&path).unwrap();
        assert!(is_open_for_writing(&file).unwrap());
        drop(writer);
        assert!(!is_open_for_writing(&file).unwrap(), "and it holds nobody off afterwards");
        drop((reader, OpenOptions::new().write(true).open(&path).unwrap()));
    }

    /// Whoever opens the file just then waits for the lease or finds none; the signal of that ends nobody.
    #[test]
    fn an_open_at_the_same_time_ends_no_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        std::fs::write(&path, "a\n").unwrap();
        let file = File::open(&path).unwrap();
        if let Err(e) = is_open_for_writing(&file) {
            return println!("skipped: the file system has no leases: {e}");
        }
        std::thread::scope(|s| {
            let writer =
                s.spawn(|| (0..2_000).for_each(|_| drop(OpenOptions::new().append(true).open(&path).unwrap())));
            while !writer.is_finished() {
                is_open_for_writing(&file).unwrap();
            }
        });
    }
}
