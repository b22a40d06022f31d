//! Which values nothing secret can be in, whatever their key is for: what stands behind an unknown key is shown only if
//! it is one of these.

use super::lookalikes::is_address;
use super::raw::{Node, Value};
use crate::model::HostName;

/// True for numbers, booleans, plain paths, addresses and lists of these or of host names.
pub(crate) fn is_harmless(node: &Node) -> bool {
    match &node.value {
        Value::Integer(_) | Value::Float | Value::Bool(_) | Value::Datetime => true,
        Value::Text(text) => is_plain_path(text) || is_address(text),
        Value::List(items) => items.iter().all(|item| is_harmless(item) || item.text().is_some_and(is_host_name)),
        Value::Table(_) => false,
    }
}

/// A path as people give it: what is random has capital letters, or no slash in front.
fn is_plain_path(text: &str) -> bool {
    text.starts_with('/')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'/' | b'.' | b'_' | b'-'))
}

fn is_host_name(text: &str) -> bool {
    text.parse::<HostName>().is_ok_and(|name| !name.is_single_label())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw::parse_value;

    #[test]
    fn texts_are_shown_only_if_they_are_a_path_an_address_or_a_list_of_names() {
        let harmless = |text: &str| is_harmless(&parse_value(text).unwrap());
        for shown in ["5", "1.5", "true", "\"/etc/hosts\"", "\"10.0.0.1:53\"", "[\"a.b\", \"10.0.0.1\"]", "[]"] {
            assert!(harmless(shown), "{shown}");
        }
        for hidden in ["\"hunter2\"", "\"/Kx9==\"", "\"/a?token=b\"", "\"a.b\"", "[\"hunter2\"]", "{ a = 1 }"] {
            assert!(!harmless(hidden), "{hidden}");
        }
    }
}
