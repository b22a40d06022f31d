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
//! The config in force goes out by one watch. A stage that needs a part of it follows a projection of that
//! ([`sys::in_force`]), so that a reload wakes only those whom it concerns.
//!
//! There is no cycle in the world either: probes dial addresses of the inventory and carry the name only as SNI and
//! `Host`, so that what we publish never comes back to us as an input.
//!
//! What a person wants to see before, or beside, a running agent stands apart: `agent::oneshot` does the agent's work
//! once, [`preview`] shows what came of it, and [`draft`] writes a first config of what a VPC has. [`manual`] makes man
//! pages of the command line and of the keys of the config.
//!
//! # Two processes and the hand-over
//!
//! `privatelinkd run` ([`agent`]) faces the network and owns nothing but its state: it finds, probes and decides as a
//! user of its own. `privatelinkd hosts run` ([`daemon::hosts_writer`]) owns the hosts file and faces nothing: uid 0
//! without a capability and without a network. With `--all-in-one` both loops run in one process over the same files.
//!
//! They speak through files in `/run`, each written by one side and read by the other as something a stranger wrote:
//!
//! | file | written by | says |
//! |---|---|---|
//! | `privatelinkd/plan.json` | agent | the plan, with zones' own and withdrawn names; absence removes nothing |
//! | `privatelinkd/alive` | agent | that it lives: touched every 10 s |
//! | `privatelinkd-hosts/receipt.json` | hosts writer | what became of the plan, by name; touched every 5 s |
//!
//! Root orders by files in `/var/lib/privatelinkd-admin`, which count only if nobody else could have left them:
//! `hosts.removed` keeps the block out of the hosts file ([`publish::hosts::removed`]).
//!
//! The writer admits a name if its own configuration has it, and an address if it lies in `hosts.allowed_ranges`
//! ([`publish::hosts::policy`]). What it refuses keeps its last admitted answer. Each side keeps a last known good of
//! its own on disk: the agent its inventory and plan, the writer its block.
//!
//! # The stub and its route
//!
//! With `[dns] publish` the agent answers DNS queries for its names itself ([`publish::dns`]), from the answers that
//! the hosts writer would admit, on threads of their own. A third service (`privatelinkd route install`, [`route`])
//! tells the host's resolver to send just these names there, once the stub is seen to serve them; `route remove` takes
//! it back.
//!
//! # From an API reply to a hosts line
//!
//! 1. [`cloud::openapi`] signs and makes a call, [`cloud::privatelink`] parses the reply into records.
//! 2. [`discover`]: a source (`api`) makes of them what it found; `merge` folds that into the [`model::Inventory`] zone
//!    by zone, `keeper` and `cache` keep it on disk.
//! 3. [`probe`]: `target_set` makes a target of each address that may be probed, `runner` starts a `check_task` for
//!    each check; it asks a prober and folds what that saw into a [`health::Tracker`].
//! 4. The collector in `runner` puts the trackers' verdicts into one [`model::HealthView`].
//! 5. [`steer`] gathers the candidates of each name, chooses, gives the reason: a [`model::Plan`].
//! 6. [`publish`] hands the plan over; [`publish::hosts::writer`]'s core admits it, renders the block
//!    ([`publish::hosts::block`]), and `file` replaces the hosts file in one step; `merge` folds in what others wrote
//!    into the file that was replaced.
//! 7. The receipt comes back; [`observe`] shows everything, and what happened on the way as events.
//!
//! # The words
//!
//! | word | meaning |
//! |---|---|
//! | endpoint | a PrivateLink interface endpoint that the configuration names |
//! | zone | an availability zone in which it has a network interface; `unknown` if only its domain told the address |
//! | target | an address of an endpoint in a zone, with how it is probed |
//! | check | a kind of question to a target: `path` (connection, TLS, greeting) or `deep` (login, statement, result) |
//! | sibling | another target that a name of this one may lead to |
//! | inventory | all endpoints with zones, addresses, cloud status, and how fresh each source is |
//! | observation | what one attempt at a check saw, and from when to when |
//! | edge | from a target's first failure to its verdict: probes follow quickly |
//! | hold | how long a target that is up again waits before names return to it |
//! | candidate | an address that a name may lead to, as steering sees it |
//! | charge | what speaks against a candidate: a check that is decidedly down and goes on failing |
//! | answer | the addresses of a name, its standby addresses, and the reason |
//! | plan | the answers of all names; equal inputs give equal plans |
//! | retired | of an address: no source gives it any more; it stays until another one has proved itself |
//! | gone | of an endpoint: the cloud's API lacks it, twice |
//! | verdict | what a publisher says of a name: published, pending, shadowed, unreadable, refused … |
//! | receipt | what a publisher did with a plan |
//! | last known good | what is used after a start until something newer is known |
//! | event | a thing that happened, with its time: the source of log lines and of the history in `status` |
//!
//! # Where to start reading
//!
//! [`steer`] holds the promise that matters most: no answer ever becomes empty, and an address leaves an answer only
//! when another one has proved itself since. [`health`] decides what is up, [`publish::hosts`] how a file that others
//! own is changed without losing a byte. `tests/races.rs` holds the first two to their promise on paused time,
//! `tests/architecture.rs` all of us to the arrows above and to the promises below, which comments cite by number.

#![doc = include_str!("promises.md")]
#![doc = include_str!("recipes.md")]
#![doc = include_str!("threats.md")]
#![doc = include_str!("contributing.md")]
#![deny(unsafe_code)]

pub mod agent;
pub mod cli;
pub mod cloud;
pub mod config;
pub mod daemon;
pub mod discover;
pub mod draft;
pub mod health;
pub mod manual;
pub mod model;
pub mod observe;
pub mod preview;
pub mod probe;
pub mod publish;
pub mod route;
pub mod steer;
pub mod sys;
