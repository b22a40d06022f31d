//! From the disk: reads the main file, its drop-ins and the files that they name, and hands everything to the rules.
//!
//! Every file is opened first and judged on the open handle, so that nothing can be swapped between the look and the
//! reading. All of this blocks; on the runtime it belongs on a blocking thread.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::check::{self, Checked, CheckedWriter};
use super::complaint::{Complaint, Complaints};
use super::document::{Document, plain};
use super::drop_ins::drop_ins;
use super::effective::Effective;
use super::facts::{Environment, Facts, FileFacts, MISSING, RegularFile, reason};
use super::findings::Finding;
use super::hidden::Hidden;
use super::merge;
use super::owners::Owners;
use super::raw::{self, Mistake, Node};
use super::sources::{Fingerprint, Sources};
use super::{Config, WriterConfig};
use crate::sys::identity;
use crate::sys::regular_file::{self, OpenError};

/// Largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// A configuration that holds, and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every value with its origin.
    pub effective: Effective,
    /// The files behind it.
    pub sources: Sources,
    /// What is probably not meant so, although it holds.
    pub warnings: Vec<Complaint>,
}

impl Environment {
    /// This machine's: its host name, and the user that this process runs as.
    #[must_use]
    pub fn current() -> Self {
        Self {
            hostname: identity::hostname().and_then(|name| name.parse().ok()),
            trusted_uids: BTreeSet::from([identity::effective_uid()]),
        }
    }
}

/// Reads the configuration at `path` with the drop-ins in `conf.d/` beside it, and judges it. Blocks.
///
/// # Errors
/// Everything that is wrong, at once; warnings are among it.
pub fn load(path: &Path, environment: &Environment) -> Result<Loaded, Complaints> {
    let mut sources = Sources::default();
    let (texts, unreadable) = read_texts(path, &mut sources, Owners::Anybody);
    if !unreadable.is_empty() {
        return Err(Complaints { complaints: unreadable, omitted: 0 });
    }
    judge(&texts, environment, sources)
}

/// The writer's part of a configuration, and where it came from.
#[derive(Debug, Clone)]
pub struct LoadedWriter {
    /// The writer's part.
    pub config: WriterConfig,
    /// The files behind it.
    pub sources: Sources,
}

/// Reads what the hosts writer needs of the configuration at `path`, by the same rules as [`load`]. Whatever else is
/// wrong with it, or unknown, is the agent's business; no file that it names is opened. But what a privileged process
/// obeys must be root's, or its own user's: files and folders that anybody else can write are refused. Blocks.
///
/// # Errors
/// Everything that is wrong with the writer's part, at once.
pub fn load_writer(path: &Path, environment: &Environment) -> Result<LoadedWriter, Complaints> {
    let mut sources = Sources::default();
    let owners = Owners::RootOr(identity::effective_uid());
    let (texts, mut unusable) = read_texts(path, &mut sources, owners);
    unusable.extend(owners.of_folders(path));
    if !unusable.is_empty() {
        return Err(Complaints { complaints: unusable, omitted: 0 });
    }
    let Trees { roots, mistakes, repeats, hidden } = parse(&texts);
    let CheckedWriter { config, mut findings } = check::check_writer(merge::merge(roots), &texts, environment);
    repeats.into_iter().for_each(|repeat| findings.add(Finding::from(repeat)));
    let config = config.filter(|_| !findings.has_errors() && mistakes.iter().all(Vec::is_empty));
    let complaints = findings.into_complaints(&texts, &mistakes, &hidden);
    config.map(|config| LoadedWriter { config, sources }).ok_or(complaints)
}

