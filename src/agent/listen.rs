//! Opens the listeners of observation, and opens them again: a taken port degrades the agent, it never stops it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::settings::follow;
use crate::config::{Config, MetricsConfig};
use crate::model::EventKind;
use crate::observe::Views;
use crate::observe::serve::{self, Access};
use crate::sys::clock::Clock;
use crate::sys::event_queue::EventSender;
use crate::sys::sockets::{self, ListenError};
use crate::sys::tell_once::{FaultNews, TellOnce};

/// Between two tries.
const RETRY: Duration = Duration::from_secs(5);

/// What the listeners need.
#[derive(Debug, Clone)]
pub(super) struct Listeners {
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) views: Views,
    pub(super) clock: Clock,
    pub(super) events: EventSender,
}

impl Listeners {
    /// `[metrics]`, until cancelled. A reload that leaves the section as it is leaves the listener alone.
    pub(super) async fn http(self, token: CancellationToken) {
        let mut told = TellOnce::default();
        let mut settings = follow(self.config.clone(), |config| config.metrics.clone());
        while !token.is_cancelled() {
            let serving = token.child_token();
            let server = self.serve_http(settings.seen().clone(), &mut told, serving.clone());
            let is_another = tokio::select! {
                () = settings.changed() => true,
                () = server => false,
            };
            serving.cancel();
            if is_another {
                // What the listener before it met is not this one's.
                told = TellOnce::default();
            }
        }
    }

    /// Serves, or waits until it is worth another try.
    async fn serve_http(&self, settings: MetricsConfig, told: &mut TellOnce, token: CancellationToken) {
        let Some(address) = settings.listen else { return token.cancelled().await };
        let listener = sockets::listen_tcp(address);
        self.tell(&format!("[metrics] listen {address}"), listener.as_ref().err(), told);
        let access = Access { hosts: settings.expose_hosts, expose_status: settings.expose_status };
        match listener {
            Ok(listener) => serve::http(listener, access, self.views.clone(), token).await,
            Err(_) => drop(token.run_until_cancelled(tokio::time::sleep(RETRY)).await),
        }
    }

    /// `status.sock`, until cancelled.
    pub(super) async fn status(self, token: CancellationToken) {
        let path = self.config.borrow().host.run_dir.join("status.sock");
        let mut told = TellOnce::default();
        while !token.is_cancelled() {
            let listener = sockets::listen_unix(&path).await;
            self.tell(&path.display().to_string(), listener.as_ref().err(), &mut told);
            match listener {
                Ok(listener) => {
                    let serving = token.child_token();
                    tokio::select! {
                        () = serve::status_socket(listener, self.views.clone(), serving.clone()) => {}
                        // An admin or a program emptied the folder: no client can reach us there any more.
                        () = replaced(&path) => {}
                    }
                    serving.cancel();
                }
                Err(_) => drop(token.run_until_cancelled(tokio::time::sleep(RETRY)).await),
            }
        }
    }

    /// Tells a failure once, until it is another one; and its end.
    fn tell(&self, listener: &str, error: Option<&ListenError>, told: &mut TellOnce) {
        let listener = listener.to_owned();
        let Some(news) = told.news(error.map(ToString::to_string)) else { return };
        let kind = match news {
            FaultNews::Fails(error) => EventKind::ListenerFailed { listener, error },
            FaultNews::WorksAgain => EventKind::ListenerBack { listener },
        };
        self.events.tell(self.clock.now(), kind);
    }
}

/// Waits until there is another file at this path, or none.
async fn replaced(path: &Path) {
    let inode = async || tokio::fs::symlink_metadata(path).await.ok().map(|m| (m.dev(), m.ino()));
    let ours = inode().await;
    loop {
        tokio::time::sleep(RETRY).await;
        if inode().await != ours {
            return;
        }
    }
}
