//! The `tcp` check: the connection is accepted. All that can be said of a protocol that we do not speak.
//!
//! Many servers accept in the kernel while the process behind is stuck, so this check proves the least of all.

use std::net::SocketAddr;
use std::time::Duration;

use super::dial::{Connected, Deadline};
use super::prober::{Overlap, Prober};
use super::remote::Remote;
use crate::model::{Failure, Timings};

/// Connects and hangs up.
#[derive(Debug)]
pub struct TcpProber {
    remote: Remote,
}

impl TcpProber {
    /// A prober of one address and port.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { remote: Remote::new(address) }
    }
}

impl Prober for TcpProber {
    fn overlap(&self) -> Overlap {
        Overlap::Hedged
    }

    fn is_reached(&self) -> Option<bool> {
        self.remote.is_reached()
    }

    async fn probe(&self, deadline: Duration) -> Result<Timings, Failure> {
        let Connected { stream, took: tcp, resent } = self.remote.connect(Deadline::after(deadline)).await?;
        resent.add_to_outcome(Ok(Timings { tcp, total: tcp, ..Timings::default() }), &stream)
    }
}
