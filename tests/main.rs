//! Integration tests, one binary; a module a theme.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking, helpers too")]

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on fails; helpers of tests are no #[test] to clippy"
)]

mod architecture;
mod probe_fuzz;
mod probe_https;
mod probe_tcp;
mod races;
    clippy::print_stdout,
    reason = "a helper that fails fails its test"
)]

mod observe_fixture;
mod observe_metrics;
mod observe_serve;
mod observe_status;
mod config_files;
mod config_fuzz;
mod support;
