//! The last known good on disk: the inventory and the plan, each a JSON file with the identity of the machine that
//! wrote it (B12). A file that can't be used is kept aside, never deleted and never a reason not to start.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::rebase::{Epoch, Rebase};
use crate::model::{EventKind, Identity, Inventory, Now, Plan, Wall, Withdrawal};
use crate::sys::atomic_file::{self, Durability};
use crate::sys::lock::lock;
use crate::sys::regular_file;

/// The format that this version writes and reads.
const FORMAT: u32 = 1;
/// Larger files are not ours.
const MAX_BYTES: u64 = 16 << 20;

/// The folder of the last known good.
#[derive(Debug)]
pub struct Cache {
    /// `[host].state_dir`
    pub dir: PathBuf,
    /// This machine, as far as it is known.
    identity: Mutex<Identity>,
    /// This boot.
    pub boot_id: String,
}

/// What the cache held at start.
#[derive(Debug, Default)]
pub struct Memory {
    /// The inventory, its times those of this boot.
    pub inventory: Inventory,
    /// The plan. That of another machine gives only withdrawals.
    pub plan: Option<Plan>,
    /// True if there was a plan and it can't be used: what is published may tell what it said.
    pub plan_lost: bool,
    /// Who wrote that down. So far nothing speaks against its being this machine; the metadata service may yet.
    pub written_by: Option<Identity>,
    /// What was found.
    pub events: Vec<EventKind>,
}

/// One file's content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<T> {
    format: u32,
    boot_id: String,
    identity: Identity,
    saved: Wall,
    content: T,
}

/// What reading one file gave.
#[derive(Debug, PartialEq)]
pub enum Cached<T> {
    /// There is none.
    Missing,
    /// It is ours.
    Good {
        /// What it holds.
        content: T,
        /// Whether this very boot wrote it, so that its boot times still mean something.
        same_boot: bool,
        /// Who wrote it: this machine, as far as both sides are known.
        identity: Identity,
    },
    /// It was written on another machine.
    Foreign {
        /// What it holds.
        content: T,
        /// What differs.
        part: crate::model::IdentityPart,
    },
    /// It is no cache of ours, or of another version.
    Unusable {
        /// What is wrong with it.
        error: String,
    },
}

impl Cache {
    /// The cache of a machine that is known by this.
    #[must_use]
    pub fn new(dir: PathBuf, identity: Identity, boot_id: String) -> Self {
        Self { dir, identity: Mutex::new(identity), boot_id }
    }

    /// What the machine is known by.
    #[must_use]
    pub fn identity(&self) -> Identity {
        lock(&self.identity).clone()
    }

    /// More is known of the machine, and goes into what is written from now on.
    pub fn learn(&self, identity: Identity) {
        *lock(&self.identity) = identity;
    }

    /// Reads both files, and puts aside what can't be used. Blocks.
    #[must_use]
    pub fn load(&self, now: Now) -> Memory {
        self.recall(now, Self::put_aside)
    }

    /// Reads both files as [`Self::load`], and leaves everything as it is. Blocks.
    #[must_use]
    pub fn look(&self, now: Now) -> Memory {
        self.recall(now, |_| "left there".to_owned())
    }

    /// `unusable` says what becomes of a file that can't be used.
    fn recall(&self, now: Now, unusable: fn(&Path) -> String) -> Memory {
        let mut memory = Memory::default();
        match self.read(unusable, now) {
            Cached::Good { content, same_boot: _, identity } => {
                (memory.inventory, memory.written_by) = (content, Some(identity));
            }
            Cached::Unusable { error } => memory.events.push(EventKind::CacheUnusable { error }),
            // Said once, below.
            Cached::Missing | Cached::Foreign { .. } => {}
        }
        match self.read::<Plan>(unusable, now) {
            Cached::Missing => {}
            Cached::Good { content, same_boot: _, identity } => {
                memory.written_by = Some(identity);
                memory.events.push(EventKind::CacheLoaded { names: content.answers.len() });
                memory.plan = Some(content);
            }
            Cached::Foreign { content, part } => {
                memory.events.push(EventKind::CacheForeign { part });
                let foreign = |name| (name, Withdrawal::ForeignCache);
                let withdrawn = content.answers.into_keys().map(foreign).collect();
                memory.plan = Some(Plan { withdrawn, ..Plan::default() });
            }
            Cached::Unusable { error } => {
                memory.events.push(EventKind::CacheUnusable { error });
                memory.plan_lost = true;
            }
        }
        memory
    }

