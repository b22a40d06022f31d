//! Roles are taken on through STS.
//!
//! Signed as every other call. (The official providers still sign these with the legacy HMAC-SHA1 scheme; STS takes
//! both.)

use std::time::Duration;

use super::recipe::{Role, StsPlace, WhyNot};
use super::reply::{self, Temporary};
use super::{FetchContext, Got};
use crate::cloud::openapi::api_hosts::{Hosts, Origin, OriginError};
use crate::cloud::openapi::retry::RetryPolicy;
use crate::cloud::openapi::{Call, Client, KeySource, Malformed};
use crate::cloud::sign::Params;

/// The version of the API.
pub(super) const VERSION: &str = "2015-04-01";
/// How long keys last if nobody says, in seconds.
const SECONDS: u32 = 3600;
/// Whoever needs keys waits for them, so there is one second try and not much time.
const PATIENCE: RetryPolicy = RetryPolicy {
    rounds: 2,
    first_backoff: Duration::from_secs(1),
    longest_backoff: Duration::from_secs(1),
    deadline: Duration::from_secs(20),
};

/// The parameters that both ways to take on a role share.
pub(super) fn params(role: &Role, means: &FetchContext) -> Params {
    let made_up = || format!("privatelinkd-{}", means.clock.now().wall.0 / 1000);
    let mut params = Params::new();
    let mut set = |name: &str, value: String| drop(params.insert(name.to_owned(), value));
    set("RoleArn", role.arn.clone());
    set("RoleSessionName", role.session.clone().unwrap_or_else(made_up));
    set("DurationSeconds", role.seconds.unwrap_or(SECONDS).to_string());
    if let Some(policy) = &role.policy {
        set("Policy", policy.clone());
    }
    params
}

/// Asks STS for a role's keys.
pub(super) async fn ask(
    place: &StsPlace,
    keys: &impl KeySource,
    call: &Call<'_>,
    means: &FetchContext,
) -> Result<Got, WhyNot> {
    let failed = |error: String| WhyNot::Failed(format!("{}: {error}", call.action));
    let hosts = hosts(place, means.region.as_deref()).map_err(|e| failed(e.to_string()))?;
    let client = Client::new(means.http.clone(), hosts, PATIENCE, means.clock);
    let Temporary { keys, expires } = client.call(keys, call, read).await.map_err(|e| failed(e.to_string()))?;
    Ok(Got { keys, expires: Some(expires), rotated: false })
}

fn read(body: &[u8]) -> Result<Temporary, Malformed> {
    reply::sts(body).map_err(|e| Malformed::Unusable(e.to_string()))
}

/// The SDK's rule, with a second host where there is a sensible one: the global one has no internal twin, and a host
/// without a way to the internet reaches only the region's.
fn hosts(place: &StsPlace, here: Option<&str>) -> Result<Hosts, OriginError> {
    let regional = |prefix: &str, region: &str| Origin::parse(&format!("{prefix}.{region}.aliyuncs.com"));
    let global = Origin::parse("sts.aliyuncs.com")?;
    Ok(match (&place.endpoint, &place.region, here) {
        (Some(endpoint), ..) => Hosts::of(Origin::parse(endpoint)?, Vec::new()),
        (None, Some(region), _) if place.vpc => Hosts::of(regional("sts-vpc", region)?, vec![regional("sts", region)?]),
        (None, Some(region), _) => Hosts::of(regional("sts", region)?, vec![global]),
        (None, None, Some(here)) if place.vpc => Hosts::of(regional("sts-vpc", here)?, vec![global]),
        (None, None, Some(here)) => Hosts::of(global, vec![regional("sts-vpc", here)?]),
        (None, None, None) => Hosts::of(global, Vec::new()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_decides_the_hosts() {
        let of = |endpoint: Option<&str>, region: Option<&str>, vpc, here| {
            let place = StsPlace { endpoint: endpoint.map(Into::into), region: region.map(Into::into), vpc };
            let hosts = hosts(&place, here).unwrap();
            (0..hosts.count()).map(|n| hosts.choose(n).1.authority().to_owned()).collect::<Vec<_>>()
        };
        let (r, h) = (Some("cn-beijing"), Some("cn-hangzhou"));
        assert_eq!(of(Some("sts.test"), r, true, h), ["sts.test"]);
        assert_eq!(of(None, r, true, h), ["sts-vpc.cn-beijing.aliyuncs.com", "sts.cn-beijing.aliyuncs.com"]);
        assert_eq!(of(None, r, false, h), ["sts.cn-beijing.aliyuncs.com", "sts.aliyuncs.com"]);
        assert_eq!(of(None, None, true, h), ["sts-vpc.cn-hangzhou.aliyuncs.com", "sts.aliyuncs.com"]);
        assert_eq!(of(None, None, false, h), ["sts.aliyuncs.com", "sts-vpc.cn-hangzhou.aliyuncs.com"]);
        assert_eq!(of(None, None, true, None), ["sts.aliyuncs.com"]);
    }
}
