//! Alibaba Cloud, as a client of it.
//!
//! [`credentials`] finds out who we are, [`sign`] proves it, [`openapi`] makes one call and says what its failure
//! means, over [`http`] and with addresses from [`resolve`]; [`privatelink`] gives the calls their types. [`metadata`]
//! says where we are.
//!
//! Everything in here that judges is pure and tested without a runtime: signing, reading replies and profiles, whether
//! to try again, when keys are replaced. This room knows neither health nor publishing, and nothing of it goes through
//! `/etc/hosts`: what we publish must not come back to us as an input.

pub mod credentials;
pub mod http;
pub mod metadata;
pub mod openapi;
pub mod privatelink;
pub mod reply;
pub mod resolve;
pub mod sign;
mod tls;
