//! How large a terminal is.

use std::io::IsTerminal;
use std::os::fd::AsFd;

/// A terminal that is narrower breaks lines as it likes. None is wider than its kernel can say.
const NARROWEST: usize = 40;

/// The columns of a terminal, of which `COLUMNS` may say otherwise; `None` of what is no terminal, or does not tell.
#[must_use]
pub fn width(stream: &(impl AsFd + IsTerminal)) -> Option<usize> {
    let asked = size(stream)?.0;
    let said = std::env::var("COLUMNS").ok().and_then(|said| said.parse().ok());
    let width = said.filter(|width| *width > 0).unwrap_or(asked);
    (width > 0).then_some(width.clamp(NARROWEST, u16::MAX.into()))
}

/// The rows of a terminal.
#[must_use]
pub fn height(stream: &(impl AsFd + IsTerminal)) -> Option<usize> {
    size(stream).map(|(_, rows)| rows).filter(|rows| *rows > 0)
}

/// Columns and rows of a terminal, 0 of one that does not tell; `None` of what is no terminal.
fn size(stream: &(impl AsFd + IsTerminal)) -> Option<(usize, usize)> {
    if !stream.is_terminal() {
        return None;
    }
    Some(rustix::termios::tcgetwinsize(stream).map_or((0, 0), |size| (size.ws_col.into(), size.ws_row.into())))
}