/// The main file and its drop-ins, and what can't be read of them.
pub(super) fn read_texts(path: &Path, sources: &mut Sources, owners: Owners) -> (Vec<Document>, Vec<Complaint>) {
    let folder = path.parent().unwrap_or(Path::new("")).join("conf.d");
    let (mut texts, mut unreadable) = (Vec::new(), Vec::new());
    let drop_ins = match drop_ins(&folder) {
        Ok(names) => names,
        Err(found) => {
            unreadable.push(Complaint::of_file(show(&folder), "a readable folder of drop-ins", found, None));
            Vec::new()
        }
    };
    sources.note_folder(&folder, &drop_ins);
    let main = std::iter::once(path.to_owned());
    for path in main.chain(drop_ins.iter().map(|name| folder.join(name))) {
        match read_text(&path, sources, owners) {
            Ok(text) => texts.push(Document::new(show(&path), text)),
            Err(more) => unreadable.extend(more.complaints),
        }
    }
    (texts, unreadable)
}

/// Judges texts that lie in no file: the first is the main one, the others are laid over it as drop-ins are. Files
/// that they name are read. For tests and demos.
///
/// # Errors
/// As [`load`].
pub fn from_texts(texts: &[(&str, &str)], environment: &Environment) -> Result<Loaded, Complaints> {
    let document = |(name, text): &(&str, &str)| Document::new((*name).to_owned(), (*text).to_owned());
    judge(&texts.iter().map(document).collect::<Vec<_>>(), environment, Sources::default())
}

/// The configuration of one text, on this machine. For tests and demos.
///
/// # Errors
/// As [`load`].
pub fn from_toml(text: &str) -> Result<Config, Complaints> {
    from_texts(&[("config.toml", text)], &Environment::current()).map(|loaded| loaded.config)
}

/// What the texts hold, each by itself.
struct Trees {
    roots: Vec<Node>,
    mistakes: Vec<Vec<Mistake>>,
    repeats: Vec<merge::Repeat>,
    hidden: Hidden,
}

fn parse(texts: &[Document]) -> Trees {
    let (mut roots, mut mistakes, mut repeats) = (Vec::new(), Vec::new(), Vec::new());
    let mut hidden = Hidden::default();
    for (file, text) in texts.iter().enumerate() {
        let parsed = raw::parse(file, &text.text);
        hidden.add_file(&parsed.root);
        repeats.extend(merge::repeats(&parsed.root));
        roots.push(parsed.root);
        mistakes.push(parsed.mistakes);
    }
    Trees { roots, mistakes, repeats, hidden }
}

fn judge(texts: &[Document], environment: &Environment, mut sources: Sources) -> Result<Loaded, Complaints> {
    let Trees { roots, mistakes, repeats, hidden } = parse(texts);
    let tree = merge::merge(roots);
    let facts = check::references(&tree).into_iter().map(|path| {
        let facts = look_at(&path, &mut sources);
        (path, facts)
    });
    let facts: Facts = facts.collect();
    let Checked { config, effective, mut findings } = check::check(tree, texts, environment, &facts);
    repeats.into_iter().for_each(|repeat| findings.add(Finding::from(repeat)));
    let config = config.filter(|_| !findings.has_errors() && mistakes.iter().all(Vec::is_empty));
    let complaints = findings.into_complaints(texts, &mistakes, &hidden);
    match config {
        Some(config) => Ok(Loaded { config, effective, sources, warnings: complaints.complaints }),
        None => Err(complaints),
    }
}

fn read_text(path: &Path, sources: &mut Sources, owners: Owners) -> Result<String, Complaints> {
    const HELP: &str = "start with `config/config.toml`, the commented default, or name a file with --config";
    let complaint =
        |expected: &str, found, help| Complaints::from(Complaint::of_file(show(path), expected, found, help));
    let unusable = |found: String| {
        let help = (found == MISSING).then(|| HELP.to_owned());
        complaint("a readable configuration file", found, help)
    };
    let (mut file, status) = open(path, sources).map_err(unusable)?;
    if let Some(complaint) = owners.of_file(path, &status) {
        return Err(Complaints::from(complaint));
    }
    let bytes = read_bounded(&mut file, status.len()).map_err(unusable)?;
    String::from_utf8(bytes).map_err(|e| {
        let good = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..good].iter().filter(|b| **b == b'\n').count() + 1;
        complaint("UTF-8 text", format!("another byte on line {line}, after {good} bytes"), None)
    })
}

