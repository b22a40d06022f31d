//! `[endpoint.probe]` of kind `https`: the request. Nothing that is taken here can make two requests out of one.

use super::context::{Bad, Read, World, values};
use super::section::Section;
use super::tls::NameFallback;
use super::{read, secret, tls};
use crate::config::raw::{Node, Value, shown_name, toml_key};
use crate::config::source_text::plain;
use crate::model::{HeaderValue, HttpsSpec, Secret};

const MOST_HEADERS: usize = 32;
const LONGEST_PATH: usize = 2_000;
const LONGEST_VALUE: usize = 8_000;
const LARGEST_BODY: usize = 64 * 1024;
/// How the place of a secret is written here.
const FORM: &str = "a path: { file = \"/path\" }";

/// Headers that the prober writes itself, or that say where a request ends or how a connection is used.
const OURS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The keys of this kind.
pub(super) fn https(section: &mut Section<'_>, fallback: &NameFallback) -> Option<HttpsSpec> {
    let world = section.context.world;
    let tls = tls::verified(section, fallback);
    let method = section.value("method", method);
    let path = section.value_or("path", Some("/".to_owned()), path);
    let headers = section.value("headers", |n| headers(n, world));
    let body = section.value("body", |n| read::bounded_text(n, LARGEST_BODY));
    let expect_status =
        section.value("expect_status", |n| read::filled_list(n, |n| read::integer::<u16>(n, 200..=599)));
    let expect_body = section.optional("expect_body", pattern);
    Some(HttpsSpec {
        tls: tls?,
        method: method?,
        path: path?,
        headers: headers?,
        body: body?,
        expect_status: values(&expect_status?),
        expect_body: expect_body?,
    })
}

fn pattern(node: &Node) -> Read<String> {
    let text = read::bounded_text(node, LONGEST_VALUE)?;
    let refuse = |error: regex_lite::Error| vec![Bad::new("a regular expression", node).help(error.to_string())];
    regex_lite::Regex::new(&text).map(|_| text).map_err(refuse)
}

fn method(node: &Node) -> Read<String> {
    let good = |t: &&str| (1..=16).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_uppercase());
    match node.text().filter(good) {
        Some("CONNECT") => Err(vec![Bad::new("a method that asks for a path", node)]),
        Some(method) => Ok(method.to_owned()),
        None => Err(vec![Bad::new("an HTTP method in capital letters, such as \"GET\"", node)]),
    }
}

fn path(node: &Node) -> Read<String> {
    let good = |t: &&str| {
        t.len() <= LONGEST_PATH && t.starts_with('/') && t.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
    };
    let bad = || Bad::new("a path that begins with `/`, printable ASCII without spaces and `#`", node);
    node.text().filter(good).map(str::to_owned).ok_or_else(|| vec![bad().help("write other characters as %XX")])
}

/// A path behind which a query of ours is put.
pub(super) fn path_without_query(node: &Node) -> Read<String> {
    match path(node)? {
        path if path.contains('?') => Err(vec![Bad::new("a path without `?`", node)]),
        path => Ok(path),
    }
}

type Headers = Vec<(String, HeaderValue)>;

fn headers(node: &Node, world: World<'_>) -> Read<Headers> {
    let Some(table) = node.table() else {
        return Err(vec![Bad::wrong_type("a table of header name to value", node)]);
    };
    if table.len() > MOST_HEADERS {
        return Err(vec![Bad::wrong_type(format!("at most {MOST_HEADERS} headers"), node)]);
    }
    let (mut headers, mut complaints) = (Headers::new(), Vec::new());
    for (name, value) in read::named_values(table) {
        match read::both(header_name(&name, &headers), header_value(value, world)) {
            Ok(header) => headers.push(header),
            Err(more) => complaints.extend(more),
        }
    }
    if complaints.is_empty() { Ok(headers) } else { Err(complaints) }
}

fn header_name(node: &Node, before: &Headers) -> Read<String> {
    let name = node.text().unwrap_or_default().to_ascii_lowercase();
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(token) {
        return Err(vec![Bad::new("a header name", node)]);
    }
    if OURS.contains(&name.as_str()) {
        return Err(vec![Bad::new("another header", node).help("the probe writes this one itself")]);
    }
    if before.iter().any(|(other, _)| *other == name) {
        return Err(vec![Bad::new("each header once, in whatever case", node)]);
    }
    Ok(name)
}

fn header_value(node: &Node, world: World<'_>) -> Read<HeaderValue> {
    match &node.value {
        Value::Text(text) => plain_value(text, node),
        Value::Table(_) => secret_value(node, world).map(HeaderValue::Secret),
        _ => Err(vec![secret::hidden("a string, or { file = \"/path\" }", node)]),
    }
}

fn plain_value(text: &str, node: &Node) -> Read<HeaderValue> {
    if text.starts_with("credential:") {
        return Err(vec![
            secret::hidden(FORM, node).help("a credential is named in a table: { file = \"credential:NAME\" }"),
        ]);
    }
    let clean = text.bytes().all(|b| matches!(b, 0x20..=0x7e | b'\t')) && text.trim() == text;
    if clean && text.len() <= LONGEST_VALUE {
        return Ok(HeaderValue::Plain(text.to_owned()));
    }
    Err(vec![secret::hidden("printable ASCII without spaces at its ends, at most 8000 characters", node)])
}

fn secret_value(node: &Node, world: World<'_>) -> Read<Secret> {
    let (mut file, mut complaints) = (None, Vec::new());
    for (name, entry) in node.table().into_iter().flatten() {
        match name.as_str() {
            "file" => file = Some(&entry.node),
            _ => complaints.push(Bad::found_at(
                &entry.key,
                "only `file`",
                format!("`{}`", toml_key(&plain(&shown_name(name)))),
            )),
        }
    }
    let place = file.ok_or_else(|| vec![secret::hidden("{ file = \"/path\" }", node)]);
    match place.and_then(|file| secret::file(file, world)) {
        Ok(file) if complaints.is_empty() => return Ok(file.secret),
        Ok(_) => {}
        Err(more) => complaints.extend(more),
    }
    Err(complaints)
}
