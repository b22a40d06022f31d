//! Which addresses does each endpoint have? Sources answer, the runner asks them and merges what they say into the
//! [`Inventory`](crate::model::Inventory), and the cache keeps the last known good on disk for bad days.
//!
//! A failing source goes stale; it never takes an address away (B1). This room knows nothing of health or publishing.

mod api;
mod cache;
mod dns;
mod fold;
mod keeper;
mod lookup_pool;
mod merge;
mod news;
mod rebase;
pub mod rounds;
mod runner;
pub mod schedule;
mod sieve;
mod source;

pub use api::{Api, from_records, in_list};
pub use cache::{Cache, Cached, Content, Memory, judge};
pub use dns::Lookups;
pub use fold::{Folded, fold, recalled};
pub use lookup_pool::{LookupPool, SOCKETS};
pub use merge::{Round, drop_former, merge, next_expiry};
pub use rebase::{Epoch, Rebase};
pub use runner::{Runner, Setup};
pub use source::{FoundZone, SourceAnswer, SourceError, Wanted};