/// What is at the path of a secret or certificate file.
fn look_at(path: &Path, sources: &mut Sources) -> FileFacts {
    let look = |sources| {
        let (mut file, status) = open(path, sources)?;
        let content = Zeroizing::new(read_bounded(&mut file, status.len())?);
        Ok(RegularFile { owner: status.uid(), mode: status.mode() & 0o7777, acl: acl(&file)?, content })
    };
    look(sources).map_or_else(FileFacts::Unusable, FileFacts::Regular)
}

/// Opens a regular file, and notes its fingerprint.
fn open(path: &Path, sources: &mut Sources) -> Result<(File, std::fs::Metadata), String> {
    let opened = regular_file::open(path);
    let fingerprint = opened.as_ref().ok().map(|(_, status)| Fingerprint::of(status));
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

fn acl(file: &File) -> Result<Vec<u8>, String> {
    regular_file::acl(file).map_err(|e| format!("an ACL that can't be read ({})", reason(&e)))
}

fn show(path: &Path) -> String {
    plain(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that only its owner can write, with this config in it.
    fn config(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn writer(text: &str) -> Result<WriterConfig, String> {
        let (_folder, path) = config(text);
        load_writer(&path, &Environment::default()).map(|l| l.config).map_err(|complaints| complaints.to_string())
    }

    const GOOD: &str = "[[endpoint]]\nname = \"a\"\nid = \"ep-1\"\naddresses = { h = \"10.0.0.1\" }\n\
        private_dns = [\"db.internal\"]\n[[endpoint.zone]]\nid = \"h\"\nprivate_dns = [\"h.internal\"]\n\
        [endpoint.probe]\nkind = \"tcp\"\nport = 1\n";

    #[test]
    fn the_writers_part_is_that_of_the_whole() {
        let (_folder, path) = config(GOOD);
        let whole = load(&path, &Environment::default()).unwrap().config;
        let part = load_writer(&path, &Environment::default()).unwrap().config;
        assert_eq!(part, whole.for_writer());
        assert_eq!((part.names.len(), part.endpoint_ids.len()), (2, 1));
    }

    #[test]
    fn what_is_wrong_elsewhere_is_not_the_writers_business() {
        let good = writer(GOOD).unwrap();
        for (old, new) in [
            ("kind = \"tcp\"", "kind = \"quantum\""),
            ("port = 1", "port = \"x\"\nsecret_file = \"/nowhere\""),
            ("port = 1", "headers = { authorization = { file = \"/nowhere\" } }"),
            ("h = \"10.0.0.1\"", "h = \"8.8.8.8\""),
            ("addresses = { h = \"10.0.0.1\" }", ""),
            ("port = 1", "port = 1\n[cloud]\nx = 1\n[hosts]\nnewer = 1\n[log]\nnewer = 1\n[metrics]\nlisten = 3"),
        ] {
            let text = GOOD.replace(old, new);
            assert_eq!(writer(&text).as_ref(), Ok(&good), "{text}");
            assert!(load(&config(&text).1, &Environment::default()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_in_its_part_is_told_as_ever() {
        for (old, new, says) in [
            ("\"db.internal\"", "\"localhost\"", "endpoint.private_dns"),
            ("name = \"a\"", "name = \"A b\"", "endpoint.name"),
            ("id = \"ep-1\"", "id = 7", "endpoint.id"),
            ("port = 1", "port = 1\n[hosts]\npublish = 7", "hosts.publish"),
            ("port = 1", "port = 1\n[hosts]\nrun_dir = \"/run/privatelinkd\"", "hosts.run_dir"),
            ("port = 1", "port = 1\nport = 2", "twice"),
            ("port = 1", "port = ", "error"),
        ] {
            let said = writer(&GOOD.replace(old, new)).unwrap_err();
            assert!(said.contains(says), "{new}: {said}");
        }
        assert!(writer(&format!("{GOOD}{GOOD}")).unwrap_err().contains("\"a\" twice"));
    }
}
