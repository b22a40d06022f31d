//! What a service tells the manager that started it (sd_notify(3)): ready, its state in a sentence, alive, stopping.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::spawn_blocking;

/// The service manager, if one listens.
#[derive(Debug, Clone)]
pub struct ServiceManager {
    listens: bool,
    watchdog: Option<Duration>,
}

/// What it is told. Several go in one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Started, or reloaded.
    Ready,
    /// The state in a sentence, for `systemctl status`.
    Status(String),
    /// Alive.
    Alive,
    /// A reload has begun; [`Word::Ready`] ends it.
    Reloading,
    /// The end has begun.
    Stopping,
}

impl ServiceManager {
    /// The one that the environment names; else one that hears nothing.
    #[must_use]
    pub fn from_environment() -> Self {
        Self { listens: std::env::var_os("NOTIFY_SOCKET").is_some(), watchdog: sd_notify::watchdog_enabled() }
    }

    /// Whether a service manager listens.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.listens
    }

    /// How often [`Word::Alive`] is due: at half of what the manager waits for (sd_watchdog_enabled(3)). `None` if it
    /// does not wait for it.
    #[must_use]
    pub fn alive_interval(&self) -> Option<Duration> {
        self.watchdog.map(|longest| longest / 2)
    }

    /// Tells it. Waits on a blocking thread, because a manager that is busy lets its socket fill.
    ///
    /// # Errors
    /// It was not told.
    pub async fn tell(&self, words: Vec<Word>) -> io::Result<()> {
        if !self.listens || words.is_empty() {
            return Ok(());
        }
        spawn_blocking(move || send(&words)).await.map_err(io::Error::other)?
    }
}

fn send(words: &[Word]) -> io::Result<()> {
    let mut states = Vec::new();
    for word in words {
        match word {
            Word::Ready => states.push(NotifyState::Ready),
            Word::Status(sentence) => states.push(NotifyState::Status(sentence)),
            Word::Alive => states.push(NotifyState::Watchdog),
            // Since systemd 253 a reload counts from this very time on.
            Word::Reloading => states.extend([NotifyState::Reloading, NotifyState::monotonic_usec_now()?]),
            Word::Stopping => states.push(NotifyState::Stopping),
        }
    }
    sd_notify::notify(&states)
}
