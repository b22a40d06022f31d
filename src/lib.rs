//! privatelinkd keeps names pointing at healthy PrivateLink endpoint addresses.
//!
//! An application on an Alibaba Cloud ECS host talks to a database through a PrivateLink interface endpoint, which has
//! one private address in each zone. This agent knows those addresses, proves for each that the service behind it
//! answers, keeps the names in `/etc/hosts` pointing only at addresses that work, and tells what it saw.
//!
//! # One direction, few stages
//!
//! ```text
//!   host facts ─┐       ┌────────── Arc<Inventory> (watch) ───────────┐
//!               │       │                                             ▼
//!               └► discover                   previous plan, now ─► steer ─ PlanState (watch) ─► publish ─► /etc/hosts
//!                       │                                             ▲  │                          │
//!                       └─► probe: one task a target, each owning ────┘  └─ ask ► discover          │ Receipts (watch)
//!                           its tracker (health); Arc<HealthView> (watch)                           ▼
//!   observe ◄── read-only receivers of everything above; it holds no sender, ever
//! ```
//!
//! Stages are verbs, the vocabulary ([`model`]) is nouns, arrows point one way. Three think and never touch the world:
//! [`health`], [`steer`] and every renderer. Three touch the world and never think: [`discover`], [`probe`] and
//! [`publish`]. One watches and may not speak: [`observe`]. One room wires them: [`agent`].
//!
//! There is no cycle in the world either: probes dial addresses of the inventory and carry the name only as SNI and
//! `Host`, so that what we publish never comes back to us as an input.
//!
//! What a person wants to see before, or beside, a running agent stands apart: `agent::oneshot` does the agent's work
//! once, [`preview`] shows what came of it, and [`draft`] writes a first config of what a VPC has.
//!
//! # Where to start reading
//!
//! [`steer`] holds the promise that matters most: no answer ever becomes empty, and an address leaves an answer only
//! when another one has proved itself since. [`health`] decides what is up, [`publish::hosts`] how a file that others
//! own is changed without losing a byte. `tests/races.rs` holds the first two to their promise on paused time,
//! `tests/architecture.rs` all of us to the arrows above and to the promises below, which comments cite by number.

#![doc = include_str!("promises.md")]
#![deny(unsafe_code)]

pub mod agent;
pub mod cli;
pub mod cloud;
pub mod config;
pub mod daemon;
pub mod discover;
pub mod draft;
pub mod health;
pub mod model;
pub mod observe;
pub mod preview;
pub mod probe;
pub mod publish;
pub mod route;
pub mod steer;
pub mod sys;
