//! What is behind an endpoint, as far as can be told from outside.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::findings::{EndpointFindings, Gateway, Greeting, PortReply};

/// What a service is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// MatrixOne Cloud.
    Matrixone,
    /// TDengine Cloud.
    Tdengine,
    /// Something that speaks TLS at TDengine's port.
    Https,
    /// There is no telling.
    Unknown,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Matrixone => "MatrixOne",
            Self::Tdengine => "TDengine",
            Self::Https => "an HTTPS service",
            Self::Unknown => "unknown",
        })
    }
}

/// How sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// Only what people call it speaks for it.
    Guess,
    /// What it says fits, and is not only its own.
    Likely,
    /// Nothing else says such a thing.
    Sure,
}

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Guess => "a guess",
            Self::Likely => "likely",
            Self::Sure => "sure",
        })
    }
}

/// A service, and what speaks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recognised {
    /// What it is taken for.
    pub kind: Kind,
    /// How sure that is.
    pub certainty: Certainty,
    /// What speaks for it, in sentences without a full stop.
    pub why: Vec<String>,
}

/// The vendor's names for the gateways of TDengine Cloud, as its own clients tell them.
const TDENGINE_DOMAINS: [&str; 2] = [".cloud.taosdata.com", ".cloud.tdengine.com"];
const TDENGINE_WORDS: [&str; 2] = ["tdengine", "taosdata"];
const MATRIXONE_WORDS: [&str; 2] = ["matrixone", "matrixorigin"];

/// What an endpoint leads to.
#[must_use]
pub fn recognise(sight: &EndpointFindings) -> Recognised {
    let found = [matrixone(sight), tdengine(sight)].into_iter().flatten();
    // The surer one; of two alike the first.
    let best = found.reduce(|a, b| if b.certainty > a.certainty { b } else { a });
    best.or_else(|| https(sight)).unwrap_or_else(|| unknown(sight))
}

fn matrixone(sight: &EndpointFindings) -> Option<Recognised> {
    let kind = Kind::Matrixone;
    let hint = hint(sight, &MATRIXONE_WORDS);
    match &sight.greeting {
        PortReply::Said(ip, Greeting::MySql(version)) if version.to_ascii_lowercase().contains("matrixone") => {
            let why = vec![format!("{ip} greets as {version}")];
            Some(Recognised { kind, certainty: Certainty::Sure, why })
        }
        PortReply::Said(ip, Greeting::Refusal(number, text)) if hint.is_some() => {
            let said = format!("{ip} refuses as MySQL does: {number} {text}");
            Some(Recognised { kind, certainty: Certainty::Likely, why: hint.into_iter().chain([said]).collect() })
        }
        // Another server's greeting is no MatrixOne, whatever people call it.
        PortReply::Said(_, Greeting::MySql(_)) => None,
        _ => hint.map(|hint| Recognised { kind, certainty: Certainty::Guess, why: vec![hint] }),
    }
}

fn tdengine(sight: &EndpointFindings) -> Option<Recognised> {
    let kind = Kind::Tdengine;
    let hint = hint(sight, &TDENGINE_WORDS);
    let PortReply::Said(ip, Gateway { names, trusted, answer }) = &sight.gateway else {
        return hint.map(|hint| Recognised { kind, certainty: Certainty::Guess, why: vec![hint] });
    };
    let of_vendor = names.iter().find(|name| TDENGINE_DOMAINS.iter().any(|domain| name.ends_with(domain)));
    let certificate = of_vendor.map(|name| format!("the certificate of {ip} is for {name}"));
    let said = answer.as_ref().ok().filter(|a| a.tdengine);
    let said = said.map(|a| format!("{ip} answers a statement without a token as TDengine does, status {}", a.status));
    let wants_login = answer.as_ref().is_ok_and(|a| matches!(a.status, 401 | 403));
    let certainty = if said.is_some() || (certificate.is_some() && *trusted) {
        Certainty::Sure
    } else if certificate.is_some() || (hint.is_some() && wants_login) {
        Certainty::Likely
    } else if hint.is_some() {
        Certainty::Guess
    } else {
        return None;
    };
    Some(Recognised { kind, certainty, why: said.into_iter().chain(certificate).chain(hint).collect() })
}

fn https(sight: &EndpointFindings) -> Option<Recognised> {
    let PortReply::Said(ip, Gateway { answer, .. }) = &sight.gateway else { return None };
    let said = match answer {
        Ok(answer) => format!("{ip} speaks TLS and HTTP, status {} to a statement of TDengine's", answer.status),
        Err(error) => format!("{ip} speaks TLS, and no HTTP: {error}"),
    };
    Some(Recognised { kind: Kind::Https, certainty: Certainty::Likely, why: vec![said] })
}

fn unknown(sight: &EndpointFindings) -> Recognised {
    let greeting = match &sight.greeting {
        PortReply::Said(ip, Greeting::MySql(version)) => {
            Some(format!("{ip} speaks MySQL and is no MatrixOne: {version}"))
        }
        PortReply::Said(ip, Greeting::Refusal(number, text)) => {
            Some(format!("{ip} refuses as MySQL does: {number} {text}"))
        }
        PortReply::Said(ip, Greeting::Other) => Some(format!("{ip} greets as nothing that is known here")),
        PortReply::Nothing(error) => Some(format!("where MatrixOne would be: {error}")),
        PortReply::NotAsked => None,
    };
    let gateway = match &sight.gateway {
        PortReply::Nothing(error) => Some(format!("where TDengine would be: {error}")),
        PortReply::Said(..) | PortReply::NotAsked => None,
    };
    let why = greeting.into_iter().chain(gateway).collect();
    Recognised { kind: Kind::Unknown, certainty: Certainty::Sure, why }
}

/// What people call it.
fn hint(sight: &EndpointFindings, words: &[&str]) -> Option<String> {
    let record = &sight.record;
    let texts = [("name", &record.name), ("description", &record.description), ("service", &record.service_name)];
    texts.into_iter().find_map(|(what, text)| {
        let text = text.as_ref()?;
        let lower = text.to_lowercase();
        words.iter().any(|word| lower.contains(word)).then(|| format!("its {what} is {text:?}"))
    })
}

#[cfg(test)]
mod tests;
