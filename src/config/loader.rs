//! From the disk: reads the main file, its drop-ins and the files that they name, and hands everything to the rules.
//!
//! All of this blocks; on the runtime it belongs on a blocking thread.

mod files;
mod writer;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use self::files::ConfigFiles;
pub use self::writer::{LoadedWriter, load_writer};
use super::check::{self, Checked, World, file_ownership};
use super::complaint::{Complaint, Complaints};
use super::effective::Effective;
use super::facts::{CredentialFolder, Environment, FileOwnership, SERVICE_USER, ServiceUser};
use super::findings::{Finding, Findings};
use super::merge::{Flaws, Merged};
use super::redacted_config::RedactedConfig;
use super::redaction::Redaction;
use super::source_text::{SourceText, Texts};
use super::sources::Sources;
use super::types::{Config, Folders};
use crate::sys::identity;

/// Where systemd puts the credentials of the agent's service while it runs.
const CREDENTIALS_OF_THE_SERVICE: &str = "/run/credentials/privatelinkd.service";

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
    /// What [`super::last_good::keep`] writes down.
    pub kept: RedactedConfig,
    /// What it was made of, for secrets that change while it is in force.
    pub texts: Texts,
}

impl Environment {
    /// This process on this machine. Run as root it takes secrets of the service user, too. That user is looked up
    /// (which may block).
    #[must_use]
    pub fn current() -> Self {
        Self { service: None, is_for_services: false, ..Self::for_agent() }
    }

    /// As [`Environment::current`]; but run as root it judges with the eyes of the service user, where there is one,
    /// so that a person is told what the agent will meet.
    #[must_use]
    pub fn for_agent() -> Self {
        let own = identity::effective_uid();
        let user = identity::user(SERVICE_USER).map(|(uid, gid)| ServiceUser { uid, gid });
        let service = user.filter(|_| own == 0);
        let trusted_uids = service.iter().map(|user| user.uid).chain([own]).collect();
        // Beside the service user's agent there is root's hosts writer, which obeys root alone.
        let keeper = user.filter(|user| user.uid == own).map(|_| 0);
        let is_for_services = user.is_some_and(|user| user.uid != own) && own != 0;
        let given = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|folder| folder.is_absolute());
        let credentials = given.map_or(CredentialFolder::None, CredentialFolder::Own);
        Self { trusted_uids, service, keeper, is_for_services, credentials, ..Self::for_writer() }
    }

    /// As [`Environment::for_agent`], for who only asks whether the configuration holds: outside of the service, what
    /// systemd gives the service alone can't be seen, and is no fault.
    #[must_use]
    pub fn for_check() -> Self {
        let environment = Self::for_agent();
        // The check of a reload is outside, too: from version 257 on, if not before, systemd shows credentials to the
        // main process alone.
        let of_service = Path::new(CREDENTIALS_OF_THE_SERVICE);
        // Those of another unit, below which somebody asks, are none of ours.
        if matches!(&environment.credentials, CredentialFolder::Own(own) if own == of_service) {
            return environment;
        }
        let credentials = CredentialFolder::OfTheService(of_service.is_dir().then(|| of_service.to_owned()));
        Self { credentials, ..environment }
    }

    /// What [`load_writer`] needs, who reads no secret: this machine's host name.
    #[must_use]
    pub fn for_writer() -> Self {
        Self { hostname: identity::hostname().and_then(|name| name.parse().ok()), ..Self::default() }
    }
}

/// Reads the configuration at `path` with the drop-ins in `conf.d/` beside it, and judges it. Blocks.
///
/// The files, and the folders that they lie in, must be root's or the keeper's ([`Environment::keeper`]), and no
/// other user may be able to change them.
///
/// # Errors
/// Everything that is wrong, at once; warnings are among it.
pub fn load(path: &Path, environment: &Environment) -> Result<Loaded, Complaints> {
    loaded(files::read_texts(path), environment)
}

/// As [`load`], where a main file that is not there says nothing: for `init`, which makes it. Blocks.
///
/// # Errors
/// As [`load`].
pub fn load_what_exists(path: &Path, environment: &Environment) -> Result<Loaded, Complaints> {
    loaded(files::read_texts_that_exist(path), environment)
}

