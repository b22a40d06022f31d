//! Publishing to the hosts file.
//!
//! ```text
//! agent:   plan ─► handover (plan.json, alive)              receipts ◄─ receipt.json
//!                      │                                                    ▲
//! writer:              └─► policy (admit) ─► writer::core ─► block (splice) ─► file (replace, settle) ─► merge
//!                              ▲
//! config ─► writer::FromConfig ┘
//! ```
//!
//! [`block`], [`adopt`](mod@adopt), [`merge`], [`shadow`] and [`policy`] are pure, as is the [`writer`]'s core;
//! [`file`](mod@file) touches one file and its folder; [`handover`] is the boundary between two processes, each of
//! which distrusts the other.

pub mod adopt;
pub mod block;
mod cloud_init;
pub mod file;
pub mod handover;
pub mod inspect;
pub mod life_file;
pub mod merge;
pub mod policy;
pub mod publisher;
pub mod receipts;
pub mod removed;
pub mod shadow;
pub mod unadopt;
mod untrusted_file;
pub mod writer;

pub use policy::HostsPolicy;
pub use untrusted_file::ReadError;
