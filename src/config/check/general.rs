//! `[host]`, `[steering]`, `[metrics]`, `[log]`: sections of plain keys.

use std::path::PathBuf;
use std::time::Duration;

use super::context::{Bad, Located, Read};
use super::read;
use super::section::Section;
use crate::config::keys;
use crate::config::raw::Node;
use crate::config::types::{HostConfig, LogConfig, MetricsConfig};
use crate::model::{Answers, Damping, HostName, Prefer, Steering, ZoneId};
use crate::model::{LogFormat, LogLevel, LogTarget};

/// `[host]`, with the places of its zone and its folders.
pub(super) struct HostDraft {
    pub(super) config: HostConfig,
    pub(super) zone: Option<Located<ZoneId>>,
    pub(super) state_dir: Located<PathBuf>,
    pub(super) run_dir: Located<PathBuf>,
    pub(super) admin_dir: Located<PathBuf>,
}

/// `[host]`
pub(super) fn host(mut section: Section<'_>) -> Option<HostDraft> {
    let zone = section.read_weighed("zone", read::zone_id);
    let region = section.value("region", |n| cloud_id(n, "", "a region id such as \"cn-hangzhou\""));
    let vpc_id = section.value("vpc_id", |n| cloud_id(n, "vpc-", "a VPC id that begins with \"vpc-\""));
    let instance_id = section.value("instance_id", |n| cloud_id(n, "i-", "an instance id that begins with \"i-\""));
    let state_dir = section.read("state_dir", read::path);
    let run_dir = section.read("run_dir", read::path);
    let admin_dir = section.read("admin_dir", read::path);
    let fleet_size = section.value("fleet_size", |n| read::integer(n, 1..=1_000_000));
    section.finish();
    let (state_dir, run_dir, admin_dir) = (state_dir?, run_dir?, admin_dir?);
    let config = HostConfig {
        zone: zone.as_ref().map(|zone| zone.value.clone()),
        region,
        vpc_id,
        instance_id,
        state_dir: state_dir.value.clone(),
        run_dir: run_dir.value.clone(),
        admin_dir: admin_dir.value.clone(),
        // A wrong one is complained of, and is nothing to the hosts writer.
        fleet_size: fleet_size.unwrap_or(1),
    };
    Some(HostDraft { config, zone, state_dir, run_dir, admin_dir })
}

fn cloud_id(node: &Node, prefix: &str, what: &str) -> Read<String> {
    const LONGEST: usize = 64;
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let rest = node.text().filter(|t| t.len() <= LONGEST && t.chars().all(good)).and_then(|t| t.strip_prefix(prefix));
    match rest {
        Some(rest) if !rest.is_empty() => Ok(format!("{prefix}{rest}")),
        _ => Err(vec![Bad::new(what, node)]),
    }
}

/// `[steering]`
pub(super) fn steering(mut section: Section<'_>) -> Option<Steering> {
    let prefer = section.value("prefer", |n| read::word(n, Prefer::WORDS));
    let answers = section.value("answers", |n| read::word(n, Answers::WORDS));
    let damping = damping(&mut section, None);
    section.finish();
    Some(Steering { prefer: prefer?, answers: answers?, damping: damping? })
}

/// `[endpoint.steering]`: what it lacks is taken from `[steering]`.
pub(super) fn steering_over(mut section: Section<'_>, base: Steering) -> Steering {
    let prefer = word_over(&mut section, "prefer", Prefer::WORDS, base.prefer);
    let answers = word_over(&mut section, "answers", Answers::WORDS, base.answers);
    let damping = damping(&mut section, Some(base.damping)).unwrap_or(base.damping);
    section.finish();
    Steering { prefer, answers, damping }
}

/// One of a few words; where it is not here, that of `[steering]`.
fn word_over<T: Copy + PartialEq>(section: &mut Section<'_>, name: &str, words: &[(&str, T)], base: T) -> T {
    section.value(name, |n| read::word(n, words)).unwrap_or_else(|| {
        section.show_derived(name, &read::quoted_word(words, &base), "from [steering]");
        base
    })
}

/// The keys `flap_…`; what is not here is taken from `base`, if there is one.
fn damping(section: &mut Section<'_>, base: Option<Damping>) -> Option<Damping> {
    const MOST: i64 = 1_000_000;
    let time = |n: &Node| read::duration(n, Duration::from_secs(1)..=Duration::from_secs(24 * 3600));
    let penalty = section.value_or("flap_penalty", base.map(|b| b.penalty), |n| read::integer(n, 0..=MOST));
    let suppress = section.value_or("flap_suppress", base.map(|b| b.suppress), |n| read::integer(n, 2..=MOST));
    let reuse = section.value_or("flap_reuse", base.map(|b| b.reuse), |n| read::integer(n, 1..=MOST));
    let half_life = section.value_or("flap_half_life", base.map(|b| b.half_life), time);
    let max = section.value_or("flap_max", base.map(|b| b.max), time);
    let (suppress, reuse) = (suppress?, reuse?);
    if reuse >= suppress {
        let expected = format!("less than `flap_suppress`, which is {suppress}");
        let help = "an address stays out until its penalty has decayed from the one to the other";
        section.report_conflict("flap_reuse", expected, &reuse.to_string(), help);
    }
    Some(Damping { penalty: penalty?, suppress, reuse, half_life: half_life?, max: max? })
}

/// `[metrics]`
pub(super) fn metrics(mut section: Section<'_>) -> Option<MetricsConfig> {
    let listen = section.value("listen", read::listen);
    let expose = section.value("expose", |n| read::list(n, exposed));
    section.finish();
    let (listen, expose) = (listen?, expose?);
    let expose_status = expose.iter().any(|e| e.value.is_none());
    Some(MetricsConfig { listen, expose_status, expose_hosts: expose.into_iter().filter_map(|e| e.value).collect() })
}

/// `None` for `status`.
fn exposed(node: &Node) -> Read<Option<HostName>> {
    const STATUS: &str = "status";
    let help = match node.text() {
        Some(STATUS) => return Ok(None),
        Some("page") => Some("\"page\" is not in this version".to_owned()),
        text => text.and_then(|t| keys::nearest(t, [STATUS])).map(|near| format!("did you mean \"{near}\"?")),
    };
    match node.text().map(str::parse) {
        Some(Ok(name)) if help.is_none() => Ok(Some(name)),
        _ => Err(vec![Bad { help, ..Bad::new("\"status\" or a host name that a Host header may carry", node) }]),
    }
}

/// `[log]`
pub(super) fn log(mut section: Section<'_>) -> Option<LogConfig> {
    let level = section.value("level", |n| read::word(n, LogLevel::WORDS));
    let target = section.value("target", |n| read::word(n, LogTarget::WORDS));
    let format = section.value("format", |n| read::word(n, LogFormat::WORDS));
    section.finish();
    Some(LogConfig { level: level?, target: target?, format: format? })
}
