//! A stand-in for the cloud.

mod api;
mod names;
mod stamp;
mod state;
mod world;

pub use api::{Delivery, How, Reply, Request, answer};
pub use stamp::Stamp;
pub use state::{Call, State};
pub use world::{
    AccessKey, Api, DoorMode, Doors, Effect, Endpoint, Fault, Host, LastToken, Match, Names, OidcProvider, OidcToken,
    OneOrMany, Policy, Rcode, Role, Serve, Service, Session, Statement, Tokens, User, What, World, Zone,
};
