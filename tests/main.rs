//! Integration tests, one binary; a module a theme.

mod architecture;
mod support;
