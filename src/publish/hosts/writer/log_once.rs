//! Says what goes wrong, once: not again until something else does, or until it works again.

use std::collections::BTreeMap;

/// What was said of each kind of work.
#[derive(Debug, Default)]
pub(super) struct LogOnce {
    said: BTreeMap<&'static str, String>,
}

impl LogOnce {
    /// The work named `what` failed with this fault, or worked.
    pub(super) fn tell(&mut self, what: &'static str, fault: Option<String>) {
        match fault {
            Some(fault) if self.said.get(what) == Some(&fault) => {}
            Some(fault) => {
                tracing::warn!("hosts writer: {what} failed: {fault}");
                self.said.insert(what, fault);
            }
            None => {
                if self.said.remove(what).is_some() {
                    tracing::info!("hosts writer: {what} works again");
                }
            }
        }
    }
}
