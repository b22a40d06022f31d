//! The draft as TOML.
//!
//! Values are of closed types, which have nothing to escape. What others wrote (names, descriptions, greetings,
//! certificates) stands in comments only: taken apart at white space and joined with blanks, without control
//! characters, it stays on its line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::findings::{EndpointFindings, Gateway, PortReply, Ports};
use super::label;
use super::recognise::{Certainty, Kind, Recognised, recognise};
use crate::cloud::privatelink::record::{EndpointRecord, ZoneRecord};
use crate::model::shown::is_unseen;
use crate::model::{
    ConnectionStatus, EndpointId, EndpointName, EndpointStatus, Families, HostName, ProbeKindName, ranges,
};

/// What the draft is made for.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// The region.
    pub region: &'a str,
    /// The VPC.
    pub vpc_id: &'a str,
    /// Where the ports were looked for.
    pub ports: Ports,
    /// `[hosts] allowed_ranges` of the config that the draft is to be a part of.
    pub allowed: &'a [IpNet],
    /// `[hosts] families`
    pub families: Families,
    /// Endpoints that the config has already, by their id.
    pub known: &'a BTreeMap<EndpointId, EndpointName>,
    /// Every label that the config has already.
    pub taken: BTreeSet<EndpointName>,
    /// Whether the API's list was complete.
    pub complete: bool,
}

/// A drafted config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// What became of each endpoint.
    pub endpoints: Vec<Drafted>,
    /// Whether the API's list was complete.
    pub complete: bool,
    /// The config.
    pub config: String,
}

/// What became of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drafted {
    /// The cloud's id.
    pub id: EndpointId,
    /// Its label in the config; `null` if it is left out.
    pub name: Option<EndpointName>,
    /// Why it is left out.
    pub left_out: Option<String>,
    /// What it is taken for.
    #[serde(flatten)]
    pub recognised: Recognised,
    /// The keys that the admin has to fill in.
    pub fill_in: Vec<String>,
}

/// The longest line of a comment.
const WIDTH: usize = 118;
/// What begins a line that the admin has to complete.
const FILL_IN: &str = "FILL IN";

/// Drafts a config for all that was seen.
#[must_use]
pub fn draft(sights: &[EndpointFindings], mut place: Place<'_>) -> Draft {
    let mut page = Page::default();
    let Place { region, vpc_id, .. } = &place;
    let version = env!("CARGO_PKG_VERSION");
    page.comment(&format!("Drafted by `privatelinkd init` {version} for the endpoints of {vpc_id} in {region}."));
    page.comment(&format!(
        "A line that begins with \"{FILL_IN}\" says what only you can know; take the # of the lines below it away then. \
         After that: `privatelinkd check`, and `privatelinkd plan` to see what would happen."
    ));
    if !place.complete {
        page.comment("The API's list was not complete: there may be more endpoints.");
    }
    write_allowed_ranges(&mut page, sights, &place);
    let endpoints = sights.iter().map(|sight| write_endpoint(&mut page, sight, &mut place)).collect();
    Draft { endpoints, complete: place.complete, config: page.text }
}

/// Ranges for addresses that the config would not have probed or published. Off: which addresses an endpoint may have
/// is the admin's word, not the API's.
fn write_allowed_ranges(page: &mut Page, sights: &[EndpointFindings], place: &Place<'_>) {
    let drafted = sights.iter().filter(|sight| reason_left_out(&sight.record, place).is_none());
    let outside: BTreeSet<IpAddr> = drafted.flat_map(|sight| addresses_outside(sight, place)).collect();
    let Some(first) = outside.first() else { return };
    let more = if outside.len() > 1 { format!(" and {} more are", outside.len() - 1) } else { " is".to_owned() };
    page.comment(&format!(
        "{FILL_IN} allowed_ranges: {first}{more} outside of them, and so neither probed nor published. Best are the ranges \
         of the vSwitches that these endpoints are in."
    ));
    let ranges: BTreeSet<IpNet> = outside.into_iter().map(surrounding_range).collect();
    let all: Vec<String> = place.allowed.iter().chain(&ranges).map(|range| format!("\"{range}\"")).collect();
    page.toml(&format!("#[hosts]\n#allowed_ranges = [{}]\n", all.join(", ")));
}

/// Addresses of an endpoint that are outside of what is allowed, without those that no range could allow.
fn addresses_outside(sight: &EndpointFindings, place: &Place<'_>) -> Vec<IpAddr> {
    let zones = sight.zones.iter().flatten();
    let all = zones.flat_map(|zone| [zone.ipv4.map(IpAddr::from), zone.ipv6.map(IpAddr::from)]).flatten();
    let useful = |ip: &IpAddr| place.families.has(*ip) && !ip.is_unspecified() && !ip.is_multicast();
    all.filter(useful).filter(|ip| ranges::judge(*ip, place.allowed).is_err()).collect()
}

