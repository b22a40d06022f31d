//! A stand-in for the cloud: the PrivateLink API, STS, metadata, DNS and the ENIs of a small VPC, on loopback.
//!
//! A [`World`] declares what there is and what is wrong with it, [`answer`] says what the services answer, and thin
//! listeners serve it. [`Cloud`] is all of it, to be changed by the closure that [`Cloud::world`] runs, or as JSON over
//! its control address (`GET /control` there lists how).
//!
//! ```no_run
//! # use privatelink_sim::cloud::{Cloud, Fault, Service, What, World};
//! # async fn test() -> std::io::Result<()> {
//! let cloud = Cloud::start().await?;
//! let api = format!("http://{}", cloud.addresses().privatelink);
//! cloud.fault(Fault::new(What::throttle(Some(500))).service(Service::Privatelink).times(3));
//! // … the agent, with World::KEY, at `api` …
//! let throttled = cloud.calls().iter().filter(|call| call.outcome == "Throttling.User").count();
//! let ledger = World::LEDGER;
//! cloud.world(|world| world.zone_mut(ledger, "cn-hangzhou-h").map(|zone| zone.status = "Disconnected".into())).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A zone's [`Zone::serve`] says what answers at its ENI; where it is none, the address is free for a server of the
//! test's own.

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
pub use listen::enis::Counts;
pub use stamp::Stamp;
pub use state::{Call, State};
pub use world::{
    AccessKey, Api, Certificate, Certificates, Databases, DoorMode, Doors, Effect, Endpoint, Fault, Host, LastToken,
    Match, Names, OidcProvider, OidcToken, OneOrMany, Policy, Rcode, Role, Serve, Service, Session, Statement, Tokens,
    User, What, World, Zone,
};

#[cfg(test)]
mod tests;
