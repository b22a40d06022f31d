//! A first config, drafted of what the API tells of a VPC's endpoints and of what their ports say.
//!
//! [`survey`] asks the API, [`look`] the ports. What they bring home is a [`Sight`] of each endpoint; from there on all
//! is pure: [`recognise`] guesses what the service is and says how sure that is, [`label`] makes a name of what people
//! call it, [`text`](mod@text) writes TOML. Values in it are of closed types; everything that somebody else wrote goes
//! into comments, from where it can't break out.

pub mod label;
pub mod look;
pub mod recognise;
pub mod sight;
pub mod survey;
pub mod text;

pub use recognise::{Certainty, Kind, Recognised};
pub use sight::{Answer, Gateway, Greeting, Heard, Ports, Sight};
pub use text::{Draft, Drafted, Place, Reach};
