//! Integration tests, one binary; a module a theme.

mod observe_fixture;
mod observe_metrics;
mod observe_serve;
mod observe_status;
mod support;
