//! Which keys our chain finds: `credentials CA_PEM RESOLVER`, in the environment and with the files that it is to find
//! them in. Prints one line of JSON: the provider and its keys, and what the others said.
//!
//! For the comparison with the official library (`tests/e2e/credentials`). The metadata service is where it always is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{env, io};

use privatelinkd::cloud::credentials::{Credentials, Environment, FetchContext, configured};
use privatelinkd::cloud::http::{Http, Setup, Timeouts};
use privatelinkd::cloud::metadata::{self, Metadata};
use privatelinkd::cloud::openapi::KeySource as _;
use privatelinkd::cloud::openapi::api_hosts::Origin;
use privatelinkd::cloud::resolve::Resolver;
use privatelinkd::config::CredentialsConfig;
use privatelinkd::model::{Secret, Trust, TrustBundle};
use privatelinkd::sys::clock::Clock;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [ca, resolver] = arguments.as_slice() else { return Err(io::Error::other("expected CA_PEM and RESOLVER")) };
    let lookup = |name: &str| env::var(name).ok();
    let home = lookup("HOME").map(PathBuf::from);
    let environment = Environment::gather(lookup, home.as_deref());
    let means = means(Path::new(ca), resolver.parse().map_err(io::Error::other)?, &environment)?;
    let (providers, environment) = configured(&CredentialsConfig::Auto, environment);
    let credentials = Credentials::new(providers, environment, means);
    let keys = credentials.keys().await.ok().flatten();
    let report = credentials.report();
    let line = json!({
        "provider": report.provider,
        "id": keys.as_ref().map(|k| k.id.clone()),
        "secret": keys.as_ref().map(|k| k.secret.expose()),
        "token": keys.as_ref().and_then(|k| k.token.as_ref()).map(Secret::expose),
        "tried": report.tried,
    });
    #[expect(clippy::print_stdout, reason = "whoever started this reads it there")]
    {
        println!("{line}");
    }
    Ok(())
}

fn means(ca: &Path, resolver: SocketAddr, environment: &Environment) -> io::Result<FetchContext> {
    let certificate = CertificateDer::from_pem_file(ca).map_err(io::Error::other)?;
    let bundle = TrustBundle { path: ca.to_owned(), certificates: vec![certificate.to_vec()] };
    let resolver = Arc::new(Resolver::new(&[resolver], Duration::from_secs(2)).map_err(io::Error::other)?);
    let seconds = Duration::from_secs;
    let timeouts = Timeouts { connect: seconds(3), read: seconds(10), whole: seconds(20) };
    let trust = Some(Trust::File(Arc::new(bundle)));
    let http = Arc::new(Http::new(Setup { trust, resolver: resolver.clone(), timeouts, proxy: None }));
    let plain = Setup { trust: None, resolver, timeouts: metadata::TIMEOUTS, proxy: None };
    let origin = Origin::parse(metadata::ADDRESS).map_err(io::Error::other)?;
    let clock = Clock::System;
    let metadata = Metadata::new(Arc::new(Http::new(plain)), origin, !environment.plain_metadata_disabled, clock);
    Ok(FetchContext { direct: http.clone(), http, metadata: Arc::new(metadata), clock, region: None, courtesy: None })
}
