//! Whom discovery asks, as the config and the host's facts say.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::cloud::credentials::{self, Credentials, Environment, FetchContext};
use crate::cloud::http::{Http, Setup, Timeouts};
use crate::cloud::metadata::{self, InstanceFacts, Metadata};
use crate::cloud::openapi::Client;
use crate::cloud::openapi::api_hosts::{Hosts, Origin, OriginError};
use crate::cloud::openapi::courtesy::Courtesy;
use crate::cloud::openapi::retry::RetryPolicy;
use crate::cloud::privatelink::{self, PrivateLink};
use crate::cloud::resolve::Resolver;
use crate::config::Config;
use crate::discover::rounds::Askers;
use crate::discover::{Api, LookupPool, Lookups, SourceError};
use crate::model::{HostFacts, Proxy, Trust};
use crate::sys::clock::Clock;

/// Where the official tools' files are under systemd, which has no home directory for us.
const FILES: &str = "/etc/privatelinkd";

/// What there is beside the variables of this process: whose eyes credentials are looked for with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialScope {
    /// The service's: files in `/etc/privatelinkd`, no home directory unless a variable names a file there.
    Unit,
    /// A person's shell: the official tools' files at home.
    Shell,
}

impl CredentialScope {
    /// Those of this process: systemd gives every run of a unit an id.
    #[must_use]
    pub fn of_this_process() -> Self {
        if std::env::var_os("INVOCATION_ID").is_some() { Self::Unit } else { Self::Shell }
    }

    /// What the official SDKs would look at.
    fn environment(self) -> Environment {
        let lookup = |name: &str| std::env::var(name).ok();
        if self == Self::Shell {
            return Environment::gather(lookup, lookup("HOME").map(PathBuf::from).as_deref());
        }
        let mut environment = Environment::gather(lookup, None);
        if environment.credentials_files.is_empty() {
            environment.credentials_files = vec![PathBuf::from(FILES).join("credentials")];
        }
        environment.cli_config = Some(PathBuf::from(FILES).join("config.json"));
        environment
    }
}

/// Who is told of each wait for a throttled API; where there is none, nothing is waited for.
pub(super) type OnThrottle = Option<fn(Duration)>;

/// Makes the askers anew for each config and host.
pub(super) fn connect(
    scope: CredentialScope,
    clock: Clock,
    on_throttle: OnThrottle,
) -> impl Fn(&Config, &HostFacts) -> Askers + Send {
    // One for all configs: those before may still have lookups under way.
    let pool = LookupPool::default();
    move |config, host| {
        let families = config.hosts.families;
        let resolver = resolver(config);
        let api = resolver.clone().and_then(|resolver| api(config, host, resolver, (scope, clock, on_throttle)));
        let dns = resolver.map(|resolver| Lookups { resolver, pool: pool.clone(), families });
        Askers { api: api.map(Arc::new), dns }
    }
}

/// Asks the metadata service where we are.
///
/// # Errors
/// Why it does not tell, in words.
pub(super) async fn instance_facts(
    config: &Config,
    scope: CredentialScope,
    clock: Clock,
) -> Result<InstanceFacts, String> {
    let metadata = metadata(config, scope, clock).map_err(|e| e.to_string())?;
    metadata.facts().await.map_err(|e| e.to_string())
}

/// A client of the metadata service.
///
/// # Errors
/// Why there can't be one.
fn metadata(config: &Config, scope: CredentialScope, clock: Clock) -> Result<Metadata, SourceError> {
    let origin = Origin::parse(&config.cloud.metadata_endpoint).map_err(unusable)?;
    let resolver = resolver(config)?;
    let http =
        Http::new(Setup { trust: None, resolver: Arc::new(resolver), timeouts: metadata::TIMEOUTS, proxy: None });
    Ok(Metadata::new(Arc::new(http), origin, !scope.environment().plain_metadata_disabled, clock))
}

fn resolver(config: &Config) -> Result<Resolver, SourceError> {
    Ok(Resolver::new(&config.cloud.resolvers, config.cloud.connect_timeout)?)
}

fn api(
    config: &Config,
    host: &HostFacts,
    resolver: Resolver,
    (scope, clock, on_throttle): (CredentialScope, Clock, OnThrottle),
) -> Result<Api<Credentials>, SourceError> {
    const NO_REGION: &str =
        "the region is not known: the metadata service does not tell it, and [host] region is not set";
    let region = host.region.clone().ok_or_else(|| SourceError::NoApi(NO_REGION.to_owned()))?;
    let hosts = match &config.cloud.api_endpoint {
        Some(origin) => Hosts::new(Origin::parse(origin).map_err(unusable)?, Vec::new()),
        None => Hosts::regional(privatelink::PRODUCT, &region).map_err(unusable)?,
    };
    let (connect, read) = (config.cloud.connect_timeout, config.cloud.read_timeout);
    let timeouts = Timeouts { connect, read, whole: connect + 2 * read };
    let setup = Setup { trust: Some(Trust::System), resolver: Arc::new(resolver), timeouts, proxy: None };
    let direct = Arc::new(Http::new(setup.clone()));
    let http = match proxy(config)? {
        None => direct.clone(),
        proxy => Arc::new(Http::new(Setup { proxy, ..setup })),
    };
    let metadata = Arc::new(metadata(config, scope, clock)?);
    let (courtesy, known) = (on_throttle.map(Courtesy::new), Some(region.clone()));
    let means = FetchContext { http: http.clone(), direct, metadata, clock, region: known, courtesy: courtesy.clone() };
    let (providers, environment) = credentials::configured(&config.cloud.credentials, scope.environment());
    let keys = Credentials::new(providers, environment, means);
    // When to ask again after a failure is the runner's to say, who thinks of the whole fleet.
    let patience = RetryPolicy { rounds: 1, ..RetryPolicy::default() };
    let client = Client::new(http, hosts, patience, clock).with_courtesy(courtesy);
    Ok(Api { client: PrivateLink { client, region }, keys, families: config.hosts.families })
}

/// Whom the calls to the API go through. One that a variable names badly is not passed over: what was to be kept from
/// the direct way would take it.
fn proxy(config: &Config) -> Result<Option<Proxy>, SourceError> {
    let resolved = config.cloud.proxy.resolve(|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()));
    resolved.map_err(|(variable, expected)| {
        SourceError::NoApi(format!("[cloud] proxy: expected in {variable} {expected}; found something else"))
    })
}

fn unusable(error: OriginError) -> SourceError {
    SourceError::NoApi(error.to_string())
}
