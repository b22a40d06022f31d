//! Names of the cloud, asked of the VPC's own resolvers.
//!
//! Never through `/etc/hosts`, which holds what we publish, nor through the system's stub, which may be ours: what we
//! publish must not come back to us as an input. Nothing is cached either; who asks every 30 seconds wants to know.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RecordType;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Servers that one lookup asks at the same time.
const AT_A_TIME: u32 = 2;

/// A resolver of its own.
#[derive(Debug, Clone)]
pub struct Resolver {
    library: Arc<TokioResolver>,
    sockets: u32,
}

/// The addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// All of one family.
    pub addresses: BTreeSet<IpAddr>,
    /// How long that may be believed: the smallest TTL, aliases included.
    pub ttl: Duration,
}

/// Which addresses to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

/// Why there is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// NXDOMAIN.
    #[error("{0}: no such name")]
    NoSuchName(String),
    /// The name exists, without such a record.
    #[error("{0}: no address")]
    NoAddress(String),
    /// No server answered, or none with an answer.
    #[error("{0}: {1}")]
    Failed(String, String),
}

impl Resolver {
    /// A resolver. Asks nothing yet. The servers are asked over UDP, and over TCP where an answer is too long;
    /// `100.100.2.136:53` and `100.100.2.138:53` in every VPC. `timeout` is how long one attempt waits; there are two.
    ///
    /// # Errors
    /// [`ResolveError::Failed`] if the library would not.
    pub fn new(servers: &[SocketAddr], timeout: Duration) -> Result<Self, ResolveError> {
        let sockets = u32::try_from(servers.len()).unwrap_or(u32::MAX).clamp(1, AT_A_TIME);
        let servers = servers.iter().map(|server| {
            let mut config = NameServerConfig::udp_and_tcp(server.ip());
            for connection in &mut config.connections {
                connection.port = server.port();
            }
            config
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = timeout;
        options.attempts = 1;
        options.num_concurrent_reqs = AT_A_TIME as usize;
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        let built = builder.build().map_err(|e| ResolveError::Failed("resolver".to_owned(), e.to_string()))?;
        Ok(Self { library: Arc::new(built), sockets })
    }

    /// How many sockets a lookup has at the same time, at most.
    #[must_use]
    pub fn sockets(&self) -> u32 {
        self.sockets
    }

    /// The addresses of one family, with their TTL.
    ///
    /// # Errors
    /// The situations of [`ResolveError`].
    pub async fn addresses(&self, name: &str, family: Family) -> Result<Found, ResolveError> {
        let kind = match family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        };
        let lookup = self.library.lookup(absolute(name), kind).await.map_err(|e| error(name, &e))?;
        let addresses: BTreeSet<IpAddr> = lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect();
        let Some(ttl) = lookup.answers().iter().map(|record| record.ttl).min().filter(|_| !addresses.is_empty()) else {
            return Err(ResolveError::NoAddress(name.to_owned()));
        };
        Ok(Found { addresses, ttl: Duration::from_secs(ttl.into()) })
    }
}

/// With the dot at its end no search list applies.
fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

fn error(name: &str, error: &NetError) -> ResolveError {
    let name = name.to_owned();
    match error {
        e if e.is_nx_domain() => ResolveError::NoSuchName(name),
        e if e.is_no_records_found() => ResolveError::NoAddress(name),
        e => ResolveError::Failed(name, e.to_string()),
    }
}

/// For the HTTP client: IPv4 first, IPv6 where there is none.
impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.library.clone();
        Box::pin(async move {
            let found = resolver.lookup_ip(absolute(name.as_str())).await.map_err(|e| error(name.as_str(), &e))?;
            let addresses: Vec<_> = found.iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_search_list_applies() {
        assert_eq!(absolute("a.example"), "a.example.");
        assert_eq!(absolute("a.example."), "a.example.");
    }

    #[tokio::test]
    async fn localhost_needs_no_server() {
        // The discard port: a resolver that asked it would wait.
        let resolver = Resolver::new(&[([127, 0, 0, 1], 9).into()], Duration::from_millis(200)).unwrap();
        let found: Vec<_> = resolver.resolve("localhost".parse().unwrap()).await.unwrap().collect();
        assert_eq!(found, [SocketAddr::new([127, 0, 0, 1].into(), 0)]);
    }
}
