//! `privatelinkd init`

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::exit::{Exit, Failed, io_exit};
use super::output::{self, Output, refuse_config};
use super::{once, run_as};
use crate::agent;
use crate::agent::oneshot::{LookupContext, Whereabouts};
use crate::cloud::openapi::CallError;
use crate::cloud::openapi::advice::advise;
use crate::cloud::openapi::refusal::Class;
use crate::config::{self, Config, Environment};
use crate::draft::survey::{Survey, survey};
use crate::draft::text::draft;
use crate::draft::{Draft, Drafted, Place, Ports};
use crate::model::{EndpointId, EndpointName};
use crate::sys::atomic_file;

/// Of a config that others may not read: it may name files with secrets, and who is asked.
const MODE: u32 = 0o640;

/// What `--help` says at its end.
pub(super) const HELP: &str = "\
It needs no config. It asks the metadata service for region and VPC and the API for the endpoints, which takes the \
permissions privatelink:ListVpcEndpoints and privatelink:ListVpcEndpointZones. Then it connects once to an address of \
each endpoint, at both ports and without any secret. What it guessed, and how sure it is, stands in comments; lines \
that begin with FILL IN say what only you can know.

Run as root it asks as the user privatelinkd, with the credentials that the running agent was started with.

Print a config:
  privatelinkd init
Write it beside the one that is there:
  privatelinkd init --write --config /etc/privatelinkd/conf.d/new.toml";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write the config to the path of --config instead of printing it; exits with 1 if there is a file.
    #[arg(long)]
    write: bool,
    /// Do not connect to the endpoints; then only their names tell what they are.
    #[arg(long)]
    no_look: bool,
    /// Where MatrixOne is looked for.
    #[arg(long, value_name = "PORT", default_value_t = Ports::DEFAULT.matrixone)]
    matrixone_port: u16,
    /// Where TDengine is looked for.
    #[arg(long, value_name = "PORT", default_value_t = Ports::DEFAULT.tdengine)]
    tdengine_port: u16,
    #[command(flatten)]
    output: Output,
}

/// The answer as JSON.
#[derive(Serialize, Deserialize)]
struct Answer {
    schema: u32,
    region: String,
    vpc_id: String,
    /// Where the config was written; `null` if nowhere.
    written: Option<PathBuf>,
    #[serde(flatten)]
    draft: Draft,
}

/// The version of [`Answer`]'s shape.
const SCHEMA: u32 = 1;

pub(super) fn main(args: &Args, path: &Path, as_unit: bool) -> Result<Exit, Failed> {
    if args.write {
        has_room(path)?;
    }
    let answer = match run_as::service_user() {
        // What only root may write has to be drafted by a user who may do less.
        Some(_) if args.write && !as_unit => ask_another(args, path)?,
        _ => Ok(ask(args, path, as_unit)?),
    };
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(exit) => return Ok(exit),
    };
    if args.write {
        write(path, &answer.draft.config)?;
        answer.written = Some(path.to_owned());
    }
    if args.output.json {
        output::json(&answer)?;
        return Ok(Exit::Fine);
    }
    if answer.written.is_some() {
        output::answer(&format!("{}: written\n{}", path.display(), summary(&answer.draft.endpoints, "  ")))?;
    } else {
        output::answer(&answer.draft.config)?;
        output::complain(&summary(&answer.draft.endpoints, "privatelinkd: "));
    }
    Ok(Exit::Fine)
}

fn summary(endpoints: &[Drafted], indent: &str) -> String {
    endpoints.iter().map(|e| format!("{indent}{}\n", e.sentence())).collect()
}

fn ask(args: &Args, path: &Path, as_unit: bool) -> Result<Answer, Failed> {
    let eyes = once::lookup_context(as_unit, path)?;
    // What there is of a config says who is asked, and which endpoints are known.
    let config = config::load_what_exists(&main_file(path), &Environment::current()).map_err(refuse_config)?.config;
    let ports = Ports { matrixone: args.matrixone_port, tdengine: args.tdengine_port };
    let looked_at = (!args.no_look).then_some(ports);
    let (region, vpc_id, Survey { endpoints, complete }) = once::block_on(look(&config, looked_at, eyes))??;
    if endpoints.is_empty() {
        return Err(Failed::new(Exit::No, anyhow::anyhow!("{vpc_id} in {region} has no interface endpoint")));
    }
    let known: BTreeMap<EndpointId, EndpointName> =
        config.endpoints.iter().filter_map(|(name, e)| Some((e.id.clone()?, name.clone()))).collect();
    let taken: BTreeSet<EndpointName> = config.endpoints.keys().cloned().collect();
    let (allowed, families) = (config.hosts.allowed_ranges.as_slice(), config.hosts.families);
    let place = Place { region: &region, vpc_id: &vpc_id, ports, allowed, families, known: &known, taken, complete };
    Ok(Answer { schema: SCHEMA, draft: draft(&endpoints, place), region, vpc_id, written: None })
}

