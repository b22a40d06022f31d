//! `[endpoint.probe]`: what every kind has in common.

use std::time::Duration;

use super::section::{Bad, Section};
use super::{Desk, Located, https, read};
use crate::model::{HostName, ProbeKind, ProbeSpec, Schedule};

const SHORTEST: Duration = Duration::from_millis(50);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Ports of database servers that count unfinished handshakes and then block the host: MySQL's and MatrixOne's.
const DATABASE_PORTS: [u16; 2] = [3306, 6001];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Https,
}

/// The words for them.
const KINDS: [(&str, Kind); 2] = [("tcp", Kind::Tcp), ("https", Kind::Https)];

/// Kinds that come with a later version.
const LATER: [&str; 3] = ["matrixone", "mysql", "tdengine"];

/// The name to use where `server_name` gives none.
pub(super) enum Fallback {
    Name(HostName),
    /// The endpoint has no names.
    Nothing,
    /// Its names could not be read, which was said.
    Unread,
}

/// Whether this version has a kind of probe.
pub(in crate::config) fn has_kind(word: &str) -> bool {
    KINDS.iter().any(|(known, _)| *known == word)
}

/// `[endpoint.probe]`; `fallback` is the name to use where none is given.
pub(super) fn probe(mut section: Section, desk: &mut Desk<'_>, fallback: &Fallback) -> Option<ProbeSpec> {
    let kind = take_kind(&mut section, desk);
    let absent = !section.has("port");
    if kind == Some(Kind::Tcp) && absent {
        section.miss(desk, "port", Some("tcp has no port of its own"));
    }
    let port = section.take(desk, "port", |n| read::integer::<u16>(n, 1..=65_535));
    let port = match (kind, port) {
        (Some(Kind::Tcp), Some(port)) => tcp_port(port, desk),
        (Some(Kind::Https), None) if absent => Some(https::default_port(&section, desk)),
        (_, port) => port.map(|p| p.value),
    };
    let path = schedule(&mut section, desk);
    let hold = section.take(desk, "hold", |n| read::duration(n, Duration::ZERO..=HOUR));
    let kind = match kind {
        Some(Kind::Tcp) => Some(ProbeKind::Tcp),
        Some(Kind::Https) => https::https(&mut section, desk, fallback).map(ProbeKind::Https),
        None => {
            // Which keys belong here is not known: only those of no kind at all are unknown.
            section.forget(https::KEYS);
            None
        }
    };
    section.finish(desk);
    Some(ProbeSpec { kind: kind?, port: port?, path: path?, deep: None, hold: hold?.value })
}

fn take_kind(section: &mut Section, desk: &mut Desk<'_>) -> Option<Kind> {
    let kind = section.required(desk, "kind", |n| {
        read::word(n, &KINDS).map_err(|mut all| {
            if let Some(later) = n.text().filter(|t| LATER.contains(t)) {
                all.iter_mut().for_each(|b| b.help = Some(format!("\"{later}\" is not in this version")));
            }
            all
        })
    });
    kind.map(|k| k.value)
}

fn tcp_port(port: Located<u16>, desk: &mut Desk<'_>) -> Option<u16> {
    if DATABASE_PORTS.contains(&port.value) {
        let help = "an aborted handshake counts against this host until the database blocks it; \
                    the kinds \"mysql\" and \"matrixone\", which log in politely, are not in this version";
        let (expected, found) = ("a port that is no database's".to_owned(), port.value.to_string());
        desk.complain("endpoint.probe.port", Bad { expected, found, help: Some(help.to_owned()), at: port.at });
        return None;
    }
    Some(port.value)
}

fn schedule(section: &mut Section, desk: &mut Desk<'_>) -> Option<Schedule> {
    let interval = section.take(desk, "interval", |n| read::duration(n, SHORTEST..=HOUR));
    let fast_interval = section.take(desk, "fast_interval", |n| read::duration(n, SHORTEST..=MINUTE));
    let timeout = section.take(desk, "timeout", |n| read::duration(n, SHORTEST..=MINUTE));
    let rise = section.take(desk, "rise", |n| read::integer(n, 1..=20));
    let fall = section.take(desk, "fall", |n| read::integer(n, 1..=20));
    let (interval, fast_interval) = (interval?, fast_interval?);
    if fast_interval.value > interval.value {
        let show = |d: Duration| humantime::format_duration(d).to_string();
        let default = if fast_interval.at.is_none() { ", the default" } else { "" };
        let bad = Bad {
            expected: format!("a `fast_interval` of at most `interval` ({})", show(interval.value)),
            found: format!("{}{default}", show(fast_interval.value)),
            help: None,
            at: fast_interval.at.or(interval.at),
        };
        desk.complain("endpoint.probe.fast_interval", bad);
    }
    Some(Schedule {
        interval: interval.value,
        fast_interval: fast_interval.value,
        timeout: timeout?.value,
        rise: rise?.value,
        fall: fall?.value,
    })
}
