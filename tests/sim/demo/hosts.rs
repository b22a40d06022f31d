//! The hosts file as anybody on the host sees it: its bytes, and when they became visible.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use privatelinkd::model::Boottime;
use privatelinkd::sys::clock::Clock;
use tokio::sync::watch;

/// How closely the file is watched.
const LOOK: Duration = Duration::from_millis(1);

/// One state of the file.
pub(crate) struct Seen {
    /// When it was first seen.
    pub(crate) at: Boottime,
    pub(crate) bytes: Vec<u8>,
}

/// The file and all its states since the start.
pub(crate) struct HostsFile {
    path: PathBuf,
    seen: watch::Receiver<Vec<Seen>>,
    /// Everything outside of the agent's block, as it has to stay.
    foreign: Vec<u8>,
}

/// A place in the file's history: what came after it is news.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(usize);

impl Mark {
    /// Before everything.
    pub(crate) const START: Self = Self(0);
}

impl HostsFile {
    /// Watches on a thread of its own, so that nothing else that happens here makes a time look longer.
    pub(crate) fn watch(path: PathBuf) -> io::Result<Self> {
        let foreign = fs::read(&path)?;
        let (sender, seen) = watch::channel(Vec::new());
        let file = path.clone();
        thread::Builder::new().name("watch".to_owned()).spawn(move || follow(&file, &sender))?;
        Ok(Self { path, seen, foreign })
    }

    /// Just after the present state.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.seen.borrow().len())
    }

    /// Just before the present state.
    pub(crate) fn latest(&self) -> Mark {
        Mark(self.seen.borrow().len().saturating_sub(1))
    }

    /// When the file, in a state after the mark, first gave these answers. `None` if it did not for this long.
    pub(crate) async fn shows(&self, after: Mark, answers: &Answers, patience: Duration) -> Option<Boottime> {
        let found = |all: &[Seen]| all.iter().skip(after.0).find(|s| answers_in(&s.bytes) == *answers).map(|s| s.at);
        let mut seen = self.seen.clone();
        let wait = seen.wait_for(|all| found(all).is_some());
        let all = tokio::time::timeout(patience, wait).await.ok()?.ok()?;
        found(&all)
    }

    /// True if no state after the mark gave anything else for this name.
    pub(crate) fn always_showed(&self, after: Mark, name: &str, addresses: &[IpAddr]) -> bool {
        let seen = self.seen.borrow();
        seen.iter().skip(after.0).all(|s| answers_in(&s.bytes).get(name).is_some_and(|a| a == addresses))
    }

    /// Where the names of the agent's block lead now.
    pub(crate) fn answers(&self) -> Answers {
        fs::read(&self.path).map(|bytes| answers_in(&bytes)).unwrap_or_default()
    }

    /// True if everything outside of the agent's block is as it was, byte for byte.
    pub(crate) fn foreign_is_intact(&self) -> bool {
        fs::read(&self.path).is_ok_and(|bytes| foreign_in(&bytes) == self.foreign)
    }

    pub(crate) fn foreign_lines(&self) -> usize {
        self.foreign.split_inclusive(|b| *b == b'\n').count()
    }

    /// As somebody would who knows nothing of the agent: the file without the block, with a new line, in one rename.
    pub(crate) fn rewrite_without_block(&mut self, line: &str) -> io::Result<()> {
        let mut bytes = foreign_in(&fs::read(&self.path)?);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        self.foreign.clone_from(&bytes);
        let new = self.path.with_extension("edited");
        fs::write(&new, bytes)?;
        fs::rename(new, &self.path)
    }

    /// The file for people.
    pub(crate) fn text(&self) -> String {
        fs::read(&self.path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

/// By name, the addresses in order.
pub(crate) type Answers = BTreeMap<String, Vec<IpAddr>>;

const BEGIN: &[u8] = b"# BEGIN privatelinkd";
const END: &[u8] = b"# END privatelinkd";

/// Every line, and whether it belongs to the agent's block.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let mut inside = false;
    bytes.split_inclusive(|b| *b == b'\n').map(move |line| {
        let (begins, ends) = (line.starts_with(BEGIN), line.starts_with(END));
        let ours = inside || begins;
        inside = (inside || begins) && !ends;
        (line, ours)
    })
}

fn foreign_in(bytes: &[u8]) -> Vec<u8> {
    lines(bytes).filter(|(_, ours)| !ours).flat_map(|(line, _)| line).copied().collect()
}

fn answers_in(bytes: &[u8]) -> Answers {
    let mut answers = Answers::new();
    let ours = lines(bytes).filter(|(_, ours)| *ours).filter_map(|(line, _)| std::str::from_utf8(line).ok());
    for line in ours {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
        for name in words {
            answers.entry(name.to_owned()).or_default().push(address);
        }
    }
    answers.values_mut().for_each(|addresses| addresses.sort());
    answers
}

/// Keeps every state of the file until nobody asks any more. Two states with the same bytes are two states.
fn follow(path: &Path, sender: &watch::Sender<Vec<Seen>>) {
    let mut last = None;
    while !sender.is_closed() {
        let status = fs::metadata(path).ok().map(|m| (m.ino(), m.size(), m.mtime(), m.mtime_nsec(), m.ctime_nsec()));
        if status.is_some()
            && status != last
            && let Ok(bytes) = fs::read(path)
        {
            let at = Clock::System.now().boottime;
            sender.send_modify(|seen| seen.push(Seen { at, bytes }));
            last = status;
        }
        thread::sleep(LOOK);
    }
}
