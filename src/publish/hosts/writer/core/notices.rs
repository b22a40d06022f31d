//! What happened to the hosts file that people should know of, in a sentence each.

use std::collections::VecDeque;

use super::job::{Asserted, SettleReport};
use crate::model::shown::count;
use crate::model::{Notice, Wall, shown, taken_out};
use crate::publish::hosts::adopt::TakenOver;
use crate::publish::hosts::file::{Change, LateEdit};

/// So many are told, the latest.
const MOST: usize = 8;

/// Told again once it is none of the latest any more.
const IN_PLACE: &str = "the file is written in place, as `hosts.in_place` says: it is a mount point, has more than one \
                        name, or is always to be";
/// So many numbers of lines at most are given.
const MOST_LINES: usize = 6;
/// What gives lines of others back.
const UNADOPT: &str = "privatelinkd hosts unadopt";

fn in_words(lines: &[usize]) -> String {
    let told: Vec<String> = lines.iter().take(MOST_LINES).map(ToString::to_string).collect();
    let more = lines.len().saturating_sub(MOST_LINES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} {}{more}", if lines.len() == 1 { "line" } else { "lines" }, told.join(", "))
}

/// The latest, in the order in which they happened.
#[derive(Debug, Default)]
pub(super) struct Notices(VecDeque<Notice>);

impl Notices {
    pub(super) fn all(&self) -> Vec<Notice> {
        self.0.iter().cloned().collect()
    }

    /// What came of a look at the file.
    pub(super) fn asserted(&mut self, asserted: &Asserted, at: Wall) {
        if let Some(lines) = asserted.gathered {
            let what = "markers of our block were gone, or stood elsewhere than its lines";
            let new = if asserted.own.is_empty() { "" } else { "; a new block stands at the end" };
            self.push(format!("{what}; lines of ours that were taken out: {lines}{new}"), at);
        }
        if asserted.change == Change::Overwritten && !self.0.iter().any(|notice| notice.what == IN_PLACE) {
            self.push(IN_PLACE.to_owned(), at);
        }
        self.folded(&asserted.folded, at);
        let TakenOver { lines, left, .. } = &asserted.taken;
        if !lines.is_empty() {
            let what = format!("names of ours were taken out of {}", in_words(lines));
            self.push(format!("{what}, which others wrote; `{UNADOPT}` gives them back"), at);
            asserted.rewriters.iter().for_each(|who| self.push(who.clone(), at));
            if *left > 0 {
                let what = format!("names of ours stay in {} of others", count(*left, "line"));
                self.push(format!("{what}: too many are taken over already"), at);
            }
        }
    }

    /// The policy does not take names out of lines of others any more.
    pub(super) fn adopts_no_more(&mut self, at: Wall) {
        let what = "hosts.adopt is off now, and lines that it took names out of stay as they are";
        self.push(format!("{what}; `{UNADOPT}` gives them back"), at);
    }

    /// What came of a look at the displaced files.
    pub(super) fn settled(&mut self, report: &SettleReport, at: Wall) {
        self.folded(&report.folded, at);
        report.given_up.iter().for_each(|what| self.push(what.clone(), at));
        if report.cut_off > 0 {
            let what = "somebody has had the file open for writing since before it was replaced a minute ago";
            self.push(format!("{what}: what he writes from now on is lost"), at);
        }
    }

    /// Root's order is another one now.
    pub(super) fn ordered(&mut self, removed_since: Option<Wall>, at: Wall) {
        let back = || "`hosts apply` has ended what `hosts remove` began: the block is put back".to_owned();
        self.push(removed_since.map_or_else(back, taken_out), at);
    }

    pub(super) fn folded(&mut self, edits: &[LateEdit], at: Wall) {
        for edit in edits {
            let what = "somebody edited the file while it was being replaced";
            self.push(
                match &edit.conflict {
                    None => format!("{what}: the edit is in it now"),
                    Some(saved) => format!(
                        "{what}, and others the same lines: it holds both now; his version is saved as {}{}",
                        saved.display(),
                        gave_way(edit.gave_way)
                    ),
                },
                at,
            );
        }
    }

    fn push(&mut self, what: String, at: Wall) {
        self.0.push_back(Notice { at, what });
        if self.0.len() > MOST {
            self.0.pop_front();
        }
    }
}

/// How many that were saved before had to go.
fn gave_way(count: usize) -> String {
    match count {
        0 => String::new(),
        n => format!("; {} that had been saved before had to go for it", shown::count(n, "version")),
    }
}
