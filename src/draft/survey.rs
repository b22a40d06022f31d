//! Asks the API for every endpoint of a VPC and their zones, and the ports what they say.

use std::net::IpAddr;

use tokio::task::JoinSet;

use super::findings::{EndpointFindings, PortReply, Ports};
use super::port_scan::PortScanner;
use crate::cloud::openapi::{CallError, KeySource};
use crate::cloud::privatelink::{EndpointRecord, Filter, Listing, ZoneRecord};
use crate::discover::Api;
use crate::model::ZoneStatus;

/// Endpoints whose ports are looked at at the same time.
const AT_ONCE: usize = 8;
/// Endpoints whose zones are asked for: a tenth of the account's calls in a minute.
const MOST_ASKED: usize = 100;

/// All endpoints of a VPC.
#[derive(Debug, Clone)]
pub struct Survey {
    /// What was seen of each, in the order of their ids.
    pub endpoints: Vec<EndpointFindings>,
    /// Whether the API's list was complete.
    pub complete: bool,
}

/// Looks at all endpoints of a VPC; with `ports`, at their ports, too.
///
/// # Errors
/// [`CallError`] if there is no list at all.
pub async fn survey<K: KeySource>(api: &Api<K>, vpc_id: &str, ports: Option<Ports>) -> Result<Survey, CallError> {
    let filter = Filter { vpc_id: Some(vpc_id), ..Filter::default() };
    let Listing { items, complete } = api.client.endpoints(&api.keys, filter).await?;
    let mut seen = Vec::new();
    for (n, record) in items.into_iter().enumerate() {
        let zones = if n < MOST_ASKED {
            let asked = api.client.zones(&api.keys, &record.id).await;
            asked.map(|zones| zones.items).map_err(|error| error.to_string())
        } else {
            Err(format!("not asked: there are more than {MOST_ASKED} endpoints"))
        };
        seen.push((record, zones));
    }
    Ok(Survey { endpoints: scan_all(seen, ports).await, complete })
}

type Seen = (EndpointRecord, Result<Vec<ZoneRecord>, String>);

async fn scan_all(seen: Vec<Seen>, ports: Option<Ports>) -> Vec<EndpointFindings> {
    let scanner = PortScanner::new().await;
    let mut looks: JoinSet<(usize, EndpointFindings)> = JoinSet::new();
    let mut endpoints = Vec::new();
    for (n, seen) in seen.into_iter().enumerate() {
        if looks.len() >= AT_ONCE {
            endpoints.extend(looks.join_next().await.and_then(Result::ok));
        }
        let scanner = scanner.clone();
        looks.spawn(async move { (n, scan_ports(&scanner, seen, ports).await) });
    }
    endpoints.extend(looks.join_all().await);
    endpoints.sort_by_key(|(n, _)| *n);
    endpoints.into_iter().map(|(_, endpoint)| endpoint).collect()
}

async fn scan_ports(scanner: &PortScanner, (record, zones): Seen, ports: Option<Ports>) -> EndpointFindings {
    let addresses = zones.as_ref().map(|zones| addresses(zones)).unwrap_or_default();
    let (mut greeting, mut gateway) = (PortReply::NotAsked, PortReply::NotAsked);
    if let Some(Ports { matrixone, tdengine }) = ports {
        (greeting, gateway) = tokio::join!(
            scanner.greeting(&addresses, matrixone),
            scanner.gateway(&addresses, tdengine, record.domain.as_ref())
        );
    }
    EndpointFindings { record, zones, greeting, gateway }
}

/// Those of connected zones first.
fn addresses(zones: &[ZoneRecord]) -> Vec<IpAddr> {
    let connected = |zone: &&ZoneRecord| matches!(zone.status, Some(ZoneStatus::Connected | ZoneStatus::Migrated));
    let (first, then): (Vec<_>, Vec<_>) = zones.iter().partition(connected);
    first.into_iter().chain(then).filter_map(|zone| zone.ipv4.map(IpAddr::V4)).collect()
}
