//! Asks the running agent over its socket.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::exit::{Exit, Failed, io_exit};
use crate::model::shown::escaped;
use crate::observe::status::StatusReport;

/// An agent that lives answers at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// Far more than any report.
const LARGEST: u64 = 64 << 20;

/// What the agent knows, and the bytes of its answer.
pub(super) fn ask_agent(socket: &Path) -> Result<(StatusReport, Vec<u8>), Failed> {
    let path = socket.display();
    let silent = |e| io_exit(&e, Exit::Unavailable).because(format!("no agent answers on {path}"))(e);
    let bytes = ask(socket).map_err(silent)?;
    let foreign = Exit::Unavailable.because(format!("the agent on {path} speaks another version"));
    // It repeats what it found.
    let report = serde_json::from_slice(&bytes).map_err(|e| foreign(anyhow::anyhow!(escaped(&e.to_string()))))?;
    Ok((report, bytes))
}

fn ask(socket: &Path) -> io::Result<Vec<u8>> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut bytes = Vec::new();
    stream.take(LARGEST).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection without an answer"));
    }
    Ok(bytes)
}
