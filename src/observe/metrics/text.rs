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
                        out.push_str("+Inf");
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

fn escape(out: &mut String, mut value: &str) {
    while let Some((plain, special, rest)) = split_at_special(value) {
        out.push_str(plain);
        out.push_str(special);
        value = rest;
    }
    out.push_str(value);
}

/// What is before the first character that has to be escaped, how that is written, and what follows it.
fn split_at_special(value: &str) -> Option<(&str, &'static str, &str)> {
    let (at, special) = value.bytes().enumerate().find_map(|(at, byte)| match byte {
        b'\\' => Some((at, "\\\\")),
        b'"' => Some((at, "\\\"")),
        b'\n' => Some((at, "\\n")),
        _ => None,
    })?;
    Some((&value[..at], special, &value[at + 1..]))
}
