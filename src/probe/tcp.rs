//! The `tcp` check: the connection is accepted. All that can be said of a protocol that we do not speak.
//!
//! Many servers accept in the kernel while the process behind is stuck, so this check proves the least of all.

use std::net::SocketAddr;
use std::time::Duration;

use super::dial::{self, Connected, Deadline};
use super::{Overlap, Prober};
use crate::model::{Failure, Timings};

/// Connects and hangs up.
#[derive(Debug)]
pub struct TcpProber {
    address: SocketAddr,
}

impl TcpProber {
    /// A prober of one address and port.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }
}

impl Prober for TcpProber {
    fn overlap(&self) -> Overlap {
        Overlap::Hedged
    }

    async fn probe(&self, deadline: Duration) -> Result<Timings, Failure> {
        let Connected { stream, took: tcp, resent } = dial::connect(self.address, Deadline::after(deadline)).await?;
        resent.told(Ok(Timings { tcp, total: tcp, ..Timings::default() }), &stream)
    }
}
