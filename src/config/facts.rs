//! What the rules must know of the world: the machine, and the files that the configuration names. The loader
//! gathers it; the rules only judge it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::model::HostName;

/// What the rules need to know of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// This host's own name, which must never be published.
    pub hostname: Option<HostName>,
    /// Who may own a secret file, beside root: the user we run as, and the service user.
    pub trusted_uids: BTreeSet<u32>,
}

/// What was found at each path that the configuration names.
pub(crate) type Facts = BTreeMap<PathBuf, FileFacts>;

/// What was found at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileFacts {
    /// Nothing that could be opened, or nothing that is a file: read as "found …".
    Unusable(String),
    /// A regular file.
    Regular(RegularFile),
}

/// A regular file, judged on its open handle.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RegularFile {
    /// Its owner.
    pub(crate) owner: u32,
    /// Permission bits, at most 0o7777.
    pub(crate) mode: u32,
    /// `system.posix_acl_access`, empty if it has none.
    pub(crate) acl: Vec<u8>,
    /// All of it.
    pub(crate) content: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for RegularFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegularFile(owner {}, mode {:04o}, {} bytes)", self.owner, self.mode, self.content.len())
    }
}

/// How a file that is not there is told.
pub(crate) const MISSING: &str = "no such file";

/// An error in the words of a complaint, "found …".
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => MISSING.to_owned(),
        io::ErrorKind::PermissionDenied => "no permission to read it".to_owned(),
        _ => error.to_string(),
    }
}
