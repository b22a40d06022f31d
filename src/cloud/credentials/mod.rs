//! Who we are to the cloud: keys, and where they come from.

pub mod reply;
