//! `[host]`, `[steering]`, `[metrics]`, `[log]`: sections of plain keys.

use std::path::PathBuf;
use std::time::Duration;

use super::context::{Bad, CheckContext, Located, Read};
use super::read;
use super::section::{Conflict, Section};
use crate::config::keys;
use crate::config::raw::Node;
use crate::config::source_text::quote;
use crate::config::types::{HostConfig, LogConfig, MetricsConfig};
use crate::model::{Answers, Damping, HostName, Prefer, Steering};
use crate::model::{LogFormat, LogLevel, LogTarget};

/// `[host]`, with the places of its folders.
pub(super) struct HostDraft {
    pub(super) config: HostConfig,
    pub(super) state_dir: Located<PathBuf>,
    pub(super) run_dir: Located<PathBuf>,
}

/// `[host]`
pub(super) fn host(mut section: Section, context: &mut CheckContext<'_>) -> Option<HostDraft> {
    let zone = section.value(context, "zone", read::zone_id);
    let region = section.value(context, "region", |n| cloud_id(n, "", "a region id such as \"cn-hangzhou\""));
    let vpc_id = section.value(context, "vpc_id", |n| cloud_id(n, "vpc-", "a VPC id that begins with \"vpc-\""));
    let instance_id =
        section.value(context, "instance_id", |n| cloud_id(n, "i-", "an instance id that begins with \"i-\""));
    let state_dir = section.read(context, "state_dir", read::path);
    let run_dir = section.read(context, "run_dir", read::path);
    let fleet_size = section.value(context, "fleet_size", |n| read::integer(n, 1..=1_000_000));
    section.finish(context);
    let (state_dir, run_dir) = (state_dir?, run_dir?);
    let config = HostConfig {
        zone,
        region,
        vpc_id,
        instance_id,
        state_dir: state_dir.value.clone(),
        run_dir: run_dir.value.clone(),
        // A wrong one is complained of, and is nothing to the hosts writer.
        fleet_size: fleet_size.unwrap_or(1),
    };
    Some(HostDraft { config, state_dir, run_dir })
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
pub(super) fn steering(mut section: Section, context: &mut CheckContext<'_>) -> Option<Steering> {
    let prefer = section.value(context, "prefer", prefer);
    let answers = section.value(context, "answers", answers);
    let damping = damping(&mut section, context, None);
    section.finish(context);
    Some(Steering { prefer: prefer?, answers: answers?, damping: damping? })
}

/// `[endpoint.steering]`: what it lacks is taken from `[steering]`.
pub(super) fn steering_over(mut section: Section, context: &mut CheckContext<'_>, base: Steering) -> Steering {
    let prefer = section.value(context, "prefer", prefer).unwrap_or_else(|| {
        section.show_derived(
            context,
            "prefer",
            if base.prefer == Prefer::Any { "\"any\"" } else { "\"local_zone\"" },
            FROM,
        );
        base.prefer
    });
    let answers = section.value(context, "answers", answers).unwrap_or_else(|| {
        section.show_derived(
            context,
            "answers",
            if base.answers == Answers::All { "\"all\"" } else { "\"one\"" },
            FROM,
        );
        base.answers
    });
    let damping = damping(&mut section, context, Some(base.damping)).unwrap_or(base.damping);
    section.finish(context);
    Steering { prefer, answers, damping }
}

const FROM: &str = "from [steering]";

/// The keys `flap_…`; what is not here is taken from `base`, if there is one.
fn damping(section: &mut Section, context: &mut CheckContext<'_>, base: Option<Damping>) -> Option<Damping> {
    let penalty = flaps(section, context, "flap_penalty", 0, base.map(|b| b.penalty));
    let suppress = flaps(section, context, "flap_suppress", 2, base.map(|b| b.suppress));
    let reuse = flaps(section, context, "flap_reuse", 1, base.map(|b| b.reuse));
    let half_life = flap_time(section, context, "flap_half_life", base.map(|b| b.half_life));
    let max = flap_time(section, context, "flap_max", base.map(|b| b.max));
    let (suppress, reuse) = (suppress?, reuse?);
    if reuse >= suppress {
        let expected = format!("less than `flap_suppress`, which is {suppress}");
        let help = "an address stays out until its penalty has decayed from the one to the other";
        section.report_conflict(context, "flap_reuse", Conflict { expected, found: &reuse.to_string(), help });
    }
    Some(Damping { penalty: penalty?, suppress, reuse, half_life: half_life?, max: max? })
}

fn flaps(
    section: &mut Section,
    context: &mut CheckContext<'_>,
    name: &'static str,
    least: i64,
    base: Option<u32>,
) -> Option<u32> {
    const MOST: i64 = 1_000_000;
    if let (Some(base), false) = (base, section.has(name)) {
        section.show_derived(context, name, &base.to_string(), FROM);
        return Some(base);
    }
    section.value(context, name, |n| read::integer(n, least..=MOST))
}

fn flap_time(
    section: &mut Section,
    context: &mut CheckContext<'_>,
    name: &'static str,
    base: Option<Duration>,
) -> Option<Duration> {
    const RANGE: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
    if let (Some(base), false) = (base, section.has(name)) {
        section.show_derived(context, name, &quote(&humantime::format_duration(base).to_string()), FROM);
        return Some(base);
    }
    section.value(context, name, |n| read::duration(n, RANGE))
}

fn prefer(node: &Node) -> Read<Prefer> {
    read::word(node, Prefer::WORDS)
}

fn answers(node: &Node) -> Read<Answers> {
    read::word(node, Answers::WORDS)
}

/// `[metrics]`
pub(super) fn metrics(mut section: Section, context: &mut CheckContext<'_>) -> Option<MetricsConfig> {
    let listen = section.value(context, "listen", read::listen);
    let expose = section.value(context, "expose", |n| read::list(n, exposed));
    section.finish(context);
    let (listen, expose) = (listen?, expose?);
    let expose_status = expose.iter().any(|e| e.value.is_none());
    Some(MetricsConfig { listen, expose_status, expose_hosts: expose.into_iter().filter_map(|e| e.value).collect() })
}

/// `None` for `status`.
fn exposed(node: &Node) -> Read<Option<HostName>> {
    const STATUS: &str = "status";
    let expected = "\"status\" or a host name that a Host header may carry";
    let text = read::text(node).map_err(|_| vec![Bad::new(expected, node)])?;
    if text == STATUS {
        return Ok(None);
    }
    if text == "page" {
        return Err(vec![Bad::new(expected, node).help("\"page\" is not in this version")]);
    }
    let typo = keys::nearest(text, [STATUS]);
    match (typo, text.parse()) {
        (None, Ok(name)) => Ok(Some(name)),
        (Some(near), _) => Err(vec![Bad::new(expected, node).help(format!("did you mean \"{near}\"?"))]),
        (None, Err(_)) => Err(vec![Bad::new(expected, node)]),
    }
}

/// `[log]`
pub(super) fn log(mut section: Section, context: &mut CheckContext<'_>) -> Option<LogConfig> {
    let level = section.value(context, "level", |n| read::word(n, LogLevel::WORDS));
    let target = section.value(context, "target", |n| read::word(n, LogTarget::WORDS));
    let format = section.value(context, "format", |n| read::word(n, LogFormat::WORDS));
    section.finish(context);
    Some(LogConfig { level: level?, target: target?, format: format? })
}
