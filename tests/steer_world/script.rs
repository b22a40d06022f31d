//! What a history says, line by line.

use privatelinkd::model::{AnswerReason, FailureReason};

/// One line.
pub(super) struct Line {
    /// In milliseconds.
    pub(super) from: u64,
    until: Option<u64>,
    pub(super) said: Said,
}

pub(super) enum Said {
    Happens(What, String),
    Expected(String, Option<AnswerReason>),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    Path(Option<FailureReason>),
    Login(Option<FailureReason>),
    Well,
    Drained(bool),
    Retired(bool),
    Cut,
    Back,
    Restart,
}

impl Line {
    pub(super) fn until(&self) -> u64 {
        self.until.unwrap_or(self.from)
    }

    pub(super) fn expected(&self) -> Option<(&str, Option<AnswerReason>)> {
        match &self.said {
            Said::Expected(letters, reason) => Some((letters, *reason)),
            Said::Happens(..) => None,
        }
    }
}

/// Things are separated by line ends or semicolons.
pub(super) fn read(history: &str) -> Vec<Line> {
    history.split(['\n', ';']).map(str::trim).filter(|l| !l.is_empty()).map(line).collect()
}

fn line(text: &str) -> Line {
    let words: Vec<_> = text.split_whitespace().collect();
    let (from, until) = words[0].split_once('-').map_or((words[0], None), |(from, until)| (from, Some(until)));
    let said = match words[1..] {
        ["=", letters] => Said::Expected(letters.to_owned(), None),
        ["=", letters, reason] => Said::Expected(letters.to_owned(), Some(super::reason(reason))),
        [who, what] => Said::Happens(word(what), who.to_owned()),
        _ => panic!("no sense in {text:?}"),
    };
    Line { from: millis(from), until: until.map(millis), said }
}

fn millis(secs: &str) -> u64 {
    (secs.parse::<f64>().unwrap() * 1000.0) as u64
}

fn word(what: &str) -> What {
    use FailureReason::{Auth, BackendDown, Local, NotAllowed, Overloaded, Refused, Timeout};
    match what {
        "well" => What::Well,
        "silent" => What::Path(Some(Timeout)),
        "refused" => What::Path(Some(Refused)),
        "full" => What::Path(Some(Overloaded)),
        "local" => What::Path(Some(Local)),
        "connects" => What::Path(None),
        "auth" => What::Login(Some(Auth)),
        "not_allowed" => What::Login(Some(NotAllowed)),
        "overloaded" => What::Login(Some(Overloaded)),
        "backend_down" => What::Login(Some(BackendDown)),
        "login" => What::Login(None),
        "drained" => What::Drained(true),
        "undrained" => What::Drained(false),
        "retired" => What::Retired(true),
        "given" => What::Retired(false),
        "cut" => What::Cut,
        "back" => What::Back,
        "restart" => What::Restart,
        other => panic!("no sense in {other:?}"),
    }
}
