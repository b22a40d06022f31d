//! Many stand-ins on loopback until killed, to measure with: `standins DIRECTORY KIND=COUNT…`.
//!
//! A kind is `matrixone`, `tdengine`, `https` or `forgetful` (HTTPS that resumes no session). Writes `ca.pem` and,
//! last, `targets` into the directory: a line a target, `kind zone address port name`. The certificates are for the
//! name.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::{env, fs, io};

use privatelink_sim::{
    HttpsService, Identity, MatrixoneService, MatrixoneSetup, Pki, TdengineService, TdengineSetup, free_address,
};

const ZONES: [&str; 2] = ["cn-hangzhou-h", "cn-hangzhou-i"];
const NAME: &str = "gw-orders.example.com";

/// A service, which ends when it is dropped.
#[expect(dead_code, reason = "held, and never looked at")]
enum Service {
    Matrixone(MatrixoneService),
    Tdengine(TdengineService),
    Https(HttpsService),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut arguments = env::args_os().skip(1);
    let directory = arguments.next().map(PathBuf::from).ok_or_else(|| io::Error::other("expected a directory"))?;
    let pki = Pki::new("privatelink-sim")?;
    let identity = Identity::new(&pki, &[NAME])?;
    let (mut services, mut targets) = (Vec::new(), String::new());
    for argument in arguments {
        let argument = argument.into_string().map_err(|_| io::Error::other("expected KIND=COUNT"))?;
        let (kind, count) = argument.split_once('=').ok_or_else(|| io::Error::other("expected KIND=COUNT"))?;
        let count: usize = count.parse().map_err(io::Error::other)?;
        for zone in ZONES.iter().cycle().take(count) {
            let (service, at) = start(kind, &pki, &identity).await?;
            writeln!(targets, "{kind} {zone} {} {} {NAME}", at.ip(), at.port()).map_err(io::Error::other)?;
            services.push(service);
        }
    }
    fs::write(directory.join("ca.pem"), pki.ca_pem())?;
    // Whole or not there, so that whoever waits for it never reads half.
    fs::write(directory.join("targets.new"), targets)?;
    fs::rename(directory.join("targets.new"), directory.join("targets"))?;
    std::future::pending().await
}

async fn start(kind: &str, pki: &Pki, identity: &Identity) -> io::Result<(Service, SocketAddr)> {
    let port = if kind == "matrixone" { 6001 } else { 8443 };
    let at = free_address(port)?;
    let service = match kind {
        "matrixone" => {
            let service = MatrixoneService::start(at, MatrixoneSetup::default(), Some(identity.clone())).await?;
            Service::Matrixone(service)
        }
        "tdengine" => Service::Tdengine(TdengineService::start(at, TdengineSetup::default(), identity.clone()).await?),
        "https" => Service::Https(HttpsService::start(at, pki.leaf(&[NAME])?).await?),
        "forgetful" => Service::Https(HttpsService::forgetful(at, pki.leaf(&[NAME])?).await?),
        other => return Err(io::Error::other(format!("expected a kind of stand-in, found {other}"))),
    };
    Ok((service, at))
}
