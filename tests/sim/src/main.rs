//! The stand-in cloud as one program, until it is killed; and the search over histories of the agent's rules.

#[cfg(feature = "rules")]
mod rules;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use privatelink_sim::cloud::{Addresses, Cloud, World};
use serde_json::json;

const HELP: &str = "\
Starts the PrivateLink API, STS, the metadata server, the VPC's resolver and the ENIs of a small VPC on addresses of
127.0.0.0/8: two endpoints, each with an ENI in each of two zones. It checks signatures as the real API does, and
everything can be changed and spoiled while it runs: 'curl http://127.84.0.1:8080/control' says how. At an ENI can
answer TCP, HTTPS, a MatrixOne front end or a TDengine gateway, each with faults of its own:

  curl http://127.84.0.1:8080/control/endpoints/ep-bp1standinledger00001/zones/cn-hangzhou-h \\
    -d '{\"serve\": {\"kind\": \"matrixone\", \"port\": 6001, \"mode\": {\"login\": \"no_cn\"}}}'
  curl http://127.84.0.1:8080/control/databases

The second one tells their users, passwords and tokens.";

/// A stand-in for Alibaba Cloud's PrivateLink on loopback, for tests and for use by hand.
#[derive(Debug, Parser)]
#[command(name = "privatelink-sim", after_help = HELP)]
struct Options {
    /// Take random addresses, so that several can run
    #[arg(long)]
    random: bool,
    /// Take the address of the real metadata service, and port 443 for STS: in a network namespace that has it
    #[arg(long, conflicts_with = "random")]
    official: bool,
    /// Print one line of JSON instead of text, once everything answers
    #[arg(long)]
    json: bool,
    /// Write the authority of all certificates to this file
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    #[cfg(feature = "rules")]
    #[command(subcommand)]
    command: Option<Command>,
}

/// What there is to do beside.
#[cfg(feature = "rules")]
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Search histories of a host, on virtual time, for one in which the agent's rules break a promise
    Rules(rules::Options),
    /// Play what may happen to a whole fleet of hosts, on virtual time, and judge what it asks of everybody
    Fleet(rules::fleet::Options),
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let options = Options::parse();
    #[cfg(feature = "rules")]
    if let Some(command) = &options.command {
        let (text, kept) = match command {
            Command::Rules(options) => rules::search(options)?,
            Command::Fleet(options) => rules::fleet::rehearse(options)?,
        };
        io::stdout().lock().write_all(text.as_bytes())?;
        return Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(options))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(options: Options) -> io::Result<()> {
    let cloud = if options.random {
        Cloud::start().await?
    } else {
        let enis = [[1, 1], [2, 1], [1, 2], [2, 2]].map(|[zone, endpoint]| Ipv4Addr::new(127, 84, zone, endpoint));
        let addresses = if options.official { Addresses::official() } else { Addresses::fixed() };
        Cloud::with(addresses, World::small(enis)).await?
    };
    if let Some(file) = &options.ca {
        std::fs::write(file, cloud.ca_pem())?;
    }
    let text = if options.json { line(&cloud) } else { told(&cloud).map_err(io::Error::other)? };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    std::future::pending().await
}

/// What a shell needs to use it.
fn environment(cloud: &Cloud) -> Vec<(&'static str, String)> {
    let at = cloud.addresses();
    let (key, secret) = World::KEY;
    vec![
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", key.to_owned()),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret.to_owned()),
        ("ALIBABA_CLOUD_REGION_ID", cloud.look(|world| world.region.clone())),
        ("SIM_PRIVATELINK", format!("http://{}", at.privatelink)),
        ("SIM_PRIVATELINK_TLS", format!("https://{}", at.privatelink_tls)),
        ("SIM_STS", format!("http://{}", at.sts)),
        ("SIM_STS_TLS", format!("https://{}", at.sts_tls)),
        ("SIM_METADATA", format!("http://{}", at.metadata)),
        ("SIM_DNS", at.dns.to_string()),
        ("SIM_CONTROL", format!("http://{}", at.control)),
    ]
}

fn line(cloud: &Cloud) -> String {
    let environment: serde_json::Map<_, _> =
        environment(cloud).into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let (key, secret) = World::POWERLESS_KEY;
    let line = json!({
        "addresses": cloud.addresses(),
        "environment": environment,
        "powerless_key": { "id": key, "secret": secret },
        "databases": cloud.look(|world| json!(world.databases)),
        "endpoints": cloud.look(|world| json!(world.endpoints)),
        "ca_pem": cloud.ca_pem(),
    });
    format!("{line}\n")
}

fn told(cloud: &Cloud) -> Result<String, std::fmt::Error> {
    let mut text = String::from("# To use it from a shell:\n");
    for (name, value) in environment(cloud) {
        writeln!(text, "export {name}={value}")?;
    }
    text.push_str("\n# What there is:\n");
    let (world, mut domain) = (cloud.look(Clone::clone), String::new());
    for (id, endpoint) in &world.endpoints {
        domain = endpoint.domain(id, &world.region);
        writeln!(text, "# {id} ({}), {domain}", endpoint.private_dns.join(", "))?;
        for (name, zone) in &endpoint.zones {
            let ip = zone.eni_ip.map(|ip| ip.to_string()).unwrap_or_default();
            writeln!(text, "#   {name}: {ip}, {}", json!(zone.serve))?;
        }
    }
    text.push_str("\n# Whom the databases know, where an ENI leads to one:\n");
    for (user, password) in &world.databases.matrixone.users {
        writeln!(text, "# matrixone: {user}, {password}")?;
    }
    for (user, password) in &world.databases.tdengine.users {
        writeln!(text, "# tdengine: {user}, {password}")?;
    }
    for token in &world.databases.tdengine.tokens {
        writeln!(text, "# tdengine: token {token}")?;
    }
    let (at, dns) = (cloud.addresses(), cloud.addresses().dns);
    let (control, ledger) = (at.control, World::LEDGER);
    write!(
        text,
        "
# Try:
curl http://{}/latest/meta-data/zone-id
curl http://{}/latest/meta-data/ram/security-credentials/{}
dig @{} -p {} {domain}
curl http://{control}/control
curl http://{control}/control/endpoints/{ledger}
curl http://{control}/control/endpoints/{ledger}/zones/cn-hangzhou-h -d '{{\"status\": \"Disconnected\"}}'
curl http://{control}/control/faults -d '{{\"on\": {{\"service\": \"privatelink\"}}, \"what\": {{\"kind\": \"throttle\"}}, \"times\": 3}}'
curl http://{control}/control/calls
curl -X POST http://{control}/control/reset
",
        at.metadata,
        at.metadata,
        World::ROLE,
        dns.ip(),
        dns.port(),
    )?;
    Ok(text)
}
