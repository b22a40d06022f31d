//! Printing: to stdout for answers, to stderr for complaints. A reader that went away is not our fault.
//!
//! What agents, servers and the cloud said is in both, so that both are escaped here, whatever was done before; but for
//! JSON, and for pages, of which each cell is escaped and the rest is colours of ours.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use super::exit::{Exit, Failed};
use crate::config::Complaints;
use crate::model::shown::escaped_lines;
use crate::observe::text_table::count;

/// Text or JSON.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Output {
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl Output {
    /// Prints an answer: as JSON if that is wanted, else as text.
    pub(super) fn print(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failed> {
        if self.json { json(value) } else { answer(&text()) }
    }

    /// The same with a page; it is told whether colours are wanted.
    pub(super) fn print_page(self, value: &impl Serialize, text: impl FnOnce(bool) -> String) -> Result<(), Failed> {
        if self.json { json(value) } else { page(&text(color())) }
    }
}

/// Prints an answer.
pub(super) fn answer(text: &str) -> Result<(), Failed> {
    print(escaped_lines(text).as_bytes())
}

/// Prints what [`Page`](crate::observe::text_table::Page) made.
pub(super) fn page(text: &str) -> Result<(), Failed> {
    print(text.as_bytes())
}

/// Prints bytes as they are: for what is made for machines.
pub(super) fn print(bytes: &[u8]) -> Result<(), Failed> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Exit::Internal.because("can't print")),
    }
}

/// Prints an answer as JSON, on several lines.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failed> {
    let mut text = serde_json::to_string_pretty(value).map_err(|e| Failed::new(Exit::Internal, e))?;
    text.push('\n');
    print(text.as_bytes())
}

/// Prints to stderr.
pub(super) fn complain(text: &str) {
    // Nowhere is left to say that stderr is gone.
    let _ = io::stderr().lock().write_all(escaped_lines(text).as_bytes());
}

/// Prints a line of this program's own to stderr.
pub(super) fn note(text: impl fmt::Display) {
    complain(&format!("privatelinkd: {text}\n"));
}

/// Colours only on a terminal, and only if NO_COLOR is not set (no-color.org).
pub(super) fn color() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Prints what is wrong with a config that can't be used, which ends the command.
pub(super) fn refuse_config(complaints: Complaints) -> Failed {
    complain(&complaints.to_string());
    Failed::new(Exit::Config, anyhow::anyhow!("the config can't be used: {}", count_of(&complaints)))
}

/// "1 complaint", "2 complaints".
pub(super) fn count_of(complaints: &Complaints) -> String {
    count(complaints.complaints.len() + complaints.omitted, "complaint")
}
