//! A request as it came.

use std::collections::BTreeMap;
use std::str;

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its path, as sent.
    pub path: String,
    /// What follows the `?`, as sent.
    pub query: String,
    /// Its headers, their names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Request {
    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// The parameters of the query, decoded.
    #[must_use]
    pub fn query_parameters(&self) -> Vec<(String, String)> {
        decode_form(&self.query)
    }

    /// The parameters of query and form body together; the later of two of one name.
    #[must_use]
    pub fn parameters(&self) -> BTreeMap<String, String> {
        self.query_parameters().into_iter().chain(self.form()).collect()
    }

    fn form(&self) -> Vec<(String, String)> {
        let is_form = self
            .header("content-type")
            .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"));
        if is_form { decode_form(&String::from_utf8_lossy(&self.body)) } else { Vec::new() }
    }
}

/// As servers read forms: `+` is a space. Signers that meant a plus sign must have sent `%2B`.
fn decode_form(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(decoded)
        .collect()
}

fn decoded((name, value): (&str, &str)) -> (String, String) {
    (decode(name), decode(value))
}

/// Undoes percent-encoding; what is no UTF-8 after it becomes the replacement character.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                match bytes.get(at..at + 2).and_then(|two| u8::from_str_radix(str::from_utf8(two).ok()?, 16).ok()) {
                    Some(byte) => {
                        out.push(byte);
                        at += 2;
                    }
                    None => out.push(b'%'),
                }
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_clients_send() {
        let query = "a=%E4%B8%AD%20x+y&b=&c&d=%2B%2a%zz&&e=1=2".to_owned();
        let request = Request { query, ..Request::default() };
        let expected = [("a", "中 x y"), ("b", ""), ("c", ""), ("d", "+*%zz"), ("e", "1=2")];
        let expected: Vec<_> = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        assert_eq!(request.query_parameters(), expected);
    }

    #[test]
    fn reads_a_form_only_from_a_form() {
        let mut request = Request { query: "a=1".to_owned(), body: b"b=2".to_vec(), ..Request::default() };
        assert_eq!(request.parameters().len(), 1);
        request.headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        assert_eq!(request.parameters().get("b").map(String::as_str), Some("2"));
    }
}
