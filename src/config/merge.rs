//! Drop-ins laid over the main file: tables merge key by key, the later wins.
//!
//! `[[endpoint]]` merges by `name` and `[[endpoint.zone]]` by `id`, so that a drop-in can change one endpoint; any
//! other list is replaced whole.

use std::collections::BTreeMap;

use super::keys::join;
use super::raw::{self, Mistake, Node, Origin, Table, Value};
use super::redaction::Redaction;
use super::source_text::SourceText;

/// Several texts as one tree, and what the texts alone tell.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) tree: Table,
    pub(crate) flaws: Flaws,
    pub(crate) hidden: Redaction,
}

/// What is wrong with texts before any rule looks at what they say.
#[derive(Debug, Default)]
pub(crate) struct Flaws {
    /// By file.
    pub(crate) mistakes: Vec<Vec<Mistake>>,
    pub(crate) repeats: Vec<Repeat>,
}

impl Merged {
    /// Reads the texts, the first as the main one, and lays them over one another.
    pub(crate) fn from_texts(texts: &[SourceText]) -> Self {
        let (mut roots, mut flaws, mut hidden) = (Vec::new(), Flaws::default(), Redaction::default());
        for (file, text) in texts.iter().enumerate() {
            let mut parsed = raw::parse(file, &text.text);
            hidden.add_file(&mut parsed.root, text);
            flaws.repeats.extend(repeats(&parsed.root));
            flaws.mistakes.push(parsed.mistakes);
            roots.push(parsed.root);
        }
        Self { tree: merge(roots), flaws, hidden }
    }
}

/// The key that tells the elements of a list of tables apart.
fn identity_key(path: &str) -> Option<&'static str> {
    match path {
        "endpoint" => Some("name"),
        "endpoint.zone" => Some("id"),
        _ => None,
    }
}

/// One identity that stands twice in one file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Repeat {
    /// `endpoint.name` or `endpoint.zone.id`.
    pub(crate) key: String,
    /// What stands twice, as it is found.
    pub(crate) identity: String,
    /// The later one.
    pub(crate) at: Option<Origin>,
}

/// Every identity that one file has twice.
fn repeats(root: &Node) -> Vec<Repeat> {
    let mut found = Vec::new();
    find_repeats(root, "", &mut found);
    found
}

fn find_repeats(node: &Node, path: &str, found: &mut Vec<Repeat>) {
    match (&node.value, identity_key(path)) {
        (Value::Table(table), _) => {
            for (name, entry) in table {
                // Only the two lists we know of can hold any: the rest of the tree is of no interest.
                if identity_key(&join(path, name)).is_some() {
                    find_repeats(&entry.node, &join(path, name), found);
                }
            }
        }
        (Value::List(items), Some(key)) => {
            let mut seen = BTreeMap::new();
            for item in items {
                if let Some((identity, node)) = identity(item, key)
                    && seen.insert(identity, ()).is_some()
                {
                    found.push(Repeat { key: join(path, key), identity: node.found(), at: node.at.clone() });
                }
                find_repeats(item, path, found);
            }
        }
        _ => {}
    }
}

fn identity<'n>(item: &'n Node, key: &str) -> Option<(&'n str, &'n Node)> {
    let node = &item.table()?.get(key)?.node;
    Some((node.text()?, node))
}

/// Lays every file over the ones before it.
fn merge(files: impl IntoIterator<Item = Node>) -> Table {
    let mut merged = Table::new();
    for file in files {
        if let Value::Table(table) = file.value {
            overlay_table(&mut merged, table, "");
        }
    }
    merged
}

fn overlay_table(base: &mut Table, over: Table, path: &str) {
    for (name, entry) in over {
        let path = join(path, &name);
        match base.get_mut(&name) {
            Some(old) => {
                overlay(&mut old.node, entry.node, &path);
                old.key = entry.key;
            }
            None => {
                base.insert(name, entry);
            }
        }
    }
}

fn overlay(base: &mut Node, over: Node, path: &str) {
    match (&mut base.value, over.value, identity_key(path)) {
        (Value::Table(base), Value::Table(over), _) => overlay_table(base, over, path),
        (Value::List(base), Value::List(over), Some(key)) => overlay_list(base, over, path, key),
        (base_value, over_value, _) => {
            *base_value = over_value;
            (base.at, base.hidden) = (over.at, over.hidden);
        }
    }
}

fn overlay_list(base: &mut Vec<Node>, over: Vec<Node>, path: &str, key: &str) {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (place, item) in base.iter().enumerate() {
        if let Some((identity, _)) = identity(item, key) {
            places.entry(identity.to_owned()).or_insert(place);
        }
    }
    for item in over {
        let place = identity(&item, key).and_then(|(identity, _)| places.get(identity)).copied();
        match place.and_then(|p| base.get_mut(p)) {
            Some(old) => overlay(old, item, path),
            None => base.push(item),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw::parse;

    fn merged(texts: &[&str]) -> Node {
        let table = merge(texts.iter().enumerate().map(|(i, t)| parse(i, t).root));
        Node::new(None, Value::Table(table))
    }

    #[test]
    fn later_values_win_key_by_key() {
        let node = merged(&["[log]\nlevel = \"info\"\nformat = \"text\"", "[log]\nlevel = \"debug\"", "log.x = 1"]);
        assert_eq!(node.to_toml(), r#"{ log = { format = "text", level = "debug", x = 1 } }"#);
        let level = &node.table().unwrap()["log"].node.table().unwrap()["level"];
        assert_eq!(level.node.at.as_ref().unwrap().file, 1);
    }

    #[test]
    fn endpoints_merge_by_name_and_their_zones_by_id() {
        let main =
            "[[endpoint]]\nname = \"a\"\nlist = [1]\n[[endpoint.zone]]\nid = \"h\"\nx = 1\n[[endpoint]]\nname = \"b\"";
        let drop_in =
            "[[endpoint]]\nname = \"a\"\nlist = [2]\n[[endpoint.zone]]\nid = \"h\"\ny = 2\n[[endpoint]]\nname = \"c\"";
        let expected = concat!(
            r#"{ endpoint = [{ list = [2], name = "a", zone = [{ id = "h", x = 1, y = 2 }] }, "#,
            r#"{ name = "b" }, { name = "c" }] }"#
        );
        assert_eq!(merged(&[main, drop_in]).to_toml(), expected);
    }

    #[test]
    fn a_name_twice_in_one_file_is_found() {
        let text = "[[endpoint]]\nname = \"a\"\n[[endpoint.zone]]\nid = \"h\"\n[[endpoint.zone]]\nid = \"h\"\n\
                    [[endpoint]]\nname = \"a\"\n[[endpoint.zone]]\nid = \"h\"";
        let found: Vec<_> = repeats(&parse(0, text).root).into_iter().map(|r| (r.key, r.identity)).collect();
        assert_eq!(
            found,
            [("endpoint.zone.id".to_owned(), "\"h\"".to_owned()), ("endpoint.name".to_owned(), "\"a\"".to_owned())]
        );
    }
}
