//! At most one unfinished handshake a server (B7), whoever of us makes it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::Semaphore;

use crate::probe::tls::lock;

/// A gate for each server in use.
#[derive(Debug, Default)]
pub struct Gates(Mutex<HashMap<SocketAddr, Weak<Semaphore>>>);

impl Gates {
    /// The gate of a server: whoever shakes hands holds its one permit.
    #[must_use]
    pub fn of(&self, server: SocketAddr) -> Arc<Semaphore> {
        let mut gates = lock(&self.0);
        if let Some(gate) = gates.get(&server).and_then(Weak::upgrade) {
            return gate;
        }
        gates.retain(|_, gate| gate.strong_count() > 0);
        let gate = Arc::new(Semaphore::new(1));
        gates.insert(server, Arc::downgrade(&gate));
        gate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_one_gate_as_long_as_somebody_uses_it() {
        let gates = Gates::default();
        let [a, b] = ["127.0.0.1:3306", "127.0.0.1:3307"].map(|address| address.parse().unwrap());
        let (first, again, other) = (gates.of(a), gates.of(a), gates.of(b));
        assert!(Arc::ptr_eq(&first, &again) && !Arc::ptr_eq(&first, &other));
        drop((first, again));
        let _third = gates.of("127.0.0.1:3308".parse().unwrap());
        assert_eq!(lock(&gates.0).len(), 2);
    }
}
