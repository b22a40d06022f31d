//! Which parts of the texts no complaint may show (B15): header values, what stands in the place of a secret file's
//! path, and what stands behind a key that we do not know and that is no near miss of one of ours, because it may well
//! hold a password; unless it is of a kind that none has ([`harmless`]).

use std::ops::Range;

use super::complaint::Complaints;
use super::harmless;
use super::keys::{self, join};
use super::lookalikes::is_address;
use super::raw::{Node, Origin, Value};
use super::source_text::SourceText;

/// The key whose values are secret.
pub(crate) const HEADERS: &str = "endpoint.probe.headers";

/// The key whose URL may have a user and a password in it.
pub(crate) const PROXY: &str = "cloud.proxy";

/// The parts to hide, by file.
#[derive(Debug, Default)]
pub(crate) struct Redaction(Vec<Vec<Range<usize>>>);

impl Redaction {
    /// Takes down what to hide in the next file.
    pub(crate) fn add_file(&mut self, root: &Node) {
        let mut spans = Vec::new();
        walk(root, "", &mut spans);
        spans.sort_by_key(|s| (s.start, s.end));
        self.0.push(spans);
    }

    /// What to hide in a file, where it was understood.
    pub(crate) fn ranges_in(&self, file: usize) -> &[Range<usize>] {
        self.0.get(file).map_or(&[], Vec::as_slice)
    }

    /// True if a value is hidden.
    pub(crate) fn hides(&self, at: &Origin) -> bool {
        let spans = self.ranges_in(at.file);
        spans.binary_search_by_key(&(at.span.start, at.span.end), |s| (s.start, s.end)).is_ok()
    }

    /// What to hide on a line that is not TOML: the tree may lack parts of it, so that the text itself must tell.
    pub(crate) fn ranges_in_broken_line(&self, file: usize, text: &SourceText, offset: usize) -> Vec<Range<usize>> {
        let line = text.line_of(offset);
        let range = text.line_range(line);
        let cut = match secret_from(text, line) {
            Some(column) => range.start + column..range.end.max(range.start + column + 1),
            None => return self.ranges_in(file).to_vec(),
        };
        let before = self.ranges_in(file).iter().take_while(|h| h.start < cut.start);
        let mut hidden: Vec<_> = before.map(|h| h.start..h.end.min(cut.start)).collect();
        hidden.push(cut);
        hidden
    }
}

fn walk(node: &Node, path: &str, spans: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Table(table) => {
            for (name, entry) in table {
                let written = join(path, name);
                let known = keys::is_section(&written) || keys::find(&written).is_some();
                // A slip of the finger helps more when its value is seen. Among many keys it is noise.
                let near = || (table.len() <= Complaints::LIMIT).then(|| keys::meant(path, name)).flatten();
                let meant = if known { Some(written) } else { near().map(|near| join(path, near)) };
                match meant {
                    Some(path) if path == HEADERS => hide_headers(&entry.node, spans),
                    Some(path) if is_secret_file(&path) => hide_unless_a_place(&entry.node, spans),
                    Some(path) if path == PROXY => hide_userinfo(&entry.node, spans),
                    Some(path) if keys::is_section(&path) => walk(&entry.node, &path, spans),
                    Some(path) if path == "endpoint.addresses" => {}
                    Some(_) => hide_tables(&entry.node, spans),
                    None if harmless::is_secretive(name) => hide(&entry.node, spans),
                    None => hide_unless_harmless(&entry.node, spans),
                }
            }
        }
        Value::List(items) if !path.is_empty() => items.iter().for_each(|item| walk(item, path, spans)),
        _ => {}
    }
}

/// Whether a user, and perhaps a password, stands in a URL.
pub(crate) fn has_userinfo(node: &Node) -> bool {
    node.text().is_some_and(|text| text.contains('@'))
}

fn hide_userinfo(node: &Node, spans: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| hide_userinfo(item, spans)),
        _ if has_userinfo(node) => hide(node, spans),
        _ => hide_tables(node, spans),
    }
}

fn is_secret_file(path: &str) -> bool {
    keys::SECRET_FILES.contains(&path)
}

fn hide_unless_a_place(node: &Node, spans: &mut Vec<Range<usize>>) {
    if !node.text().is_some_and(names_a_place) {
        hide(node, spans);
    }
}

/// Behind a key that is not known, but whose name does not speak of secrets.
fn hide_unless_harmless(node: &Node, spans: &mut Vec<Range<usize>>) {
    if harmless::is_harmless(node) {
        return;
    }
    let Value::Table(table) = &node.value else { return hide(node, spans) };
    for (name, entry) in table {
        if harmless::is_secretive(name) {
            hide(&entry.node, spans);
        } else {
            hide_unless_harmless(&entry.node, spans);
        }
    }
}

