//! Failures that several probers meet, with what they always say.

use std::fmt::Display;
use std::time::Duration;

use crate::model::{Failure, FailureReason};

/// This host, or this agent, is at fault: moves no name.
pub(super) fn local(detail: impl Display) -> Failure {
    Failure::new(FailureReason::Local, detail)
}

/// What is asked, or with what, can't be right at any address.
pub(super) fn misconfigured(detail: impl Display) -> Failure {
    Failure::new(FailureReason::Misconfigured, detail)
}

/// What the peer sent is not the protocol that was asked for.
pub(super) fn protocol(detail: impl Display) -> Failure {
    Failure::new(FailureReason::Protocol, detail)
}

/// Something that has not happened for as long as it is waited for: "`unfinished` after 2s".
pub(super) fn overdue(unfinished: &str, waited: Duration) -> Failure {
    let waited = humantime::format_duration(waited);
    Failure::new(FailureReason::Timeout, format_args!("{unfinished} after {waited}"))
}
