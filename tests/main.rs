//! Integration tests, one binary; a module a theme.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a helper that fails fails its test"
)]

mod observe_fixture;
mod observe_metrics;
mod observe_serve;
mod observe_status;
mod support;