fn hide_headers(headers: &Node, spans: &mut Vec<Range<usize>>) {
    let Some(table) = headers.table() else { return hide(headers, spans) };
    for entry in table.values() {
        let Some(source) = entry.node.table() else {
            hide(&entry.node, spans);
            continue;
        };
        for (name, value) in source {
            match name.as_str() {
                "file" => hide_unless_a_place(&value.node, spans),
                _ => hide(&value.node, spans),
            }
        }
    }
}

/// True if a text can be shown because it says where a secret is, not what it is.
pub(crate) fn names_a_place(text: &str) -> bool {
    text.starts_with('/') || text.starts_with("./") || text.starts_with("../")
}

/// Where one value is expected, a table is a misunderstanding: its values are nothing that we know.
fn hide_tables(node: &Node, spans: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Table(_) => hide_unless_harmless(node, spans),
        Value::List(items) => items.iter().for_each(|item| hide_tables(item, spans)),
        _ => {}
    }
}

fn hide(node: &Node, spans: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Table(table) => table.values().for_each(|e| hide(&e.node, spans)),
        Value::List(items) => items.iter().for_each(|item| hide(item, spans)),
        _ => spans.extend(node.at.iter().map(|at| at.span.clone()).filter(|s| !s.is_empty())),
    }
}

/// The column (in bytes) from which on a broken line may hold a secret, if it may.
fn secret_from(text: &SourceText, line: usize) -> Option<usize> {
    let content = text.line(line);
    if may_continue_a_secret(text, line) {
        return Some(value_column(content).unwrap_or(0));
    }
    first_unknown(content)
}

/// What stands between a key and its value, or only looks so.
const EQUALS: [char; 2] = ['=', '\u{ff1d}'];

/// The column behind the first `=` of a line whose key is not one whose values may be shown; 0 if the line does not
/// look like one with a key at all.
fn first_unknown(content: &str) -> Option<usize> {
    if !content.contains(EQUALS) {
        return behind_secretive_word(content);
    }
    let mut behind_keys = content.match_indices(EQUALS).map(|(column, sign)| (column, column + sign.len()));
    let hides = |before: &str, value: &str| {
        let of_proxy = leaf(before) == "proxy" && value.contains('@');
        of_proxy || (!shown(before) && !is_only_an_address(value))
    };
    let unknown = behind_keys.find(|(key, value)| hides(&content[..*key], &content[*value..]));
    unknown.map(|(_, value)| if value_column(content).is_some() { value_from(content, value) } else { 0 })
}

/// Of a line without any `=`: the column behind a first word that speaks of a secret.
fn behind_secretive_word(content: &str) -> Option<usize> {
    let key = content.trim_start();
    let length = key.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(key.len());
    let (word, rest) = key.split_at(length);
    let hides = !word.is_empty() && harmless::is_secretive(word) && !rest.trim().is_empty();
    hides.then(|| content.len() - rest.trim_start().len())
}

/// Whether a value is an address, whatever quotes are lost, and what follows is none of it.
fn is_only_an_address(value: &str) -> bool {
    const QUOTES: [char; 4] = ['"', '\'', '\u{201c}', '\u{201d}'];
    let value = value.trim_start_matches(|c: char| c.is_whitespace() || c == '[' || QUOTES.contains(&c));
    let end = value.find(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '/'))).unwrap_or(value.len());
    let (address, rest) = value.split_at(end);
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || QUOTES.contains(&c));
    is_address(address) && (rest.is_empty() || rest.starts_with([',', '}', ']', '#', '\u{ff0c}', '\u{3001}']))
}

/// The last part of the key that `before` ends with.
fn leaf(before: &str) -> &str {
    let word = before.trim_end().trim_end_matches(['"', '\'']);
    word.rsplit(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))).next().unwrap_or_default()
}

/// Whether the value of the key that `before` ends with may be shown.
fn shown(before: &str) -> bool {
    let leaf = leaf(before);
    let known = |path: &str| path != HEADERS && !is_secret_file(path) && path.rsplit('.').next() == Some(leaf);
    let section = |path: &str| path.split('.').rev().skip(1).any(|part| part == leaf);
    keys::KEYS.iter().any(|k| known(k.path) || section(k.path))
}

/// Where the value begins that has its `=` right before byte `from`.
fn value_from(content: &str, from: usize) -> usize {
    content.len() - content[from..].trim_start().len()
}

/// Where the value begins on a line that begins with `key =` and something behind it.
fn value_column(content: &str) -> Option<usize> {
    let (equals, sign) = content.match_indices(EQUALS).next()?;
    let from = equals + sign.len();
    let (key, value) = (content[..equals].trim(), content[from..].trim());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '"' | '\'');
    let key_like = !key.is_empty() && key.chars().all(plain);
    (key_like && !value.is_empty() && !value.starts_with('=')).then_some(value_from(content, from))
}

