//! The only home of calls to the operating system.

pub mod atomic_file;
pub mod clock;
pub mod dir_watch;