/// The config that the draft is to be a part of: where it is to be a drop-in, the one that it is laid over.
fn main_file(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| folder.file_name().is_some_and(|name| name == "conf.d"));
    folder.and_then(Path::parent).map_or_else(|| path.to_owned(), |beside| beside.join("config.toml"))
}

async fn look(config: &Config, ports: Option<Ports>, eyes: LookupContext) -> Result<(String, String, Survey), Failed> {
    let Whereabouts { host, error } = agent::oneshot::whereabouts_for_all(config, eyes).await;
    let unknown = |what: &str, key: &str| {
        let why = error.as_ref().map(|e| format!(": {e}")).unwrap_or_default();
        let help = "this must be an ECS instance, or --config name a file";
        Failed::new(Exit::Unavailable, anyhow::anyhow!("the {what} is not known{why}; {help} with [host] {key}"))
    };
    let region = host.region.clone().ok_or_else(|| unknown("region", "region"))?;
    let vpc_id = host.vpc_id.clone().ok_or_else(|| unknown("VPC", "vpc_id"))?;
    let api = agent::oneshot::api(config, &host, eyes)
        .map_err(|error| Failed::new(Exit::Unavailable, anyhow::anyhow!("{}", error.with_advice())))?;
    let doing = if ports.is_some() { "asking the cloud's API, and endpoints' ports" } else { "asking the cloud's API" };
    let survey = eyes.telling(doing, survey(&api, &vpc_id, ports)).await.map_err(|error| unanswered(&error))?;
    Ok((region, vpc_id, survey))
}

fn unanswered(error: &CallError) -> Failed {
    let exit = match error {
        CallError::Refused(refusal) if matches!(refusal.class, Class::Denied { .. }) => Exit::Permission,
        _ => Exit::Unavailable,
    };
    let advice = advise(error).map(|advice| format!(": {advice}")).unwrap_or_default();
    Failed::new(exit, anyhow::anyhow!("the endpoints can't be listed: {error}{advice}"))
}

/// Whether the file can be made; found out before the API is asked.
fn has_room(path: &Path) -> Result<(), Failed> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Err(in_the_way(path)),
        Err(e) if e.kind() == io::ErrorKind::NotFound && atomic_file::parent(path).is_dir() => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let path = path.display();
            Err(Failed::new(Exit::No, anyhow::anyhow!("{path} can't be written: make its folder first")))
        }
        Err(e) => Err(unusable(path, e)),
    }
}

/// Runs this very command without `--write`, which then becomes the service user. It says itself what goes wrong.
fn ask_another(args: &Args, path: &Path) -> Result<Result<Answer, Exit>, Failed> {
    let internal = |e: anyhow::Error| Failed::new(Exit::Internal, e.context("can't ask as the service user"));
    let mut command = Command::new("/proc/self/exe");
    command.arg("--config").arg(path).args(["init", "--json"]);
    command.args(["--matrixone-port", &args.matrixone_port.to_string()]);
    command.args(["--tdengine-port", &args.tdengine_port.to_string()]);
    command.args(args.no_look.then_some("--no-look"));
    let ended = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(|e| internal(e.into()))?;
    if !ended.status.success() {
        return Ok(Err(ended.status.code().map_or(Exit::Internal, Exit::from_code)));
    }
    let answer: Answer = serde_json::from_slice(&ended.stdout).map_err(|e| internal(e.into()))?;
    // What the agent's user says is written by root's hand.
    if config::only_endpoints(&answer.draft.config) {
        Ok(Ok(answer))
    } else {
        Err(internal(anyhow::anyhow!("expected a draft of endpoints, found something else in it")))
    }
}

/// Whole or not at all, and never over anything.
fn write(path: &Path, config: &str) -> Result<(), Failed> {
    let group = run_as::service_user().map(|(_, gid)| gid);
    match atomic_file::create(path, config.as_bytes(), MODE, group) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(in_the_way(path)),
        other => other.map_err(|e| unusable(path, e)),
    }
}

fn unusable(path: &Path, error: io::Error) -> Failed {
    io_exit(&error, Exit::Internal).because(path.display().to_string())(error)
}

fn in_the_way(path: &Path) -> Failed {
    let path = path.display();
    let help =
        "--config may name another one, such as endpoints.toml in conf.d beside it; without --write it is printed";
    Failed::new(Exit::No, anyhow::anyhow!("{path} is there already, and no file is overwritten: {help}"))
}
