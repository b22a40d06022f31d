//! The only home of calls to the operating system.

pub mod clock;
