//! The signer against vectors made by the official SDK (frozen clock and nonce, fake credentials).

use std::collections::BTreeMap;

use privatelinkd::cloud::sign::{Call, Canonical, Keys, Moment, hex_sha256};
use privatelinkd::model::{Secret, Wall};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    input: Input,
    expect: Expected,
}

#[derive(Deserialize)]
struct Input {
    method: String,
    host: String,
    path: String,
    query: BTreeMap<String, String>,
    body: String,
    access_key_id: String,
    access_key_secret: String,
    security_token: Option<String>,
    headers_present_when_signing: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Expected {
    canonical_query: String,
    canonical_headers: String,
    signed_headers: String,
    hashed_payload: String,
    canonical_request: String,
    string_to_sign: String,
    authorization: String,
    signature: String,
}

fn vectors() -> Vec<Vector> {
    let all: Vectors = serde_json::from_str(include_str!("cloud_vectors.json")).unwrap();
    assert!(all.vectors.len() >= 13);
    all.vectors
}

fn keys(input: &Input) -> Keys {
    Keys {
        id: input.access_key_id.clone(),
        secret: Secret::new(input.access_key_secret.clone()),
        token: input.security_token.clone().map(Secret::new),
    }
}

#[test]
fn every_step_of_every_vector_is_reproduced() {
    for Vector { name, input, expect } in vectors() {
        let body_sha256 = hex_sha256(input.body.as_bytes());
        assert_eq!(body_sha256, expect.hashed_payload, "{name}");
        let headers: Vec<_> =
            input.headers_present_when_signing.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let canonical = Canonical {
            method: &input.method,
            path: &input.path,
            params: &input.query,
            headers: &headers,
            body_sha256: &body_sha256,
        };
        let signature = canonical.sign(&keys(&input));
        assert_eq!(signature.query, expect.canonical_query, "{name}");
        let headers = format!("\n{}\n{}\n", expect.canonical_headers, expect.signed_headers);
        assert!(signature.canonical_request.contains(&headers), "{name}: {}", signature.canonical_request);
        assert_eq!(signature.canonical_request, expect.canonical_request, "{name}");
        assert_eq!(signature.string_to_sign, expect.string_to_sign, "{name}");
        assert_eq!(signature.authorization, expect.authorization, "{name}");
        assert!(signature.authorization.ends_with(&format!("Signature={}", expect.signature)), "{name}");
    }
}

/// The vectors named `min-*` sign exactly the headers that we sign, so a whole call has to come out the same.
#[test]
fn a_call_signs_what_the_minimal_vectors_sign() {
    let mut compared = 0;
    for Vector { name, input, expect } in vectors() {
        let given = |header: &str| input.headers_present_when_signing.get(header).map(String::as_str);
        let ours = given("content-type").is_none_or(|t| t == Call::FORM) && input.method == "POST" && input.path == "/";
        if !name.starts_with("min-") || !ours {
            continue;
        }
        let call = Call {
            action: given("x-acs-action").unwrap().to_owned().leak(),
            version: given("x-acs-version").unwrap().to_owned().leak(),
            params: &input.query,
            form: input.body.as_bytes(),
        };
        let date: u64 = millis_of(given("x-acs-date").unwrap());
        let moment = Moment { date: Wall(date), nonce: given("x-acs-signature-nonce").unwrap().to_owned() };
        let signed = call.sign(&input.host, Some(&keys(&input)), &moment);
        let authorization = signed.headers.iter().find(|(n, _)| *n == "authorization").unwrap().1.clone();
        assert_eq!(signed.query, expect.canonical_query, "{name}");
        assert_eq!(authorization.expose(), expect.authorization, "{name}");
        compared += 1;
    }
    assert!(compared >= 5, "{compared}");
}

fn millis_of(date: &str) -> u64 {
    let time = humantime::parse_rfc3339(date).unwrap();
    time.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}
