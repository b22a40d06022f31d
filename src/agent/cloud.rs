//! Whom discovery asks, as the config and the host's facts say.

use std::sync::Arc;

use crate::cloud::http::{Http, Setup, Timeouts};
use crate::cloud::openapi::hosts::{Hosts, Origin};
use crate::cloud::openapi::retry::Patience;
use crate::cloud::openapi::{Anonymous, Client};
use crate::cloud::privatelink::PrivateLink;
use crate::cloud::resolve::{Resolver, ResolverSetup};
use crate::config::Config;
use crate::discover::rounds::Askers;
use crate::discover::{Api, EndpointDomains, SourceError, ZoneDomains};
use crate::model::{HostFacts, Trust};
use crate::sys::clock::Clock;

/// Makes the askers anew for each config and host.
pub(super) fn connect(clock: Clock) -> impl Fn(&Config, &HostFacts) -> Askers<Anonymous> + Send {
    move |config, host| {
        let setup = ResolverSetup { servers: config.cloud.resolvers.clone(), timeout: config.cloud.connect_timeout };
        let families = config.hosts.families;
        let resolver = Resolver::new(&setup).map_err(SourceError::from);
        let api = resolver.clone().and_then(|resolver| api(config, host, (resolver, clock)));
        let dns = resolver.map(|resolver| {
            (ZoneDomains { resolver: resolver.clone(), families }, EndpointDomains { resolver, families })
        });
        Askers { api: api.map(Arc::new), dns }
    }
}

fn api(config: &Config, host: &HostFacts, (resolver, clock): (Resolver, Clock)) -> Result<Api<Anonymous>, SourceError> {
    let region = host.region.clone().ok_or_else(|| {
        SourceError::NoApi(
            "the region is not known: the metadata service did not tell it, and [host] region is not set".to_owned(),
        )
    })?;
    let refused = |e: crate::cloud::openapi::hosts::OriginError| SourceError::NoApi(e.to_string());
    let hosts = match &config.cloud.api_endpoint {
        Some(origin) => Hosts::of(Origin::parse(origin).map_err(refused)?, Vec::new()),
        None => PrivateLink::hosts(&region).map_err(refused)?,
    };
    let (connect, read) = (config.cloud.connect_timeout, config.cloud.read_timeout);
    let timeouts = Timeouts { connect, read, whole: connect + 2 * read };
    let http = Http::new(Setup { trust: Trust::System, resolver: Arc::new(resolver), timeouts });
    // When to ask again after a failure is the runner's to say, who knows of the whole fleet.
    let patience = Patience { rounds: 1, ..Patience::default() };
    let client = Client::new(Arc::new(http), hosts, patience, clock);
    Ok(Api { client: PrivateLink::new(client, region), keys: Anonymous, families: config.hosts.families })
}
