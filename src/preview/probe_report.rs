//! What `probe` answers: each check of every target once, with its phases, its verdict and the certificate it met.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::agent::AgentAnswer;
use super::common::{Host, SCHEMA, trouble};
use crate::model::{
    Certificate, Check, EndpointName, Failure, FailureReason, Inventory, Probed, TargetKey, Timings, Wall, Zone,
};
use crate::observe::status::{AddressState, StatusReport};
use crate::observe::text_table::{Cell, Tone, columns, head, line};

/// All that was made.
#[derive(Debug, Clone, Copy)]
pub struct Looked<'a> {
    /// Where we are.
    pub host: &'a Host,
    /// What was found.
    pub inventory: &'a Inventory,
    /// `kind:port` of each endpoint that has a probe.
    pub kinds: &'a BTreeMap<EndpointName, String>,
    /// Each check of every target.
    pub probed: &'a [Probed],
    /// What the running agent says, or why it says nothing.
    pub agent: Result<&'a StatusReport, &'a str>,
    /// When the probes were made.
    pub now: Wall,
}

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
    /// Whether the running agent answers.
    pub agent: AgentAnswer,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EndpointExamined {
    /// `kind:port`; `None` if nothing probes it.
    pub probe: Option<String>,
    /// By zone, then by address.
    pub zones: BTreeMap<Zone, BTreeMap<IpAddr, AddressExamined>>,
}

/// One address.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AddressExamined {
    /// Each check.
    pub checks: BTreeMap<Check, CheckMade>,
    /// The certificate that was shown.
    pub certificate: Option<CertificateSeen>,
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

/// A server's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateSeen {
    /// The names it is for.
    pub names: Vec<String>,
    /// Who issued it.
    pub issuer: String,
    /// From when on it is valid: RFC 3339, UTC.
    pub begins: String,
    /// When it ends, or the first intermediate on the way from it to a trusted root: RFC 3339, UTC.
    pub ends: String,
    /// Days until then, rounded down; negative once it has ended.
    pub days_left: i64,
    /// That intermediate, where it ends first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_by: Option<String>,
    /// Certificates that the server sends beside it, that lead nowhere and have ended: of no consequence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unused_and_ended: Vec<String>,
}

impl ProbeReport {
    /// Of what was looked at.
    #[must_use]
    pub fn new(looked: Looked<'_>) -> Self {
        let all = looked.inventory.endpoints.keys();
        let endpoints: BTreeMap<_, _> = all.map(|name| (name.clone(), endpoint(name, looked))).collect();
        Self {
            schema: SCHEMA,
            passed: endpoints.values().all(EndpointExamined::passed),
            host: looked.host.clone(),
            endpoints,
            agent: AgentAnswer::new(looked.agent),
        }
    }

    /// For people, with a final newline.
    #[must_use]
    pub fn text(&self, color: bool) -> String {
        let mut out = String::new();
        self.host.text(&mut out, color);
        for (name, endpoint) in &self.endpoints {
            out.push('\n');
            endpoint.text(&mut out, name, color);
        }
        if let Some(error) = &self.agent.error {
            out.push('\n');
            line(&mut out, &[Cell::plain(format!("agent: {error}"))], &[], color);
        }
        out
    }
}

