//! Signatures of the official SDK, and what is wrong with damaged ones.

use serde_json::Value;

use super::*;

const VECTORS: &str = include_str!("../../../../vectors/signature.json");

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let object = value.as_object().unwrap();
    object.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

fn query(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{}={}", percent(name), percent(value))).collect::<Vec<_>>().join("&")
}

fn request(vector: &Value) -> Request {
    let (input, expect) = (&vector["input"], &vector["expect"]);
    let mut request = Request { method: text(input, "method").to_owned(), path: "/".to_owned(), ..Request::default() };
    request.body = text(input, "body").as_bytes().to_vec();
    if text(vector, "algorithm") == "ACS3-HMAC-SHA256" {
        request.path = text(input, "path").to_owned();
        request.query = query(&pairs(&input["query"]));
        request.headers = pairs(&input["headers_present_when_signing"]);
        request.headers.push(("authorization".to_owned(), text(expect, "authorization").to_owned()));
    } else {
        let mut signed = pairs(&input["signed_params"]);
        signed.push(("Signature".to_owned(), text(expect, "signature").to_owned()));
        request.query = query(&signed);
    }
    request
}

#[test]
fn holds_for_every_vector_of_the_official_sdk() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 15);
    for vector in vectors {
        let name = text(vector, "name");
        let request = request(vector);
        let claim = Claim::read(&request).unwrap_or_else(|error| panic!("{name}: {error}")).unwrap();
        let input = &vector["input"];
        assert_eq!(claim.key, text(input, "access_key_id"), "{name}");
        assert_eq!(claim.string_to_sign, text(&vector["expect"], "string_to_sign"), "{name}");
        assert!(claim.holds(text(input, "access_key_secret")), "{name}");
        assert!(!claim.holds("another"), "{name}");
        assert_eq!(claim.token.as_deref(), input["security_token"].as_str(), "{name}");
    }
}

#[test]
fn finds_what_a_signer_left_out() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let vector = vectors["vectors"].as_array().unwrap().iter().find(|v| v["name"] == "min-list-zones-sts").unwrap();
    let whole = request(vector);

    let mut more = whole.clone();
    more.headers.push(("x-acs-extra".to_owned(), "1".to_owned()));
    assert_eq!(Claim::read(&more).unwrap_err().code, "IncompleteSignature");

    for at in 0..whole.headers.len() {
        let mut less = whole.clone();
        let (name, _) = less.headers.remove(at);
        match Claim::read(&less) {
            Ok(claim) => assert!(claim.is_none(), "{name}"),
            Err(error) => assert_eq!(error.code, "IncompleteSignature", "{name}"),
        }
    }

    let mut body = whole.clone();
    body.body = b"x".to_vec();
    assert_eq!(Claim::read(&body).unwrap_err().code, "IncompleteSignature");

    let mut date = whole;
    date.headers.iter_mut().filter(|(name, _)| name == "x-acs-date").for_each(|(_, value)| *value = "now".to_owned());
    assert_eq!(Claim::read(&date).unwrap_err().code, "InvalidTimeStamp.Format");
}

#[test]
fn knows_base64() {
    for (bytes, expected) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
        assert_eq!(base64(bytes.as_bytes()), expected);
    }
}
