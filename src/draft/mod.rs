//! A first config, drafted of what the API tells of a VPC's endpoints and of what their ports say.
//!
//! [`survey`] asks the API, [`port_scan`] the ports. What they bring home is a [`EndpointFindings`] of each endpoint;
//! from there on all is pure: [`recognise`] guesses what the service is and says how sure that is, [`label`] makes a
//! name of what people call it, [`text`](mod@text) writes TOML. Values in it are of closed types; everything that
//! others wrote goes into comments, from where it can't break out.

pub mod findings;
pub mod label;
pub mod port_scan;
pub mod recognise;
pub mod survey;
pub mod text;

pub use findings::{EndpointFindings, Gateway, Greeting, HttpReply, PortReply, Ports};
pub use recognise::{Certainty, Kind, Recognised};
pub use text::{Draft, Drafted, Place};
