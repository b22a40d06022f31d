//! Composition root
pub mod steering;
