//! The command line.

use std::time::Duration;

/// Less than this is not enough to start and stop in.
const SHORTEST: Duration = Duration::from_secs(5);

/// Shows the main job of privatelinkd on real sockets: two endpoints in two zones each, a hosts file, zones that die
/// and come back. Needs no root and changes nothing outside of a temporary folder.
#[derive(Debug, clap::Parser)]
#[command(name = "demo", max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 everything happened as it should, 1 something did not, 2 usage, 130 interrupted."
)]
pub(crate) struct Args {
    /// Take at most this long, such as 40s; scenes that no longer fit are skipped. At least 5s.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) time: Option<Duration>,
    /// Print one JSON object a line; the last one is the result. The first one has the paths, to look at meanwhile.
    /// Implies --keep, so that the paths still lead somewhere at the end.
    #[arg(long)]
    pub(crate) json: bool,
    /// Leave the temporary folder with the hosts file, the config and the log behind.
    #[arg(long)]
    pub(crate) keep: bool,
    /// After the last scene go on running until Ctrl-C, or until the time of --for is up.
    #[arg(long)]
    pub(crate) stay: bool,
}

impl Args {
    pub(crate) fn keeps_the_folder(&self) -> bool {
        self.keep || self.json
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(24 * 3600);
    let found = humantime::parse_duration(text).map_err(|e| format!("expected a duration such as 40s: {e}"))?;
    if (SHORTEST..=LONGEST).contains(&found) {
        Ok(found)
    } else {
        Err(format!("expected between 5s and 24h, found {}", humantime::format_duration(found)))
    }
}
