//! The main job of privatelinkd on real sockets, in half a minute: `cargo run --example demo`.
//!
//! A stand-in for the cloud on loopback has two endpoints, a TDengine and a MatrixOne, with a network interface in each
//! of two zones and a stand-in database behind each (`world`). A real agent runs in this process, as `run --all-in-one`
//! does (`agent`), on a hosts file in a temporary folder (`folder`). The demo breaks zones, takes a database away
//! behind its front end, moves an interface and throttles the API (`script`), and looks only from outside: at the bytes
//! of the hosts file (`hosts`), at the status socket and at `/metrics` (`look`). Nothing is faked and every time is
//! measured.
#![deny(unsafe_code)]

mod agent;
mod args;
mod folder;
mod hosts;
mod look;
mod scenes;
mod screen;
mod script;
mod summary;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use privatelinkd::sys::clock::Clock;
use privatelinkd::sys::signals::Signals;
use tokio::time::{Instant, sleep_until};

use agent::Agent;
use args::Args;
use folder::Folder;
use hosts::HostsFile;
use screen::Screen;
use script::Script;
use summary::Summary;
use world::World;

/// Kept back of `--for`, so that stopping fits in, too.
const FOR_THE_END: Duration = Duration::from_secs(2);
/// What a shell says of a process that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let args = Args::parse();
    play(&args).unwrap_or_else(|error| {
        screen::complain(&format!("the demo could not be set up: {error:#}"));
        ExitCode::FAILURE
    })
}

fn play(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(Box::pin(run(args)));
    runtime.shutdown_background();
    code
}

async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let end = args.time.map(|time| Instant::now() + time - FOR_THE_END);
    let mut signals = Signals::install().context("can't handle signals")?;
    let mut folder = Folder::new().context("can't make a temporary folder")?;
    if args.keeps_the_folder() {
        folder.keep();
    }
    let world = World::start().await.context("can't serve on loopback addresses")?;
    folder.fill(&world).context("can't write into the temporary folder")?;
    let hosts = HostsFile::watch(folder.hosts()).context("can't watch the hosts file")?;
    let screen = Screen::open(args.json, folder.status_socket());
    screen.begin(&folder);
    let started = Clock::System.now().boottime;
    let agent = Agent::start(&folder).context("can't start the agent")?;

    let mut script = Script { world, hosts, folder: &folder, screen, started, end, summary: Summary::default() };
    let interrupted = tokio::select! {
        () = script.play() => false,
        _ = signals.next() => true,
    };
    if args.stay && !interrupted {
        script.screen.note("The script is over; the agent goes on. Ctrl-C ends it.");
        tokio::select! {
            () = until(end) => {}
            _ = signals.next() => {}
        }
    }
    script.summary.interrupted = interrupted;
    if let Err(error) = agent.stop().await {
        script.summary.failures.push(format!("the agent did not end as it should: {error:#}"));
    }
    let (summary, screen) = script.end();
    screen.end(&summary, &folder).await;
    let code = if interrupted { INTERRUPTED } else { u8::from(!summary.holds()) };
    Ok(ExitCode::from(code))
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}
