//! From where on a line that is not TOML may hold a secret: the text itself must tell.

use crate::config::holds::{self, HEADERS};
use crate::config::keys;
use crate::config::lookalikes::is_address;
use crate::config::source_text::SourceText;
use crate::model::secret_parts::{is_secretive, login_and_query};

/// What stands between a key and its value, or only looks so.
const EQUALS: [char; 2] = ['=', '\u{ff1d}'];
const COLONS: [char; 2] = [':', '\u{ff1a}'];
const QUOTES: [char; 2] = ['"', '\''];
const COMMAS: [char; 3] = [',', '\u{ff0c}', '\u{3001}'];

/// The column (in bytes) from which on a broken line may hold a secret, if it may.
pub(super) fn secret_from(text: &SourceText, line: usize) -> Option<usize> {
    let content = text.line(line);
    if may_continue_a_secret(text, line) {
        return Some(value_column(content).unwrap_or(0));
    }
    first_unknown(content).into_iter().chain(in_a_url(content)).chain(text_without_sign(content)).min()
}

/// The column where the first URL of a line says who logs in, or asks something.
fn in_a_url(content: &str) -> Option<usize> {
    let from = value_column(content).unwrap_or(0);
    login_and_query(&content[from..]).first().map(|part| from + part.start)
}

/// The column of the first value that may not be shown; 0 if the line does not look like one with a key at all.
fn first_unknown(content: &str) -> Option<usize> {
    if !content.contains(EQUALS)
        && let Some(column) = behind_secretive_word(content)
    {
        return Some(column);
    }
    // Who writes `password: "x"` writes TOML as he writes YAML or JSON.
    let signs: Vec<char> = EQUALS.into_iter().chain(COLONS).collect();
    content.match_indices(signs.as_slice()).find_map(|(at, sign)| {
        let (before, from) = (&content[..at], at + sign.len());
        let value = &content[from..];
        let is_colon = sign.starts_with(COLONS);
        if (is_colon && !ends_in_a_key(before, value)) || shown(before, value) || is_only_an_address(value) {
            return None;
        }
        Some(if is_colon || value_column(content).is_some() { value_from(content, from) } else { 0 })
    })
}

/// The last word of what stands before a value.
fn leaf(before: &str) -> &str {
    let word = before.trim_end().trim_end_matches(QUOTES);
    word.rsplit(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).next().unwrap_or_default()
}

/// Whether what stands before a colon is a key, and neither a scheme nor a part of an address or of a time.
fn ends_in_a_key(before: &str, value: &str) -> bool {
    let leaf = leaf(before);
    let is_word = leaf.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let head = before.trim_end().trim_end_matches(QUOTES).strip_suffix(leaf).unwrap_or_default();
    let head = head.trim_end_matches(QUOTES).trim_end();
    let begins = head.is_empty() || head.ends_with(['{', '\u{ff5b}']) || head.ends_with(COMMAS);
    // Nor in a URL or an address does a blank or a text follow.
    let is_set_off = value.starts_with(char::is_whitespace) || value.starts_with(QUOTES);
    is_set_off || (is_word && !value.starts_with([':', '/']) && (begins || is_secretive(leaf)))
}

/// The column of the first text in quotes that stands neither behind a sign or another text nor behind a key that shows
/// its values.
fn text_without_sign(content: &str) -> Option<usize> {
    let (mut open, mut before) = (None, None);
    for (at, c) in content.char_indices() {
        let adjoins = content[..at].ends_with(|c: char| c.is_alphanumeric() || c == '.');
        match open {
            Some(quote) if c == quote => (open, before) = (None, Some(c)),
            Some(_) => {}
            // An apostrophe, or a part of a key.
            None if adjoins && (c == '\'' || before == Some('.')) => {}
            None if QUOTES.contains(&c) => {
                let is_sign = |c: char| EQUALS.contains(&c) || COLONS.contains(&c) || COMMAS.contains(&c);
                let leads =
                    |c: char| is_sign(c) || QUOTES.contains(&c) || matches!(c, '[' | '{' | '\u{ff3b}' | '\u{ff5b}');
                if !before.is_none_or(leads) && !shown(&content[..at], &content[at..]) {
                    return Some(at);
                }
                open = Some(c);
            }
            None if !c.is_whitespace() => before = Some(c),
            None => {}
        }
    }
    None
}

