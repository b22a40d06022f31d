//! The text format 0.0.4, for scrapers that don't ask for OpenMetrics; prometheus-client does not write it.

use std::fmt::{self, Write as _};

use super::family::{Family, Kind, Labels, Value};
use crate::observe::Pages;

/// One family of the exposition.
pub(super) fn encode(out: &mut Pages, family: &Family) {
    if !family.samples.is_empty() {
        // Pages take everything.
        let _ = write_family(out, family);
    }
}

fn write_family(out: &mut Pages, family: &Family) -> fmt::Result {
    let Family { name, help, kind, samples } = family;
    let kind = match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
    // Written once a sample: a histogram has it on each of its lines.
    let mut set = String::new();
    for sample in samples {
        set.clear();
        write_set(&mut set, &sample.labels);
        match &sample.value {
            Value::Integer(n) => writeln!(out, "{name}{set} {n}")?,
            Value::Float(x) => writeln!(out, "{name}{set} {x:?}")?,
            Value::Histogram(h) => {
                let (open, separator) = set.strip_suffix('}').map_or(("{", ""), |open| (open, ","));
                let mut cumulative = 0;
                for (bound, count) in h.buckets() {
                    cumulative += count;
                    write!(out, "{name}_bucket{open}{separator}le=\"")?;
                    if bound.is_infinite() {
                        out.write_str("+Inf")?;
                    } else {
                        write!(out, "{bound:?}")?;
                    }
                    writeln!(out, "\"}} {cumulative}")?;
                }
                writeln!(out, "{name}_sum{set} {:?}", h.sum)?;
                writeln!(out, "{name}_count{set} {cumulative}")?;
            }
        }
    }
    Ok(())
}

/// `{name="value",…}`; nothing if there are no labels.
fn write_set(out: &mut String, labels: &Labels) {
    let mut separator = '{';
    for (name, value) in labels {
        out.push(separator);
        out.push_str(name);
        out.push_str("=\"");
        escape(out, value);
        out.push('"');
        separator = ',';
    }
    if !labels.is_empty() {
        out.push('}');
    }
}

fn escape(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            plain => out.push(plain),
        }
    }
}
