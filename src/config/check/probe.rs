//! `[endpoint.probe]`: what every kind has in common.

use std::time::Duration;

use super::context::Bad;
use super::mysql::LoginRules;
use super::section::Section;
use super::tls::NameFallback;
use super::{deep, https, mysql, read, tdengine};
use crate::config::keys;
use crate::config::types::spread;
use crate::model::{DeepSpec, ProbeKind, ProbeKindName, ProbeSpec, Returns, Schedule};

const SHORTEST: Duration = Duration::from_millis(50);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Ports of database servers that count unfinished handshakes and then block the host: MySQL's and MatrixOne's.
const DATABASE_PORTS: [u16; 2] = [MYSQL_PORT, MATRIXONE_PORT];
const MYSQL_PORT: u16 = 3306;
const MATRIXONE_PORT: u16 = 6001;
const HTTPS_PORT: u16 = 443;

/// What of the rest of the configuration a probe depends on.
pub(super) struct Around {
    /// The name where none is given.
    pub(super) name: NameFallback,
    /// `[host] fleet_size`.
    pub(super) fleet_size: u32,
}

/// `[endpoint.probe]`
pub(super) fn probe(mut section: Section<'_>, around: &Around) -> Option<ProbeSpec> {
    let kind = section.required("kind", |n| read::word(n, ProbeKindName::WORDS)).map(|kind| kind.value);
    let port = port(&mut section, kind);
    let path = schedule(&mut section);
    let hold = section.value("hold", |n| read::duration(n, Duration::ZERO..=HOUR));
    let asked = match kind {
        Some(kind) => kind_and_deep_check(kind, &mut section, around, path),
        None => {
            // Which keys belong here is not known: only those of no kind at all are unknown.
            keys::probe_kinds().iter().for_each(|(_, keys)| section.forget(keys));
            None
        }
    };
    section.finish();
    let (kind, deep) = asked?;
    let returns = returns(&kind, around.fleet_size);
    Some(ProbeSpec { kind, port: port?, path: path?, deep, hold: hold?, returns })
}

/// How a target comes back; damping is the steering's.
fn returns(kind: &ProbeKind, fleet_size: u32) -> Returns {
    let matrixone = matches!(kind, ProbeKind::Matrixone(_));
    Returns {
        spread: spread(fleet_size),
        retry: Duration::from_secs(if matrixone { 5 } else { 2 }),
        apart: deep::apart(fleet_size),
        ..Returns::default()
    }
}

/// What is asked of a target: the kind with its own keys, and the deep check.
type Asked = (ProbeKind, Option<DeepSpec>);

fn kind_and_deep_check(
    kind: ProbeKindName,
    section: &mut Section<'_>,
    around: &Around,
    path: Option<Schedule>,
) -> Option<Asked> {
    let deep_around = |interval| deep::Around { interval, fleet_size: around.fleet_size, path };
    match kind {
        ProbeKindName::Tcp => Some((ProbeKind::Tcp, None)),
        ProbeKindName::Https => https::https(section, &around.name).map(|spec| (ProbeKind::Https(spec), None)),
        ProbeKindName::Matrixone => {
            mysql::mysql(section, &around.name, LoginRules::Matrixone, &deep_around(5 * MINUTE))
                .map(|(spec, deep)| (ProbeKind::Matrixone(spec), deep))
        }
        ProbeKindName::Mysql => mysql::mysql(section, &around.name, LoginRules::Plain, &deep_around(MINUTE))
            .map(|(spec, deep)| (ProbeKind::Mysql(spec), deep)),
        ProbeKindName::Tdengine => tdengine::tdengine(section, &around.name, &deep_around(MINUTE))
            .map(|(spec, deep)| (ProbeKind::Tdengine(spec), deep)),
    }
}

fn port(section: &mut Section<'_>, kind: Option<ProbeKindName>) -> Option<u16> {
    let (absent, is_tcp) = (!section.has("port"), kind == Some(ProbeKindName::Tcp));
    if is_tcp && absent {
        section.report_missing("port", Some("tcp has no port of its own"));
    }
    let port = section.read("port", |n| read::integer::<u16>(n, 1..=65_535));
    if let Some(default) = kind.and_then(default_port).filter(|_| absent) {
        section.show_derived("port", &default.to_string(), "default of this kind");
        return Some(default);
    }
    let port = port?;
    if is_tcp && DATABASE_PORTS.contains(&port.value) {
        let help = "an aborted handshake counts against this host until the database blocks it; \
                    the kinds \"mysql\" and \"matrixone\" know how to ask";
        section.complain("port", port.bad("a port that is no database's", port.value.to_string()).help(help));
        return None;
    }
    Some(port.value)
}

fn default_port(kind: ProbeKindName) -> Option<u16> {
    match kind {
        ProbeKindName::Matrixone => Some(MATRIXONE_PORT),
        ProbeKindName::Mysql => Some(MYSQL_PORT),
        ProbeKindName::Tdengine | ProbeKindName::Https => Some(HTTPS_PORT),
        ProbeKindName::Tcp => None,
    }
}

fn schedule(section: &mut Section<'_>) -> Option<Schedule> {
    let interval = section.read("interval", |n| read::duration(n, SHORTEST..=HOUR));
    let fast_interval = section.read("fast_interval", |n| read::duration(n, SHORTEST..=MINUTE));
    let timeout = section.value("timeout", |n| read::duration(n, SHORTEST..=MINUTE));
    let rise = section.value("rise", |n| read::integer(n, 1..=20));
    let fall = section.value("fall", |n| read::integer(n, 1..=20));
    let (interval, fast_interval) = (interval?, fast_interval?);
    if fast_interval.value > interval.value {
        let show = |d: Duration| humantime::format_duration(d).to_string();
        let default = if fast_interval.at.is_none() { ", the default" } else { "" };
        let expected = format!("a `fast_interval` of at most `interval` ({})", show(interval.value));
        let found = format!("{}{default}", show(fast_interval.value));
        section.complain("fast_interval", Bad::found_at(&fast_interval.at.or(interval.at), expected, found));
    }
    Some(Schedule {
        interval: interval.value,
        fast_interval: fast_interval.value,
        timeout: timeout?,
        rise: rise?,
        fall: fall?,
    })
}
