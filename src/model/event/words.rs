//! What an event says to people.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::{EventKind, Outage};
use crate::model::{AnswerReason, Check, HostName, SourceKind, TargetKey, Withdrawal};

const FORMER_KEPT: &str =
    "still leads where it did before the config changed: nothing of the new endpoint passed a probe";
const ENDPOINT_GONE: &str = "gone, as two passes of the cloud's API agree; its names stay for the grace";
const GONE_PUT_OFF: &str = "the cloud has it no more, and it still answers with a certificate that is verified for its \
    own name: its names stay for a day at most; look whether it was deleted";
const PUBLISH_CONFLICT: &str =
    "somebody keeps removing our block, or puts its names back beside it; writing at most every 5 s from now on";

/// One sentence, for the log and for status.
impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { version } => write!(f, "privatelinkd {version} started"),
            Self::Stopping => write!(f, "stopping; what is published stays"),
            Self::EdgeBegan { target, check, failure } => {
                write!(f, "{target}: {check} check failed for the first time ({failure})")
            }
            Self::TargetDown { target, check, failure } => write!(f, "{target}: down, {check} check: {failure}"),
            Self::TargetUp { target, check, recovered: false } => write!(f, "{target}: up, {check} check"),
            Self::TargetUp { target, check, recovered: true } => write!(f, "{target}: up again, {check} check"),
            Self::TargetSlow { target, check, median, beside } => slow(f, target, *check, [*median, *beside]),
            Self::TargetSlowOver { target, check } => write!(f, "{target}: slow no more, {check} check"),
            Self::AnswerChanged { name, from, to, reason, outage } => {
                write!(f, "{name}: {} -> {} ({reason}){}", list(from), list(to), words(outage.as_ref()))
            }
            Self::ReasonChanged { name, from, to, outage } => stays(f, name, [*from, *to], outage.as_ref()),
            Self::Outage { name, addresses, outage } => lasts(f, name, addresses, outage),
            Self::FormerKept { name } => write!(f, "{name}: {FORMER_KEPT}"),
            Self::GonePutOff { endpoint } => write!(f, "{endpoint}: {GONE_PUT_OFF}"),
            Self::NameWithdrawn { name, why } => write!(f, "{name}: withdrawn ({})", withdrawal(*why)),
            Self::SourceStale { endpoint, source, error } => write!(f, "{endpoint}: source {source} fails: {error}"),
            Self::SourceFresh { endpoint, source } => write!(f, "{endpoint}: source {source} works again"),
            Self::CloudStatus { endpoint, zone, status, trouble } => {
                let zone = zone.as_ref().map(|zone| format!("zone {zone}: ")).unwrap_or_default();
                let trouble = trouble.map(|trouble| format!(": {trouble}")).unwrap_or_default();
                write!(f, "{endpoint}: {zone}the cloud says {status}{trouble}")
            }
            Self::EndpointNotFound { endpoint, source } => write!(f, "{endpoint}: {}", not_found(*source)),
            Self::LeftOut { endpoint, source, what } => write!(f, "{endpoint}: source {source}: {what}"),
            Self::EndpointGone { endpoint } => write!(f, "{endpoint}: {ENDPOINT_GONE}"),
            Self::CacheLoaded { names } => write!(f, "last known good loaded, names: {names}"),
            Self::CacheForeign { part } => write!(f, "state on disk is another machine's ({part} differs): not used"),
            Self::CacheUnusable { error } => write!(f, "state on disk can't be used, kept aside: {error}"),
            Self::NotLocked { what } | Self::NotWatched { what } => write!(f, "{what}"),
            Self::StateNotSaved { error } => write!(f, "state not saved, it is tried again: {error}"),
            Self::StateSaved => f.write_str("state is saved again"),
            Self::Published { publisher, names } => write!(f, "{publisher}: written, names in force: {names}"),
            Self::HandoverFull { names, left_out } => {
                write!(f, "the hand-over has no room for {left_out} of {names} names: they are not published")
            }
            Self::PublishFailed { publisher, error } => write!(f, "{publisher}: not written: {error}"),
            Self::PublishConflict { publisher } => write!(f, "{publisher}: {PUBLISH_CONFLICT}"),
            Self::FileMended { publisher, what } => write!(f, "{publisher}: {what}"),
            Self::ConfigLoaded { endpoints } => write!(f, "config in force, endpoints: {endpoints}"),
            Self::ConfigRefused { complaints, first } => {
                write!(f, "config refused, an older one is in force; complaints: {complaints}, the first: {first}")
            }
            Self::SecretsRenewed { endpoints } => {
                write!(f, "secret files were written anew and are in use; endpoints with another secret: {endpoints}")
            }
            Self::SecretRefused { error } => write!(f, "a secret file was written anew and can't be used: {error}"),
            Self::ConfigRecalled { accepted, without } => {
                write!(f, "started on the config that was accepted at {accepted}")?;
                without.iter().try_for_each(|lack| write!(f, "; {lack}"))
            }
            Self::ListenerFailed { listener, error } => write!(f, "{listener}: can't listen: {error}"),
            Self::ListenerBack { listener } => write!(f, "{listener}: listens now"),
        }
    }
}

fn stays(
    f: &mut fmt::Formatter<'_>,
    name: &HostName,
    [from, to]: [AnswerReason; 2],
    outage: Option<&Outage>,
) -> fmt::Result {
    write!(f, "{name}: addresses stay, {from} -> {to}{}", words(outage))
}

fn lasts(f: &mut fmt::Formatter<'_>, name: &HostName, addresses: &[IpAddr], outage: &Outage) -> fmt::Result {
    write!(f, "{name}: nothing answers as it should, stays on {}{}", list(addresses), words(Some(outage)))
}

fn words(outage: Option<&Outage>) -> String {
    let Some(Outage { since, says }) = outage else { return String::new() };
    let since = since.map(|since| format!("; since {since}"));
    since.into_iter().chain(says.iter().map(|word| format!("; {word}"))).collect()
}

fn not_found(source: SourceKind) -> &'static str {
    match source {
        SourceKind::Api => {
            "not found: the cloud's API has no such id; compare it, the region, and the account whose keys sign"
        }
        SourceKind::Fixed | SourceKind::ZoneDomain | SourceKind::EndpointDomain => {
            "not found: the resolvers know no such domain; compare it with the endpoint's page in the console"
        }
    }
}

fn withdrawal(why: Withdrawal) -> &'static str {
    match why {
        Withdrawal::Gone => "the endpoint is gone",
        Withdrawal::Removed => "no longer in the config",
        Withdrawal::ForeignCache => "it came from another machine's state",
    }
}

fn list(addresses: &[IpAddr]) -> String {
    if addresses.is_empty() {
        return "nothing".to_owned();
    }
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn slow(f: &mut fmt::Formatter<'_>, target: &TargetKey, check: Check, medians: [Duration; 2]) -> fmt::Result {
    let [median, beside] = medians.map(|time| time.as_millis());
    write!(f, "{target}: slow, {check} check: {median} ms, a sibling's {beside} ms (medians of ten)")
}
