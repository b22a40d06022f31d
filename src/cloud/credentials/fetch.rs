//! Follows recipes: asks the metadata server, a URI or STS for keys.
//!
//! Calls of STS are signed as every other call. (The official providers still sign these with the legacy HMAC-SHA1
//! scheme; STS takes both.)

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::file;
use super::recipe::{Recipe, Role, StsPlace, WhyNot};
use super::reply::{self, Temporary};
use crate::cloud::http::{Http, Method, Request};
use crate::cloud::metadata::{Metadata, MetadataError};
use crate::cloud::openapi::api_hosts::{Hosts, Origin, OriginError};
use crate::cloud::openapi::courtesy::Courtesy;
use crate::cloud::openapi::retry::RetryPolicy;
use crate::cloud::openapi::{Anonymous, Call, CallError, Client, KeySource, Malformed};
use crate::cloud::sign::{Keys, Params, encoded_query, params};
use crate::model::Wall;
use crate::sys::clock::Clock;

/// The version of STS's API.
const STS_VERSION: &str = "2015-04-01";
/// How long keys of STS last if neither the config nor a profile says, in seconds.
const SECONDS: u32 = 3600;
/// A call to the API waits for the keys that sign it, so there is one second try and not much time.
const PATIENCE: RetryPolicy = RetryPolicy {
    rounds: 2,
    first_backoff: Duration::from_secs(1),
    longest_backoff: Duration::from_secs(1),
    deadline: Duration::from_secs(20),
};

/// What recipes are followed with.
#[derive(Debug, Clone)]
pub struct FetchContext {
    /// For STS.
    pub http: Arc<Http>,
    /// For credentials URIs, which are none of the cloud's: through no proxy.
    pub direct: Arc<Http>,
    /// For the role of the instance.
    pub metadata: Arc<Metadata>,
    /// The clock.
    pub clock: Clock,
    /// Where we are, if known: the internal STS host of that region is tried, too.
    pub region: Option<String>,
    /// The patience of a person who looks on, for a throttled STS; `None` for the agent.
    pub courtesy: Option<Courtesy>,
}

/// Keys, and how long they last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FetchedKeys {
    pub(super) keys: Keys,
    /// `None` if they never end.
    pub(super) expires: Option<Wall>,
    /// The platform may replace them well before their end.
    pub(super) rotated: bool,
}

/// Follows a recipe: from the bottom of a stack of roles to its top.
pub(super) async fn follow(recipe: &Recipe, context: &FetchContext) -> Result<FetchedKeys, WhyNot> {
    let (mut bottom, mut roles) = (recipe, Vec::new());
    while let Recipe::AssumeRole { base, role } = bottom {
        roles.push(role);
        bottom = base;
    }
    let mut got = match bottom {
        Recipe::Given(keys) => FetchedKeys { keys: keys.clone(), expires: None, rotated: false },
        Recipe::Temporary { profile, keys, expires } => not_over(profile, keys, *expires, context.clock.now().wall)?,
        Recipe::EcsRole { role } => ecs_role(role.as_deref(), context).await?,
        Recipe::Uri(uri) => self::uri(uri, context).await?,
        Recipe::OidcRole { role, provider_arn, token_file } => {
            oidc_role(role, provider_arn, token_file, context).await?
        }
        // The loop above leaves none.
        Recipe::AssumeRole { .. } => return Err(WhyNot::Failed("roles without a base".to_owned())),
    };
    while let Some(role) = roles.pop() {
        got = assume_role(role, &got.keys, context).await?;
    }
    Ok(got)
}

/// Keys whose end stands beside them, where newer ones are to be written: the file is read again ever sooner as the end
/// comes near, like any keys that end, and with each question after that.
fn not_over(profile: &str, keys: &Keys, expires: Wall, now: Wall) -> Result<FetchedKeys, WhyNot> {
    if expires <= now {
        return Err(WhyNot::Over { profile: profile.to_owned(), expires });
    }
    Ok(FetchedKeys { keys: keys.clone(), expires: Some(expires), rotated: false })
}

/// The keys of the role that is attached to this ECS instance; its name is looked up if `role` is `None`.
async fn ecs_role(role: Option<&str>, context: &FetchContext) -> Result<FetchedKeys, WhyNot> {
    let failed = |e: MetadataError| WhyNot::Failed(e.to_string());
    let name = match role {
        Some(name) => Some(name.to_owned()),
        None => context.metadata.role_name().await.map_err(failed)?,
    };
    let name = name.ok_or_else(|| WhyNot::Failed("no RAM role is attached to this instance".to_owned()))?;
    let found = context.metadata.role_credentials(&name).await.map_err(failed)?;
    Ok(FetchedKeys { keys: found.keys, expires: Some(found.expires), rotated: true })
}

/// The keys that a URI answers with; a helper on this host, as a rule.
async fn uri(uri: &str, context: &FetchContext) -> Result<FetchedKeys, WhyNot> {
    let failed = |why: String| WhyNot::Failed(format!("credentials URI: {why}"));
    let request = Request { method: Method::GET, url: uri.to_owned(), headers: &[], body: b"" };
    let reply = context.direct.send(&request).await.map_err(|e| failed(e.to_string()))?;
    if reply.status != 200 {
        return Err(failed(format!("expected status 200, found {}", reply.status)));
    }
    let found = reply::plain(&reply.body).map_err(|e| failed(e.to_string()))?;
    Ok(FetchedKeys { keys: found.keys, expires: Some(found.expires), rotated: false })
}