/// The neighbourhood of an address, if that allows it; of some special ones only their own network does.
fn surrounding_range(address: IpAddr) -> IpNet {
    let length = if address.is_ipv4() { 24 } else { 64 };
    let wide = IpNet::new(address, length).map(|net| net.trunc()).ok();
    wide.filter(|net| ranges::judge(address, &[*net]).is_ok()).unwrap_or_else(|| address.into())
}

fn write_endpoint(page: &mut Page, sight: &EndpointFindings, place: &mut Place<'_>) -> Drafted {
    let record = &sight.record;
    let recognised = recognise(sight);
    page.text.push('\n');
    write_description(page, sight);
    let left_out = reason_left_out(record, place);
    let name = match &left_out {
        Some(why) => {
            page.comment(&format!("Left out: {why}."));
            None
        }
        None => label::unused_label(record.name.as_deref(), &record.id, &mut place.taken),
    };
    let mut fill_in = Vec::new();
    if let Some(name) = &name {
        write_guess(page, &recognised);
        page.toml(&format!("[[endpoint]]\nname = \"{name}\"\nid = \"{}\"\n", record.id));
        fill_in = match recognised.kind {
            Kind::Matrixone => write_matrixone(page, record, recognised.certainty, place),
            Kind::Tdengine => write_tdengine(page, sight, place),
            Kind::Https | Kind::Unknown => write_unrecognised(page, sight, place),
        };
        fill_in.extend((!addresses_outside(sight, place).is_empty()).then(|| "allowed_ranges".to_owned()));
    }
    Drafted { id: record.id.clone(), name, left_out, recognised, fill_in }
}

fn reason_left_out(record: &EndpointRecord, place: &Place<'_>) -> Option<String> {
    if let Some(name) = place.known.get(&record.id) {
        return Some(format!("the config has it already, as \"{name}\""));
    }
    let gone =
        record.status == Some(EndpointStatus::Deleting) || record.connection == Some(ConnectionStatus::ServiceDeleted);
    gone.then(|| "it is deleted".to_owned())
}

/// What the API tells of it.
fn write_description(page: &mut Page, sight: &EndpointFindings) {
    let record = &sight.record;
    let name = record.name.as_deref().unwrap_or("without a name");
    page.comment(&format!("{name}: {}", record.id));
    if let Some(description) = &record.description {
        page.comment(&format!("Description: {description}"));
    }
    if let Some(service) = &record.service_name {
        page.comment(&format!("Service: {service}"));
    }
    let status = record.status.as_ref().map_or("unknown", EndpointStatus::label);
    let business = record.business.as_ref().map_or("unknown", |business| business.label());
    let connection = record.connection.as_ref().map_or("unknown", ConnectionStatus::label);
    page.comment(&format!("Status: {status}, {business}, {connection}"));
    match &sight.zones {
        Ok(zones) => zones.iter().for_each(|z| page.comment(&zone_line(z))),
        Err(error) => page.comment(&format!("Zones: {error}")),
    }
}

fn zone_line(record: &ZoneRecord) -> String {
    let ip = record.ipv4.map_or_else(|| "no address".to_owned(), |ip| ip.to_string());
    let eni = record.eni_id.as_ref().map(|id| format!(", {id}")).unwrap_or_default();
    let status = record.status.as_ref().map_or("unknown", |status| status.label());
    format!("Zone {}: {ip}{eni}, {status}", record.zone)
}

fn write_guess(page: &mut Page, recognised: &Recognised) {
    let Recognised { kind, certainty, why } = recognised;
    let why = if why.is_empty() { "nothing speaks for any service".to_owned() } else { why.join("; ") };
    match kind {
        Kind::Unknown => page.comment(&format!("What it is can't be told: {why}.")),
        _ => page.comment(&format!("Taken for {kind} ({certainty}): {why}.")),
    }
}

fn write_matrixone(page: &mut Page, record: &EndpointRecord, certainty: Certainty, place: &Place<'_>) -> Vec<String> {
    let domain = record.domain.as_ref().map_or("which the console shows", HostName::as_str);
    page.comment(&format!(
        "Clients of MatrixOne Cloud use the endpoint's own domain, {domain}, which is steered on this host. Names of your \
         own go into private_dns; the cloud's API tells none."
    ));
    page.toml("publish_domain = true\n#private_dns = [\"ledger-db.example.com\"]\n");
    let sure = certainty != Certainty::Guess;
    page.comment(if sure {
        "The probe reads the front end's greeting and sends nothing. With user and password_file of a user of its own it \
         also logs in and asks, every 5 minutes. SELECT 1 proves little of the storage; one row of a table does, once \
         somebody has said in MatrixOne: create database probe; create table probe.alive (ok int); insert into \
         probe.alive values (1); create role readonly; create user probe identified by '…' default role readonly; \
         grant connect on account * to readonly; grant select on table probe.alive to readonly;"
    } else {
        "A greeting was not heard, so the probe is off: what greets there may be a server that blocks hosts which only \
         read its greeting."
    });
    write_probe(page, sure, ProbeKindName::Matrixone, place.ports.matrixone);
    if sure {
        page.toml("#user = \"ACCOUNT:probe:readonly\"\n#password_file = \"/etc/privatelinkd/ledger.pw\"\n");
        page.toml("#query = \"SELECT ok FROM probe.alive LIMIT 1\"\n#expect = \"1\"\n");
    }
    Vec::new()
}

