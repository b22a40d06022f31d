//! What the hosts writer reads of a configuration: the same files and the same rules, with more distrust and more
//! tolerance.

use std::path::Path;

use super::files::{self, ConfigFiles};
use super::{conclude, untrusted};
use crate::config::check;
use crate::config::complaint::Complaints;
use crate::config::facts::Environment;
use crate::config::merge::Merged;
use crate::config::sources::Sources;
use crate::config::types::WriterConfig;

/// The writer's part of a configuration, and where it came from.
#[derive(Debug, Clone)]
pub struct LoadedWriter {
    /// The writer's part.
    pub config: WriterConfig,
    /// False if the agent refuses the configuration for something else in it, and so goes on with an older one. (Or
    /// it is of a later version, which is no reason to take anything away either.) Of the files that it names nothing
    /// is known.
    pub whole: bool,
    /// The files behind it.
    pub sources: Sources,
}

/// Reads what the hosts writer needs of the configuration at `path`. Blocks; opens no file that the configuration
/// names.
///
/// What concerns only the agent may be wrong, unreadable or of a later version; unknown keys are taken anywhere. The
/// files, and the folders that they lie in, are judged as [`super::load`] judges them.
///
/// # Errors
/// Everything that is wrong with it, at once, in the words of [`super::load`]; no warnings. Of files that another
/// user could change no more is said than that.
pub fn load_writer(path: &Path, environment: &Environment) -> Result<LoadedWriter, Complaints> {
    let ConfigFiles { documents, mut standing, mut unreadable, sources } = files::read_texts(path);
    unreadable.extend(untrusted(&mut standing, &sources, environment));
    if !unreadable.is_empty() {
        return Err(Complaints { complaints: unreadable, omitted: 0 });
    }
    let Merged { tree, flaws, hidden } = Merged::from_texts(&documents);
    let (config, findings) = check::check_for_writer(tree, &documents, environment);
    let whole = flaws.repeats.is_empty() && !findings.has_tolerated();
    match conclude(config, findings, &documents, flaws, &hidden) {
        (Some(config), _) => Ok(LoadedWriter { config, whole, sources }),
        (None, complaints) => Err(complaints),
    }
}
