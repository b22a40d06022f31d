//! The writer: keeps one block in the hosts file what the hand-over and its own policy say it should be.
//!
//! [`core`] decides, on values; this file only waits, reads and carries out, one thing at a time. The same code over
//! the same files runs inside the agent (`run --all-in-one`) and as a privileged process of its own: only where the
//! policy comes from differs ([`PolicySource`]).

pub(crate) mod apply;
pub mod core;
mod event_loop;
mod from_config;
mod looks;
mod policy_source;
pub(crate) mod store;
mod whose_lines;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;

use self::core::Recalled;
pub use self::core::ThisHost;
pub use self::event_loop::run;
pub use self::from_config::{ClaimFolders, FromConfig};
pub use self::policy_source::PolicySource;
pub use self::store::{parse_block, parse_policy};
use super::block;
use super::file;
use super::policy::HostsPolicy;
use crate::model::Receipt;
use crate::sys::clock::Clock;
use crate::sys::heartbeat::Beat;
use crate::sys::identity;
use crate::sys::tell_once::{FaultNews, TellOnce};

/// Between two looks at what tells no change by itself: the agent's sign of life, and whether our own files are there.
/// However little there is to do, the core is asked this often: level, not edge.
pub const TICK: Duration = Duration::from_secs(5);

/// What a writer is made of.
#[derive(Debug)]
pub struct Setup<P> {
    /// Where its policy comes from.
    pub policies: P,
    /// The machine and boot that it runs in.
    pub here: ThisHost,
    /// The clock that decisions go by.
    pub clock: Clock,
    /// Its sign of life, given at least every [`TICK`] unless a file operation hangs.
    pub beat: Beat,
    /// Gets every receipt, whether or not it could be put in place for others; `None` until the first.
    pub receipts: watch::Sender<Option<Receipt>>,
}

impl ThisHost {
    /// This machine and this boot, as far as this process may read them. Blocks.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self { identity: identity::local(), boot_id: identity::boot_id() }
    }
}

/// The work that fails where a config is refused: nothing of what it asks for comes into force.
const TAKING_OVER: &str = "taking over the config";

/// Logs what goes wrong, once: not again until something else does, or until it works again.
#[derive(Debug, Default)]
struct FaultLog {
    /// By kind of work.
    told: BTreeMap<&'static str, TellOnce>,
}

impl FaultLog {
    /// The work named `what` failed with this fault, or worked.
    fn tell(&mut self, what: &'static str, fault: Option<String>) {
        match self.told.entry(what).or_default().news(fault) {
            Some(FaultNews::Fails(fault)) if what == TAKING_OVER => {
                tracing::error!("hosts writer: {what} failed: {fault}");
            }
            Some(FaultNews::Fails(fault)) => tracing::warn!("hosts writer: {what} failed: {fault}"),
            Some(FaultNews::WorksAgain) => tracing::info!("hosts writer: {what} works again"),
            None => {}
        }
    }
}

/// Finds the last known good: our own, else what the block in the file says; and why our own is not used, if it is
/// there and can't be. Changes nothing.
pub(crate) fn recall(policy: &HostsPolicy, here: &ThisHost) -> (Recalled, Option<String>) {
    let loaded = store::load_block(&policy.state_dir);
    if let Ok(Some(kept)) = loaded {
        let part = here.identity.mismatch(&kept.identity);
        return (part.map_or(Recalled::Own(kept), Recalled::Foreign), None);
    }
    let file = file::read(&policy.path).ok().flatten().unwrap_or_default();
    (block::salvage(&file).map_or(Recalled::Nothing, Recalled::InFile), loaded.err())
}
