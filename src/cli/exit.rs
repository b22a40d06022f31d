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