fn endpoint(name: &EndpointName, looked: Looked<'_>) -> EndpointExamined {
    let mut zones: BTreeMap<Zone, BTreeMap<IpAddr, AddressExamined>> = BTreeMap::new();
    for probed in looked.probed.iter().filter(|p| p.target.endpoint == *name) {
        let TargetKey { endpoint: _, zone, address } = &probed.target;
        let of_zone = zones.entry(zone.clone()).or_default();
        let examined = of_zone.entry(*address).or_insert_with(|| AddressExamined {
            checks: BTreeMap::new(),
            certificate: None,
            agent: looked.agent.ok().and_then(|agent| known_state(agent, &probed.target)),
        });
        examined.checks.insert(probed.check, made(&probed.outcome, probed.remark.as_deref()));
        let shown = probed.certificate.as_ref().map(|c| certificate(c, looked.now));
        examined.certificate = shown.or(examined.certificate.take());
    }
    EndpointExamined { probe: looked.kinds.get(name).cloned(), zones }
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

fn certificate(certificate: &Certificate, now: Wall) -> CertificateSeen {
    let Certificate { names, issuer, not_before, not_after: _, ends_earlier, unused } = certificate;
    let ends = certificate.ends();
    let ended = unused.iter().filter(|other| other.not_after <= now);
    CertificateSeen {
        names: names.clone(),
        issuer: issuer.clone(),
        begins: not_before.to_string(),
        ends: ends.to_string(),
        days_left: ends.days_after(now),
        ends_by: ends_earlier.as_ref().map(|intermediate| intermediate.name.clone()),
        unused_and_ended: ended.map(|other| other.name.clone()).collect(),
    }
}

impl EndpointExamined {
    fn passed(&self) -> bool {
        let checks = || self.zones.values().flatten().flat_map(|(_, address)| address.checks.values());
        // What nothing probes can't fail; what has a probe and no address has.
        self.probe.is_none() || (checks().next().is_some() && checks().all(|check| check.ok))
    }

    fn text(&self, out: &mut String, name: &EndpointName, color: bool) {
        let (verdict, tone) = match &self.probe {
            None => ("nothing probes it".to_owned(), Tone::Warn),
            Some(probe) if self.zones.is_empty() => (format!("{probe}, no address found to probe"), Tone::Bad),
            Some(probe) => (probe.clone(), Tone::Plain),
        };
        line(out, &[Cell::toned(format!("{name}:"), Tone::Head), Cell::toned(verdict, tone)], &[], color);
        columns(out, self.rows(), color);
        let addresses = || self.zones.values().flatten();
        for (address, check, detail) in addresses().flat_map(|(address, examined)| {
            examined.checks.iter().filter_map(move |(check, made)| Some((address, check, made.detail.as_ref()?)))
        }) {
            trouble(out, "  ", &format!("{address}, {check}: {detail}"), color);
        }
        for (address, c) in addresses().filter_map(|(address, e)| Some((address, e.certificate.as_ref()?))) {
            let CertificateSeen { names, issuer, begins: _, ends, days_left, ends_by, unused_and_ended } = c;
            let (names, issuer) = (few(names), if issuer.is_empty() { "nobody named" } else { issuer });
            let first = ends_by.as_ref().map(|by| format!(": its intermediate {by:?} does")).unwrap_or_default();
            let unused = match unused_and_ended.as_slice() {
                [] => String::new(),
                ended => format!("; sent with it, not needed, and ended: {}", few(ended)),
            };
            let said = format!(
                "  {address}: certificate for {names}, by {issuer}, ends {ends} ({days_left} days){first}{unused}"
            );
            line(out, &[Cell::plain(said)], &[], color);
        }
    }

    fn rows(&self) -> Vec<[Cell; 10]> {
        let titles = ["  ZONE", "ADDRESS", "CHECK", "VERDICT", "TCP", "TLS", "ANSWER", "LOGIN", "QUERY", "AGENT"];
        let mut rows = vec![head(titles)];
        for (zone, address, examined) in self.zones.iter().flat_map(|(z, all)| all.iter().map(move |(a, e)| (z, a, e)))
        {
            for (i, (check, made)) in examined.checks.iter().enumerate() {
                let only_first = |text: String| Cell::plain(if i == 0 { text } else { String::new() });
                let agent = examined.agent.map_or("", AddressState::label).to_owned();
                let verdict = match (made.reason, made.phases_ms) {
                    (Some(reason), _) => Cell::toned(reason.label(), Tone::Bad),
                    (None, Some(Phases { total, .. })) => Cell::toned(format!("ok, {total:.1} ms"), Tone::Good),
                    (None, None) => Cell::plain(""),
                };
                let [tcp, tls, answer, login, query] = times(made.phases_ms).map(Cell::plain);
                let (zone, ip) = (only_first(format!("  {zone}")), only_first(address.to_string()));
                let check = Cell::plain(check.label());
                rows.push([zone, ip, check, verdict, tcp, tls, answer, login, query, only_first(agent)]);
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
