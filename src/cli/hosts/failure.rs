//! How a command about the hosts file ends that could not do its work.

use super::super::exit::{Exit, Failed};
use crate::publish::hosts::ReadError;
use crate::publish::hosts::file::FileError;
use crate::publish::hosts::inspect::InspectError;

pub(in crate::cli) fn failed(error: InspectError) -> Failed {
    let denied = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source())
        .filter_map(|e| e.downcast_ref::<std::io::Error>())
        .any(|e| e.kind() == std::io::ErrorKind::PermissionDenied);
    let exit = match &error {
        _ if denied => Exit::Permission,
        InspectError::Nothing { .. } => Exit::Unavailable,
        InspectError::File(FileError::Io { .. }) | InspectError::Io { .. } => Exit::Internal,
        InspectError::File(_)
        | InspectError::Handover(_)
        | InspectError::Foreign { .. }
        | InspectError::Markers { .. } => Exit::No,
    };
    match error {
        InspectError::Handover(ReadError::Unfit(what)) => {
            Failed::new(exit, anyhow::anyhow!("{what}; the agent writes it anew when it starts"))
        }
        error => Failed::new(exit, error),
    }
}
