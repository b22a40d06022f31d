//! Plays a scenario to a fleet: many hosts on one virtual time, in one world.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use privatelinkd::model::{Inventory, Plan};

use super::super::clock::HostClock;
use super::super::history::{EndpointSetup, Event, Kind, Ms, SECOND, Setup};
use super::super::host::{Born, Broken, Host, Moment, Workshop};
use super::super::vault::{Time, Vault};
use super::super::world::{FleetWorld, SHARED, World};
use super::oracle::Figures;
use super::scenario::{Scenario, Step, ZONE};
use super::tally::Tally;

/// So many moments of one host at one instant are a busy loop.
const STUCK: u32 = 200;
/// A host that was alone before all others has found everything by then.
const FOUND: Ms = 30 * SECOND;

/// How many there are, and what their config says of that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) hosts: usize,
    pub(super) said: u32,
}

pub(super) struct Outcome {
    pub(super) figures: Figures,
    /// What went wrong with the machinery.
    pub(super) fault: Option<String>,
    /// Of every host together, in seconds of their own time.
    pub(super) lived: f64,
}

struct Play {
    workshop: Workshop,
    world: World,
    hosts: Vec<Host>,
    due: BinaryHeap<Reverse<(Ms, usize)>>,
    /// When the story begins.
    begins: Ms,
    now: Ms,
    here: (Ms, usize, u32),
    edition: u32,
    tally: Tally,
    fault: Option<String>,
}

pub(super) fn play(scenario: &Scenario, size: Size, seed: u64, dir: PathBuf) -> Result<Outcome, Broken> {
    let mut play = Play::new(scenario, size, seed, dir)?;
    for (at, step) in &scenario.steps {
        play.run_until(play.begins + at);
        play.happens(*step)?;
    }
    play.run_until(play.begins + scenario.lasts);
    let tally = &play.tally;
    let figures = Figures {
        logins: tally.logins(),
        connections: tally.connections(),
        calls: tally.calls(),
        left: tally.moves(false, scenario.leave_at, scenario.return_at),
        back: tally.moves(true, scenario.return_at, scenario.lasts),
    };
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let lived = size.hosts as f64 * (play.now / SECOND) as f64;
    Ok(Outcome { figures, fault: play.fault, lived })
}

impl Play {
    /// Hosts that know their addresses from before, and whose agents started one after the other.
    fn new(scenario: &Scenario, size: Size, seed: u64, dir: PathBuf) -> Result<Self, Broken> {
        std::fs::create_dir_all(&dir)?;
        let mut rng = Rng::with_seed(seed);
        // What the agent draws by no seed of its own.
        fastrand::seed(seed);
        let mut workshop = Workshop::new(dir.clone())?;
        let mut world = World::new(setup(scenario.endpoints), seed);
        let mut fleet = FleetWorld::new(size.said, dir.join("password"), password(0));
        write_password(&fleet, 0)?;
        fleet.probe.push_str(", deep_interval = \"1m\"");
        world.fleet = Some(fleet);
        let known = found(&mut workshop, &mut world, seed)?;
        let time = Rc::new(Time::new()?);
        // As long as a round of logins takes, so that they are out of step from the beginning.
        let round = (Ms::try_from(size.hosts).unwrap_or(Ms::MAX) * SECOND / 10).max(60 * SECOND);
        let begins = 2 * round + 60 * SECOND;
        let mut hosts = Vec::new();
        for n in 0..size.hosts {
            let at = if scenario.new { begins + rng.u64(0..SECOND) } else { rng.u64(0..round) };
            let born = Born {
                seed: rng.u64(..),
                clock: HostClock::aged(0, 60 * SECOND + rng.u64(0..600 * SECOND)),
                at,
                instance: Some(format!("i-bp1{n:017}")),
                inventory: if scenario.new { Inventory::default() } else { known.clone() },
                vault: Some(Rc::new(Vault::new(time.clone(), size.said))),
            };
            let mut host = Host::of(&mut workshop, &world, born)?;
            host.is_one_of_many = true;
            hosts.push(host);
        }
        let due = BinaryHeap::new();
        let (tally, here) = (Tally::default(), (0, 0, 0));
        let mut play = Self { workshop, world, hosts, due, begins, now: 0, here, edition: 0, tally, fault: None };
        play.forget_arrivals();
        play.look_around();
        Ok(play)
    }