/// Whether something above, in the same table, may have opened a value that goes on here and that we do not know, or
/// a table of headers. The table itself may be one.
fn may_continue_a_secret(text: &SourceText, line: usize) -> bool {
    for l in (0..=line).rev() {
        let content = text.line(l).trim_start();
        if content.starts_with('[') && !content.contains('=') {
            let table = content.trim_start_matches('[').split(']').next().unwrap_or_default();
            return l < line && (table == HEADERS || !keys::is_section(table.trim()));
        }
        let addresses = content.starts_with("addresses");
        if l < line && (content.contains("headers") || (!addresses && first_unknown(content).is_some())) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw::parse;

    fn hidden_texts(text: &str) -> Vec<&str> {
        let mut hidden = Redaction::default();
        hidden.add_file(&parse(0, text).root);
        hidden.ranges_in(0).iter().map(|s| &text[s.clone()]).collect()
    }

    #[test]
    fn headers_and_unknown_keys_are_hidden() {
        let text = "password = \"a\"\n[log]\nlevel = \"info\"\nlevle = \"x\"\ntoken = [\"b\", { c = 3 }]\n[[endpoint]]\n\
                    addresses = { h = \"10.0.0.1\" }\nid = { x = \"d\" }\n\
                    probe = { kind = \"tcp\", headers = { a = \"e\", b = { file = \"/f\", g = \"h\" }, i = { file = \"j\" } } }";
        assert_eq!(hidden_texts(text), ["\"a\"", "\"b\"", "3", "\"d\"", "\"e\"", "\"h\"", "\"j\""]);
    }

    fn broken(text: &str, needle: &str) -> String {
        let document = SourceText::new("x".into(), text.into());
        let mut hidden = Redaction::default();
        hidden.add_file(&parse(0, text).root);
        let at = text.find(needle).unwrap();
        document.excerpt(&(at..at + 1), &hidden.ranges_in_broken_line(0, &document, at)).text
    }

    #[test]
    fn a_proxys_url_is_hidden_where_a_user_stands_in_it() {
        assert_eq!(hidden_texts("[cloud]\nproxy = \"http://h:3128\"\n"), [""; 0]);
        assert_eq!(hidden_texts("cloud.proxy = \"http://u:p@h:3128\"\n"), ["\"http://u:p@h:3128\""]);
        assert_eq!(hidden_texts("[cloud]\nproxy = [\"http://u:p@h\", \"x\"]"), ["\"http://u:p@h\""]);
        assert_eq!(hidden_texts("cloud = { https_proxy = \"http://u:p@h\" }"), ["\"http://u:p@h\""]);
        assert_eq!(broken("[cloud]\nproxy = \"http://u:p@h", "http"), "proxy = [secret]");
        assert_eq!(broken("[cloud]\nproxy = \"http://h:3128", "http"), "proxy = \"http://h:3128");
    }

    #[test]
    fn broken_lines_show_only_known_values() {
        assert_eq!(broken("[log]\nlevel = \"info", "info"), "level = \"info");
        assert_eq!(broken("password = \"hunter2", "hunter"), "password = [secret]");
        assert_eq!(
            broken("[[endpoint]]\nprobe = { kind = \"tcp\", pw = \"hunter2 }", "kind"),
            "probe = { kind = \"tcp\", pw = [secret]"
        );
        assert_eq!(broken("password \u{ff1d} \"hunter2\"", "hunter"), "password \u{ff1d} [secret]");
        assert_eq!(broken("password: hunter2", "hunter"), "password[secret]");
        let bare = "[[endpoint]]\naddresses = { h = 10.0.1.15 }";
        assert_eq!(broken(bare, "15"), "addresses = { h = 10.0.1.15 }");
        assert_eq!(broken("headers = { id = \"hunter2 }", "id"), "headers = [secret]");
        assert_eq!(broken("[endpoint.probe.headers]\nid = \"hunter2", "id"), "id = [secret]");
        assert_eq!(broken("headers = {\nid = \"hunter2", "id"), "id = [secret]");
        assert_eq!(broken("token = \"\"\"\nhunter2\nx", "hunter"), "[secret]");
        let secret_file = "[cloud.credentials]\naccess_key_secret_file = \"hunter2";
        assert_eq!(broken(secret_file, "hunter"), "access_key_secret_file = [secret]");
        assert_eq!(broken("token = \"\"\"\naHVudGVy==\nx", "aHV"), "[secret]");
        assert_eq!(broken("[[endpoint]]\nprivate_dns = [\n \"a.b\" \"c.d\"\n]", "c.d"), " \"a.b\" \"c.d\"");
    }
}
