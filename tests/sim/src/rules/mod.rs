//! Searches histories for one in which the agent's rules break a promise.
//!
//! A history is drawn from a seed: a few endpoints and zones, and what happens to them, to the host and to its admin.
//! It is played on virtual time over the agent's own rules (the merge of discovery, trackers, steering, cache,
//! hand-over, the hosts writer's core), and an oracle that knows the truth judges every decision. A seed replays
//! exactly; a history that breaks a promise is made as small as it goes and told in a sentence.

mod check;
mod clock;
mod finding;
pub(crate) mod fleet;
mod history;
mod host;
mod oracle;
mod probing;
mod run;
mod shrink;
mod vault;
mod world;
mod writing;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::history::{History, SECOND};
use self::host::{Broken, Workshop};
use self::oracle::{Promise, Violation};
use self::run::play;

/// Of each promise so many histories are told.
const TOLD: usize = 3;

/// One of so many histories is played twice: it must go the same way again.
const TWICE: u64 = 64;

/// Which histories to play.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The first seed; each history has the next one
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many histories
    #[arg(long, default_value_t = 1000)]
    histories: u64,
    /// Go on with more until so many seconds are over
    #[arg(long, value_name = "SECONDS")]
    at_least: Option<u64>,
    /// Threads; 0: as many as there are cores
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Stop after so many violations
    #[arg(long, default_value_t = 1000, value_name = "COUNT")]
    stop_after: usize,
    /// Tell histories as they were found, without making them smaller
    #[arg(long)]
    as_found: bool,
    /// Tell all that happens in the first history, and make nothing smaller
    #[arg(long)]
    trace: bool,
}

#[derive(Default)]
struct Tally {
    histories: AtomicU64,
    steps: AtomicU64,
    found: Mutex<Vec<(History, Violation)>>,
    broken: Mutex<Option<Broken>>,
}

/// Plays them. Gives what to print, and whether every promise was kept.
///
/// # Errors
/// The search itself could not go on.
pub(crate) fn search(options: &Options) -> Result<(String, bool), Box<dyn std::error::Error>> {
    let dir = scratch()?;
    let result = if options.trace { trace(options, &dir) } else { search_in(options, &dir) };
    std::fs::remove_dir_all(&dir)?;
    Ok(result?)
}

/// A place for state files; in memory where there is one.
fn scratch() -> std::io::Result<PathBuf> {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let dir = base.join(format!("privatelink-sim-rules-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

fn trace(options: &Options, dir: &std::path::Path) -> Result<(String, bool), Broken> {
    let history = History::drawn(options.seed);
    let outcome = play(&history, &mut Workshop::new(dir.to_owned())?, true)?;
    let mut text = format!("{history}\n");
    for line in &outcome.trace {
        let _ = writeln!(text, "{line}");
    }
    if let Some(violation) = &outcome.violation {
        text.push_str(&told(options.seed, &history, violation));
    }
    Ok((text, outcome.violation.is_none()))
}

#[expect(clippy::disallowed_methods, reason = "how long the search itself takes is no time of any host's")]
fn search_in(options: &Options, dir: &std::path::Path) -> Result<(String, bool), Broken> {
    let (began, tally) = (Instant::now(), Tally::default());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = if options.threads == 0 { cores } else { options.threads };
    std::thread::scope(|scope| {
        for n in 0..threads {
            let (tally, dir) = (&tally, dir.join(n.to_string()));
            scope.spawn(move || {
                if let Err(error) = work(options, (tally, began), dir) {
                    *tally.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            });
        }
    });
    if let Some(error) = tally.broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut found = tally.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(history, _)| history.seed);
    let (histories, steps) = (tally.histories.into_inner(), tally.steps.into_inner());
    let mut text = smallest(&found, options.as_found, dir)?;
    let took = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = steps as f64 / took.max(0.001);
    let _ = writeln!(
        text,
        "{histories} histories, {steps} steps, {rate:.0} steps a second, {took:.0} s, {} violations",
        found.len()
    );
    Ok((text, found.is_empty()))
}

fn work(options: &Options, (tally, began): (&Tally, Instant), dir: PathBuf) -> Result<(), Broken> {
    std::fs::create_dir_all(&dir)?;
    let mut workshop = Workshop::new(dir)?;
    let at_least = options.at_least.map(Duration::from_secs);
    loop {
        let n = tally.histories.fetch_add(1, Ordering::Relaxed);
        let enough = n >= options.histories && at_least.is_none_or(|least| began.elapsed() >= least);
        let found = tally.found.lock().unwrap_or_else(PoisonError::into_inner).len();
        let broken = tally.broken.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if enough || broken || found >= options.stop_after {
            tally.histories.fetch_sub(1, Ordering::Relaxed);
            return Ok(());
        }
        let history = History::drawn(options.seed + n);
        let outcome = play(&history, &mut workshop, false)?;
        tally.steps.fetch_add(outcome.steps, Ordering::Relaxed);
        if n % TWICE == 0 && play(&history, &mut workshop, false)? != outcome {
            return Err(Broken::Unlike(history.seed));
        }
        if let Some(violation) = outcome.violation {
            tally.found.lock().unwrap_or_else(PoisonError::into_inner).push((history, violation));
        }
    }
}

/// Of each broken promise the smallest histories.
fn smallest(found: &[(History, Violation)], as_found: bool, dir: &std::path::Path) -> Result<String, Broken> {
    let mut by_promise: BTreeMap<Promise, Vec<&(History, Violation)>> = BTreeMap::new();
    found.iter().for_each(|one| by_promise.entry(one.1.promise).or_default().push(one));
    let (mut workshop, mut text) = (Workshop::new(dir.to_owned())?, String::new());
    for (promise, mut all) in by_promise {
        let _ = writeln!(text, "{promise}: {} histories", all.len());
        all.sort_by_key(|(history, _)| (history.events.len(), history.seed));
        for (history, violation) in all.into_iter().take(TOLD) {
            let (small, what) = if as_found {
                (history.clone(), violation.clone())
            } else {
                shrink::shrink(history.clone(), violation.clone(), &mut workshop)?
            };
            text.push_str(&told(history.seed, &small, &what));
        }
    }
    Ok(text)
}

fn told(seed: u64, history: &History, violation: &Violation) -> String {
    let Violation { promise, at, text } = violation;
    format!("  seed {seed}: {history}\n    {promise}, at {}.{:03}: {text}\n", at / SECOND, at % SECOND)
}
