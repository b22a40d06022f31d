//! What the agent says of itself to the service manager.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::daemon::service::ServiceStatus;
use crate::observe::{Views, status};
use crate::sys::in_force::modify;

/// However little changes, the sentence is looked at this often: probes change it without changing a plan.
const LOOK: Duration = Duration::from_secs(5);

/// Keeps the report up to date, until cancelled.
pub(super) async fn run(mut views: Views, report: watch::Sender<ServiceStatus>, token: CancellationToken) {
    loop {
        let snapshot = views.snapshot();
        let latest = ServiceStatus {
            ready: status::published(&snapshot),
            status: status::sentence(&snapshot),
            reloads: snapshot.config.reloads,
        };
        modify(&report, |report| *report = latest);
        tokio::select! {
            () = token.cancelled() => return,
            Ok(()) = views.plan.changed() => {}
            Ok(()) = views.receipts.changed() => {}
            Ok(()) = views.config.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
