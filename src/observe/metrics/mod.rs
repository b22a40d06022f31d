//! `/metrics`: a pure rendering of a snapshot.
//!
//! `families` turns the snapshot into metric families, one small function each; `openmetrics` and `text` write
//! those. There is no registry that lives on: a target that is gone from the snapshot is gone from the next scrape.

mod families;
mod family;
mod openmetrics;
mod text;

use super::{Pages, Snapshot};
use crate::sys::process_stats::ProcessStats;

/// An exposition format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// The text format 0.0.4 of Prometheus.
    Text,
}

impl Format {
    /// The exact content type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// What an `Accept` header asks for: OpenMetrics if it is named and weighs no less than plain text, else the older
    /// text, which every scraper reads.
    #[must_use]
    pub fn negotiate(accept: Option<&str>) -> Self {
        let accept = accept.unwrap_or_default();
        let openmetrics = weight(accept, "application/openmetrics-text");
        if openmetrics > 0 && openmetrics >= weight(accept, "text/plain") { Self::OpenMetrics } else { Self::Text }
    }
}

/// The largest weight of a media type in an `Accept` header, in thousandths; 0 if it is not named.
fn weight(accept: &str, media_type: &str) -> u16 {
    let weigh = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(media_type) {
            return None;
        }
        let q = parts.find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")));
        q.map_or(Some(1000), thousandths)
    };
    accept.split(',').filter_map(weigh).max().unwrap_or(0)
}

/// A weight of RFC 9110: `0` to `1`, at most three digits behind the point.
fn thousandths(q: &str) -> Option<u16> {
    let (whole, fraction) = q.split_once('.').unwrap_or((q, ""));
    let digits = |s: &str| s.len() <= 3 && s.bytes().all(|b| b.is_ascii_digit());
    if !matches!(whole, "0" | "1") || !digits(fraction) {
        return None;
    }
    let value = format!("{whole}{fraction:0<3}").parse::<u16>().ok()?;
    (value <= 1000).then_some(value)
}

/// The body of `/metrics`.
#[must_use]
pub fn render(snapshot: &Snapshot, process: &ProcessStats, format: Format) -> Pages {
    let mut out = Pages::default();
    match format {
        Format::OpenMetrics => {
            families::each(snapshot, process, |family| openmetrics::encode(&mut out, family));
            openmetrics::end(&mut out);
        }
        Format::Text => families::each(snapshot, process, |family| text::encode(&mut out, &family)),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_only_for_those_who_ask() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                          application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            (None, Format::Text),
            (Some(""), Format::Text),
            (Some("*/*"), Format::Text),
            (Some("text/html, text/plain"), Format::Text),
            (Some("application/openmetrics-text"), Format::OpenMetrics),
            (Some("Application/OpenMetrics-Text; version=1.0.0; charset=utf-8"), Format::OpenMetrics),
            (Some("application/openmetrics-text;q=0"), Format::Text),
            (Some("application/openmetrics-text;q=0.2, text/plain;q=0.3"), Format::Text),
            (Some("application/openmetrics-text;q=nonsense"), Format::Text),
            (Some(prometheus), Format::OpenMetrics),
        ] {
            assert_eq!(Format::negotiate(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn weights_are_those_of_rfc_9110() {
        assert_eq!(thousandths("1"), Some(1000));
        assert_eq!(thousandths("0.05"), Some(50));
        assert_eq!(thousandths("1.000"), Some(1000));
        for bad in ["", "2", "-1", "1.001", "0.0001", "0.x", ".5", "+1"] {
            assert_eq!(thousandths(bad), None, "{bad:?}");
        }
    }
}
