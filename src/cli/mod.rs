//! The commands: one file each. A command gathers, calls the rooms and prints; it holds no rule and renders little.

mod check;
mod completions;
mod discover;
mod exit;
mod hosts;
mod init;
mod man;
mod once;
mod output;
mod plan;
mod probe;
mod process;
mod reset;
mod route;
mod run;
mod run_as;
mod status;
mod status_client;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::builder::PossibleValue;
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::model::LogLevel;
use crate::observe::Build;
use crate::sys::privileges;
use exit::{Exit, Failed};

/// The heading of options that every command takes.
const EVERYWHERE: &str = "Options of every command";

/// Of the commands that look.
const AS_AGENT: &str = "Run as root it becomes the user privatelinkd first, with the credentials that the running agent \
                        was started with: it sees what the agent sees. What the agent knows is shown beside it.";

/// What `--version` says after the name: `0.1.0 (revision 0123456789ab)`.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let Build { version, revision } = Build::THIS;
    format!("{version} (revision {revision})")
});

/// Keeps names on this host pointing at healthy PrivateLink endpoint addresses.
#[derive(Debug, Parser)]
#[command(name = "privatelinkd", version = VERSION.as_str(), max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = exit::help())]
struct Cli {
    /// The main config file; drop-ins are read from conf.d/ beside it.
    #[arg(long, global = true, value_name = "PATH", default_value = "/etc/privatelinkd/config.toml")]
    #[arg(help_heading = EVERYWHERE)]
    config: PathBuf,
    /// How much to log, whatever [log] level says.
    #[arg(long, global = true, value_name = "LEVEL", help_heading = EVERYWHERE)]
    log: Option<LogLevel>,
    /// Root's rights are given up already, and the environment is the service's: see `run_as`.
    #[arg(long, hide = true)]
    as_unit: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    // What serves people before anything is configured comes first, the services last.
    /// Draft a config for the endpoints of this VPC: ask the cloud for them, and their ports what they are.
    #[command(after_help = init::HELP)]
    Init(init::Args),
    /// Probe every address now, each check once: phase times, verdict, certificate; exits with 1 if any fails.
    #[command(after_help = AS_AGENT)]
    Probe(probe::Args),
    /// Check the config: every complaint at once, with file, line and column; exits with 78 if there is any.
    Check(check::Args),
    /// Find the endpoints now, once: statuses, zones, addresses and who told them; exits with 1 if one can't be found.
    #[command(after_help = AS_AGENT)]
    Discover(discover::Args),
    /// Show what the agent would do now: find, probe and decide once, and write nothing.
    #[command(after_help = AS_AGENT)]
    Plan(plan::Args),
    /// Show what the running agent knows; exits with 1 if it is degraded, with 69 if none answers.
    Status(status::Args),
    /// Show, compare or write the managed block in the hosts file.
    #[command(subcommand)]
    Hosts(hosts::Command),
    /// Have this host's resolver ask the DNS stub for the names that it serves, and for no others.
    #[command(subcommand)]
    Route(route::Command),
    /// Run the agent in the foreground; SIGHUP loads the config again, SIGTERM ends it.
    Run(run::Args),
    /// Forget all state and take the block out of the hosts file: for makers of machine images.
    #[command(after_help = reset::HELP)]
    Reset(reset::Args),
    /// Print a script with which a shell completes commands and options.
    #[command(after_help = completions::HELP)]
    Completions(completions::Args),
    /// Print a page of the manual, or write all of them.
    #[command(after_help = man::HELP)]
    Man(man::Args),
}

impl ValueEnum for LogLevel {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.label()))
    }
}

/// Parses the arguments, runs the command, says what went wrong.
#[must_use]
pub fn main() -> ExitCode {
    // First of all: from here on there are secrets to read.
    if let Err(error) = privileges::close_memory() {
        // No kernel that we know says so, and names are needed all the same.
        output::note(format_args!("can't close this process's memory to others: {error}"));
    }
    let cli = match parsed() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are no errors; a closed pipe is none either.
            let _ = e.print();
            return if e.use_stderr() { Exit::Usage.into() } else { Exit::Fine.into() };
        }
    };
    let Cli { config, log, as_unit, command } = cli;
    let result = match command {
        Command::Run(args) => run::main(&args, &config, log),
        Command::Check(args) => check::main(&args, &config),
        Command::Init(args) => init::main(&args, &config, as_unit),
        Command::Discover(args) => discover::main(&args, &config, as_unit),
        Command::Probe(args) => probe::main(&args, &config, as_unit),
        Command::Plan(args) => plan::main(&args, &config, as_unit),
        Command::Status(args) => status::main(&args, &config),
        Command::Hosts(command) => hosts::main(&command, &config, log),
        Command::Route(command) => route::main(&command, &config),
        Command::Reset(args) => reset::main(&args, &config),
        Command::Completions(args) => completions::main(&args, &Cli::command()),
        Command::Man(args) => man::main(&args, &Cli::command()),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(Failed { exit, error }) => {
            output::fail(&error);
            exit.into()
        }
    }
}

/// On a stack of its own, which goes afterwards: the parser's calls are deep, and what they took of the first thread's
/// stack would stay resident as long as a service runs.
fn parsed() -> Result<Cli, clap::Error> {
    let parser = std::thread::Builder::new().spawn(Cli::try_parse);
    // Where no thread is to be had, it goes without.
    parser.ok().and_then(|parser| parser.join().ok()).unwrap_or_else(Cli::try_parse)
}
