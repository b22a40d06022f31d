//! privatelinkd (placeholder, written at the end)
#![deny(unsafe_code)]
pub mod config;
pub mod model;
pub mod publish;
pub mod sys;
