//! Printing: to stdout for answers, to stderr for complaints. A reader that went away is not our fault.
//!
//! What agents, servers and the cloud said is in both, so that both are escaped here, whatever was done before; but for
//! JSON, and for pages, of which each cell is escaped and the rest is colours of ours.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use super::exit::{Exit, Failed};
use crate::config::{Complaint, Complaints, Severity};
use crate::model::shown::{complaint_in_a_line, escaped, escaped_lines, hanging};
use crate::observe::status::Screen;
use crate::observe::text_table::count;
use crate::sys::log_queue::stderr_is_the_journal;
use crate::sys::terminal;

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

    /// The same with a page; it is told what it is shown on.
    pub(super) fn print_page(self, value: &impl Serialize, text: impl FnOnce(Screen) -> String) -> Result<(), Failed> {
        if self.json { json(value) } else { page(&text(screen())) }
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

/// Prints to stderr; on a terminal lines are broken between words.
pub(super) fn complain(text: &str) {
    let (stream, mut text) = (io::stderr(), escaped_lines(text));
    if let Some(width) = terminal::width(&stream) {
        text = text.lines().flat_map(|line| hanging(line, width)).map(|line| line + "\n").collect();
    }
    // Nowhere is left to say that stderr is gone.
    let _ = stream.lock().write_all(text.as_bytes());
}

/// Prints a line of this program's own to stderr.
pub(super) fn note(text: impl fmt::Display) {
    complain(&format!("privatelinkd: {text}\n"));
}

/// Prints why a command could not do its work: in the journal one entry of its priority.
pub(super) fn fail(error: &anyhow::Error) {
    if stderr_is_the_journal() {
        entry(Severity::Error, &format!("{error:#}"));
    } else {
        note(format_args!("{error:#}"));
    }
}

/// An entry of the journal, whose reader takes the priority from the prefix (sd-daemon(3)).
fn entry(severity: Severity, text: &str) {
    let priority = match severity {
        Severity::Error => 3,
        Severity::Warning => 4,
    };
    complain(&format!("<{priority}>{}\n", escaped(text)));
}

/// What an answer is shown on: colours only on a terminal, and only if NO_COLOR is not set (no-color.org).
pub(super) fn screen() -> Screen {
    let stream = io::stdout();
    let color = stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    Screen { color, width: terminal::width(&stream) }
}

/// Prints complaints about a config: for people each with its line, for the journal an entry each.
pub(super) fn complain_of(complaints: &[Complaint], omitted: usize) {
    if stderr_is_the_journal() {
        complaints.iter().for_each(|c| entry(c.severity, &complaint_in_a_line(&c.to_string())));
    } else {
        let all = Complaints { complaints: complaints.to_vec(), omitted };
        complain(&match terminal::width(&io::stderr()) {
            Some(width) => format!("{all:width$}"),
            None => all.to_string(),
        });
    }
}

/// Prints what is wrong with a config that can't be used, which ends the command.
pub(super) fn refuse_config(complaints: Complaints) -> Failed {
    let mut why = format!("the config can't be used: {}", count_of(&complaints));
    if stderr_is_the_journal() {
        // One entry, which says where to look; `check` tells the others.
        why.extend(
            complaints.first_error().map(|first| format!(", the first: {}", complaint_in_a_line(&first.to_string()))),
        );
    } else {
        complain_of(&complaints.complaints, complaints.omitted);
    }
    Failed::new(Exit::Config, anyhow::anyhow!(why))
}

/// "1 complaint", "2 complaints".
pub(super) fn count_of(complaints: &Complaints) -> String {
    count(complaints.complaints.len() + complaints.omitted, "complaint")
}
