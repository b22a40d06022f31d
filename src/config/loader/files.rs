//! What is on the disk: the texts of a configuration, whom they belong to, and the files that they name.
//!
//! Every file is opened first and judged on the open handle, so that nothing can be swapped between the look and the
//! reading.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::check;
use crate::config::complaint::{Bad, Complaint};
use crate::config::drop_ins::drop_ins;
use crate::config::facts::{Access, FileFacts, FileOwnership, Kind, MISSING, OutsideFacts, RegularFile, reason};
use crate::config::raw::Table;
use crate::config::source_text::{SourceText, plain_path};
use crate::config::sources::{Fingerprint, Sources};
use crate::model::Wall;
use crate::model::shown::count;
use crate::sys::atomic_file;
use crate::sys::regular_file::{self, OpenError};

/// Largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// The main file and its drop-ins.
pub(super) struct ConfigFiles {
    pub(super) documents: Vec<SourceText>,
    /// Of each of them.
    pub(super) standing: Vec<FileOwnership>,
    /// What can't be read of them.
    pub(super) unreadable: Vec<Complaint>,
    pub(super) sources: Sources,
}

/// As [`read_texts`], where a main file that is not there says nothing.
pub(super) fn read_texts_that_exist(path: &Path) -> ConfigFiles {
    let missing = fs::symlink_metadata(path).is_err_and(|e| e.kind() == ErrorKind::NotFound);
    read(path, missing.then(|| SourceText::new(plain_path(path), String::new())))
}

/// Reads the main file at `path`, and the drop-ins beside it.
pub(super) fn read_texts(path: &Path) -> ConfigFiles {
    read(path, None)
}

/// `main` stands for the main file, if it is not to be read.
fn read(path: &Path, main: Option<SourceText>) -> ConfigFiles {
    let folder = path.parent().unwrap_or(Path::new("")).join("conf.d");
    let to_read = main.is_none().then(|| path.to_owned());
    let (mut documents, mut standing, mut unreadable) = (Vec::from_iter(main), Vec::new(), Vec::new());
    let mut sources = Sources::default();
    let drop_ins = drop_ins(&folder).unwrap_or_else(|found| {
        let bad = Bad::found_at(&None, "a readable folder of drop-ins", found);
        unreadable.push(Complaint::about_file(plain_path(&folder), bad));
        Vec::new()
    });
    sources.note_folder(&folder, &drop_ins);
    for path in to_read.into_iter().chain(drop_ins.iter().map(|name| folder.join(name))) {
        match read_text(&path, &mut sources) {
            Ok((document, of_it)) => {
                documents.push(document);
                standing.push(of_it);
            }
            Err(bad) => unreadable.push(Complaint::about_file(plain_path(&path), bad)),
        }
    }
    ConfigFiles { documents, standing, unreadable, sources }
}

fn read_text(path: &Path, sources: &mut Sources) -> Result<(SourceText, FileOwnership), Bad> {
    const HELP: &str = "start with `config/config.toml`, the commented default, or name a file with --config";
    let unusable = |found: String| {
        let help = (found == MISSING).then(|| HELP.to_owned());
        Bad { help, ..Bad::found_at(&None, "a readable configuration file", found) }
    };
    let (mut file, status) = open(path, sources).map_err(unusable)?;
    let bytes = read_bounded(&mut file, status.len()).map_err(unusable)?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let good = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..good].iter().filter(|b| **b == b'\n').count() + 1;
        Bad::found_at(&None, "UTF-8 text", format!("another byte on line {line}, after {}", count(good, "byte")))
    })?;
    let acl = regular_file::acl(&file).map_or(true, |acl| !acl.is_empty());
    let name = plain_path(path);
    let standing = FileOwnership { name: name.clone(), kind: Kind::File, access: Access::from_metadata(&status), acl };
    Ok((SourceText::new(name, text), standing))
}

