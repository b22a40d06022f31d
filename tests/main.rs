//! Integration tests, one binary; a module a theme.

mod probe_fuzz;
mod probe_https;
mod probe_tcp;
mod races;
mod support;