fn write_tdengine(page: &mut Page, sight: &EndpointFindings, place: &Place<'_>) -> Vec<String> {
    let names = match &sight.gateway {
        PortReply::Said(_, Gateway { names, .. }) if !names.is_empty() => {
            format!(" Its certificate is for {}.", names.join(", "))
        }
        _ => String::new(),
    };
    page.comment(&format!(
        "{FILL_IN} private_dns: the private DNS name that the console of TDengine Cloud shows for this connection, which \
         clients use as the host. The cloud's API does not tell it.{names}"
    ));
    page.toml("#private_dns = [\"gw-orders.cloud.taosdata.com\"]\n");
    page.comment(
        "The probe needs that name, too: TLS is verified under it. With token_file it also asks the database, every minute.",
    );
    write_probe(page, false, ProbeKindName::Tdengine, place.ports.tdengine);
    vec!["private_dns".to_owned(), "probe".to_owned()]
}

fn write_unrecognised(page: &mut Page, sight: &EndpointFindings, place: &Place<'_>) -> Vec<String> {
    let zones_own = "The cloud's API does not tell the names of a provider's private zone.";
    page.comment(&format!(
        "{FILL_IN} private_dns: the names that clients on this host use. {zones_own} If they use the endpoint's own \
         domain, it is publish_domain = true."
    ));
    page.toml("#private_dns = [\"db.example.com\"]\n");
    if let PortReply::Said(_, Gateway { names, answer: Ok(_), .. }) = &sight.gateway {
        let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
        page.comment(&format!(
            "{FILL_IN} probe: it speaks HTTPS, under a certificate for {names}. Which request shows that it works only \
             you can know."
        ));
        write_probe(page, false, ProbeKindName::Https, place.ports.tdengine);
        page.toml("#method = \"GET\"\n#path = \"/\"\n#expect_status = [200]\n");
    } else {
        page.comment(&format!(
            "{FILL_IN} probe: the port of the service. A connection that is accepted proves the port and no more; where it \
             speaks HTTPS, kind = \"https\" proves that it answers. Until then nothing probes the addresses."
        ));
        write_probe(page, false, ProbeKindName::Tcp, 5432);
    }
    vec!["private_dns".to_owned(), "probe".to_owned()]
}

/// A probe, switched on or off, with its port if that is not the kind's own.
fn write_probe(page: &mut Page, on: bool, kind: ProbeKindName, port: u16) {
    let default = match kind {
        ProbeKindName::Matrixone => Some(Ports::DEFAULT.matrixone),
        ProbeKindName::Tdengine | ProbeKindName::Https => Some(Ports::DEFAULT.tdengine),
        ProbeKindName::Mysql | ProbeKindName::Tcp => None,
    };
    let off = if on { "" } else { "#" };
    page.toml(&format!("{off}[endpoint.probe]\n{off}kind = \"{}\"\n", kind.label()));
    if default != Some(port) {
        page.toml(&format!("{off}port = {port}\n"));
    }
}

/// A text that grows line by line.
#[derive(Debug, Default)]
struct Page {
    text: String,
}

impl Page {
    /// Lines of TOML. For texts of ours and of closed types alone.
    fn toml(&mut self, lines: &str) {
        self.text.push_str(lines);
    }

    /// A comment of as many lines as it takes, whatever is in it.
    fn comment(&mut self, text: &str) {
        let mut width = 0;
        let visible = |c: char| if is_unseen(c) { ' ' } else { c };
        let tame: String = text.chars().map(visible).collect();
        for word in tame.split_whitespace() {
            let length = word.chars().count();
            if width > 0 && width + 1 + length <= WIDTH {
                let _ = write!(self.text, " {word}");
                width += 1 + length;
            } else {
                let end = if width > 0 { "\n" } else { "" };
                let _ = write!(self.text, "{end}# {word}");
                width = 2 + length;
            }
        }
        self.text.push_str(if width > 0 { "\n" } else { "" });
    }
}

impl Drafted {
    /// "ledger: MatrixOne (sure)", or why it is left out.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { id, name, left_out, recognised, fill_in } = self;
        let Recognised { kind, certainty, why: _ } = recognised;
        let name = name.as_ref().map_or_else(|| id.as_str(), EndpointName::as_str);
        if let Some(why) = left_out {
            return format!("{name}: left out, {why}");
        }
        let taken_for = match (kind, certainty) {
            (Kind::Unknown, _) => "what it is can't be told".to_owned(),
            (kind, Certainty::Guess) => format!("perhaps {kind}, a guess by what it is called"),
            (kind, certainty) => format!("{kind} ({certainty})"),
        };
        let fill_in = if fill_in.is_empty() { String::new() } else { format!("; fill in {}", fill_in.join(" and ")) };
        format!("{name}: {taken_for}{fill_in}")
    }
}
