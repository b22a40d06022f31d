//! Integration tests, one binary; a module a theme.

mod hosts_file;
mod hosts_fuzz;
mod hosts_writer;
mod support;
