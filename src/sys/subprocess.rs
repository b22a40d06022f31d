//! Running another program: a clean environment, no shell, a deadline, and only so much of what it says.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::clock::Clock;

/// Most that is kept of each of its two outputs, in bytes. The rest is read and forgotten, so that it can end.
const MOST: u64 = 256 * 1024;
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);
/// How long its output may stay open once it has ended: a process that it left behind may hold it.
const LINGER: Duration = Duration::from_millis(500);

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit code 0.
    pub well: bool,
    /// What it printed; what is not UTF-8 is replaced.
    pub out: String,
    /// What it complained of, without the blanks around it; the signal that ended it, if it said nothing.
    pub err: String,
}

/// Runs a program and waits for it, but no longer than `deadline`: then it is killed. Its environment is nothing but
/// `LC_ALL=C` and what keeps systemd's tools from colours and pagers. Blocks.
///
/// # Errors
/// It can't be started ([`io::ErrorKind::NotFound`] if it is not there), or took too long
/// ([`io::ErrorKind::TimedOut`]).
pub fn run(program: &Path, arguments: &[String], deadline: Duration) -> io::Result<Ended> {
    let environment = [("LC_ALL", "C"), ("SYSTEMD_COLORS", "0"), ("SYSTEMD_PAGER", ""), ("SYSTEMD_URLIFY", "0")];
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (out, err) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let status = wait(&mut child, deadline)?;
    let text = |output: &mpsc::Receiver<Vec<u8>>| {
        let bytes = output.recv_timeout(LINGER).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (out, err) = (text(&out), text(&err).trim().to_owned());
    let err = if err.is_empty() && !status.success() { status.to_string() } else { err };
    Ok(Ended { well: status.success(), out, err })
}

fn wait(child: &mut Child, deadline: Duration) -> io::Result<ExitStatus> {
    let began = Clock::System.now().boottime;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Clock::System.now().boottime.since(began) >= deadline {
            // It may end by itself meanwhile.
            let _ = child.kill();
            let _ = child.wait();
            let detail = format!("no end within {} s", deadline.as_secs_f32());
            return Err(io::Error::new(io::ErrorKind::TimedOut, detail));
        }
        thread::sleep(LOOK);
    }
}

/// Reads to the end on a thread of its own: a full pipe would hold the program up.
fn drain(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut pipe) = pipe {
            // What can't be read is not there.
            let _ = pipe.by_ref().take(MOST).read_to_end(&mut kept);
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
        let _ = send.send(kept);
    });
    receive
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, deadline: Duration) -> io::Result<Ended> {
        run(Path::new("/bin/sh"), &["-c".to_owned(), script.to_owned()], deadline)
    }

    const ENOUGH: Duration = Duration::from_secs(20);

    #[test]
    fn what_it_says_and_how_it_ends_comes_back() {
        let ended = sh("echo out; echo err >&2; exit 3", ENOUGH).unwrap();
        assert_eq!(ended, Ended { well: false, out: "out\n".to_owned(), err: "err".to_owned() });
        assert!(sh("true", ENOUGH).unwrap().well);
        let killed = sh("kill -9 $$", ENOUGH).unwrap();
        assert!(!killed.well && killed.err.contains("signal: 9"), "{killed:?}");
    }

    #[test]
    fn the_environment_is_clean() {
        let ended = run(Path::new("/usr/bin/env"), &[], ENOUGH).unwrap();
        let mut names: Vec<&str> = ended.out.lines().filter_map(|l| l.split('=').next()).collect();
        names.sort_unstable();
        assert_eq!(names, ["LC_ALL", "SYSTEMD_COLORS", "SYSTEMD_PAGER", "SYSTEMD_URLIFY"]);
    }

    #[test]
    fn who_says_too_much_or_nothing_at_all_ends_all_the_same() {
        let ended = sh("head -c 1000000 /dev/zero", ENOUGH).unwrap();
        assert!(ended.well && ended.out.len() as u64 == MOST);
        let late = sh("exec sleep 60", Duration::from_millis(50)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        let began = Clock::System.now().boottime;
        assert!(sh("sleep 5 & exit 0", ENOUGH).unwrap().well, "its child holds the output");
        assert!(Clock::System.now().boottime.since(began) < Duration::from_secs(4));
        assert_eq!(run(Path::new("/nowhere"), &[], ENOUGH).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
