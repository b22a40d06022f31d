//! The metadata service of an ECS instance: who and where we are, and the keys of the instance's RAM role.
//!
//! The hardened mode comes first: a token is fetched with `PUT` and sent along. Where that fails, and it is not
//! forbidden, questions are asked without one, as the SDK does. No proxy and no redirect, ever: what is told here is
//! for this instance alone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::credentials::reply::{self, ReplyError, Temporary};
use super::http::{Http, Method, Request, Timeouts};
use super::openapi::api_hosts::Origin;
use super::reply::{Reply, TransportError};
use crate::model::{Boottime, Secret, ZoneId};
use crate::sys::clock::Clock;

/// Where it is, the same in every VPC.
pub const ADDRESS: &str = "http://100.100.100.200";

/// One second to connect and one to read, as the SDK has it: it answers at once or not at all.
pub const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(1), read: Duration::from_secs(1), whole: Duration::from_secs(3) };

/// How long a token is asked for: six hours, the longest there is.
const TOKEN_LIFETIME: Duration = Duration::from_secs(21_600);
/// How long before its end a token is replaced.
const TOKEN_MARGIN: Duration = Duration::from_secs(300);
/// The longest value that makes sense, in bytes.
const LONGEST_VALUE: usize = 4096;

/// Where we are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceFacts {
    /// Such as `cn-hangzhou`.
    pub region: Option<String>,
    /// Such as `cn-hangzhou-i`.
    pub zone: Option<ZoneId>,
    /// `vpc-…`.
    pub vpc_id: Option<String>,
    /// `i-…`.
    pub instance_id: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// It can't be reached: not an ECS instance, or a firewall.
    #[error("metadata service {0}")]
    Unreachable(#[from] TransportError),
    /// It will not say.
    #[error("metadata service: expected status 200 for {path}, found {status}")]
    Refused {
        /// What was asked.
        path: String,
        /// The status.
        status: u16,
    },
    /// It gives no token, and asking without one is forbidden.
    #[error("metadata service: expected a token, found {0}; asking without one is disabled")]
    NoToken(String),
    /// Its answer makes no sense, or another server answers in its place.
    #[error("metadata service: expected {expected} at {path}, found something else")]
    Odd {
        /// What was asked.
        path: &'static str,
        /// What would have made sense.
        expected: &'static str,
    },
    /// The role's credentials are none.
    #[error("metadata service: role {role}: {error}")]
    Credentials {
        /// The role.
        role: String,
        /// What is wrong with them.
        error: ReplyError,
    },
}

/// A client of the metadata service.
#[derive(Debug)]
pub struct Metadata {
    http: Arc<Http>,
    origin: Origin,
    /// Whether a question may be asked without a token.
    plain: bool,
    clock: Clock,
    token: Mutex<Option<Token>>,
}

#[derive(Debug, Clone)]
struct Token {
    text: Secret,
    until: Boottime,
}

impl Metadata {
    /// A client; `plain` allows the fallback without a token.
    #[must_use]
    pub fn new(http: Arc<Http>, origin: Origin, plain: bool, clock: Clock) -> Self {
        Self { http, origin, plain, clock, token: Mutex::default() }
    }

    /// Where we are. What the service does not have is left out.
    ///
    /// # Errors
    /// [`MetadataError`] of the first question that fails.
    pub async fn facts(&self) -> Result<InstanceFacts, MetadataError> {
        Ok(InstanceFacts {
            region: self.id("region-id").await?,
            zone: self.id("zone-id").await?.map(|zone| zone.parse().map_err(|_| odd("zone-id"))).transpose()?,
            vpc_id: self.id("vpc-id").await?,
            instance_id: self.id("instance-id").await?,
        })
    }

