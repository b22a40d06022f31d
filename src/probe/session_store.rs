//! The TLS sessions with one server, for resumption.
//!
//! The library's own store keeps eight tickets of each of many servers by name, which is three kilobytes for the one
//! server that a target is. Servers send two tickets a handshake and a probe uses one, so eight were always full.

use std::fmt;
use std::sync::{Arc, Mutex};

use crate::sys::lock::lock;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// Tickets kept: one for the next probe, and one for that which begins before it has ended.
const KEPT: usize = 2;

/// A store for a client of one server under one name; names are not looked at.
pub(crate) fn for_one_server() -> Resumption {
    Resumption::store(Arc::new(OneServer::default()))
}

#[derive(Default)]
struct OneServer(Mutex<CachedSession>);

#[derive(Default)]
struct CachedSession {
    /// The key exchange that the server takes; absent before the first handshake.
    group: Option<NamedGroup>,
    /// The session before TLS 1.3 to resume; absent if there is none.
    tls12: Option<Tls12ClientSessionValue>,
    /// The tickets of TLS 1.3, the oldest first.
    tls13: Vec<Tls13ClientSessionValue>,
}

impl fmt::Debug for OneServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OneServer").finish_non_exhaustive()
    }
}

impl ClientSessionStore for OneServer {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        lock(&self.0).group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        lock(&self.0).group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        lock(&self.0).tls12 = Some(session);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        lock(&self.0).tls12.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        lock(&self.0).tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let tickets = &mut lock(&self.0).tls13;
        if tickets.len() == KEPT {
            tickets.remove(0);
        } else {
            tickets.reserve_exact(KEPT - tickets.len());
        }
        tickets.push(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        lock(&self.0).tls13.pop()
    }
}
