//! Probes over TLS as the agent does: one line an outcome, or their counts.
//!
//! `address=IP:PORT kind=https|tdengine check=path|stranger|deep|login name= ca= path= method= body= status= pattern=
//! token= sql= expect= times= every= deadline=` (milliseconds); `overlap=N` begins N attempts at once, each 100 ms
//! after the one before; `certificate=yes` adds a line with the one that was shown last.

#![allow(clippy::print_stdout, reason = "it is what it is for")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use privatelinkd::model::{
    Check, DeepSpec, Depth, FileSecret, HttpsSpec, ProbeKind, ProbeSpec, Schedule, Secret, TargetKey, TargetSpec,
    TdengineLogin, TdengineSpec, TlsSpec, Trust, TrustBundle, Wall, Zone,
};
use privatelinkd::probe::{AnyProber, Prober, Probers};
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

    fn milliseconds(&self, key: &str, default: u64) -> Result<Duration, Error> {
        self.number(key, default).map(Duration::from_millis)
    }
}

fn tls(arguments: &Arguments) -> Result<TlsSpec, Error> {
    let path = arguments.text("ca", "ca.pem");
    let certificate = CertificateDer::from_pem_file(&path)?;
    let bundle = TrustBundle { path: path.into(), certificates: vec![certificate.to_vec()] };
    Ok(TlsSpec {
        server_name: arguments.text("name", "gw.example.com").parse()?,
        trust: Trust::File(Arc::new(bundle)),
        expiry_warning: Duration::ZERO,
    })
}

fn kind(arguments: &Arguments) -> Result<ProbeKind, Error> {
    let tls = tls(arguments)?;
    let secret = |text: String| FileSecret { secret: Secret::new(text), path: "token".into(), written: Wall(0) };
    Ok(match &*arguments.text("kind", "https") {
        "tdengine" => ProbeKind::Tdengine(TdengineSpec {
            tls,
            path: arguments.text("path", "/rest/sql"),
            login: arguments.0.get("token").cloned().map(|text| TdengineLogin::Token(secret(text))),
            sql: arguments.text("sql", "show databases"),
            expect: arguments.0.get("expect").cloned(),
        }),
        _ => ProbeKind::Https(HttpsSpec {
            tls,
            method: arguments.text("method", "GET"),
            path: arguments.text("path", "/"),
            headers: Vec::new(),
            body: arguments.text("body", ""),
            expect_status: vec![arguments.text("status", "200").parse()?],
            expect_body: arguments.0.get("pattern").cloned(),
        }),
    })
}

fn prober(arguments: &Arguments) -> Result<AnyProber, Error> {
    let address: SocketAddr = arguments.text("address", "").parse()?;
    let (check, depth) = match &*arguments.text("check", "path") {
        "stranger" => (Check::Path, None),
        "login" => (Check::Deep, Some(Depth::Login)),
        "deep" => (Check::Deep, Some(Depth::Query)),
        _ => (Check::Path, Some(Depth::Query)),
    };
    let second = Duration::from_secs(1);
    let schedule = Schedule { interval: second, fast_interval: second, timeout: second, rise: 3, fall: 3 };
    let deep = depth.map(|depth| DeepSpec { depth, schedule });
    let probe = ProbeSpec {
        kind: kind(arguments)?,
        port: address.port(),
        path: schedule,
        deep,
        hold: second,
        returns: Default::default(),
    };
    let key = TargetKey { endpoint: "lab".parse()?, zone: Zone::Unknown, address: address.ip() };
    Ok(Probers::new(Clock::System).prober(&TargetSpec { key, probe: Arc::new(probe) }, check))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let split = |text: String| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let arguments = Arguments(std::env::args().skip(1).filter_map(split).collect());
    let (times, overlap) = (arguments.number("times", 1)?, arguments.number("overlap", 1)?);
    let (every, deadline) = (arguments.milliseconds("every", 0)?, arguments.milliseconds("deadline", 5000)?);
    let prober = Arc::new(prober(&arguments)?);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..times {
        let mut running = Vec::new();
        for _ in 0..overlap {
            let prober = prober.clone();
            running.push(tokio::spawn(async move { prober.probe(deadline).await }));
            if overlap > 1 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        for attempt in running {
            let label = match attempt.await? {
                Ok(timings) if times * overlap == 1 => format!("up {timings:?}"),
                Ok(_) => "up".to_owned(),
                Err(failure) if times * overlap == 1 => failure.to_string(),
                Err(failure) => failure.reason.label().to_owned(),
            };
            *counts.entry(label).or_default() += 1;
        }
        tokio::time::sleep(every).await;
    }
    for (label, count) in counts {
        println!("{count} {label}");
    }
    if let (Some(shown), true) = (prober.certificate(), arguments.0.contains_key("certificate")) {
        println!("for {}, by {}, until {}", shown.names.join(" "), shown.issuer, shown.not_after);
    }
    Ok(())
}
