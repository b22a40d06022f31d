//! A merged configuration as text again, without its secrets: what is left when the files are gone or broken.

use std::collections::BTreeSet;

use super::raw::{Entry, Hidden, Node, Table, Value, toml_key, written_order};
use crate::model::ProxyUrl;

/// What can be kept of a configuration: see [`super::last_good`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedactedConfig {
    /// Everything but what is [`Hidden`], in the order in which it was written. Says the same to the rules only
    /// if they took the tree: what they take nowhere, such as dates, is not kept.
    pub(crate) toml: String,
    /// The endpoints that lost something by that, by their names, and the other tables of the top, as `[cloud]`.
    pub(crate) left_out: BTreeSet<String>,
}

impl RedactedConfig {
    /// Of a merged tree.
    pub(crate) fn new(tree: &Table) -> Self {
        let mut kept = Self::default();
        for (name, entry) in written_order(tree) {
            let value = match &entry.node.value {
                Value::List(endpoints) if name == "endpoint" => Some(kept.endpoints(endpoints)),
                Value::Table(cloud) if name == "cloud" => {
                    kept.section(name, &Node { value: Value::Table(without_proxy_user(cloud)), ..entry.node.clone() })
                }
                _ => kept.section(name, &entry.node),
            };
            kept.toml.extend(value.map(|value| format!("{} = {value}\n", toml_key(name))));
        }
        kept
    }

    /// What does not belong to one endpoint.
    fn section(&mut self, name: &str, node: &Node) -> Option<String> {
        let mut writer = Writer { dropped: 0 };
        let value = writer.value(node);
        self.left_out.extend((writer.dropped > 0).then(|| format!("[{name}]")));
        value
    }

    /// One on each line, for people who look.
    fn endpoints(&mut self, endpoints: &[Node]) -> String {
        let mut lines = Vec::new();
        for endpoint in endpoints {
            let mut writer = Writer { dropped: 0 };
            lines.extend(writer.value(endpoint).map(|value| format!("\n  {value}")));
            let name = endpoint.table().and_then(|t| t.get("name")?.node.text());
            self.left_out.extend(name.filter(|_| writer.dropped > 0).map(str::to_owned));
        }
        format!("[{}\n]", lines.join(","))
    }
}

/// A proxy that asks for a password which is not kept says so. Without it the calls would go where they were not meant
/// to.
fn without_proxy_user(cloud: &Table) -> Table {
    let mut cloud = cloud.clone();
    if let Some(entry) = cloud.get_mut("proxy")
        && let Some(url) =
            entry.node.text().filter(|text| text.contains('@')).and_then(|text| ProxyUrl::parse(text).ok())
    {
        entry.node = Node { at: None, value: Value::Text(url.without_user()), hidden: Hidden::Nothing };
    }
    cloud
}

/// Writes one value.
struct Writer {
    /// How many values were hidden.
    dropped: usize,
}

impl Writer {
    fn value(&mut self, node: &Node) -> Option<String> {
        if node.hidden != Hidden::Nothing {
            self.dropped += 1;
            return None;
        }
        match &node.value {
            Value::List(items) => {
                let items: Vec<_> = items.iter().filter_map(|item| self.value(item)).collect();
                Some(format!("[{}]", items.join(", ")))
            }
            Value::Table(table) => {
                let pair = |(name, entry): (&String, &Entry)| {
                    Some(format!("{} = {}", toml_key(name), self.value(&entry.node)?))
                };
                let pairs: Vec<_> = written_order(table).into_iter().filter_map(pair).collect();
                Some(format!("{{ {} }}", pairs.join(", ")))
            }
            _ => Some(node.to_toml()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::merge::Merged;
    use crate::config::source_text::SourceText;

    fn kept(texts: &[&str]) -> RedactedConfig {
        let documents: Vec<_> = texts.iter().map(|t| SourceText::new("x".into(), (*t).into())).collect();
        RedactedConfig::new(&Merged::from_texts(&documents).tree)
    }

    #[test]
    fn everything_is_kept_in_its_order_but_what_is_hidden() {
        let main = "log.level = \"info\"\n[[endpoint]]\nname = \"a\"\npriority = -3\n\
                    [endpoint.probe]\nheaders = { z = { file = \"/z\" }, \"b!\" = \"hunter2\", a = { file = \"/a\" } }\n\
                    [[endpoint]]\nname = \"q\\\"\"\nprivate_dns = [\"x\", \"y\"]\n";
        let drop_in = "[log]\nlevel = \"warn\"\n[[endpoint]]\nname = \"a\"\nprobe.headers.z = { file = \"/zz\" }\n";
        let RedactedConfig { toml, left_out } = kept(&[main, drop_in]);
        let expected = "log = { level = \"warn\" }\nendpoint = [\n  \
                        { priority = -3, name = \"a\", probe = { headers = { a = { file = \"/a\" }, z = { file = \"/zz\" } } } },\n  \
                        { name = \"q\\\"\", private_dns = [\"x\", \"y\"] }\n]\n";
        assert_eq!(toml, expected);
        assert_eq!(left_out.into_iter().collect::<Vec<_>>(), ["a"]);
        assert_eq!(kept(&[&toml]).toml, expected, "kept once more it stays as it is");
    }

    #[test]
    fn a_proxy_is_kept_without_its_password() {
        let proxied = |proxy: &str| kept(&[&format!("cloud.proxy = \"{proxy}\"\n")]).toml;
        assert_eq!(proxied("http://u:hunter2@h:3128/"), "cloud = { proxy = \"http://h:3128\" }\n");
        for plain in ["http://h:3128/", "environment"] {
            assert_eq!(proxied(plain), format!("cloud = {{ proxy = \"{plain}\" }}\n"));
        }
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(kept(&[""]), RedactedConfig::default());
        assert_eq!(kept(&["endpoint = []"]).toml, "endpoint = [\n]\n");
    }
}
