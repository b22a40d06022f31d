//! Alibaba Cloud, as a client of it.
//!
//! [`sign`] proves who asks, [`openapi`] makes one call and says what its failure means, over [`http`] and with
//! addresses from [`resolve`]; [`privatelink`] gives the calls their types. [`metadata`] says where we are. Everything in here that judges is pure and tested without a runtime; this room knows
//! neither health nor publishing.

pub mod credentials;
pub mod http;
pub mod metadata;
pub mod openapi;
pub mod privatelink;
pub mod reply;
pub mod resolve;
pub mod sign;
mod tls;
