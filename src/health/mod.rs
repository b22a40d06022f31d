//! Is a target up? The fold of observations into up and down: pure, one [`Tracker`] for each (target, check).
//!
//! A prober says one thing a probe; this room alone owns thresholds and history. It knows no runtime and no clock:
//! time comes in with each call, and what to do next goes out as a [`Step`].

mod bearing;
mod fold;
mod load;
mod loss;
mod pace;
pub mod slow;
mod tracker;

pub use bearing::Bearing;
pub use pace::{Pace, Sparing};
pub use tracker::{Next, Rules, Signal, Step, Tracker};
