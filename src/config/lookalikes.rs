//! Characters that an input method, a word processor or a web page puts in the place of those that TOML and names are
//! written with. On a screen they look right.

use std::ops::Range;

/// One of them: what it is, and what to write instead; nothing where it only has to go.
struct Lookalike {
    name: &'static str,
    instead: Option<char>,
}

/// Where one stands, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Slip {
    /// Bytes of the text that was looked at.
    pub(crate) span: Range<usize>,
    /// What should stand there.
    pub(crate) expected: String,
    /// What stands there.
    pub(crate) found: String,
    /// What to type.
    pub(crate) help: String,
}

/// How far the full-width forms of ASCII lie from it (Unicode's block "Halfwidth and Fullwidth Forms").
const FULL_WIDTH: u32 = 0xfee0;

fn lookalike(c: char) -> Option<Lookalike> {
    let (name, instead) = match c {
        '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{300c}' | '\u{300d}' | '\u{ff02}' => {
            ("a full-width quotation mark", '"')
        }
        '\u{2018}' | '\u{2019}' | '\u{ff07}' => ("a full-width quotation mark", '\''),
        '\u{3001}' | '\u{ff0c}' => ("a full-width comma", ','),
        '\u{3002}' | '\u{ff0e}' | '\u{ff61}' => ("a full-width dot", '.'),
        '\u{ff1d}' => ("a full-width equals sign", '='),
        '\u{ff03}' => ("a full-width number sign", '#'),
        '\u{ff1a}' => ("a full-width colon", ':'),
        '\u{3010}' | '\u{ff3b}' => ("a full-width bracket", '['),
        '\u{3011}' | '\u{ff3d}' => ("a full-width bracket", ']'),
        '\u{ff5b}' => ("a full-width brace", '{'),
        '\u{ff5d}' => ("a full-width brace", '}'),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => ("a dash", '-'),
        '\u{3000}' => ("a full-width space", ' '),
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' => ("a space of another kind", ' '),
        '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' => {
            return Some(Lookalike { name: "an invisible character", instead: None });
        }
        '\u{ff01}'..='\u{ff5e}' => ("a full-width character", char::from_u32(u32::from(c) - FULL_WIDTH)?),
        _ => return None,
    };
    Some(Lookalike { name, instead: Some(instead) })
}

fn slip(at: usize, c: char) -> Option<Slip> {
    let Lookalike { name, instead } = lookalike(c)?;
    // What can't be seen is told by its number.
    let found = match instead {
        Some(' ') | None => format!("U+{:04X}", u32::from(c)),
        Some(_) => c.to_string(),
    };
    let (expected, remedy) = match instead {
        Some(' ') => ("a plain space".to_owned(), "write a plain space".to_owned()),
        Some(instead) => (format!("`{instead}`"), format!("write {instead}")),
        None => ("nothing".to_owned(), "take it away".to_owned()),
    };
    let help = format!("{found} is {name}: {remedy}");
    let found = if found.starts_with(c) { format!("`{found}`") } else { found };
    Some(Slip { span: at..at + c.len_utf8(), expected, found, help })
}

/// The help for a value with one in it.
pub(crate) fn help(value: &str) -> Option<String> {
    value.char_indices().find_map(|(at, c)| slip(at, c)).map(|slip| slip.help)
}

/// The first one on a line of TOML, outside of what stands in plain quotes and of comments.
pub(crate) fn on_line(line: &str) -> Option<Slip> {
    outside_quotes(line).find_map(|(at, c)| slip(at, c))
}

/// The first address on a line of TOML that stands where a value does, without quotes.
pub(crate) fn bare_address(line: &str) -> Option<Slip> {
    let part_of_it = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '/');
    let mut before = None;
    for (start, c) in outside_quotes(line) {
        if part_of_it(c) && matches!(before, Some('=' | '[' | ',')) {
            let rest = &line[start..];
            let address = &rest[..rest.find(|c| !part_of_it(c)).unwrap_or(rest.len())];
            if is_address(address) {
                let span = start..start + address.len();
                let (expected, help) = ("an address in quotes".to_owned(), format!("write \"{address}\""));
                return Some(Slip { span, expected, found: address.to_owned(), help });
            }
        }
        if !c.is_whitespace() {
            before = Some(c);
        }
    }
    None
}

