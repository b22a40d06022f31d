//! privatelinkd (placeholder, written at the end)
#![deny(unsafe_code)]
pub mod agent;
pub mod cli;
pub mod config;
pub mod discover;
pub mod health;
pub mod model;
pub mod observe;
pub mod probe;
pub mod publish;
pub mod steer;
pub mod sys;
