//! What the rules must know of the world: the machine, and the files that the configuration names. The loader
//! gathers it; the rules only judge it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::model::{HostName, Wall};

/// What the rules need to know of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// This host's own name, which must never be published.
    pub hostname: Option<HostName>,
    /// Who may own a secret file, beside root: the user we run as, and the service user.
    pub trusted_uids: BTreeSet<u32>,
    /// Who must be able to read every file, if that is not the user we run as.
    pub service: Option<ServiceUser>,
    /// Who may own the files of the configuration, beside root; `None` stands for the user we run as.
    pub keeper: Option<u32>,
    /// Whether the configuration is meant for the services, and not for the user we run as: they take root's alone.
    pub is_for_services: bool,
    /// Where the secrets are that the configuration calls `credential:NAME`.
    pub credentials: CredentialFolder,
}

/// Where systemd has put what `LoadCredential=` and its like give the service (systemd.exec(5), "Credentials").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CredentialFolder {
    /// systemd gave this process none.
    #[default]
    None,
    /// It is this process's own: `$CREDENTIALS_DIRECTORY`.
    Own(PathBuf),
    /// Who judges is not the service: that of the service as it runs now, if it runs and has one. What is not to be
    /// seen there is no fault of the configuration.
    OfTheService(Option<PathBuf>),
}

impl CredentialFolder {
    /// The folder, where there is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::None => None,
            Self::Own(folder) => Some(folder),
            Self::OfTheService(folder) => folder.as_deref(),
        }
    }
}

/// The name of the user that the agent runs as under systemd (sysusers.d).
pub const SERVICE_USER: &str = "privatelinkd";

/// The user that the agent runs as under systemd, as far as the bits of a file are concerned: groups that it is in
/// beside its own are not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceUser {
    /// Its uid.
    pub uid: u32,
    /// Its own group.
    pub gid: u32,
}

/// Who may do what with a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    /// Its owner.
    pub(crate) owner: u32,
    /// Its group.
    pub(crate) group: u32,
    /// Permission bits, at most 0o7777.
    pub(crate) mode: u32,
}

impl Access {
    pub(crate) fn from_metadata(status: &Metadata) -> Self {
        Self { owner: status.uid(), group: status.gid(), mode: status.mode() & 0o7777 }
    }

    /// Whether `user` has the bits `wanted` (4 to read, 1 to search), where no ACL says otherwise.
    pub(crate) fn lets(&self, user: ServiceUser, wanted: u32) -> bool {
        let shift = match self {
            Self { owner, .. } if *owner == user.uid => 6,
            Self { group, .. } if *group == user.gid => 3,
            _ => 0,
        };
        (self.mode >> shift) & wanted == wanted
    }
}

/// A file of the configuration itself, or a folder that it lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileOwnership {
    /// As it is shown.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) access: Access,
    /// Whether an ACL says more than the mode.
    pub(crate) acl: bool,
}

/// What a [`FileOwnership`] is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The main file or a drop-in.
    File,
    /// A folder that is gone through.
    Folder,
    /// The folder that is listed for drop-ins.
    DropIns,
}

/// What was found at each path that the configuration names.
pub(crate) type OutsideFacts = BTreeMap<PathBuf, FileFacts>;

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
    /// Who may do what with it.
    pub(crate) access: Access,
    /// `system.posix_acl_access`, empty if it has none.
    pub(crate) acl: Vec<u8>,
    /// When it was last written; 0 before 1970.
    pub(crate) modified: Wall,
    /// All of it.
    pub(crate) content: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for RegularFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegularFile({:?}, {} bytes)", self.access, self.content.len())
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
