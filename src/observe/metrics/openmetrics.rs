//! OpenMetrics text, through prometheus-client.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::family::{Family, Kind, Value};
use crate::observe::Pages;

impl Collector for Family {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self { name, help, kind, samples } = self;
        let (name, metric_type) = match kind {
            // The encoder adds the suffix to the samples.
            Kind::Counter => (name.strip_suffix("_total").unwrap_or(name), MetricType::Counter),
            Kind::Gauge => (*name, MetricType::Gauge),
            Kind::Histogram => (*name, MetricType::Histogram),
        };
        let mut family = encoder.encode_descriptor(name, help, None, metric_type)?;
        for sample in samples {
            if sample.labels.is_empty() {
                value(&mut family, *kind, &sample.value)?;
            } else {
                value(&mut family.encode_family(&sample.labels)?, *kind, &sample.value)?;
            }
        }
        Ok(())
    }
}

/// One family of the exposition. The registry lives for this call only.
pub(super) fn encode(out: &mut Pages, family: Family) {
    if family.samples.is_empty() {
        return;
    }
    let mut registry = Registry::default();
    registry.register_collector(Box::new(family));
    // Pages take everything.
    let _ = text::encode_registry(out, &registry);
}

/// The end of the exposition, without which a scraper takes it for cut short.
pub(super) fn end(out: &mut Pages) {
    let _ = text::encode_eof(out);
}

fn value(encoder: &mut MetricEncoder<'_>, kind: Kind, value: &Value) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, Value::Integer(n)) => encoder.encode_counter::<NoLabelSet, _, f64>(n, None),
        (Kind::Counter, Value::Float(x)) => encoder.encode_counter::<NoLabelSet, _, f64>(x, None),
        (_, Value::Integer(n)) => encoder.encode_gauge(n),
        (_, Value::Float(x)) => encoder.encode_gauge(x),
        (_, Value::Histogram(h)) => {
            let buckets: Vec<_> = h.buckets().collect();
            encoder.encode_histogram::<NoLabelSet>(h.sum, h.count(), &buckets, None)
        }
    }
}
