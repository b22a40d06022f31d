//! Where records end.

use std::io::{self, Write};

use super::record::Record;
use super::style::Style;

/// Where the log thread puts records. It may block.
pub trait Sink: Send + 'static {
    /// Puts one away.
    ///
    /// # Errors
    /// It is lost.
    fn put(&mut self, record: &Record) -> io::Result<()>;
}

/// Lines of text.
#[derive(Debug)]
pub struct Lines<W> {
    /// How they look.
    pub style: Style,
    /// Where they go; each is flushed.
    pub to: W,
}

impl<W: Write + Send + 'static> Sink for Lines<W> {
    fn put(&mut self, record: &Record) -> io::Result<()> {
        self.to.write_all(self.style.line(record).as_bytes())?;
        self.to.flush()
    }
}