/// The folders that decide what the sources are: those of the main file and of the drop-ins, and where one is a
/// symbolic link those of all that it leads through. Who may change a folder further up can put other folders in
/// place of these, but can't make them or what is in them root's own.
pub(super) fn folders(sources: &Sources) -> (Vec<FileOwnership>, Vec<Complaint>) {
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    let of_drop_ins = sources.folder().filter(|folder| folder.exists());
    let listed = of_drop_ins.map(|folder| (folder.to_owned(), Kind::DropIns));
    let mut all: Vec<(PathBuf, Kind)> = Vec::new();
    let gone_through = sources.paths().chain(of_drop_ins).flat_map(folders_to).map(|folder| (folder, Kind::Folder));
    for (folder, kind) in listed.into_iter().chain(gone_through) {
        if !all.iter().any(|(other, _)| *other == folder) {
            all.push((folder, kind));
        }
    }
    for (folder, kind) in all {
        match fs::metadata(&folder) {
            Ok(status) => {
                let acl = regular_file::has_acl(&folder);
                found.push(FileOwnership {
                    name: plain_path(&folder),
                    kind,
                    access: Access::from_metadata(&status),
                    acl,
                });
            }
            // Then the file in it is not there either, which is told elsewhere if it matters.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => {
                unknown.push(Complaint::about_file(plain_path(&folder), Bad::found_at(&None, "a folder", reason(&e))));
            }
        }
    }
    (found, unknown)
}

/// The folder of a path, and those of what it leads through.
fn folders_to(path: &Path) -> Vec<PathBuf> {
    /// The kernel's own limit (path_resolution(7)).
    const MOST_LINKS: usize = 40;
    let mut at = path.to_owned();
    let mut folders = vec![atomic_file::parent(&at)];
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&at) else { break };
        at = atomic_file::parent(&at).join(target);
        folders.push(atomic_file::parent(&at));
    }
    folders
}

/// Looks at every file that the tree names. `credentials` is the folder of systemd's credentials.
pub(super) fn gather(tree: &Table, credentials: Option<&Path>, sources: &mut Sources) -> OutsideFacts {
    let secrets = check::secrets(tree, credentials);
    let look = |path: PathBuf| {
        let facts = look_at(&path, sources);
        if secrets.contains(&path) {
            sources.mark_secret();
        }
        (path, facts)
    };
    check::references(tree, credentials).into_iter().map(look).collect()
}

/// What is at the path of a secret or certificate file.
fn look_at(path: &Path, sources: &mut Sources) -> FileFacts {
    let look = |sources| {
        let (mut file, status) = open(path, sources)?;
        let content = Zeroizing::new(read_bounded(&mut file, status.len())?);
        let acl = regular_file::acl(&file).map_err(|e| format!("an ACL that can't be read ({})", reason(&e)))?;
        Ok(RegularFile { access: Access::from_metadata(&status), acl, modified: modified(&status), content })
    };
    look(sources).map_or_else(FileFacts::Unusable, FileFacts::Regular)
}

fn modified(status: &fs::Metadata) -> Wall {
    let millis = status.mtime().saturating_mul(1000).saturating_add(status.mtime_nsec() / 1_000_000);
    Wall(u64::try_from(millis).unwrap_or(0))
}

/// Opens a regular file, and notes its fingerprint.
fn open(path: &Path, sources: &mut Sources) -> Result<(File, fs::Metadata), String> {
    let opened = regular_file::open(path);
    let fingerprint = opened.as_ref().ok().map(|(_, status)| Fingerprint::from_metadata(status));
    sources.note_file(path, fingerprint);
    opened.map_err(|e| match e {
        OpenError::Folder => "a folder".to_owned(),
        OpenError::NotRegular => "something that is no regular file".to_owned(),
        OpenError::Io(e) => reason(&e),
    })
}

/// All of a file. `size` is a hint: the file may grow while it is read, and some claim to be empty.
fn read_bounded(file: &mut File, size: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(LARGEST)).unwrap_or(0) + 1);
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|e| reason(&e))?;
    if bytes.len() as u64 > LARGEST { Err(format!("more than {} KiB", LARGEST / 1024)) } else { Ok(bytes) }
}
