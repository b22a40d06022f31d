//! Many hosts of one account at once, on virtual time: one API with its quota, one resolver, one database in two zones,
//! and as many agents as there are hosts, by their real rules. What reaches the servers and when names move is counted,
//! and an oracle that knows how many hosts there are says which promises to a fleet do not hold.

mod oracle;
mod play;
mod scenario;
mod tally;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use self::oracle::{Figures, Fleet, seconds};
use self::play::{Outcome, Size, play};
use self::scenario::Scenario;
use super::host::Broken;
use super::world::QUOTA;

/// What to play, and to whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many hosts
    #[arg(long, default_value_t = 300)]
    hosts: usize,
    /// What their config says of that; the truth, if it is not given
    #[arg(long, value_name = "HOSTS")]
    fleet_size: Option<u32>,
    /// What is drawn follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Play only this one
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Threads, each with a scenario at a time; 0: as many as there are cores
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

/// A scenario, how it went, and the seconds of a processor that it took.
type Played = (usize, Outcome, f64);

/// Plays them. Gives what to print, and whether every promise was kept.
///
/// # Errors
/// A scenario that does not exist, or one that could not be played.
pub(crate) fn rehearse(options: &Options) -> Result<(String, bool), Box<dyn std::error::Error>> {
    let mut scenarios = scenario::all(options.hosts.max(1));
    if let Some(name) = &options.scenario {
        let names: Vec<_> = scenarios.iter().map(|scenario| scenario.name).collect();
        let text = format!("expected a scenario of {}, found {name}", names.join(", "));
        scenarios.retain(|scenario| scenario.name == *name);
        if scenarios.is_empty() {
            return Err(text.into());
        }
    }
    let shared = super::scratch()?;
    let which = options.scenario.as_deref().unwrap_or("all");
    let dir = shared.join(format!("{which}-{}-{:?}", options.hosts, options.fleet_size));
    let played = play_all(options, &scenarios, &dir);
    std::fs::remove_dir_all(&dir)?;
    // Others may be at work there, as tests are.
    let _ = std::fs::remove_dir(&shared);
    Ok(told(options, &scenarios, &played?))
}

fn play_all(options: &Options, scenarios: &[Scenario], dir: &Path) -> Result<Vec<Played>, Broken> {
    let hosts = options.hosts.max(1);
    let said = options.fleet_size.unwrap_or(u32::try_from(hosts).unwrap_or(u32::MAX)).max(1);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = if options.threads == 0 { cores } else { options.threads };
    let (next, played) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    // The long ones first.
    let mut order: Vec<usize> = (0..scenarios.len()).collect();
    order.sort_by_key(|n| std::cmp::Reverse(scenarios.get(*n).map(|one| one.lasts * (1 + one.endpoints as u64))));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(n) = order.get(next.fetch_add(1, Ordering::Relaxed))
                    && let Some(scenario) = scenarios.get(*n)
                {
                    let began = on_processor();
                    let outcome = play(scenario, Size { hosts, said }, options.seed, dir.join(scenario.name));
                    let one = outcome.map(|outcome| (*n, outcome, on_processor() - began));
                    played.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                }
            });
        }
    });
    let played = played.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut played = played.into_iter().collect::<Result<Vec<_>, _>>()?;
    played.sort_by_key(|(n, ..)| *n);
    Ok(played)
}

/// Seconds that this thread has been on a processor; 0 where the kernel does not say.
fn on_processor() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
    nanoseconds.map_or(0.0, |nanoseconds: f64| nanoseconds / 1e9)
}

fn told(options: &Options, scenarios: &[Scenario], played: &[Played]) -> (String, bool) {
    let (mut text, mut kept) = (String::new(), true);
    let (mut lived, mut took) = (0.0, 0.0);
    for (n, outcome, seconds) in played {
        let Some(scenario) = scenarios.get(*n) else { continue };
        let mut broken = Fleet(options.hosts.max(1)).judge(&outcome.figures, scenario.courses);
        broken.extend(outcome.fault.clone());
        let verdict = if broken.is_empty() { "ok" } else { "FAILED" };
        kept &= broken.is_empty();
        (lived, took) = (lived + outcome.lived, took + seconds);
        // Writing to a string can't fail.
        let _ = writeln!(text, "{:<10} {} {verdict}", scenario.name, line(options.hosts.max(1), &outcome.figures));
        for what in &broken {
            let _ = writeln!(text, "    {what}");
        }
    }
    let speed = lived / f64::max(took, 0.001);
    let _ = writeln!(
        text,
        "{} hosts, {lived:.0} s of hosts in {took:.1} s of a processor: {speed:.0} times real time for one host, \
         1000 times for {:.0} hosts a core",
        options.hosts.max(1),
        speed / 1000.0
    );
    (text, kept)
}

fn line(hosts: usize, figures: &Figures) -> String {
    let Figures { logins, connections, calls, left, back } = figures;
    #[expect(clippy::cast_precision_loss, reason = "shares for people")]
    let percent = |part: usize, of: usize| part as f64 * 100.0 / of as f64;
    let moved = |moved: &tally::Moved, how: &str| {
        if moved.hosts == 0 {
            return format!("nobody {how}");
        }
        let (all, second) = (percent(moved.hosts, hosts), percent(moved.second, hosts));
        format!("{all:.0} % {how}, {second:.1} % in a second, the last after {} s", seconds(moved.slowest))
    };
    #[expect(clippy::cast_precision_loss, reason = "rates for people")]
    let (minute, ten) = (logins.minute as f64 / 60.0, logins.ten_seconds as f64 / 10.0);
    format!(
        "logins/s {} at most, {ten:.1} over 10 s, {minute:.1} over a minute; connections/s {}; API {:.1} % of the \
         quota; {}; {};",
        logins.second,
        connections.second,
        percent(*calls, QUOTA),
        moved(left, "left"),
        moved(back, "returned"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(hosts: usize, fleet_size: Option<u32>, scenario: &str) -> (String, bool) {
        let scenario = Some(scenario.to_owned());
        rehearse(&Options { hosts, fleet_size, seed: 1, scenario, threads: 1 }).unwrap()
    }

    #[test]
    fn a_fleet_that_says_how_large_it_is_is_gentle_and_one_that_does_not_is_found_out() {
        let (text, kept) = played(60, None, "push");
        assert!(kept && text.contains(" ok\n"), "{text}");
        let (text, kept) = played(300, Some(1), "push");
        assert!(!kept && text.contains(" FAILED\n"), "{text}");
        assert!(text.contains("logins at a server within ten seconds"), "{text}");
    }

    #[test]
    fn a_seed_plays_the_same_again() {
        let without_speed = |text: String| text.lines().next().map(str::to_owned);
        let [one, two] = [(); 2].map(|()| without_speed(played(20, None, "zone").0));
        assert_eq!(one, two);
        assert!(one.is_some_and(|line| line.contains("100 % left")));
    }

    #[test]
    fn a_scenario_that_does_not_exist_is_refused() {
        let options = Options { hosts: 1, fleet_size: None, seed: 1, scenario: Some("x".to_owned()), threads: 1 };
        let error = rehearse(&options).unwrap_err().to_string();
        assert!(error.starts_with("expected a scenario of steady, ") && error.ends_with("found x"), "{error}");
    }
}