/// The keys of a role that is taken on with other keys.
async fn assume_role(role: &Role, keys: &Keys, context: &FetchContext) -> Result<FetchedKeys, WhyNot> {
    let mut asked = sts_params(role, context);
    asked.extend(params(&[("ExternalId", role.external_id.as_deref())]));
    let call = Call { action: "AssumeRole", version: STS_VERSION, params: &asked, form: b"" };
    ask_sts(&role.sts, keys, &call, context).await
}

/// The keys of a role that is taken on with a token of an identity provider. The token is read anew, because Kubernetes
/// replaces it.
async fn oidc_role(
    role: &Role,
    provider: &str,
    token_file: &Path,
    context: &FetchContext,
) -> Result<FetchedKeys, WhyNot> {
    let token = file::text(token_file).await?;
    let timestamp = context.clock.now().wall.to_string();
    let mut asked = sts_params(role, context);
    asked.extend(params(&[
        ("OIDCProviderArn", Some(provider)),
        // Unsigned, the call has the older form, in which these are parameters.
        ("Action", Some("AssumeRoleWithOIDC")),
        ("Version", Some(STS_VERSION)),
        ("Format", Some("JSON")),
        ("Timestamp", Some(&timestamp)),
    ]));
    // In the body, so that no log of a URL has it.
    let form = Params::from([("OIDCToken".to_owned(), token.trim().to_owned())]);
    let body = Zeroizing::new(encoded_query(&form));
    form.into_values().map(Zeroizing::new).for_each(drop);
    let call = Call { action: "AssumeRoleWithOIDC", version: STS_VERSION, params: &asked, form: body.as_bytes() };
    ask_sts(&role.sts, &Anonymous, &call, context).await
}

/// The parameters that both ways to take on a role share.
fn sts_params(role: &Role, context: &FetchContext) -> Params {
    let made_up = format!("privatelinkd-{}", context.clock.now().wall.0 / 1000);
    params(&[
        ("RoleArn", Some(&role.arn)),
        ("RoleSessionName", Some(role.session.as_ref().unwrap_or(&made_up))),
        ("DurationSeconds", Some(&role.seconds.unwrap_or(SECONDS).to_string())),
        ("Policy", role.policy.as_deref()),
    ])
}

/// Asks STS for a role's keys.
async fn ask_sts(
    place: &StsPlace,
    keys: &impl KeySource,
    call: &Call<'_>,
    context: &FetchContext,
) -> Result<FetchedKeys, WhyNot> {
    let failed = |error: String| WhyNot::Failed(format!("{}: {error}", call.action));
    let hosts = sts_hosts(place, context.region.as_deref()).map_err(|e| failed(e.to_string()))?;
    let client =
        Client::new(context.http.clone(), hosts, PATIENCE, context.clock).with_courtesy(context.courtesy.clone());
    let read = |body: &[u8]| reply::sts(body).map_err(|e| Malformed::Unusable(e.to_string()));
    let refused =
        |error: CallError| WhyNot::Sts { action: call.action, said: error.to_string(), general: error.in_general() };
    let Temporary { keys, expires } = client.call(keys, call, read).await.map_err(refused)?;
    Ok(FetchedKeys { keys, expires: Some(expires), rotated: false })
}

/// The SDK's rule, with a second host where there is a sensible one: the global one has no internal twin, and a host
/// without a way to the internet reaches only the region's.
fn sts_hosts(place: &StsPlace, here: Option<&str>) -> Result<Hosts, OriginError> {
    let regional = |prefix: &str, region: &str| Origin::parse(&format!("{prefix}.{region}.aliyuncs.com"));
    let global = Origin::parse("sts.aliyuncs.com")?;
    Ok(match (&place.endpoint, &place.region, here) {
        (Some(endpoint), ..) => Hosts::new(Origin::parse(endpoint)?, Vec::new()),
        (None, Some(region), _) if place.vpc => {
            Hosts::new(regional("sts-vpc", region)?, vec![regional("sts", region)?])
        }
        (None, Some(region), _) => Hosts::new(regional("sts", region)?, vec![global]),
        (None, None, Some(here)) if place.vpc => Hosts::new(regional("sts-vpc", here)?, vec![global]),
        (None, None, Some(here)) => Hosts::new(global, vec![regional("sts-vpc", here)?]),
        (None, None, None) => Hosts::new(global, Vec::new()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_decides_the_hosts() {
        let hosts_of = |endpoint: Option<&str>, region: Option<&str>, vpc, here| {
            let place = StsPlace { endpoint: endpoint.map(Into::into), region: region.map(Into::into), vpc };
            let hosts = sts_hosts(&place, here).unwrap();
            (0..hosts.count()).map(|n| hosts.choose(n).1.authority().to_owned()).collect::<Vec<_>>()
        };
        let (r, h) = (Some("cn-beijing"), Some("cn-hangzhou"));
        assert_eq!(hosts_of(Some("sts.test"), r, true, h), ["sts.test"]);
        assert_eq!(hosts_of(None, r, true, h), ["sts-vpc.cn-beijing.aliyuncs.com", "sts.cn-beijing.aliyuncs.com"]);
        assert_eq!(hosts_of(None, r, false, h), ["sts.cn-beijing.aliyuncs.com", "sts.aliyuncs.com"]);
        assert_eq!(hosts_of(None, None, true, h), ["sts-vpc.cn-hangzhou.aliyuncs.com", "sts.aliyuncs.com"]);
        assert_eq!(hosts_of(None, None, false, h), ["sts.aliyuncs.com", "sts-vpc.cn-hangzhou.aliyuncs.com"]);
        assert_eq!(hosts_of(None, None, true, None), ["sts.aliyuncs.com"]);
    }
}
