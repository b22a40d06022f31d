//! Files with credentials in them.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::recipe::WhyNot;
use crate::sys::regular_file;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 256 * 1024;
/// The bit of a mode that lets every user write.
const OTHERS_WRITE: u32 = 0o002;

/// All of a file, on a thread that may block.
pub(super) async fn bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, WhyNot> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read(&owned)).await;
    read.unwrap_or_else(|stopped| Err(io::Error::other(stopped))).map_err(|error| {
        let missing = error.kind() == io::ErrorKind::NotFound;
        let reason = if missing { "no such file".to_owned() } else { error.to_string() };
        WhyNot::File { path: path.to_owned(), reason }
    })
}

/// The same as text.
pub(super) async fn text(path: &Path) -> Result<Zeroizing<String>, WhyNot> {
    let bytes = bytes(path).await?;
    let text = std::str::from_utf8(&bytes).map(|text| Zeroizing::new(text.to_owned()));
    let reason = || "expected UTF-8, found something else".to_owned();
    text.map_err(|_| WhyNot::File { path: path.to_owned(), reason: reason() })
}

/// The first of several files that exists.
pub(super) async fn first(paths: &[PathBuf]) -> Result<Zeroizing<String>, WhyNot> {
    let mut missing = WhyNot::NotSet("a credentials file");
    for path in paths {
        match text(path).await {
            Ok(text) => return Ok(text),
            Err(WhyNot::File { path, reason }) if reason == "no such file" => missing = WhyNot::File { path, reason },
            Err(why) => return Err(why),
        }
    }
    Err(missing)
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let (file, status) = regular_file::open(path)?;
    // The writer of the credentials decides which account we ask, and so what names point at.
    if status.mode() & OTHERS_WRITE != 0 {
        let why = format!("expected a file that others can't write, found mode {:04o}", status.mode() & 0o7777);
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(status.len().min(LARGEST)).unwrap_or(0) + 1));
    regular_file::read_into(&mut bytes, &file, LARGEST)?;
    Ok(bytes)
}