    /// Saves the inventory, or the plan.
    ///
    /// # Errors
    /// What the file system says.
    pub async fn save<T>(self: Arc<Self>, content: Arc<T>, now: Now) -> io::Result<()>
    where
        T: Content + Serialize + Send + Sync + 'static,
    {
        let write = move || {
            let (identity, boot_id) = (self.identity(), self.boot_id.clone());
            let stored = Stored { format: FORMAT, boot_id, identity, saved: now.wall, content };
            let json = serde_json::to_vec(&stored).map_err(io::Error::other)?;
            let path = self.dir.join(T::FILE);
            let saved = match atomic_file::write(&path, &json, 0o640, Durability::Synced) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    self.make_dir().and_then(|()| atomic_file::write(&path, &json, 0o640, Durability::Synced))
                }
                other => other,
            };
            saved.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
        };
        tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?
    }

    /// Packages bring the folder; in the foreground it may be missing.
    fn make_dir(&self) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o750).create(&self.dir)
    }

    /// What one file holds, its times those of this boot.
    fn read<T: Content>(&self, unusable: fn(&Path) -> String, now: Now) -> Cached<T> {
        let path = self.dir.join(T::FILE);
        let bytes = match regular_file::read(&path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Cached::Missing,
            Err(e) => return Cached::Unusable { error: format!("{}: {e}", path.display()) },
        };
        let mut cached = judge(&bytes, &lock(&self.identity), &self.boot_id);
        if let Cached::Good { content, same_boot, identity: _ } = &mut cached {
            Rebase::rebase(content, Epoch { same_boot: *same_boot, now });
        }
        if let Cached::Unusable { error } = cached {
            return Cached::Unusable { error: format!("{}: {error}; {}", path.display(), unusable(&path)) };
        }
        cached
    }

    fn put_aside(path: &Path) -> String {
        let aside = path.with_extension("json.unusable");
        std::fs::rename(path, &aside)
            .map_or_else(|e| format!("left there: {e}"), |()| format!("kept as {}", aside.display()))
    }
}

/// What the cache keeps. Whatever times are in it, there is a way to make them this boot's.
pub trait Content: DeserializeOwned + Rebase {
    /// The name of its file.
    const FILE: &str;

    /// What is wrong with it although its shape is right.
    fn flaw(&self) -> Option<String> {
        None
    }
}

impl Content for Inventory {
    const FILE: &str = "inventory.json";
}

/// An answer is never empty, and names no address twice.
impl Content for Plan {
    const FILE: &str = "plan.json";

    fn flaw(&self) -> Option<String> {
        let distinct = |a: &[IpAddr]| a.iter().collect::<BTreeSet<_>>().len() == a.len();
        let bad = self.answers.iter().find(|(_, a)| a.addresses.is_empty() || !distinct(&a.addresses));
        bad.map(|(name, a)| format!("{name}: expected one address or several distinct ones, found {:?}", a.addresses))
    }
}

/// Judges the bytes of a cache file (pure). Errors tell the place; the text of serde's own may quote the content.
#[must_use]
pub fn judge<T: Content>(bytes: &[u8], identity: &Identity, boot_id: &str) -> Cached<T> {
    let Stored { boot_id: written_in, identity: by, content, .. } = match parse::<T>(bytes) {
        Ok(stored) => stored,
        Err(error) => return Cached::Unusable { error },
    };
    match by.mismatch(identity) {
        Some(part) => Cached::Foreign { content, part },
        None => Cached::Good { content, same_boot: written_in == boot_id, identity: by },
    }
}

fn parse<T: Content>(bytes: &[u8]) -> Result<Stored<T>, String> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let error = |expected: &str, e: serde_json::Error| {
        format!("expected {expected}, found an error at {}:{}", e.line(), e.column())
    };
    let Format { format } = serde_json::from_slice(bytes).map_err(|e| error("JSON with a format", e))?;
    if format != FORMAT {
        return Err(format!("expected format {FORMAT}, found {format}"));
    }
    let shape = format!("the shape of format {FORMAT}");
    let stored: Stored<T> = serde_json::from_slice(bytes).map_err(|e| error(&shape, e))?;
    stored.content.flaw().map_or(Ok(stored), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_we_would_never_have_made_is_not_used() {
        for (addresses, good) in [("", false), (r#""10.0.0.1","10.0.0.1""#, false), (r#""10.0.0.1","10.0.0.2""#, true)]
        {
            let json = format!(
                r#"{{"format":1,"boot_id":"","identity":{{}},"saved":0,"content":{{"answers":
                   {{"a.x":{{"addresses":[{addresses}],"reason":"healthy"}}}},"withdrawn":{{}}}}}}"#
            );
            let judged = judge::<Plan>(json.as_bytes(), &Identity::default(), "");
            assert_eq!(matches!(judged, Cached::Good { .. }), good, "{judged:?}");
        }
    }
}
