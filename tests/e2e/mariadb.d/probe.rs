//! Probes MySQL servers as the agent does: one line an outcome, or their counts.
//!
//! `address=IP:PORT[,…] kind=mysql|matrixone check=path|deep|both tls=off|preferred|required|verify_ca:CA|verify:NAME:CA
//! user= password= query= expect= budget=FILE times= every= deadline=` (milliseconds)

#![allow(clippy::print_stdout, reason = "it is what it is for")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use privatelinkd::model::{
    Check, DeepSpec, Depth, Failure, FileSecret, MysqlLogin, MysqlSpec, MysqlTls, ProbeKind, ProbeSpec, Schedule,
    Secret, TargetKey, TargetSpec, Timings, TlsSpec, Trust, TrustBundle, Wall, Zone,
};
use privatelinkd::probe::{AnyProber, Prober, Probers, TlsBudget};
use privatelinkd::sys::clock::Clock;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

type Error = Box<dyn std::error::Error>;

struct Arguments(BTreeMap<String, String>);

impl Arguments {
    fn text(&self, key: &str, default: &str) -> String {
        self.0.get(key).cloned().unwrap_or_else(|| default.to_owned())
    }

    fn number(&self, key: &str, default: u64) -> Result<u64, Error> {
        Ok(self.0.get(key).map_or(Ok(default), |text| text.parse())?)
    }
}

fn tls(text: &str) -> Result<MysqlTls, Error> {
    let bundle = |path: &str| -> Result<_, Error> {
        let certificate = CertificateDer::from_pem_file(path)?;
        Ok(Arc::new(TrustBundle { path: path.into(), certificates: vec![certificate.to_vec()] }))
    };
    Ok(match text.split(':').collect::<Vec<_>>()[..] {
        ["off"] => MysqlTls::Off,
        ["preferred"] => MysqlTls::Preferred,
        ["required"] => MysqlTls::Required,
        ["verify_ca", path] => MysqlTls::VerifyCa(bundle(path)?),
        ["verify", name, path] => MysqlTls::Verify(TlsSpec {
            server_name: name.parse()?,
            trust: Trust::File(bundle(path)?),
            expiry_warning: Duration::ZERO,
        }),
        _ => return Err(format!("tls={text}").into()),
    })
}

fn spec(arguments: &Arguments) -> Result<ProbeKind, Error> {
    let secret = |text: String| FileSecret { secret: Secret::new(text), path: "pw".into(), written: Wall(0) };
    let spec = MysqlSpec {
        tls: tls(&arguments.text("tls", "preferred"))?,
        expiry_warning: Duration::ZERO,
        login: Some(MysqlLogin {
            user: arguments.text("user", "probe"),
            password: arguments.0.get("password").cloned().map(secret),
        }),
        query: arguments.text("query", "SELECT 1"),
        expect: arguments.0.get("expect").cloned(),
    };
    Ok(match &*arguments.text("kind", "mysql") {
        "matrixone" => ProbeKind::Matrixone(spec),
        _ => ProbeKind::Mysql(spec),
    })
}

fn target(address: SocketAddr, kind: ProbeKind) -> Result<TargetSpec, Error> {
    let second = Duration::from_secs(1);
    let schedule = Schedule { interval: second, fast_interval: second, timeout: second, rise: 3, fall: 3 };
    let probe = ProbeSpec {
        kind,
        port: address.port(),
        path: schedule,
        deep: Some(DeepSpec { depth: Depth::Query, schedule }),
        hold: second,
        returns: Default::default(),
    };
    let key = TargetKey { endpoint: "lab".parse()?, zone: Zone::Unknown, address: address.ip() };
    Ok(TargetSpec { key, probe: Arc::new(probe) })
}

/// Returns the prober, too: what it keeps open stays so while others probe, as in the agent.
async fn repeat(
    prober: AnyProber,
    times: u64,
    every: Duration,
    deadline: Duration,
) -> (AnyProber, Vec<Result<Timings, Failure>>) {
    let mut outcomes = Vec::new();
    for _ in 0..times {
        outcomes.push(prober.probe(deadline).await);
        tokio::time::sleep(every).await;
    }
    (prober, outcomes)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let split = |text: String| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let arguments = Arguments(std::env::args().skip(1).filter_map(split).collect());
    let (times, every) = (arguments.number("times", 1)?, Duration::from_millis(arguments.number("every", 0)?));
    let deadline = Duration::from_millis(arguments.number("deadline", 5000)?);
    let checks: &[Check] = match &*arguments.text("check", "deep") {
        "path" => &[Check::Path],
        "both" => &[Check::Path, Check::Deep],
        _ => &[Check::Deep],
    };
    let budget = arguments.0.get("budget").map_or_else(TlsBudget::in_memory, |path| TlsBudget::kept(path.into()));
    let (probers, kind) = (Probers::new(Clock::System).within(budget), spec(&arguments)?);
    let mut running = Vec::new();
    for address in arguments.text("address", "").split(',') {
        let target = target(address.parse()?, kind.clone())?;
        for check in checks {
            running.push(tokio::spawn(repeat(probers.prober(&target, *check), times, every, deadline)));
        }
    }
    let (mut counts, mut done) = (BTreeMap::<String, u64>::new(), Vec::new());
    for repeated in running {
        let (prober, outcomes) = repeated.await?;
        done.push(prober);
        for outcome in outcomes {
            let label = match &outcome {
                Ok(timings) if times == 1 => format!("up {timings:?}"),
                Ok(_) => "up".to_owned(),
                Err(failure) if times == 1 => failure.to_string(),
                Err(failure) => failure.reason.label().to_owned(),
            };
            *counts.entry(label).or_default() += 1;
        }
    }
    for (label, count) in counts {
        println!("{count} {label}");
    }
    drop(done);
    // The last goodbye is on its way when the process ends.
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(())
}
