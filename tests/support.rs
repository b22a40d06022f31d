//! What several test modules share.

use proptest::prelude::*;

/// How many random cases a fuzz test runs: `PRIVATELINKD_CASES`, else few enough for an impatient `cargo test`.
/// `tests/run` asks for 100,000 and `tests/run --full` for a million.
pub(crate) fn cases() -> u32 {
    std::env::var("PRIVATELINKD_CASES").ok().and_then(|s| s.parse().ok()).unwrap_or(2_000)
}

/// Cuts, flips, doubles: what disks and people do to JSON.
pub(crate) fn damaged(json: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let n = json.len().max(1);
    let edits = proptest::collection::vec((0..n, any::<u8>(), 0..4u8), 0..4);
    edits.prop_map(move |edits| {
        let mut json = json.clone();
        for (at, byte, how) in edits {
            let at = at.min(json.len().saturating_sub(1));
            match how {
                0 => json.truncate(at),
                1 if !json.is_empty() => json[at] = byte,
                2 if !json.is_empty() => drop(json.remove(at)),
                _ => json.insert(at, byte),
            }
        }
        json
    })
}
