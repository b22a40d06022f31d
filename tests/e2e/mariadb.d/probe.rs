//! Probes MySQL servers as the agent does: one line an outcome, or their counts.
//!
//! `address=IP:PORT[,…] kind=mysql|matrixone check=path|deep|both
//! tls=off|preferred|required|verify_ca:CA|verify:NAME:CA user= password= query= expect= budget=FILE times= every=
//! deadline=` (milliseconds)

#![allow(clippy::print_stdout, reason = "it is what it is for")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arguments::{Arguments, Error, spec};
use privatelinkd::model::{
    Check, DeepSpec, Depth, Failure, ProbeKind, ProbeSpec, Schedule, TargetKey, TargetSpec, Timings, Zone,
};
use privatelinkd::probe::{AnyProber, Prober, Probers, TlsBudget};
use privatelinkd::sys::clock::Clock;

mod arguments;

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
    let arguments = Arguments::of_process();
    let (times, every) = (arguments.number("times", 1)?, Duration::from_millis(arguments.number("every", 0)?));
    let deadline = Duration::from_millis(arguments.number("deadline", 5000)?);
    let checks: &[Check] = match &*arguments.text("check", "deep") {
        "path" => &[Check::Path],
        "both" => &[Check::Path, Check::Deep],
        _ => &[Check::Deep],
    };
    let in_memory = || TlsBudget::in_memory(Clock::System);
    let budget = arguments.get("budget").map_or_else(in_memory, |path| TlsBudget::kept(path.into(), Clock::System));
    let (probers, kind) = (Probers::new(Clock::System).with_tls_budget(budget), spec(&arguments)?);
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
