//! Which parts of the texts no complaint shows and no copy keeps (B15): what may be secret behind a key of ours, as
//! [`holds`] tells it, what stands in the place of a secret file's path, and what stands behind a key that we do not
//! know and that is no near miss of one of ours, because it may well hold a password; unless it is of a kind that none
//! has ([`harmless`]).
//!
//! Each part is marked at its node, so that it is hidden wherever the node is shown, and its place in the text is taken
//! down, so that it is hidden wherever a line is shown.

mod broken_line;

use std::ops::Range;

use super::complaint::Complaints;
use super::harmless;
use super::holds::{self, HEADERS, names_a_secret};
use super::keys::{self, join};
use super::raw::{Hidden, Node, Origin, Value};
use super::source_text::SourceText;
use crate::model::secret_parts::{SecretParts, is_secretive, of_text, of_url};

/// The parts to hide, by file.
#[derive(Debug, Default)]
pub(crate) struct Redaction(Vec<Vec<Range<usize>>>);

impl Redaction {
    /// Marks what to hide in the next file, and takes it down.
    pub(crate) fn add_file(&mut self, root: &mut Node, text: &SourceText) {
        let mut marker = Marker { text: &text.text, spans: Vec::new() };
        marker.walk(root, "");
        marker.spans.sort_by_key(|s| (s.start, s.end));
        self.0.push(marker.spans);
    }

    /// What to hide in a file, where it was understood.
    pub(crate) fn ranges_in(&self, file: usize) -> &[Range<usize>] {
        self.0.get(file).map_or(&[], Vec::as_slice)
    }

    /// What to hide on a line that is not TOML: the tree may lack parts of it, so that the text itself must tell.
    pub(crate) fn ranges_in_broken_line(&self, file: usize, text: &SourceText, offset: usize) -> Vec<Range<usize>> {
        let line = text.line_of(offset);
        let range = text.line_range(line);
        let cut = match broken_line::secret_from(text, line) {
            Some(column) => range.start + column..range.end.max(range.start + column + 1),
            None => return self.ranges_in(file).to_vec(),
        };
        let before = self.ranges_in(file).iter().take_while(|h| h.start < cut.start);
        let mut hidden: Vec<_> = before.map(|h| h.start..h.end.min(cut.start)).collect();
        hidden.push(cut);
        hidden
    }
}

/// Marks the nodes of one file.
struct Marker<'t> {
    text: &'t str,
    spans: Vec<Range<usize>>,
}

