//! A stand-in for the cloud: the PrivateLink API, STS, metadata, DNS and the ENIs of a small VPC, on loopback.
//!
//! A [`World`] declares what there is and what is wrong with it, [`answer`] says what the services answer, and thin
//! listeners serve it. [`Cloud`] is all of it, to be changed by the closure that [`Cloud::world`] runs, or as JSON over
//! its control address (`GET /control` there lists how).

mod addresses;
mod api;
mod control;
mod handle;
mod listen;
mod merge;
mod names;
mod running;
mod stamp;
mod state;
mod world;

pub use addresses::Addresses;
pub use api::{Delivery, How, Reply, Request, answer};
pub use handle::{Cloud, Credentials};
pub use stamp::Stamp;
pub use state::{Call, State};
pub use world::{
    AccessKey, Api, DoorMode, Doors, Effect, Endpoint, Fault, Host, LastToken, Match, Names, OidcProvider, OidcToken,
    OneOrMany, Policy, Rcode, Role, Serve, Service, Session, Statement, Tokens, User, What, World, Zone,
};

#[cfg(test)]
mod tests;
