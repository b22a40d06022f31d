//! Is a target up? The fold of observations into up and down: pure, one [`Tracker`] for each (target, check).
//!
//! A prober says one thing a probe; this room alone owns thresholds and history. It knows no runtime and no clock:
//! time comes in with each call, and what to do next goes out as a [`Step`].
//!
//! - From unknown one success is up; `fall` failures in a row, or a leaky counter that a lossy link fills, are down;
//!   `rise` successes in a row are up again, one of the deep check.
//! - Down is *decided* while the latest `fall` failures are of the kind that another address mends. `fall` later ones of
//!   another kind (a refused password) end that without a success.
//! - Results count in the order in which their probes began. A fault of our own is no result.
//! - A success after failures, and each step down, makes the siblings prove themselves: [`Signal::concerns`].

mod bearing;
mod fold;
mod load;
mod pace;
mod tracker;

pub use bearing::Bearing;
pub use pace::{Pace, Sparing};
pub use tracker::{Next, Rules, Signal, Step, Tracker};