    /// The name of the RAM role that is attached to the instance.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub async fn role_name(&self) -> Result<Option<String>, MetadataError> {
        const PATH: &str = "ram/security-credentials/";
        let Some(text) = self.get(PATH).await?.map(|reply| value(&reply)) else { return Ok(None) };
        let name = text.as_deref().and_then(|text| text.lines().next()).unwrap_or_default().trim();
        match name {
            "" => Ok(None),
            name if is_role_name(name) => Ok(Some(name.to_owned())),
            _ => Err(MetadataError::Odd { path: PATH, expected: "the name of a role" }),
        }
    }

    /// The present keys of a role.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub async fn role_credentials(&self, role: &str) -> Result<Temporary, MetadataError> {
        let path = format!("ram/security-credentials/{role}");
        let refused = |status| MetadataError::Refused { path: path.clone(), status };
        // The name goes into a path.
        if !is_role_name(role) {
            return Err(refused(404));
        }
        let reply = self.get(&path).await?.ok_or_else(|| refused(404))?;
        reply::plain(&reply.body).map_err(|error| MetadataError::Credentials { role: role.to_owned(), error })
    }

    /// A value of letters, digits, `-` and `_`.
    async fn id(&self, path: &'static str) -> Result<Option<String>, MetadataError> {
        let Some(reply) = self.get(path).await? else { return Ok(None) };
        let is_id = |text: &String| is_word(text) && !text.contains('.');
        value(&reply).filter(is_id).map(Some).ok_or_else(|| odd(path))
    }

    /// What stands beneath `/latest/meta-data/`; nothing for 404.
    async fn get(&self, path: &str) -> Result<Option<Reply>, MetadataError> {
        let (token, kept) = self.token().await?;
        let mut reply = self.ask(path, token.as_ref()).await?;
        if refuses(&reply) && kept {
            // The instance may have moved to another host, which knows nothing of our token.
            *self.token.lock().await = None;
            let (token, _) = self.token().await?;
            reply = self.ask(path, token.as_ref()).await?;
        }
        if refuses(&reply) && token.is_some() && self.plain {
            reply = self.ask(path, None).await?;
        }
        match reply.status {
            200 => Ok(Some(reply)),
            404 => Ok(None),
            status => Err(MetadataError::Refused { path: path.to_owned(), status }),
        }
    }

    async fn ask(&self, path: &str, token: Option<&Secret>) -> Result<Reply, MetadataError> {
        let headers: Vec<_> = token.map(|text| ("x-aliyun-ecs-metadata-token", text.clone())).into_iter().collect();
        let url = format!("{}latest/meta-data/{path}", self.origin.url(""));
        Ok(self.http.send(&Request { method: Method::GET, url, headers: &headers, body: b"" }).await?)
    }

    /// The token, if there is one, and whether it was kept from an earlier question.
    async fn token(&self) -> Result<(Option<Secret>, bool), MetadataError> {
        let mut held = self.token.lock().await;
        let now = self.clock.now().boottime;
        if let Some(token) = held.as_ref().filter(|token| now < token.until) {
            return Ok((Some(token.text.clone()), true));
        }
        *held = None;
        match self.new_token().await {
            Ok(text) => {
                let until = now.after(TOKEN_LIFETIME.saturating_sub(TOKEN_MARGIN));
                *held = Some(Token { text: text.clone(), until });
                Ok((Some(text), false))
            }
            Err(_) if self.plain => Ok((None, false)),
            Err(why) => Err(MetadataError::NoToken(why)),
        }
    }

    async fn new_token(&self) -> Result<Secret, String> {
        let lifetime = Secret::new(TOKEN_LIFETIME.as_secs().to_string());
        let headers = [("x-aliyun-ecs-metadata-token-ttl-seconds", lifetime)];
        let url = format!("{}latest/api/token", self.origin.url(""));
        let request = Request { method: Method::PUT, url, headers: &headers, body: b"" };
        let reply = self.http.send(&request).await.map_err(|error| error.to_string())?;
        let is_token = |text: &String| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        match reply.status {
            200 => value(&reply).filter(is_token).map(Secret::new).ok_or_else(|| "no token in the reply".to_owned()),
            status => Err(format!("status {status}")),
        }
    }
}

/// True for an answer that a token might change.
fn refuses(reply: &Reply) -> bool {
    !matches!(reply.status, 200 | 404)
}

fn odd(path: &'static str) -> MetadataError {
    MetadataError::Odd { path, expected: "an id" }
}

fn value(reply: &Reply) -> Option<String> {
    let text = std::str::from_utf8(&reply.body).ok().filter(|text| text.len() <= LONGEST_VALUE)?;
    Some(text.trim().to_owned())
}

/// RAM allows letters, digits, `.`, `_` and `-`, up to 64 of them.
fn is_role_name(name: &str) -> bool {
    is_word(name) && !name.starts_with('.')
}

/// From 1 to 64 letters, digits, `.`, `_` and `-`.
fn is_word(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_name_cannot_lead_elsewhere() {
        assert!(is_role_name("My.Role_1-x"));
        for odd in ["", "a/b", "..", ".", "a?b", "a b", "a\n", "<html>", &"a".repeat(65)] {
            assert!(!is_role_name(odd), "{odd:?}");
        }
    }

    #[test]
    fn a_value_is_short_text() {
        let reply = |body: &[u8]| Reply { body: zeroize::Zeroizing::new(body.to_vec()), ..Reply::default() };
        assert_eq!(value(&reply(b" cn-hangzhou\n")).as_deref(), Some("cn-hangzhou"));
        assert_eq!(value(&reply(b"\xff")), None);
        assert_eq!(value(&reply(&[b'a'; LONGEST_VALUE + 1])), None);
    }
}
