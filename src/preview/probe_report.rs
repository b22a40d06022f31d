//! What `probe` answers: each check of every target once, with its phases, its verdict and the certificate it met.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::agent::AgentAnswer;
use super::common::{Host, NO_ENDPOINT, SCHEMA, Seen, source_problems};
use crate::model::{Certificate, Check, EndpointName, Failure, FailureReason, Probed, TargetKey, Timings, Wall, Zone};
use crate::observe::status::{AddressState, CertificateReport, Screen, StatusReport};
use crate::observe::text_table::{Cell, Page, Tone, count, head};

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbeReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// True if every check of every target succeeded.
    pub passed: bool,
    /// Where we are.
    pub host: Host,
    /// By name.
    pub endpoints: BTreeMap<EndpointName, EndpointExamined>,
    /// Why there is nothing to probe, or no address of an endpoint that has a probe; a sentence each.
    pub problems: Vec<String>,
    /// Whether the running agent answers.
    pub agent: AgentAnswer,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EndpointExamined {
    /// `kind:port`; `None` if nothing probes it.
    pub probe: Option<String>,
    /// By zone, then by address.
    pub zones: Zones,
}

/// One address.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AddressExamined {
    /// Each check.
    pub checks: BTreeMap<Check, CheckMade>,
    /// The certificate that was shown.
    pub certificate: Option<CertificateReport>,
    /// What the running agent makes of the address, if it answers and knows it.
    pub agent: Option<AddressState>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckMade {
    /// True if it succeeded.
    pub ok: bool,
    /// How long each phase took, in milliseconds; `None` if it failed.
    pub phases_ms: Option<Phases>,
    /// Why it failed.
    pub reason: Option<FailureReason>,
    /// What was seen instead; or what should be known of how it was asked, although it succeeded.
    pub detail: Option<String>,
}

/// Phases in milliseconds; those that a check does not have are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Phases {
    /// From the SYN to the open connection.
    pub tcp: f64,
    /// The TLS handshake.
    pub tls: Option<f64>,
    /// The first answer, or the greeting.
    pub answer: Option<f64>,
    /// The login.
    pub login: Option<f64>,
    /// The statement.
    pub query: Option<f64>,
    /// Everything.
    pub total: f64,
}

impl ProbeReport {
    /// Of what was seen and of each check that was made at `now`; `kinds` is `kind:port` of each endpoint that has a
    /// probe.
    #[must_use]
    pub fn new(seen: Seen<'_>, kinds: &BTreeMap<EndpointName, String>, probed: &[Probed], now: Wall) -> Self {
        let endpoint = |name: &EndpointName| {
            let own = probed.iter().filter(|probed| probed.target.endpoint == *name);
            let zones = examined(own, seen.agent.ok(), now);
            (name.clone(), EndpointExamined { probe: kinds.get(name).cloned(), zones })
        };
        let endpoints: BTreeMap<_, _> = seen.inventory.endpoints.keys().map(endpoint).collect();
        let no_endpoint = endpoints.is_empty().then(|| NO_ENDPOINT.to_owned());
        let lacks_address = |name: &EndpointName| endpoints.get(name).is_some_and(EndpointExamined::lacks_address);
        Self {
            schema: SCHEMA,
            problems: no_endpoint.into_iter().chain(source_problems(seen.round, lacks_address)).collect(),
            passed: endpoints.values().all(EndpointExamined::passed),
            host: seen.host.clone(),
            endpoints,
            agent: AgentAnswer::new(seen.agent),
        }
    }

    /// For people, with a final newline.
    #[must_use]
    pub fn text(&self, screen: Screen) -> String {
        let mut page = Page::new(screen);
        self.host.show(&mut page);
        self.problems.iter().for_each(|problem| page.trouble("", problem));
        for (name, endpoint) in &self.endpoints {
            page.blank();
            endpoint.show(&mut page, name);
        }
        self.agent.show_apart(&mut page);
        page.into_text()
    }
}

type Zones = BTreeMap<Zone, BTreeMap<IpAddr, AddressExamined>>;

fn examined<'a>(all: impl Iterator<Item = &'a Probed>, agent: Option<&StatusReport>, now: Wall) -> Zones {
    let mut zones = Zones::new();
    for probed in all {
        let TargetKey { endpoint: _, zone, address } = &probed.target;
        let of_zone = zones.entry(zone.clone()).or_default();
        let examined = of_zone.entry(*address).or_insert_with(|| AddressExamined {
            checks: BTreeMap::new(),
            certificate: None,
            agent: agent.and_then(|agent| known_state(agent, &probed.target)),
        });
        examined.checks.insert(probed.check, made(&probed.outcome, probed.remark.as_deref()));
        let shown = probed.certificate.as_ref().map(|c| certificate(c, now));
        examined.certificate = shown.or(examined.certificate.take());
    }
    zones
}

fn known_state(agent: &StatusReport, target: &TargetKey) -> Option<AddressState> {
    let TargetKey { endpoint, zone, address } = target;
    Some(agent.endpoints.get(endpoint)?.zones.get(zone)?.get(address)?.state)
}

