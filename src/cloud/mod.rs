//! Alibaba Cloud, as a client of it.
//!
//! [`sign`] proves who asks. Everything in here that judges is pure and tested without a runtime; this room knows
//! neither health nor publishing.

pub mod sign;