/// Of a line without any `=`: the column behind a first word that speaks of a secret; or 0 if no more is known of it.
fn behind_secretive_word(content: &str) -> Option<usize> {
    let key = content.trim_start();
    let length = key.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(key.len());
    let (word, rest) = key.split_at(length);
    let value = rest.trim_start();
    if word.is_empty() || content.contains(COLONS) && !is_secretive(word) {
        return None;
    }
    match is_secretive(word) && !value.is_empty() {
        true => Some(content.len() - value.len()),
        false => (!shown(word, value)).then_some(0),
    }
}

/// Whether a value is an address, whatever quotes are lost, and what follows is none of it.
fn is_only_an_address(value: &str) -> bool {
    let is_quote = |c: char| QUOTES.contains(&c) || matches!(c, '\u{201c}' | '\u{201d}');
    let value = value.trim_start_matches(|c: char| c.is_whitespace() || c == '[' || is_quote(c));
    let end = value.find(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '/'))).unwrap_or(value.len());
    let (address, rest) = value.split_at(end);
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || is_quote(c));
    is_address(address) && (rest.is_empty() || rest.starts_with(COMMAS) || rest.starts_with(['}', ']', '#']))
}

/// Whether the value of the key that `before` ends with may be shown.
fn shown(before: &str, value: &str) -> bool {
    let leaf = leaf(before);
    let section = |path: &str| path.split('.').rev().skip(1).any(|part| part == leaf);
    let mut of_this_name = keys::KEYS.iter().filter(|key| key.path.rsplit('.').next() == Some(leaf)).peekable();
    let known = of_this_name.peek().is_some();
    let kind = before.contains("tdengine").then_some("tdengine");
    keys::KEYS.iter().any(|key| section(key.path)) || (known && of_this_name.all(|key| shows(key.path, kind, value)))
}

fn shows(path: &str, kind: Option<&str>, value: &str) -> bool {
    if path == HEADERS || keys::names_a_secret_file(path) {
        return false;
    }
    if !holds::is_free_text(path) {
        return true;
    }
    let is_plain = |text: &str| !text.contains('\\') && holds::secret_parts(path, kind, text).is_empty();
    // What has begun and does not end goes on below.
    closed_text(value).map_or_else(|| !value.trim().starts_with(QUOTES) && is_plain(value.trim()), is_plain)
}

/// The text of a value that ends before anything else begins.
fn closed_text(value: &str) -> Option<&str> {
    let value = value.trim_start();
    let quote = value.chars().next().filter(|c| QUOTES.contains(c))?;
    let (text, rest) = value[1..].split_once(quote)?;
    let rest = rest.trim_start();
    let is_comment = rest.starts_with('#') && !rest.contains(QUOTES);
    let ends = rest.is_empty() || is_comment || rest.starts_with(COMMAS) || rest.starts_with('}');
    ends.then_some(text)
}

/// Where the value begins that has its sign right before byte `from`.
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
    /// Beyond that nothing is known.
    const FARTHEST: usize = 200;
    for l in (0..=line).rev().take(FARTHEST) {
        let content = text.line(l).trim_start();
        // What a comment would stand in, a text of several lines, has begun above it.
        if l < line && content.starts_with('#') {
            continue;
        }
        if content.starts_with('[') && !content.contains('=') {
            let table = content.trim_start_matches('[').split(']').next().unwrap_or_default();
            return l < line && (table == HEADERS || !keys::is_section(table.trim()));
        }
        let addresses = content.starts_with("addresses");
        if l < line && (content.contains("headers") || (!addresses && opens_a_secret(content))) {
            return true;
        }
    }
    line >= FARTHEST
}

/// Whether a value of this line may go on below it, or stand there: not if it is a whole text behind a key of ours.
fn opens_a_secret(content: &str) -> bool {
    let is_any = |before: &str, is: fn(&str) -> bool| {
        let mut of_this_name = keys::KEYS.iter().filter(|key| key.path.rsplit('.').next() == Some(leaf(before)));
        of_this_name.any(|key| is(key.path))
    };
    let of_text = |before: &str| is_any(before, holds::is_free_text);
    let before = content.trim_end();
    if of_text(before.strip_suffix(EQUALS).unwrap_or(before)) {
        return true;
    }
    first_unknown(content).is_some_and(|column| {
        let before = content[..column].trim_end().trim_end_matches(EQUALS).trim_end_matches(COLONS);
        let is_ours = of_text(before) || is_any(before, keys::names_a_secret_file);
        !(is_ours && closed_text(&content[column..]).is_some())
    })
}
