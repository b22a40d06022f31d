//! What happens to a fleet.

use super::super::history::{Answering, Event, Login, Ms, Path, SECOND, Source, Spot};
use super::oracle::Course;

/// The zone that everything happens to.
pub(super) const ZONE: Spot = Spot { endpoint: 0, zone: 0 };

const MINUTE: Ms = 60 * SECOND;

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// To the world, and so to every host at the same instant.
    World(Event),
    /// The database takes another password, and the one before, too, if that is `retained`.
    Password { retained: bool },
    /// Every host has the new one.
    File,
    /// Every host reloads a config with this beside, in its `[endpoint.probe]`.
    Reload(&'static str),
}

#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) endpoints: usize,
    /// The hosts are new: they start as the story begins, and know nothing.
    pub(super) new: bool,
    /// From when the story begins.
    pub(super) steps: Vec<(Ms, Step)>,
    pub(super) lasts: Ms,
    /// When hosts are to leave the zone, and when to return, if they are.
    pub(super) leave_at: Ms,
    pub(super) return_at: Ms,
    pub(super) courses: (Course, Course),
}

/// All of them, for a fleet of so many.
pub(super) fn all(hosts: usize) -> Vec<Scenario> {
    // So long takes a round of logins of the whole fleet.
    let round = (Ms::try_from(hosts).unwrap_or(Ms::MAX) * SECOND / 10).max(MINUTE);
    let mut all = calm(round);
    all.extend(of_the_path());
    all.extend(of_the_database(round));
    all
}

/// Nobody is to move.
fn calm(round: Ms) -> Vec<Scenario> {
    let answers = |how| Step::World(Event::Answers(Source::Api, how));
    let (lost, kept) = (Step::Password { retained: false }, Step::Password { retained: true });
    vec![
        stays("steady", 5 * MINUTE, vec![]),
        Scenario {
            new: true,
            return_at: 0,
            courses: (Course::Nobody, Course::Install),
            // Where the quota is too small for all of them, the rest asks again after up to six rounds.
            ..stays("install", 7 * round, vec![])
        },
        stays("restart", 2 * round, vec![(0, Step::World(Event::Restart))]),
        stays("push", 2 * round, vec![(0, Step::Reload(", interval = \"6s\""))]),
        stays("rotation", 2 * MINUTE + 2 * round, vec![(0, lost), (2 * MINUTE, Step::File)]),
        stays("renewal", 2 * round, vec![(0, kept), (0, Step::File)]),
        stays("api", 30 * MINUTE, vec![(0, answers(Answering::NotAtAll)), (15 * MINUTE, answers(Answering::Truly))]),
    ]
}

/// A zone falls silent, or is drained, and comes back.
fn of_the_path() -> Vec<Scenario> {
    let path = |path| Step::World(Event::Path(ZONE, path));
    let zone = |begins: Ms| vec![(begins, path(Path::Silent)), (begins + 2 * MINUTE, path(Path::Up))];
    let mut deaf = vec![(0, Step::World(Event::Answers(Source::Dns, Answering::NotAtAll)))];
    deaf.extend(zone(MINUTE));
    let drain = vec![(0, Step::World(Event::Drain(0, 60)))];
    vec![
        moves("zone", (0, 2 * MINUTE, 4 * MINUTE), Course::Path, zone(0)),
        moves("resolver", (MINUTE, 3 * MINUTE, 5 * MINUTE), Course::Path, deaf),
        moves("rehearsal", (0, MINUTE, 2 * MINUTE), Course::Drain, drain),
    ]
}

/// The database behind a zone, or behind all of an endpoint's, fails logins for a while.
fn of_the_database(round: Ms) -> Vec<Scenario> {
    let login = |zone, login| Step::World(Event::Login(Some(Spot { zone, ..ZONE }), login));
    let everywhere = |at, what| [0, 1].map(|zone| (at, login(zone, what)));
    let (dead, well) = (6 * round, 3 * round + MINUTE);
    let dies = vec![(0, login(0, Login::BackendDown)), (dead, login(0, Login::Right))];
    let (busy, over) = (9 * round + 3 * MINUTE, 4 * round + 3 * MINUTE);
    let overload = [everywhere(0, Login::NoComputeNode), everywhere(busy, Login::Right)].concat();
    vec![
        moves("database", (0, dead, dead + well), Course::Login, dies),
        Scenario { endpoints: 2, ..moves("overload", (0, busy, busy + over), Course::Overload, overload) },
    ]
}

fn stays(name: &'static str, lasts: Ms, steps: Vec<(Ms, Step)>) -> Scenario {
    let courses = (Course::Nobody, Course::Nobody);
    Scenario { name, endpoints: 1, new: false, steps, lasts, leave_at: 0, return_at: lasts, courses }
}

/// Hosts are to leave, to return, and it ends.
fn moves(
    name: &'static str,
    (leave_at, return_at, lasts): (Ms, Ms, Ms),
    course: Course,
    steps: Vec<(Ms, Step)>,
) -> Scenario {
    Scenario { leave_at, return_at, courses: (course, course), ..stays(name, lasts, steps) }
}
