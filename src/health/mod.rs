//! Is a target up? The fold of observations into up and down: pure, one [`Tracker`] for each (target, check).
//!
//! A prober says one thing a probe; this room alone owns thresholds and history. It knows no runtime and no clock:
//! time comes in with each call, and what to do next goes out as a [`Step`].
//!
//! - From unknown one success is up; `fall` failures in a row, or a leaky counter that a lossy link fills, are down;
//!   `rise` successes in a row are up again, one of the deep check.
//! - Down is *decided* while the latest `fall` failures are of the kind that another address mends. `fall` later ones
//!   of another kind (a refused password) end that without a success, of a login that met the path alone until then the
//!   first.
//! - Who comes back stays on hold. Each departure within an hour of the latest return doubles the next hold, up to five
//!   minutes, and an hour of clean time halves it; a penalty for each departure decays, and keeps who has earned too
//!   much of it on hold until it has. A probe begins as a hold ends, and its success is what ends it. While down and
//!   answering, and in the first seconds up again, probes follow each other fast; a login that failed is tried again
//!   after twice the time before.
//! - Results count in the order in which their probes began. A fault of our own is no result.
//! - A success after failures, and each step down, makes the siblings prove themselves: [`Signal::calls_for_sibling`].

mod flaps;
mod load;
mod loss;
mod pace;
mod relevance;
mod result_history;
pub mod slow;
mod tracker;

pub use pace::{Pace, Sparing};
pub use relevance::Relevance;
pub use tracker::{Next, Rules, Signal, Step, Tracker};
