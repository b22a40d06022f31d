//! The report for a human at 3 a.m.: first whether all is well, then what is not, then the details.

use std::collections::BTreeMap;

use super::schema::{
    AddressReport, AddressState, CertificateReport, CredentialsReport, EndpointReport, EventReport, NameReason,
    NameReport, Placed, State, StatusReport, When,
};
use crate::model::shown::complaint_in_a_line;
use crate::model::{Check, FailureReason, Verdict};
use crate::observe::text_table::{Cell, Page, Screen, Tone, count, head, reason_tone};

/// Fewer days than these of a certificate are worth a word.
const SOON_DAYS: i64 = 60;

/// What the table shows, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Colours and width.
    pub screen: Screen,
    /// Recent events, too.
    pub events: bool,
}

/// The report as text, with a final newline.
#[must_use]
pub fn table(report: &StatusReport, style: Style) -> String {
    let mut page = Page::new(style.screen);
    headline(&mut page, report);
    page.blank();
    page.columns(&addresses(report));
    page.blank();
    page.columns(&names(report));
    if let Some(report) = &report.credentials {
        page.blank();
        page.columns(&credentials(report));
    }
    if style.events {
        page.blank();
        page.columns(&events(report));
    }
    page.into_text()
}

fn headline(page: &mut Page, report: &StatusReport) {
    let StatusReport { version, started, state, problems, host, config, names, endpoints, credentials, .. } = report;
    let (tone, verdict) = match state {
        State::Ok => {
            let all = format!("{}, {}", count(names.len(), "name"), count(endpoints.len(), "endpoint"));
            match credentials {
                Some(told) if is_unasked(told) => (Tone::Warn, format!("all is well so far: {all}; {UNASKED}")),
                _ => (Tone::Good, format!("all is well: {all}")),
            }
        }
        State::Degraded => (Tone::Bad, format!("degraded: {}", count(problems.len(), "problem"))),
    };
    page.say_toned(verdict, tone);
    problems.iter().for_each(|problem| page.say(format!("  - {problem}")));
    let zone = host.zone.as_ref().map_or("unknown", |z| z.as_str());
    let file = config.paths.first().map(|p| p.display().to_string()).unwrap_or_default();
    let loaded = ago(&config.loaded);
    let up = age(started.ago_ms);
    page.say(format!("privatelinkd {version}, up {up}, host zone {zone}, config {file} loaded {loaded}"));
    // The first complaint is among the problems already.
    let later = config.complaints.iter().skip(1).map(|complaint| complaint_in_a_line(complaint));
    later.for_each(|complaint| page.say(format!("  config: {complaint}")));
}

/// Since the start, or with these credentials: what is known of the cloud is from before.
const UNASKED: &str = "the cloud's API has not been asked yet";

fn is_unasked(CredentialsReport { provider, tried, .. }: &CredentialsReport) -> bool {
    provider.is_none() && tried.is_empty()
}

fn addresses(report: &StatusReport) -> Vec<[Cell; 7]> {
    let mut rows = vec![head(["ENDPOINT", "PROBE", "ZONE", "ADDRESS", "STATE", "SINCE", "LATENCY, NOTES"])];
    for (name, endpoint) in &report.endpoints {
        // The first row of an endpoint alone names it.
        let mut first = [name.to_string(), endpoint.probe.clone().unwrap_or_else(|| "none".to_owned())];
        let mut row = |zone: &str, address: &str, state: Cell, since: &str, notes: &str| {
            let [name, probe] = std::mem::take(&mut first);
            let [probe, zone, address, since] = [probe.as_str(), zone, address, since].map(Cell::plain);
            rows.push([Cell::name(name), probe, zone, address, state, since, Cell::prose(notes, Tone::Plain)]);
        };
        if endpoint.zones.values().all(BTreeMap::is_empty) {
            row("", "none found yet", Cell::toned("unknown", Tone::Warn), "", "");
        }
        for (zone, all) in &endpoint.zones {
            for (address, report) in all {
                let state = Cell::toned(report.state.label(), state_tone(report.state));
                let since = report.since.as_ref().map(|w| age(w.ago_ms)).unwrap_or_default();
                row(&zone.to_string(), &address.to_string(), state, &since, &notes(report, endpoint));
            }
        }
    }
    rows
}

fn state_tone(state: AddressState) -> Tone {
    match state {
        AddressState::Up => Tone::Good,
        AddressState::Down => Tone::Bad,
        AddressState::Unknown => Tone::Warn,
        AddressState::Unprobed => Tone::Plain,
    }
}

fn notes(address: &AddressReport, endpoint: &EndpointReport) -> String {
    let AddressReport { state, since: _, latency_ms, checks, certificate, last_failure, hold_ms, retired, source } =
        address;
    let mut notes = Vec::new();
    notes.extend(latency_ms.map(|ms| format!("{ms:.1} ms")));
    if let Some(deep) = checks.get(&Check::Deep) {
        let said = deep.latency_ms.map_or_else(|| deep.state.clone(), |ms| format!("{ms:.1} ms"));
        notes.push(format!("deep {said}"));
    }
    let ending = certificate.as_ref().filter(|c| c.days_left < SOON_DAYS);
    let by = |c: &CertificateReport| c.ends_by.as_ref().map(|by| format!(" of {by:?}")).unwrap_or_default();
    notes.extend(ending.map(|c| format!("certificate: {} left{}", count(c.days_left, "day"), by(c))));
    if let Some(f) = last_failure {
        notes.push(match state {
            AddressState::Up => format!("last failure {}: {}", ago(&f.when), f.reason),
            _ => format!("{} ({} check, {}): {}", f.reason, f.check, ago(&f.when), f.detail),
        });
    }
    if fails_in_vain(address) {
        notes.push("no name leaves it for that: no other address would mend it".to_owned());
    }
    notes.extend(hold_ms.map(|ms| format!("on hold for {}", age(ms))));
    if *retired {
        notes.push("no longer given by any source".to_owned());
    }
    if let Some(s) = endpoint.sources.get(source).filter(|s| s.stale) {
        notes.push(format!("source {source} stale, confirmed {}", ago(&s.confirmed)));
    }
    if endpoint.leaving {
        notes.push("left the config".to_owned());
    }
    notes.join("; ")
}

