//! Serves two endpoints in two zones on loopback until killed: `serve DIRECTORY`.
//!
//! Writes `ca.pem` and, last, `targets` into the directory: a line a target, `kind zone address port name`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs, io};

use privatelink_sim::{HttpsService, Pki, TcpService, free_address};

const ZONES: [&str; 2] = ["cn-hangzhou-h", "cn-hangzhou-i"];
const NAMES: [&str; 2] = ["lab-db.internal", "gw-orders.example.com"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let directory = env::args_os().nth(1).map(PathBuf::from);
    let directory = directory.ok_or_else(|| io::Error::other("expected a directory as the only argument"))?;
    let pki = Pki::new("privatelink-sim")?;
    let [plain, secured] = NAMES;
    let (mut tcp, mut https, mut targets) = (Vec::new(), Vec::new(), String::new());
    for zone in ZONES {
        let service = TcpService::start(free_address(5432)?).await?;
        add(&mut targets, "tcp", zone, service.address(), plain)?;
        tcp.push(service);
        let service = HttpsService::start(free_address(8443)?, pki.leaf(&[secured])?).await?;
        add(&mut targets, "https", zone, service.address(), secured)?;
        https.push(service);
    }
    fs::write(directory.join("ca.pem"), pki.ca_pem())?;
    // Whole or not there, so that whoever waits for it never reads half.
    fs::write(directory.join("targets.new"), targets)?;
    fs::rename(directory.join("targets.new"), directory.join("targets"))?;
    std::future::pending().await
}

fn add(targets: &mut String, kind: &str, zone: &str, at: std::net::SocketAddr, name: &str) -> io::Result<()> {
    writeln!(targets, "{kind} {zone} {} {} {name}", at.ip(), at.port()).map_err(io::Error::other)
}