fn loaded(files: ConfigFiles, environment: &Environment) -> Result<Loaded, Complaints> {
    let ConfigFiles { documents, mut standing, unreadable, sources } = files;
    if !unreadable.is_empty() {
        return Err(Complaints { complaints: unreadable, omitted: 0 });
    }
    let mut of_files = untrusted(&mut standing, &sources, environment);
    let closed = environment.service.map(|service| file_ownership::closed_to(&standing, service));
    of_files.extend(closed.into_iter().flatten());
    let warnings = file_ownership::refused_by_services(&standing, identity::effective_uid());
    let warnings = if environment.is_for_services { warnings } else { Vec::new() };
    match judge(Texts::new(documents, BTreeSet::new()), environment, sources, false) {
        Ok((mut judged, _)) => {
            judged.warnings.splice(0..0, warnings);
            if of_files.is_empty() {
                return Ok(judged);
            }
            Err(join(of_files, Complaints { complaints: judged.warnings, omitted: 0 }))
        }
        Err(complaints) => Err(join(of_files, complaints)),
    }
}

/// What another user than the keeper could change. The agent and the hosts writer judge alike: what one of them
/// follows and the other refuses would be published by neither. The folders are added to `standing`.
fn untrusted(standing: &mut Vec<FileOwnership>, sources: &Sources, environment: &Environment) -> Vec<Complaint> {
    let (folders, mut complaints) = files::folders(sources);
    standing.extend(folders);
    let keeper = environment.keeper.unwrap_or_else(identity::effective_uid);
    complaints.extend(file_ownership::others_may_write(standing, keeper));
    complaints
}

/// The complaints about whole files, before the others.
fn join(mut of_files: Vec<Complaint>, others: Complaints) -> Complaints {
    of_files.extend(others.complaints);
    let omitted = others.omitted + of_files.len().saturating_sub(Complaints::LIMIT);
    of_files.truncate(Complaints::LIMIT);
    Complaints { complaints: of_files, omitted }
}

/// The five folders, however wrong the rest of the configuration is: what an agent that runs on an older one left
/// there can be found. Blocks; opens no secret.
#[must_use]
pub fn folders(path: &Path) -> Folders {
    check::folders(&Merged::from_texts(&files::read_texts(path).documents).tree)
}

/// Judges texts that lie in no file: the first is the main one, the others are laid over it as drop-ins are. Files
/// that they name are read. For tests and demos.
///
/// # Errors
/// As [`load`].
pub fn from_texts(texts: &[(&str, &str)], environment: &Environment) -> Result<Loaded, Complaints> {
    let document = |(name, text): &(&str, &str)| SourceText::new((*name).to_owned(), (*text).to_owned());
    let texts = Texts::new(texts.iter().map(document).collect(), BTreeSet::new());
    judge(texts, environment, Sources::default(), false).map(|(loaded, _)| loaded)
}

/// The configuration of one text, on this machine. For tests and demos.
///
/// # Errors
/// As [`load`].
pub fn from_toml(text: &str) -> Result<Config, Complaints> {
    from_texts(&[("config.toml", text)], &Environment::current()).map(|loaded| loaded.config)
}

/// Judges texts, and reads the files that they name, which `sources` takes down. What a configuration that `was_kept`
/// has to do without (see [`World`]) comes beside it.
pub(super) fn judge(
    texts: Texts,
    environment: &Environment,
    mut sources: Sources,
    was_kept: bool,
) -> Result<(Loaded, Vec<String>), Complaints> {
    let documents = &texts.documents;
    let Merged { tree, flaws, hidden } = Merged::from_texts(documents);
    let kept = RedactedConfig::new(&tree);
    let facts = files::gather(&tree, environment.credentials.path(), &mut sources);
    let world = World { environment, facts: Some(&facts), left_out: was_kept.then_some(&texts.left_out) };
    let Checked { config, effective, findings, without } = check::check(tree, documents, world);
    let (config, complaints) = conclude(config, findings, documents, flaws, &hidden);
    let Some(config) = config else { return Err(complaints) };
    Ok((Loaded { config, effective, sources, warnings: complaints.complaints, kept, texts }, without))
}

/// What the rules made, if the texts have no flaws beside; and everything that was found.
fn conclude<T>(
    made: Option<T>,
    mut findings: Findings,
    texts: &[SourceText],
    flaws: Flaws,
    hidden: &Redaction,
) -> (Option<T>, Complaints) {
    let Flaws { mistakes, repeats } = flaws;
    repeats.into_iter().for_each(|repeat| findings.add(Finding::from(repeat)));
    let made = made.filter(|_| !findings.has_errors() && mistakes.iter().all(Vec::is_empty));
    (made, findings.into_complaints(texts, &mistakes, hidden))
}
