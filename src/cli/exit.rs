//! How a command ends.

use std::process::ExitCode;

/// How a command ends (sysexits.h where there is a word for it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Fine = 0,
    No = 1,
    Usage = 2,
    Unavailable = 69,
    Internal = 70,
    Permission = 77,
    Config = 78,
}

impl Exit {
    /// What each code means, for `--help` and the manual.
    pub(super) const MEANINGS: [(u8, &str); 7] = [
        (Self::Fine as u8, "fine"),
        (Self::No as u8, "the answer is no"),
        (Self::Usage as u8, "the command line is wrong"),
        (Self::Unavailable as u8, "whoever was asked does not answer"),
        (Self::Internal as u8, "a fault of privatelinkd itself"),
        (Self::Permission as u8, "permission is missing"),
        (Self::Config as u8, "the configuration is wrong"),
    ];

    /// How a command of ours that ran elsewhere ended.
    pub(super) fn from_code(code: i32) -> Self {
        let all =
            [Self::Fine, Self::No, Self::Usage, Self::Unavailable, Self::Internal, Self::Permission, Self::Config];
        all.into_iter().find(|exit| *exit as i32 == code).unwrap_or(Self::Internal)
    }

    /// Why a command ends so: an error, and what it kept from being done.
    pub(super) fn because<E: Into<anyhow::Error>>(self, undone: impl Into<String>) -> impl FnOnce(E) -> Failed {
        let undone = undone.into();
        move |error| Failed::new(self, error.into().context(undone))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// All codes in a sentence.
pub(super) fn help() -> String {
    let codes = Exit::MEANINGS.map(|(code, meaning)| format!("{code} {meaning}"));
    format!("Exit codes: {}.", codes.join(", "))
}

/// Why a command could not answer.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) exit: Exit,
    pub(super) error: anyhow::Error,
}

impl Failed {
    pub(super) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }
}

/// The exit code of an I/O error: a permission problem has one of its own.
pub(super) fn io_exit(error: &std::io::Error, otherwise: Exit) -> Exit {
    if error.kind() == std::io::ErrorKind::PermissionDenied { Exit::Permission } else { otherwise }
}
