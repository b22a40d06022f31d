//! Where a secret is, told without ever showing what may be one.

use std::path::{Path, PathBuf};

use super::context::{Bad, CheckContext, Read, World};
use super::{files, read};
use crate::config::facts::{CredentialFolder, FileFacts};
use crate::config::holds::{credential, names_a_place, secret_parts};
use crate::config::keys;
use crate::config::raw::Node;
use crate::config::source_text::{quote, quote_path};
use crate::model::secret_parts::masked;
use crate::model::{FileSecret, HIDDEN, Secret, Wall};

/// What a credential may be called.
const CREDENTIAL: &str = "`credential:NAME`, the name 1 to 128 letters, digits, `.`, `_`, `-` and `@`";

/// The path that a text stands for, without a complaint: a credential's is in the `folder` of credentials.
pub(super) fn path(node: &Node, folder: Option<&Path>) -> Option<PathBuf> {
    match credential(node.text()?) {
        Some(name) => Some(folder?.join(name?)),
        None => read::path(node).ok(),
    }
}

/// The path of a secret that is read at each use.
pub(super) fn place(node: &Node, world: World<'_>) -> Read<PathBuf> {
    match node.text().map(|text| (text, credential(text))) {
        Some((_, Some(name))) => in_folder(name, node, world),
        Some((text, None)) if names_a_place(text) => read::path(node),
        _ => Err(vec![hidden(keys::SECRET, node)]),
    }
}

/// Where a credential is, or would be.
fn in_folder(name: Option<&str>, node: &Node, world: World<'_>) -> Read<PathBuf> {
    let Some(name) = name else { return Err(vec![hidden(CREDENTIAL, node)]) };
    match &world.environment.credentials {
        // The hosts writer, which doesn't look, finds nothing wrong either.
        CredentialFolder::None if world.facts.is_none() => Err(Vec::new()),
        CredentialFolder::None => {
            let found = "none: $CREDENTIALS_DIRECTORY is not set";
            Err(vec![Bad::found_at(&node.at, "a credential that systemd gave this process", found).help(come_by(name))])
        }
        CredentialFolder::Own(folder) | CredentialFolder::OfTheService(Some(folder)) => Ok(folder.join(name)),
        // Nothing is read there.
        CredentialFolder::OfTheService(None) => Ok(Path::new("/nonexistent").join(name)),
    }
}

/// The secret that a key names.
pub(super) fn file(node: &Node, world: World<'_>) -> Read<FileSecret> {
    let path = place(node, world)?;
    match node.text().and_then(credential).flatten() {
        None => files::secret(path, node, world),
        // Never in use: who judges from outside makes nothing of what was read.
        Some(name) if is_unseen(node, world) => {
            Ok(FileSecret { secret: Secret::new(name.to_owned()), written: Wall(0), path })
        }
        Some(name) => files::credential(path, node, world).map_err(|all| {
            all.into_iter().map(|bad| if bad.help.is_none() { bad.help(come_by(name)) } else { bad }).collect()
        }),
    }
}

/// Whether a credential can't be judged, since only the service will have it.
fn is_unseen(node: &Node, world: World<'_>) -> bool {
    let CredentialFolder::OfTheService(folder) = &world.environment.credentials else { return false };
    let Some(Some(_)) = node.text().map(credential).map(Option::flatten) else { return false };
    let seen = path(node, folder.as_deref()).and_then(|path| world.facts?.get(&path));
    !matches!(seen, Some(FileFacts::Regular(_)))
}

/// Warns of each credential that can't be judged from here, with its key.
pub(super) fn warn_of_unseen<'n>(secrets: impl Iterator<Item = (String, &'n Node)>, context: &CheckContext<'_>) {
    for (key, node) in secrets.filter(|(_, node)| is_unseen(node, context.world)) {
        let name = node.text().and_then(credential).flatten().unwrap_or_default();
        let CredentialFolder::OfTheService(folder) = &context.world.environment.credentials else { return };
        let found = match folder {
            Some(folder) => format!("nothing that can be read in {}", quote_path(folder)),
            None => "no credentials: the service does not run, or has none".to_owned(),
        };
        let bad = Bad::found_at(&node.at, "a credential that can be looked at from here", found);
        let help = format!("nothing is wrong if {}; the service judges it at its next start", given_by(name));
        context.warn(&key, bad.help(help));
    }
}

/// How systemd comes to give the service a credential.
fn given_by(name: &str) -> String {
    format!("a drop-in of privatelinkd.service has `LoadCredential={name}:/path`, which takes systemd 247 or newer")
}

/// What to do where the service was not given it, or something else; the same holds for who looks with its eyes.
fn come_by(name: &str) -> String {
    format!("{}; it comes with a start of the service: first `systemctl restart privatelinkd`", given_by(name))
}

/// The name of who logs in to a server of this kind, as a message shows it.
pub(super) fn shown_user(user: &str, kind: Option<&str>) -> String {
    quote(&masked(user, &secret_parts("endpoint.probe.user", kind, user)))
}

/// A complaint that shows nothing of what may be a secret.
pub(super) fn hidden(expected: &str, node: &Node) -> Bad {
    let found = if node.text().is_some() { HIDDEN } else { node.type_name() };
    Bad::found_at(&node.at, expected, found)
}
