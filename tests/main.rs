//! Integration tests, one binary; a module a theme.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking, helpers too")]

mod probe_fuzz;
mod probe_https;
mod probe_tcp;
mod support;
