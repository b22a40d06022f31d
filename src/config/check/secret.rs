//! Where a secret is, told without ever showing what may be one.

use std::path::PathBuf;

use super::context::{Bad, Read, World};
use super::{files, read};
use crate::config::holds::names_a_place;
use crate::config::raw::Node;
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

/// systemd's credentials.
pub(super) fn credential(node: &Node, form: &str) -> Bad {
    hidden(form, node).help("`credential:NAME` is not in this version")
}

/// A complaint that shows nothing of what may be a secret.
pub(super) fn hidden(expected: &str, node: &Node) -> Bad {
    let found = if node.text().is_some() { HIDDEN } else { node.type_name() };
    Bad::found_at(&node.at, expected, found)
}
