//! Metric families as values, between the snapshot and the formats.

use std::fmt::Display;
use std::time::Duration;

use crate::model::DURATION_BUCKETS;

/// All samples of one name.
#[derive(Debug)]
pub(super) struct Family {
    /// The full name; a counter's ends with `_total`.
    pub(super) name: &'static str,
    /// One sentence, without quotes, backslashes or line breaks.
    pub(super) help: &'static str,
    /// The type.
    pub(super) kind: Kind,
    /// Without duplicates.
    pub(super) samples: Vec<Sample>,
}

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Label names and values.
pub(super) type Labels = Vec<(&'static str, String)>;

/// One series, or the series of one histogram.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) labels: Labels,
    pub(super) value: Value,
}

/// The value of a sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Integer(u64),
    Float(f64),
    Histogram(Histogram),
}

/// Durations, summed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Histogram {
    /// In seconds.
    pub(super) sum: f64,
    /// Upper bounds; +Inf is left out.
    pub(super) bounds: &'static [Duration],
    /// A count a bucket, not cumulative; +Inf last.
    pub(super) counts: Vec<u64>,
}

/// Nothing yet, in the buckets of [`crate::model::CheckStats`].
impl Default for Histogram {
    fn default() -> Self {
        Self { sum: 0.0, bounds: &DURATION_BUCKETS, counts: vec![0; DURATION_BUCKETS.len() + 1] }
    }
}

impl Histogram {
    /// All observations.
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Upper bound in seconds and own count of each bucket.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.bounds.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        bounds.zip(self.counts.iter().copied())
    }
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Self::Integer(n)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Integer(b.into())
    }
}

impl From<f64> for Value {
    fn from(x: f64) -> Self {
        Self::Float(x)
    }
}

impl From<Histogram> for Value {
    fn from(h: Histogram) -> Self {
        Self::Histogram(h)
    }
}

impl Family {
    pub(super) fn counter(name: &'static str, help: &'static str) -> Self {
        debug_assert!(name.ends_with("_total"));
        Self { name, help, kind: Kind::Counter, samples: Vec::new() }
    }

    pub(super) fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: Kind::Gauge, samples: Vec::new() }
    }

    pub(super) fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: Kind::Histogram, samples: Vec::new() }
    }

    /// With one sample that has no labels.
    pub(super) fn value(self, value: impl Into<Value>) -> Self {
        self.samples([(Vec::new(), value)])
    }

    /// With one sample that has no labels, or with none.
    pub(super) fn known(self, value: Option<impl Into<Value>>) -> Self {
        self.samples(value.map(|v| (Vec::new(), v)))
    }

    /// With these samples.
    pub(super) fn samples<V: Into<Value>>(mut self, samples: impl IntoIterator<Item = (Labels, V)>) -> Self {
        self.samples.extend(samples.into_iter().map(|(labels, v)| Sample { labels, value: v.into() }));
        self
    }
}

/// Labels from names and anything that displays.
pub(super) fn labels<const N: usize>(pairs: [(&'static str, &dyn Display); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| (name, value.to_string())).collect()
}