    /// Every host is asked when it has something to do.
    fn look_around(&mut self) {
        self.due = self.hosts.iter().enumerate().map(|(n, host)| Reverse((host.next(), n))).collect();
    }

    fn run_until(&mut self, end: Ms) {
        while let Some(&Reverse((next, n))) = self.due.peek().filter(|Reverse((next, _))| *next < end) {
            self.due.pop();
            let (Some(host), now) = (self.hosts.get_mut(n), next.max(self.now)) else { continue };
            self.now = now;
            let moment = host.moment(now, &mut self.world);
            let again = host.next();
            self.due.push(Reverse((again, n)));
            self.here = if self.here.0 == now && self.here.1 == n { (now, n, self.here.2 + 1) } else { (now, n, 0) };
            if self.here.2 > STUCK {
                self.fault = Some(format!("host {n}: a busy loop"));
                return;
            }
            self.note(n, moment);
        }
        self.now = self.now.max(end);
    }

    fn note(&mut self, n: usize, moment: Moment) {
        self.fault = self.fault.take().or(moment.fault);
        let Some(at) = self.now.checked_sub(self.begins) else { return self.forget_arrivals() };
        if let Some(fleet) = &mut self.world.fleet {
            fleet.arrivals.drain(..).for_each(|arrival| self.tally.arrived(arrival, at));
        }
        let Some((before, after)) = moment.decided else { return };
        let (was, is) = (before.is_some_and(|before| self.leads_there(&before)), self.leads_there(&after));
        if was != is {
            self.tally.moved(n, is, at);
        }
    }

    fn leads_there(&self, plan: &Plan) -> bool {
        let address = self.world.address(ZONE);
        let answer = plan.answers.iter().find(|(name, _)| name.as_str() == SHARED);
        answer.zip(address).is_some_and(|((_, answer), address)| answer.addresses.contains(&address))
    }

    fn forget_arrivals(&mut self) {
        if let Some(fleet) = &mut self.world.fleet {
            fleet.arrivals.clear();
        }
    }

    fn happens(&mut self, step: Step) -> Result<(), Broken> {
        match step {
            Step::World(event) => {
                self.world.suffer(event, self.now);
                let own = matches!(event, Event::Restart | Event::Drain(..));
                if own { self.tell(event) } else { Ok(()) }
            }
            Step::Password { retained } => {
                if let Some(fleet) = &mut self.world.fleet {
                    fleet.passwords.retain(|_| retained);
                    fleet.passwords.push(password(self.edition + 1));
                }
                Ok(())
            }
            Step::File => {
                self.edition += 1;
                if let Some(fleet) = &self.world.fleet {
                    write_password(fleet, self.edition)?;
                }
                // Secrets are read with the config.
                self.workshop.forget();
                self.tell(Event::One(false))
            }
            Step::Reload(with) => {
                if let Some(fleet) = &mut self.world.fleet {
                    fleet.probe.push_str(with);
                }
                self.tell(Event::One(false))
            }
        }
    }

    /// Every host hears of it at once.
    fn tell(&mut self, event: Event) -> Result<(), Broken> {
        for host in &mut self.hosts {
            host.now = self.now;
            host.suffer(event, &self.world, &mut self.workshop)?;
        }
        self.look_around();
        Ok(())
    }
}

fn setup(endpoints: usize) -> Setup {
    let endpoint =
        EndpointSetup { zones: 2, kind: Kind::Deep, priority: 0, shares: true, cloud: true, zone_name: false };
    Setup {
        endpoints: vec![endpoint; endpoints],
        one: false,
        prefer_local: false,
        local: None,
        hold: 5,
        short_graces: false,
    }
}

/// What a host finds that is alone.
fn found(workshop: &mut Workshop, world: &mut World, seed: u64) -> Result<Inventory, Broken> {
    let mut first = Host::new(workshop, world, seed)?;
    while first.next() < FOUND {
        let next = first.next();
        first.moment(next, world);
    }
    Ok(first.inventory().clone())
}

fn password(edition: u32) -> String {
    format!("password {edition}")
}

/// As a config management does; each edition is younger than the one before.
fn write_password(fleet: &FleetWorld, edition: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(&fleet.file, password(edition))?;
    std::fs::set_permissions(&fleet.file, std::fs::Permissions::from_mode(0o600))?;
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + u64::from(edition));
    std::fs::File::options().write(true).open(&fleet.file)?.set_modified(written)
}
