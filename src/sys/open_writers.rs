//! Who else has a file open: leases (fcntl(2), `F_SETLEASE`) are refused while somebody has.

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
    match take(file, libc::F_RDLCK) {
        Ok(()) => fcntl(file, libc::F_SETLEASE, libc::F_UNLCK).map(|()| false),
        Err(Errno::EAGAIN) => Ok(true),
        Err(e) => Err(e),
    }
    .map_err(io::Error::from)
}

/// Nobody else has the file open while this lives: who opens it waits until it is dropped, for 45 s at most
/// (`fs.lease-break-time`). Who does not want to wait (`O_NONBLOCK`) gets `EWOULDBLOCK`.
#[derive(Debug)]
pub struct Alone<'f>(&'f File);

impl<'f> Alone<'f> {
    /// With a file that is open for reading and writing, and nowhere else.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if somebody has it open, for reading or writing, this process included; or as
    /// [`is_open_for_writing`].
    pub fn with(file: &'f File) -> io::Result<Self> {
        take(file, libc::F_WRLCK)?;
        Ok(Self(file))
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        // The kernel takes it back by itself when the file is closed.
        let _ = fcntl(self.0, libc::F_SETLEASE, libc::F_UNLCK);
    }
}

/// Who opens the file while the lease is held makes the kernel send a signal, SIGIO by default, which ends a process
/// that does not expect it. SIGURG is ignored by default.
fn take(file: &File, lease: libc::c_int) -> nix::Result<()> {
    fcntl(file, F_SETSIG, libc::SIGURG)?;
    fcntl(file, libc::F_SETLEASE, lease)
}

#[expect(unsafe_code, reason = "no crate at hand takes leases")]
fn fcntl(file: &File, command: libc::c_int, value: libc::c_int) -> nix::Result<()> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and these commands take a plain number.
    Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), command, value) }).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::FileExt as _;

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

    #[test]
    fn who_opens_a_file_that_is_ours_alone_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        std::fs::write(&path, "a\n").unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let reader = File::open(&path).unwrap();
        match Alone::with(&file) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            other => return println!("skipped: the file system has no leases: {other:?}"),
        }
        drop(reader);
        let alone = Alone::with(&file).unwrap();
        std::thread::scope(|s| {
            let opened = s.spawn(|| std::fs::read_to_string(&path).unwrap());
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(!opened.is_finished());
            file.write_all_at(b"b", 0).unwrap();
            drop(alone);
            assert_eq!(opened.join().unwrap(), "b\n");
        });
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