/// The first colon on a line of TOML that stands between a key and its value, as YAML and JSON have it.
pub(crate) fn colon(line: &str) -> Option<Slip> {
    let mut in_key = true;
    for (at, c) in outside_quotes(line) {
        let key = line[..at].trim_end();
        match c {
            ':' if in_key
                && key.ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '"' | '\'')) =>
            {
                let help = "`=` stands between a key and its value".to_owned();
                return Some(Slip { span: at..at + 1, expected: "`=`".to_owned(), found: "`:`".to_owned(), help });
            }
            ',' | '{' => in_key = true,
            c => in_key &= c.is_ascii_alphanumeric() || c.is_whitespace() || matches!(c, '_' | '-' | '.'),
        }
    }
    None
}

/// True for an address, or one with a port or the bits of a network.
pub(crate) fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
        || text.parse::<std::net::SocketAddr>().is_ok()
        || text.parse::<ipnet::IpNet>().is_ok()
}

fn outside_quotes(line: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut quote, mut escaped) = (None, false);
    let inside = move |c: char| {
        let was = quote;
        match quote {
            Some('"') if c == '\\' && !escaped => escaped = true,
            Some(open) => {
                if c == open && !escaped {
                    quote = None;
                }
                escaped = false;
            }
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None => {}
        }
        was.is_some() || quote.is_some()
    };
    let outside = line.char_indices().scan(inside, |inside, (at, c)| Some((at, c, inside(c))));
    outside.take_while(|(_, c, inside)| *inside || *c != '#').filter(|(_, _, inside)| !inside).map(|(at, c, _)| (at, c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_only_look_right_are_named() {
        assert_eq!(help("db\u{3002}example"), Some("\u{3002} is a full-width dot: write .".to_owned()));
        assert_eq!(help("a\u{ff42}"), Some("\u{ff42} is a full-width character: write b".to_owned()));
        assert_eq!(help("a\u{200b}"), Some("U+200B is an invisible character: take it away".to_owned()));
        assert_eq!(help("\u{4fe1}\u{606f} \u{e4}"), None);
    }

    #[test]
    fn lines_are_searched_outside_of_quotes_and_comments() {
        let found = |line| on_line(line).map(|slip| (slip.span, slip.expected, slip.found));
        assert_eq!(found("a = \"\u{ff0c}\" # \u{ff0c}"), None);
        assert_eq!(found("a = \"\\\"\u{ff0c}\""), None);
        assert_eq!(found("a = '\\' \u{ff0c}"), Some((8..11, "`,`".to_owned(), "`\u{ff0c}`".to_owned())));
        assert_eq!(found("a\u{3000}= 1"), Some((1..4, "a plain space".to_owned(), "U+3000".to_owned())));
    }

    #[test]
    fn colons_are_found_where_an_equals_sign_belongs() {
        let found = |line| colon(line).map(|slip| slip.span.start);
        assert_eq!(found("body: \"x\""), Some(4));
        assert_eq!(found("  \"cn-hangzhou-h\" : \"10.0.0.2\""), Some(18));
        assert_eq!(found("probe = { port = 1, password: \"x\" }"), Some(28));
        for none in ["a = fd00::1", "a = \"b:c\"", "# a: b", "[a:b]", ": a"] {
            assert_eq!(found(none), None, "{none}");
        }
    }

    #[test]
    fn addresses_without_quotes_are_found_where_values_stand() {
        let found = |line| bare_address(line).map(|slip| slip.found).unwrap_or_default();
        assert_eq!(found("addresses = { h = 10.0.1.15 }"), "10.0.1.15");
        assert_eq!(found("listen = 127.0.0.1:9965"), "127.0.0.1:9965");
        assert_eq!(found("allowed_ranges = [10.0.0.0/8]"), "10.0.0.0/8");
        assert_eq!(found("h = fd00::1"), "fd00::1");
        for none in ["h = \"10.0.1.15\"", "h = 10.5", "# h = 10.0.1.15", "10.0.1.15", "h = bad"] {
            assert_eq!(found(none), "", "{none}");
        }
    }
}
