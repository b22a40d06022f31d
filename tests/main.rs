//! Integration tests, one binary; a module a theme.

mod config_files;
mod config_fuzz;
mod support;
