//! The text format 0.0.4, for scrapers that don't ask for OpenMetrics; prometheus-client does not write it.

use std::fmt::{self, Write as _};

use super::family::{Family, Kind, Labels, Value};

/// The whole exposition.
pub(super) fn encode(families: &[Family]) -> String {
    let mut out = String::with_capacity(16 * 1024);
    for family in families.iter().filter(|f| !f.samples.is_empty()) {
        // A String takes everything.
        let _ = write_family(&mut out, family);
    }
    out
}

fn write_family(out: &mut String, family: &Family) -> fmt::Result {
    let Family { name, help, kind, samples } = family;
    let kind = match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
    for sample in samples {
        let labels = &sample.labels;
        match &sample.value {
            Value::Integer(n) => writeln!(out, "{name}{} {n}", Set(labels, None))?,
            Value::Float(x) => writeln!(out, "{name}{} {x:?}", Set(labels, None))?,
            Value::Histogram(h) => {
                let mut cumulative = 0;
                for (bound, count) in h.buckets() {
                    cumulative += count;
                    writeln!(out, "{name}_bucket{} {cumulative}", Set(labels, Some(bound)))?;
                }
                writeln!(out, "{name}_sum{} {:?}", Set(labels, None), h.sum)?;
                writeln!(out, "{name}_count{} {cumulative}", Set(labels, None))?;
            }
        }
    }
    Ok(())
}

/// `{name="value",…}`, with the upper bound of a bucket if there is one; nothing if empty.
struct Set<'a>(&'a Labels, Option<f64>);

impl fmt::Display for Set<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(labels, bound) = self;
        if labels.is_empty() && bound.is_none() {
            return Ok(());
        }
        let mut separator = '{';
        for (name, value) in *labels {
            write!(f, "{separator}{name}=\"")?;
            escape(f, value)?;
            f.write_char('"')?;
            separator = ',';
        }
        match bound {
            Some(b) if b.is_infinite() => write!(f, "{separator}le=\"+Inf\"")?,
            Some(b) => write!(f, "{separator}le=\"{b:?}\"")?,
            None => {}
        }
        f.write_char('}')
    }
}

fn escape(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    for c in value.chars() {
        match c {
            '\\' => f.write_str("\\\\")?,
            '"' => f.write_str("\\\"")?,
            '\n' => f.write_str("\\n")?,
            c => f.write_char(c)?,
        }
    }
    Ok(())
}
