//! privatelinkd (placeholder, written at the end)
#![deny(unsafe_code)]
pub mod config;
pub mod health;
pub mod model;
pub mod probe;
pub mod steer;
pub mod sys;
