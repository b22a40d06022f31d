//! Reloads (B13): parse everything, then swap; on any complaint keep running on the old config and show it. Secrets
//! whose files are written anew are taken over without one.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::secret_files::SecretFiles;
use super::settings::{Settings, probes};
use super::start::host_facts;
use crate::config::{
    self, Complaints, Config, CredentialsConfig, Environment, Loaded, RedactedConfig, Severity, Sources, Texts, keys,
    last_good,
};
use crate::model::shown::complaint_in_a_line;
use crate::model::{EventKind, LogLevel};
use crate::observe::ConfigState;
use crate::sys::clock::Clock;
use crate::sys::event_queue::EventSender;
use crate::sys::heartbeat::{Beat, LOOK};
use crate::sys::identity;
use crate::sys::in_force::modify;
use crate::sys::log_queue::LogQueue;
use crate::sys::save_attempts::SaveAttempts;

/// The control stage.
pub(super) struct Control {
    pub(super) beat: Beat,
    pub(super) path: PathBuf,
    pub(super) environment: Environment,
    pub(super) level: Option<LogLevel>,
    /// The hosts writer runs in this process, too.
    pub(super) all_in_one: bool,
    pub(super) log: LogQueue,
    pub(super) sources: Sources,
    /// What the config in force was made of.
    pub(super) texts: Texts,
    /// What it has to do without since the start.
    pub(super) without: Vec<String>,
    pub(super) secret_files: SecretFiles,
    /// What was accepted and is not kept yet.
    pub(super) kept: Option<RedactedConfig>,
    pub(super) keeping: SaveAttempts,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) events: EventSender,
}

impl Control {
    /// Runs until cancelled.
    pub(super) async fn run(mut self, mut reload: mpsc::Receiver<()>, token: CancellationToken) {
        // Outside of the loop: where secrets are, programs may write all the time.
        let mut looks = interval_at(Instant::now() + LOOK, LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.beat.now();
            self.keep().await;
            let unwatched = self.secret_files.follow(self.sources.secrets()).await;
            unwatched.into_iter().for_each(|what| self.tell(EventKind::NotWatched { what }));
            tokio::select! {
                // Told to stop.
                () = token.cancelled() => break,
                // SIGHUP.
                Some(()) = reload.recv() => self.reload().await,
                // Something was written where secrets are.
                () = self.secret_files.rest() => self.renew_secrets().await,
                // Was the config edited without a reload? Was a secret written where no watch can see it?
                _ = looks.tick() => {
                    if !self.secret_files.is_stirred() {
                        self.renew_secrets().await;
                    }
                    self.look().await;
                }
            }
        }
        self.tell(EventKind::Stopping);
    }

    async fn reload(&mut self) {
        let (path, environment) = (self.path.clone(), self.environment.clone());
        let loaded = tokio::task::spawn_blocking(move || config::load(&path, &environment)).await;
        let running = self.settings.config.borrow().clone();
        match loaded {
            Ok(Ok(loaded)) => match needs_restart(&running, &loaded.config, self.all_in_one) {
                None => self.accept(loaded),
                Some(key) => {
                    let place =
                        loaded.effective.values.iter().find(|value| value.key == key).map(|v| v.origin.as_str());
                    let place = place.unwrap_or("default");
                    self.refuse(vec![format!("{key} ({place}) can't change while the agent runs: restart it")]);
                }
            },
            Ok(Err(complaints)) => self.refuse(rendered(&complaints)),
            Err(fault) => self.refuse(vec![format!("the config could not be loaded: {fault}")]),
        }
    }

    fn accept(&mut self, loaded: Loaded) {
        let Loaded { config, sources, effective: _, warnings: _, kept, texts } = loaded;
        self.log.set_level(self.level.unwrap_or(config.log.level));
        let reloads = self.settings.state.borrow().reloads + 1;
        let paths = sources.paths().map(ToOwned::to_owned).collect();
        let state = ConfigState::loaded(&config, paths, self.clock.now(), reloads);
        self.sources = sources;
        self.texts = texts;
        self.without.clear();
        self.kept = Some(kept);
        self.tell(EventKind::ConfigLoaded { endpoints: config.endpoints.len() });
        let told = self.settings.told.borrow().clone();
        self.settings.take_host(host_facts(&config, told.as_deref()));
        // Before the probers that go by it.
        self.settings.fleet.set(config.host.fleet_size);
        self.settings.config.send_replace(Arc::new(config));
        self.settings.state.send_replace(Arc::new(state));
    }

    fn refuse(&self, complaints: Vec<String>) {
        self.tell(refusal(&complaints));
        modify(&self.settings.state, |state| {
            let state = Arc::make_mut(state);
            (state.reloads, state.last_reload_ok, state.complaints) = (state.reloads + 1, false, complaints);
        });
    }

