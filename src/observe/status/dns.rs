//! The stub among the publishers.

use super::schema::PublisherReport;
use crate::model::{DnsReceipt, Verdict};
use crate::observe::Snapshot;

/// The name of the stub among the publishers.
pub(super) const DNS: &str = "dns";

/// What became of the plan; `None` if names are not served.
pub(super) fn verdict(snapshot: &Snapshot) -> Option<Verdict> {
    let serves = !snapshot.config.dns.is_empty();
    serves.then(|| if is_served(snapshot) { Verdict::Published } else { Verdict::Pending })
}

/// Whether a client that asks gets the present plan, on one address at least.
pub(super) fn is_served(snapshot: &Snapshot) -> bool {
    let heard = |r: &DnsReceipt| r.listeners.values().any(Option::is_none);
    snapshot.receipts.dns.as_ref().is_some_and(|r| heard(r) && r.digest == snapshot.plan.digest)
}

/// Why it is not, if it should be.
pub(super) fn problem(snapshot: &Snapshot) -> Option<String> {
    let wanted = !snapshot.config.dns.is_empty() && !is_served(snapshot);
    wanted.then(|| match &snapshot.receipts.dns {
        Some(receipt) if receipt.digest.is_some() && receipt.digest != snapshot.plan.digest => {
            "the DNS stub does not serve the present plan yet".to_owned()
        }
        Some(_) => "the DNS stub is not heard anywhere".to_owned(),
        None => "the DNS stub has not begun to serve yet".to_owned(),
    })
}

/// The addresses that should be served and are not.
pub(super) fn silent(snapshot: &Snapshot) -> Vec<String> {
    let listeners = snapshot.receipts.dns.iter().flat_map(|r| &r.listeners);
    let failed = listeners.filter_map(|((address, transport), error)| {
        Some(format!("the DNS stub does not serve {address} ({transport}): {}", error.as_ref()?))
    });
    failed.collect()
}

/// The row of the publisher.
pub(super) fn report(snapshot: &Snapshot) -> Option<(String, PublisherReport)> {
    let place: Vec<String> = snapshot.config.dns.iter().map(ToString::to_string).collect();
    let errors = silent(snapshot);
    let report = PublisherReport {
        place: place.join(", "),
        in_sync: is_served(snapshot),
        at: None,
        error: (!errors.is_empty()).then(|| errors.join("; ")),
        conflict: false,
    };
    (!place.is_empty()).then(|| (DNS.to_owned(), report))
}