/// True if it is down, and by nothing that moves a name: what a wrong password makes red stands beside a name that
/// stays. An overload that lasts is another matter (`steer::shed`).
fn fails_in_vain(address: &AddressReport) -> bool {
    let in_vain = |reason: FailureReason| !reason.moves_a_name() && reason != FailureReason::Overloaded;
    let mut down = address.checks.values().filter(|check| check.state == AddressState::Down.label());
    address.state == AddressState::Down && down.all(|check| check.reason.is_some_and(in_vain))
}

fn names(report: &StatusReport) -> Vec<[Cell; 5]> {
    let mut rows = vec![head(["NAME", "POINTS AT", "WHY", "CHANGED", "PUBLISHED"])];
    for (name, answer) in &report.names {
        let NameReport { addresses, standby, reason, changed, changes: _, verdicts } = answer;
        let bad = verdicts.values().any(|v| *v != Verdict::Published);
        let published: Vec<_> = verdicts.iter().map(|(publisher, v)| format!("{publisher}: {v}")).collect();
        let published = Cell::prose(published.join(", "), if bad { Tone::Bad } else { Tone::Plain });
        let changed = Cell::plain(changed.as_ref().map(ago).unwrap_or_default());
        let reason = reason_cell(*reason);
        let mut places = places(addresses, standby, "not in the inventory");
        if places.is_empty() {
            places.push(NO_ADDRESS.to_owned());
        }
        rows.push([Cell::name(name.to_string()), Cell::list(places), reason, changed, published]);
    }
    rows
}

/// Where a name leads of which no address is known.
pub(crate) const NO_ADDRESS: &str = "no address yet";

/// Each address with its zone, or with `unplaced` where that is not known; then the standby ones.
pub(crate) fn places(addresses: &[Placed], standby: &[Placed], unplaced: &str) -> Vec<String> {
    let place = |p: &Placed, what: &str| {
        let zone = p.zone.as_ref().map_or_else(|| unplaced.to_owned(), ToString::to_string);
        format!("{} ({zone}{what})", p.address)
    };
    addresses.iter().map(|p| place(p, "")).chain(standby.iter().map(|p| place(p, ", standby"))).collect()
}

/// Why a name is answered as it is, or not at all.
pub(crate) fn reason_cell(reason: NameReason) -> Cell {
    match reason {
        NameReason::Answered(reason) => Cell::toned(reason.label(), reason_tone(reason)),
        NameReason::NotYet(why) => Cell::toned(why.label(), Tone::Bad),
    }
}

/// Who gives the keys, then who was asked before and had none.
fn credentials(report: &CredentialsReport) -> Vec<[Cell; 4]> {
    let CredentialsReport { provider, key_id, expires: _, expires_in_ms, tried, failing } = report;
    let mut rows = vec![head(["CREDENTIALS", "KEY", "EXPIRES", "NOTES"])];
    let (answer, said) = match (provider, failing) {
        (Some(provider), None) => (Cell::toned(provider, Tone::Good), "in use".to_owned()),
        (Some(provider), Some(why)) => (Cell::toned(provider, Tone::Warn), format!("can't be refreshed: {why}")),
        (None, _) if is_unasked(report) => (Cell::toned("not asked", Tone::Warn), UNASKED.to_owned()),
        (None, _) => (Cell::toned("none", Tone::Bad), "no provider has keys".to_owned()),
    };
    let expires = match (provider, expires_in_ms) {
        (None, _) => String::new(),
        (Some(_), None) => "never".to_owned(),
        (Some(_), Some(ms)) => format!("in {}", age(*ms)),
    };
    let [key, expires] = [key_id.clone().unwrap_or_default(), expires].map(Cell::plain);
    let notes = |text: &str| Cell::prose(text, Tone::Plain);
    rows.push([answer, key, expires, notes(&said)]);
    rows.extend(tried.iter().map(|t| [Cell::plain(&t.provider), Cell::default(), Cell::default(), notes(&t.why)]));
    rows
}

fn events(report: &StatusReport) -> Vec<[Cell; 4]> {
    let mut rows = vec![head(["WHEN", "AGO", "SEVERITY", "EVENT"])];
    rows.extend(report.events.iter().map(|EventReport { when, severity, event: _, text }| {
        let tone = match severity.as_str() {
            "error" => Tone::Bad,
            "warning" => Tone::Warn,
            _ => Tone::Plain,
        };
        let [at, ago] = [when.at.clone(), age(when.ago_ms)].map(Cell::plain);
        [at, ago, Cell::toned(severity.clone(), tone), Cell::prose(text, Tone::Plain)]
    }));
    rows
}

fn ago(when: &When) -> String {
    format!("{} ago", age(when.ago_ms))
}

/// The two largest units: `42s`, `3m12s`, `2h05m`, `4d03h`.
fn age(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_show_two_units() {
        for (ms, text) in [
            (0, "0s"),
            (59_999, "59s"),
            (60_000, "1m00s"),
            (7_500_000, "2h05m"),
            (356_400_000, "4d03h"),
            (u64::MAX, "213503982334d14h"),
        ] {
            assert_eq!(age(ms), text);
        }
    }
}
