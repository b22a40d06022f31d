//! OpenMetrics text, through prometheus-client.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::family::{Family, Kind, Value};
use crate::observe::Pages;

#[derive(Debug)]
struct Families(Vec<Family>);

/// The whole exposition. The registry lives for this call only.
pub(super) fn encode(families: Vec<Family>) -> Pages {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families)));
    let mut out = Pages::default();
    // Pages take everything; were it ever cut short, the missing `# EOF` would tell the scraper.
    let _ = text::encode(&mut out, &registry);
    out
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family { name, help, kind, samples } in self.0.iter().filter(|f| !f.samples.is_empty()) {
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
        }
        Ok(())
    }
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
