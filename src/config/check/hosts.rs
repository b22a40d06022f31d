//! `[hosts]`

use std::path::PathBuf;
use std::time::Duration;

use super::context::{Bad, Located, Read, values};
use super::read;
use super::section::Section;
use crate::config::raw::{Node, Value};
use crate::config::source_text::quote;
use crate::config::types::HostsConfig;
use crate::model::{Families, InPlace};

const SECOND: Duration = Duration::from_secs(1);
/// The block is back within 5 s of whatever removed it (B11).
const LONGEST_REASSERT: Duration = Duration::from_secs(5);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// The agent gives a sign of life every 10 s; one of them may be late.
const SHORTEST_LOSS: Duration = Duration::from_secs(20);

const FAMILIES: &[(&str, Families)] =
    &[("ipv4", Families { ipv4: true, ipv6: false }), ("ipv6", Families { ipv4: false, ipv6: true })];

/// `[hosts]`, with the places of what other rules look at.
pub(super) struct HostsDraft {
    pub(super) config: HostsConfig,
    pub(super) path: Located<PathBuf>,
    pub(super) run_dir: Located<PathBuf>,
    pub(super) state_dir: Located<PathBuf>,
}

/// `[hosts]`
pub(super) fn hosts(mut section: Section<'_>) -> Option<HostsDraft> {
    let publish = section.value("publish", read::boolean);
    let path = section.read("path", read::path);
    let adopt = section.value("adopt", read::boolean);
    let ranges = section.value("allowed_ranges", |n| read::filled_list(n, read::network));
    let families = section.value("families", |n| read::filled_list(n, |n| read::word(n, FAMILIES)));
    let reassert_interval = section.value("reassert_interval", |n| read::duration(n, SECOND..=LONGEST_REASSERT));
    let removal_grace = section.value("removal_grace", |n| read::duration(n, Duration::ZERO..=WEEK));
    let agent_lost_after = section.value("agent_lost_after", |n| read::duration(n, SHORTEST_LOSS..=WEEK));
    let in_place = section.value("in_place", in_place);
    let run_dir = section.read("run_dir", read::path);
    let state_dir = section.read("state_dir", read::path);
    section.finish();
    for range in ranges.iter().flatten().filter(|range| range.value.prefix_len() == 0) {
        let found = format!("{}, which is every address", quote(&range.value.to_string()));
        let help = "this switches the protection against foreign addresses off";
        section.warn("allowed_ranges", range.bad("networks of your own", found).help(help));
    }
    let (path, run_dir, state_dir, families) = (path?, run_dir?, state_dir?, families?);
    let config = HostsConfig {
        publish: publish?,
        path: path.value.clone(),
        adopt: adopt?,
        allowed_ranges: values(&ranges?),
        families: Families { ipv4: families.iter().any(|f| f.value.ipv4), ipv6: families.iter().any(|f| f.value.ipv6) },
        reassert_interval: reassert_interval?,
        removal_grace: removal_grace?,
        agent_lost_after: agent_lost_after?,
        in_place: in_place?,
        run_dir: run_dir.value.clone(),
        state_dir: state_dir.value.clone(),
    };
    Some(HostsDraft { config, path, run_dir, state_dir })
}

/// `"auto"`, or a flag.
fn in_place(node: &Node) -> Read<InPlace> {
    match node.value {
        Value::Bool(true) => Ok(InPlace::Always),
        Value::Bool(false) => Ok(InPlace::Never),
        _ if node.text() == Some(InPlace::Auto.label()) => Ok(InPlace::Auto),
        _ => Err(vec![Bad::new("true, false or \"auto\"", node)]),
    }
}
