//! What several test modules share.

/// How many random cases a fuzz test runs: `PRIVATELINKD_CASES`, else few enough for an impatient `cargo test`.
/// `tests/run` asks for 100,000 and `tests/run --full` for a million.
pub(crate) fn cases() -> u32 {
    std::env::var("PRIVATELINKD_CASES").ok().and_then(|s| s.parse().ok()).unwrap_or(2_000)
}
