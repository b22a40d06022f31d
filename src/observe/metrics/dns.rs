//! The families of the stub.

use super::family::{Family, Histogram, labels};
use crate::model::{DNS_DURATION_BUCKETS, DnsCounts};

/// Every family.
pub(super) fn families(counts: &DnsCounts) -> [Family; 3] {
    let DnsCounts { answered, dropped, durations, seconds } = counts;
    let queries = answered
        .iter()
        .map(|((transport, code), n)| (labels([("transport", transport), ("rcode", &code.label())]), *n));
    let took = Histogram { sum: seconds.as_secs_f64(), bounds: &DNS_DURATION_BUCKETS, counts: durations.to_vec() };
    [
        Family::counter("privatelink_dns_queries_total", "Queries that the stub replied to.").samples(queries),
        Family::counter("privatelink_dns_dropped_total", "Packets that the stub did not reply to.").value(*dropped),
        Family::histogram("privatelink_dns_query_duration_seconds", "From reading a query to sending the reply.")
            .value(took),
    ]
}