impl Marker<'_> {
    fn walk(&mut self, node: &mut Node, path: &str) {
        let table = match &mut node.value {
            Value::Table(table) => table,
            Value::List(items) if !path.is_empty() => return items.iter_mut().for_each(|item| self.walk(item, path)),
            // In the place of a table.
            _ => return self.hide_in_value(node, &|text| holds::secret_parts(path, None, text)),
        };
        // A slip of the finger helps more when its value is seen. Among many keys it is noise.
        let is_small = table.len() <= Complaints::LIMIT;
        let kind = table.get("kind").and_then(|entry| entry.node.text()).map(str::to_owned);
        for (name, entry) in table {
            self.hide_in_name(name, entry.key.as_ref());
            let written = join(path, name);
            let known = keys::is_section(&written) || keys::find(&written).is_some();
            let near = || keys::meant(path, name).filter(|_| is_small).map(|near| join(path, near));
            let node = &mut entry.node;
            match if known { Some(written) } else { near() } {
                Some(path) if path == HEADERS => self.hide_headers(node),
                Some(path) if keys::names_a_secret_file(&path) => self.hide_unless_a_place(node),
                Some(path) if keys::is_section(&path) => self.walk(node, &path),
                Some(path) if path == "endpoint.addresses" => self.hide_in_addresses(node),
                Some(path) => self.hide_in_value(node, &|text| holds::secret_parts(&path, kind.as_deref(), text)),
                None if is_secretive(name) => self.hide(node),
                None => self.hide_unless_harmless(node),
            }
        }
    }

    /// Behind a key of ours: `judge` says which parts of a text.
    fn hide_in_value(&mut self, node: &mut Node, judge: &dyn Fn(&str) -> SecretParts) {
        match &mut node.value {
            Value::Text(text) => {
                let parts = judge(text);
                if matches!(parts.as_slice(), [all] if *all == (0..text.len())) {
                    return self.hide(node);
                }
                self.take_down(node.at.as_ref(), text, &parts);
                node.hidden = Hidden::of(parts);
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.hide_in_value(item, judge)),
            // Where one value is expected, a table is a misunderstanding: its values are nothing that we know, and its
            // names may be the value.
            Value::Table(table) => {
                for (name, entry) in table {
                    self.take_down(entry.key.as_ref(), name, &judge(name));
                    match is_secretive(name) {
                        true => self.hide(&mut entry.node),
                        false => self.hide_unless_harmless(&mut entry.node),
                    }
                }
            }
            _ => {}
        }
    }

    fn hide_in_addresses(&mut self, node: &mut Node) {
        let Value::Table(zones) = &mut node.value else { return self.hide_in_value(node, &of_url) };
        for (name, entry) in zones {
            self.hide_in_name(name, entry.key.as_ref());
            self.hide_in_value(&mut entry.node, &of_url);
        }
    }

    fn hide_headers(&mut self, headers: &mut Node) {
        let Value::Table(table) = &mut headers.value else { return self.hide(headers) };
        for (name, entry) in table {
            self.hide_in_name(name, entry.key.as_ref());
            let Value::Table(source) = &mut entry.node.value else {
                self.hide(&mut entry.node);
                continue;
            };
            for (name, value) in source {
                self.hide_in_name(name, value.key.as_ref());
                match name.as_str() {
                    "file" => self.hide_unless_a_place(&mut value.node),
                    _ => self.hide(&mut value.node),
                }
            }
        }
    }

    fn hide_unless_a_place(&mut self, node: &mut Node) {
        if !node.text().is_some_and(names_a_secret) {
            self.hide(node);
        }
    }

    /// Behind a key that is not known, but whose name does not speak of secrets.
    fn hide_unless_harmless(&mut self, node: &mut Node) {
        if harmless::is_harmless(node) {
            return;
        }
        let Value::Table(table) = &mut node.value else { return self.hide(node) };
        for (name, entry) in table {
            self.hide_in_name(name, entry.key.as_ref());
            if is_secretive(name) {
                self.hide(&mut entry.node);
            } else {
                self.hide_unless_harmless(&mut entry.node);
            }
        }
    }

    fn hide(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Table(table) => {
                for (name, entry) in table {
                    self.take_down(entry.key.as_ref(), name, &of_text(name));
                    self.hide(&mut entry.node);
                }
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.hide(item)),
            _ => {
                node.hidden = Hidden::Whole;
                self.spans.extend(node.at.iter().map(|at| at.span.clone()).filter(|s| !s.is_empty()));
            }
        }
    }

    fn hide_in_name(&mut self, name: &str, at: Option<&Origin>) {
        self.take_down(at, name, &of_url(name));
    }

    /// Where `parts` of a text stand that is written down at a place: all of that if it is written in another way.
    fn take_down(&mut self, at: Option<&Origin>, text: &str, parts: &[Range<usize>]) {
        let Some(span) = at.map(|at| at.span.clone()).filter(|_| !parts.is_empty()) else { return };
        match self.text.get(span.clone()).and_then(|written| written.find(text)) {
            Some(before) => {
                let begin = span.start + before;
                self.spans.extend(parts.iter().map(|part| begin + part.start..begin + part.end));
            }
            None => self.spans.push(span),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw::parse;

    fn hidden_texts(text: &str) -> Vec<&str> {
        let mut hidden = Redaction::default();
        hidden.add_file(&mut parse(0, text).root, &SourceText::new("x".into(), text.into()));
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
        hidden.add_file(&mut parse(0, text).root, &document);
        let at = text.find(needle).unwrap();
        document.excerpt(&(at..at + 1), &hidden.ranges_in_broken_line(0, &document, at)).text
    }

    #[test]
    fn broken_lines_show_nothing_that_may_be_secret_behind_a_known_key() {
        for (line, shown) in [
            (
                "probe = { kind = \"tcp\", password: \"hunter2\", port = 1 }",
                "probe = { kind = \"tcp\", password: [secret]",
            ),
            ("probe = { kind = \"tcp\", \"geheim\": \"hunter2\" }", "probe = { kind = \"tcp\", \"geheim\": [secret]"),
            ("kind: \"tcp\", geheim\u{ff1a} \"hunter2\"", "kind: \"tcp\", geheim\u{ff1a} [secret]"),
            ("server_name = \"https://u:hunter2@a.b", "server_name = \"https://[secret]"),
            ("path = \"/x?token=hunter2", "path = \"/x?token=[secret]"),
            ("body = \"hunter2", "body = [secret]"),
            ("body x \"hunter2\"", "[secret]"),
            ("probe = { body x \"hunter2\" }", "probe = { body x [secret]"),
            ("hunter2", "[secret]"),
            ("body =\n\"hunter2\"", "[secret]"),
            ("body = \"\nhunter2\"", "[secret]"),
            ("sql = \"select 'hunter2'\" x", "sql = [secret]"),
            ("kind = \"tdengine\", user = \"root:hunter2\"", "kind = \"tdengine\", user = [secret]"),
            // What is shown.
            ("sql = \"select 1\" hunter", "sql = [secret]"),
            ("sql = \"select 1\", kind: hunter", "sql = \"select 1\", kind: hunter"),
            ("body = \"a long text\"\nport = hunter", "port = hunter"),
            ("listen = [\"10.0.0.1\", \"fd00::1\" hunter", "listen = [\"10.0.0.1\", \"fd00::1\" hunter"),
            ("role_arn = acs:ram::1:role/hunter", "role_arn = acs:ram::1:role/hunter"),
            ("kind \"hunter", "kind \"hunter"),
        ] {
            let table = match line.split(' ').next() {
                Some("probe") => "[[endpoint]]",
                Some("listen") => "[dns]",
                Some("role_arn") => "[cloud.credentials]",
                _ => "[endpoint.probe]",
            };
            assert_eq!(broken(&format!("{table}\n{line}"), "hunter"), shown, "{line}");
        }
    }

    #[test]
    fn what_is_marked_is_shown_nowhere() {
        let text = "[[endpoint]]\nprivate_dns = [\"https://u:hunter2@a.b\"]\n[cloud.credentials]\n\
                    url = \"http://a.b/\\u0068unter2?hunter2\"\n\"token: hunter2\" = 1\n";
        assert_eq!(hidden_texts(text), ["u:hunter2", "\"http://a.b/\\u0068unter2?hunter2\"", "hunter2", "1"]);
    }

    #[test]
    fn broken_lines_show_only_known_values() {
        assert_eq!(broken("[log]\nlevel = \"info", "info"), "level = \"info");
        assert_eq!(broken("password = \"hunter2", "hunter"), "password = [secret]");
        assert_eq!(broken("[a]\n# The zone that it is in: of one\nzone = cn-h", "cn-h"), "zone = [secret]", "no table");
        assert_eq!(broken("[host]\n# The zone that it is in: of one\nzone = cn-h", "cn-h"), "zone = cn-h");
        let below = "[endpoint.probe]\npassword_file = \"/etc/x\"\nport = 33o6";
        assert_eq!(broken(below, "33o6"), "port = 33o6");
        let far = format!("[endpoint.probe]\n{}port = 33o6", "\n".repeat(300));
        assert_eq!(broken(&far, "33o6"), "port = [secret]", "who knows what is open");
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
