//! What the agent is started with.

use std::path::PathBuf;

use super::cloud::CredentialScope;
use crate::config::{Complaints, Environment, Loaded};
use crate::model::{LogLevel, Wall};
use crate::sys::log_queue::LogQueue;
use crate::sys::service_manager::ServiceManager;
use crate::sys::sockets::HandedOver;

/// What an agent is started with.
#[derive(Debug)]
pub struct Options {
    /// The main config file, for reloads.
    pub path: PathBuf,
    /// What it was when it was loaded, or what is in force instead.
    pub loaded: Loaded,
    /// Why what is loaded is not what is on disk, if so.
    pub recalled: Option<Recalled>,
    /// What the check needs to know of the machine, for reloads.
    pub environment: Environment,
    /// Where credentials are looked for.
    pub scope: CredentialScope,
    /// Overrides `[log].level`, also over reloads.
    pub level: Option<LogLevel>,
    /// Where the log goes.
    pub log: LogQueue,
    /// Who is told how it goes.
    pub service: ServiceManager,
    /// Sockets of the stub, from the service manager.
    pub handed_over: Vec<HandedOver>,
    /// Whether the hosts writer runs in this process, too; else it is a process of its own.
    pub all_in_one: bool,
}

/// A start on the config that was accepted last, because the one on disk was refused (B13).
#[derive(Debug)]
pub struct Recalled {
    /// What is wrong with the one on disk.
    pub complaints: Complaints,
    /// Where the one in force was kept.
    pub path: PathBuf,
    /// When it was accepted.
    pub accepted: Wall,
    /// What it has to do without, in words.
    pub without: Vec<String>,
}
