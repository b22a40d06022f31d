//! Whether anybody succeeded while somebody failed: what tells a target's own failures from those of this host.

use crate::model::{Boottime, HealthView, Span};

/// The latest run of successes of every check of every target.
#[derive(Debug, Clone, Default)]
pub(super) struct Witnesses {
    /// Starts of the first probes, in order, each with the latest start of a last probe among the runs up to it.
    runs: Vec<(Boottime, Boottime)>,
}

impl Witnesses {
    pub(super) fn of(health: &HealthView) -> Self {
        let checks = health.targets.values().flat_map(|t| t.checks.values());
        Self::among(checks.filter_map(|c| c.successes).collect())
    }

    fn among(mut spans: Vec<Span>) -> Self {
        spans.sort_by_key(|s| s.first);
        let latest = |so_far: &mut Boottime, span: Span| {
            *so_far = span.last.max(*so_far);
            Some((span.first, *so_far))
        };
        Self { runs: spans.into_iter().scan(Boottime::default(), latest).collect() }
    }

    /// True if somebody's run of successes overlaps these failures.
    pub(super) fn saw(&self, failures: Span) -> bool {
        let begun = self.runs.partition_point(|(first, _)| *first <= failures.last);
        self.runs[..begun].last().is_some_and(|(_, last)| *last >= failures.first)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn span() -> impl Strategy<Value = Span> {
        let at = |secs| Boottime(Duration::from_secs(secs));
        (0_u64..20, 0_u64..10).prop_map(move |(first, more)| Span { first: at(first), last: at(first + more) })
    }

    proptest! {
        #[test]
        fn overlaps_are_found(runs in prop::collection::vec(span(), 0..6), failures in span()) {
            let naive = runs.iter().any(|r| r.first <= failures.last && r.last >= failures.first);
            prop_assert_eq!(Witnesses::among(runs).saw(failures), naive);
        }
    }
}