fn made(outcome: &Result<Timings, Failure>, remark: Option<&str>) -> CheckMade {
    let failure = outcome.as_ref().err();
    CheckMade {
        ok: outcome.is_ok(),
        phases_ms: outcome.as_ref().ok().map(phases),
        reason: failure.map(|f| f.reason),
        detail: failure.map(|f| f.detail.to_string()).or_else(|| remark.map(str::to_owned)),
    }
}

fn phases(timings: &Timings) -> Phases {
    let Timings { tcp, tls, answer, login, query, total, retransmissions: _, tail_loss_probe: _ } = *timings;
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    Phases {
        tcp: ms(tcp),
        tls: tls.map(ms),
        answer: answer.map(ms),
        login: login.map(ms),
        query: query.map(ms),
        total: ms(total),
    }
}

fn certificate(certificate: &Certificate, now: Wall) -> CertificateReport {
    CertificateReport { begins: Some(certificate.not_before.to_string()), ..CertificateReport::new(certificate, now) }
}

impl EndpointExamined {
    fn passed(&self) -> bool {
        let checks = || self.zones.values().flatten().flat_map(|(_, address)| address.checks.values());
        // What nothing probes can't fail; what has a probe and no address has.
        self.probe.is_none() || (checks().next().is_some() && checks().all(|check| check.ok))
    }

    fn lacks_address(&self) -> bool {
        self.probe.is_some() && self.zones.is_empty()
    }

    fn show(&self, page: &mut Page, name: &EndpointName) {
        let (verdict, tone) = match &self.probe {
            None => ("nothing probes it".to_owned(), Tone::Warn),
            Some(probe) if self.lacks_address() => (format!("{probe}, no address found to probe"), Tone::Bad),
            Some(probe) => (probe.clone(), Tone::Plain),
        };
        page.labelled(&Cell::toned(format!("{name}:"), Tone::Head), 0, &Cell::toned(verdict, tone));
        page.columns(&self.rows());
        let addresses = || self.zones.values().flatten();
        for (address, examined) in addresses() {
            for (check, detail) in examined.checks.iter().filter_map(|(c, made)| Some((c, made.detail.as_ref()?))) {
                page.trouble("  ", &format!("{address}, {check}: {detail}"));
            }
        }
        for (address, c) in addresses().filter_map(|(address, e)| Some((address, e.certificate.as_ref()?))) {
            let CertificateReport { names, issuer, begins: _, ends, days_left, ends_by, unused_and_ended } = c;
            let (names, issuer) = (few(names), if issuer.is_empty() { "nobody named" } else { issuer });
            let first = ends_by.as_ref().map(|by| format!(": its intermediate {by:?} does")).unwrap_or_default();
            let unused = match unused_and_ended.as_slice() {
                [] => String::new(),
                ended => format!("; sent with it, not needed, and ended: {}", few(ended)),
            };
            page.say(format!(
                "  {address}: certificate for {names}, by {issuer}, ends {ends} ({}){first}{unused}",
                count(*days_left, "day")
            ));
        }
    }

    fn rows(&self) -> Vec<[Cell; 10]> {
        let titles = ["  ZONE", "ADDRESS", "CHECK", "VERDICT", "TCP", "TLS", "ANSWER", "LOGIN", "QUERY", "AGENT"];
        let mut rows = vec![head(titles)];
        for (zone, address, examined) in self.zones.iter().flat_map(|(z, all)| all.iter().map(move |(a, e)| (z, a, e)))
        {
            let agent = examined.agent.map_or("", AddressState::label).to_owned();
            // The first row of an address alone names it.
            let mut first = [format!("  {zone}"), address.to_string(), agent];
            for (check, made) in &examined.checks {
                let [zone, ip, agent] = std::mem::take(&mut first).map(Cell::plain);
                let verdict = match (made.reason, made.phases_ms) {
                    (Some(reason), _) => Cell::toned(reason.label(), Tone::Bad),
                    (None, Some(Phases { total, .. })) => Cell::toned(format!("ok, {total:.1} ms"), Tone::Good),
                    (None, None) => Cell::plain(""),
                };
                let [tcp, tls, answer, login, query] = times(made.phases_ms).map(Cell::plain);
                rows.push([zone, ip, Cell::plain(check.label()), verdict, tcp, tls, answer, login, query, agent]);
            }
        }
        rows
    }
}

/// The first names of many.
fn few(names: &[String]) -> String {
    const FEW: usize = 2;
    match names.len().saturating_sub(FEW) {
        0 if names.is_empty() => "no name".to_owned(),
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..FEW].join(", ")),
    }
}

/// The phases but for their sum, in columns.
fn times(phases: Option<Phases>) -> [String; 5] {
    let Some(Phases { tcp, tls, answer, login, query, total: _ }) = phases else {
        return Default::default();
    };
    [Some(tcp), tls, answer, login, query].map(|ms| ms.map(|ms| format!("{ms:.1}")).unwrap_or_default())
}