    /// For a start at which the config on disk is refused. What can't be kept now is tried again.
    async fn keep(&mut self) {
        let now = self.clock.now();
        let Some(kept) = self.kept.clone().filter(|_| self.keeping.due() <= now.boottime) else { return };
        let state_dir = self.settings.config.borrow().host.state_dir.clone();
        let keep = move || last_good::keep(&state_dir, kept, identity::local(), now.wall);
        let Ok(result) = tokio::task::spawn_blocking(keep).await else { return };
        // What is too large stays so.
        if result.as_ref().err().is_none_or(|error| error.kind() == io::ErrorKind::InvalidData) {
            self.kept = None;
        }
        if let Some(kind) = self.keeping.note(result, now.boottime) {
            self.tell(kind);
        }
    }

    /// Takes over the secrets whose files were written anew (B7), and nothing else: no reload is needed for them.
    async fn renew_secrets(&mut self) {
        let (sources, texts, environment) = (self.sources.clone(), self.texts.clone(), self.environment.clone());
        let running = self.settings.config.borrow().clone();
        // As they are before they are read: what is written meanwhile is for the next look.
        let renew = move || {
            let now = sources.secrets_on_disk()?;
            Some((texts.renewed(&running, &environment), now))
        };
        let Ok(Some((renewed, now))) = tokio::task::spawn_blocking(renew).await else { return };
        let refused = match renewed {
            Ok(renewed) => {
                self.sources.renewed(&renewed);
                if renewed.config.cloud.credentials != CredentialsConfig::Lost {
                    self.without.retain(|lack| !lack.starts_with("the cloud's API: "));
                }
                self.take_secrets(renewed.config);
                renewed.refused
            }
            // It is told once, and looked at again when there is something else to see.
            Err(complaints) => {
                self.sources.renew_secrets(now);
                rendered(&complaints).iter().map(|complaint| complaint_in_a_line(complaint)).collect()
            }
        };
        let without: Vec<String> = self.without.iter().cloned().chain(refused.iter().cloned()).collect();
        let told = self.settings.state.borrow().without.clone();
        refused.into_iter().filter(|error| !told.contains(error)).for_each(|error| {
            self.tell(EventKind::SecretRefused { error });
        });
        modify(&self.settings.state, |state| Arc::make_mut(state).without = without);
    }

    fn take_secrets(&self, config: Config) {
        let running = self.settings.config.borrow().clone();
        if *running == config {
            return;
        }
        let before = probes(&running);
        let endpoints = probes(&config).iter().filter(|(name, probe)| before.get(*name) != Some(probe)).count();
        self.tell(EventKind::SecretsRenewed { endpoints });
        self.settings.config.send_replace(Arc::new(config));
    }

    async fn look(&self) {
        let sources = self.sources.clone();
        let Ok(changed) = tokio::task::spawn_blocking(move || sources.changed_on_disk()).await else { return };
        modify(&self.settings.state, |state| Arc::make_mut(state).changed_on_disk = changed);
    }

    fn tell(&self, kind: EventKind) {
        self.events.tell(self.clock.now(), kind);
    }
}

/// Each complaint as people read it; the first one is why the config is refused.
pub(super) fn rendered(complaints: &Complaints) -> Vec<String> {
    let mut all: Vec<_> = complaints.complaints.iter().collect();
    all.sort_by_key(|complaint| complaint.severity == Severity::Warning);
    all.into_iter().map(ToString::to_string).collect()
}

/// What happened when these were found.
pub(super) fn refusal(complaints: &[String]) -> EventKind {
    let first = complaints.first().map(|first| complaint_in_a_line(first)).unwrap_or_default();
    EventKind::ConfigRefused { complaints: complaints.len(), first }
}

/// The first of the keys that can't change while the agent runs, if one did.
fn needs_restart(running: &Config, new: &Config, all_in_one: bool) -> Option<&'static str> {
    let [state_dir, run_dir, hosts_run_dir, target, format] = keys::AT_RESTART;
    let changed = [
        (state_dir, running.host.state_dir != new.host.state_dir),
        (run_dir, running.host.run_dir != new.host.run_dir),
        (hosts_run_dir, running.hosts.run_dir != new.hosts.run_dir),
        // A writer that is a process of its own locks another folder itself.
        ("hosts.state_dir", all_in_one && running.hosts.state_dir != new.hosts.state_dir),
        (target, running.log.target != new.log.target),
        (format, running.log.format != new.log.format),
    ];
    changed.into_iter().find(|(_, changed)| *changed).map(|(key, _)| key)
}
