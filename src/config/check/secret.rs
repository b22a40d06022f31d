//! Where a secret is, told without ever showing what may be one.

use std::path::PathBuf;

use super::context::{Bad, Read, World};
use super::{files, read};
use crate::config::holds::{names_a_place, secret_parts};
use crate::config::raw::Node;
use crate::config::source_text::quote;
use crate::model::secret_parts::masked;
use crate::model::{FileSecret, HIDDEN};

/// The path of a secret file; `form` is how it is written.
pub(super) fn place(node: &Node, form: &str) -> Read<PathBuf> {
    match node.text() {
        Some(text) if text.starts_with("credential:") => Err(vec![credential(node, form)]),
        Some(text) if names_a_place(text) => read::path(node),
        _ => Err(vec![hidden("an absolute path", node)]),
    }
}

/// The secret file that a key names.
pub(super) fn file(node: &Node, world: World<'_>) -> Read<FileSecret> {
    files::secret(place(node, "a path: \"/path\"")?, node, world)
}

/// The name of who logs in to a server of this kind, as a message shows it.
pub(super) fn shown_user(user: &str, kind: Option<&str>) -> String {
    quote(&masked(user, &secret_parts("endpoint.probe.user", kind, user)))
}

/// systemd's credentials.
pub(super) fn credential(node: &Node, form: &str) -> Bad {
    hidden(form, node).help("`credential:NAME` is not in this version")
}

/// A complaint that shows nothing of what may be a secret.
pub(super) fn hidden(expected: &str, node: &Node) -> Bad {
    let found = if node.text().is_some() { HIDDEN } else { node.type_name() };
    Bad::found_at(&node.at, expected, found)
}
