//! Reads the packaged sample of the config for its words: each key is described there, and nowhere else.

/// The sample, as the packages install it.
const SAMPLE: &str = include_str!("../../config/config.toml");

/// A table of the config.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// As it begins in a file: `[[endpoint]]`.
    pub(super) header: &'static str,
    /// What it is.
    pub(super) about: String,
    /// Its keys, in groups that are described together.
    pub(super) groups: Vec<Group>,
}

/// Keys with one description.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) about: String,
    /// Each as path, name and the value that the sample has: the default, or an example.
    pub(super) keys: Vec<(String, &'static str, &'static str)>,
}

/// Every table of the sample, in its order.
pub(super) fn tables() -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    for line in SAMPLE.lines() {
        let said = line.strip_prefix("# ");
        let set = line.strip_prefix('#').filter(|_| said.is_none());
        match (said, set) {
            (Some(said), _) => words.push(said),
            (None, Some(header)) if header.starts_with('[') => {
                let about = std::mem::take(&mut words).join(" ");
                tables.push(Table { header, about, groups: Vec::new() });
            }
            (None, Some(set)) => {
                if let (Some(table), Some((name, value))) = (tables.last_mut(), set.split_once(" = ")) {
                    table.add(std::mem::take(&mut words).join(" "), (name, value));
                }
            }
            // An empty line ends what was said of nothing: the words at the head of the file.
            (None, None) => words.clear(),
        }
    }
    tables
}

impl Table {
    /// Its path: `endpoint.probe`.
    fn path(&self) -> &'static str {
        self.header.trim_matches(['[', ']'])
    }

    /// Adds a key; without words of its own it belongs to the one before.
    fn add(&mut self, about: String, (name, value): (&'static str, &'static str)) {
        let key = (format!("{}.{name}", self.path()), name, value);
        match self.groups.last_mut() {
            Some(group) if about.is_empty() => group.keys.push(key),
            _ => self.groups.push(Group { about, keys: vec![key] }),
        }
    }
}
