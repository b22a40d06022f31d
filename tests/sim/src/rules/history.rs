//! What is searched: a small world and what happens in it, drawn from a seed, and told as people tell such stories.

use std::fmt;

use fastrand::Rng;

/// Milliseconds of the world's own time.
pub(super) type Ms = u64;

pub(super) const SECOND: Ms = 1000;

/// The beginning: what the admin has set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setup {
    pub(super) endpoints: Vec<EndpointSetup>,
    /// `answers = "one"`
    pub(super) one: bool,
    /// `prefer = "local_zone"`
    pub(super) prefer_local: bool,
    /// The zone that this host is in.
    pub(super) local: Option<usize>,
    /// `hold`, in seconds.
    pub(super) hold: u64,
    /// Gone things are given up, and config edits forgotten, after ten minutes instead of an hour.
    pub(super) short_graces: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EndpointSetup {
    pub(super) zones: usize,
    pub(super) kind: Kind,
    pub(super) priority: i32,
    /// It has the name that several endpoints may share, beside its own.
    pub(super) shares: bool,
    /// Found through the cloud; else its addresses stand in the config.
    pub(super) cloud: bool,
    /// Its first zone has a name of its own.
    pub(super) zone_name: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A path check whose probes may overlap.
    Overlapping,
    /// A path check that is awaited.
    Awaited,
    /// A path check and one that logs in.
    Deep,
}

/// One zone of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Spot {
    pub(super) endpoint: usize,
    pub(super) zone: usize,
}

/// How the way to an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    Up,
    Refused,
    Silent,
    /// So many packets in a hundred are lost.
    Lossy(u8),
    /// Answers take so many milliseconds.
    Slow(u16),
}

/// How a login there ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Login {
    Right,
    Wrong,
    NotAllowed,
    Suspended,
    Overloaded,
    /// As 20508 says: of the kind that may last.
    NoComputeNode,
    BackendDown,
}

/// How a source answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answering {
    Truly,
    NotAtAll,
    /// As things were when it last told the truth.
    OldNews,
    /// A list that says of itself that it lacks something, and has nothing in it.
    Incomplete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Api,
    Dns,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Path(Spot, Path),
    /// `None`: everywhere.
    Login(Option<Spot>, Login),
    /// This host reaches nobody; `true`: and is told so at once.
    Cut(bool),
    /// This host has no sockets.
    NoSockets,
    /// What ends the two above.
    Heal,
    /// For so many seconds.
    Suspend(u64),
    Restart,
    Reboot,
    /// The zone's interface gets another address, and the old one falls silent.
    Replace(Spot),
    /// The cloud no longer has it (`true`), or has it again.
    Unlist(Spot, bool),
    /// The cloud no longer has the whole endpoint, or has it again.
    UnlistAll(usize, bool),
    Answers(Source, Answering),
    /// The config sets `answers`.
    One(bool),
    Priority(usize, i32),
    /// The config lacks the endpoint, or has it again.
    Remove(usize, bool),
    /// A drain of a zone for so many seconds.
    Drain(usize, u64),
    /// Somebody takes our block out of the hosts file.
    Vandal,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct History {
    pub(super) seed: u64,
    pub(super) setup: Setup,
    /// In order of time.
    pub(super) events: Vec<(Ms, Event)>,
}

impl Setup {
    pub(super) fn spots(&self) -> impl Iterator<Item = Spot> + '_ {
        let zones = |(endpoint, e): (usize, &EndpointSetup)| (0..e.zones).map(move |zone| Spot { endpoint, zone });
        self.endpoints.iter().enumerate().flat_map(zones)
    }

    fn drawn(rng: &mut Rng) -> Self {
        let count = *rng.choice(&[1, 1, 2, 2, 2, 3]).unwrap_or(&1);
        let prioritised = rng.u8(0..4) == 0;
        let kinds = [Kind::Overlapping, Kind::Overlapping, Kind::Awaited, Kind::Deep, Kind::Deep];
        let same = *rng.choice(&kinds).unwrap_or(&Kind::Deep);
        let mixed = rng.u8(0..4) == 0;
        let sharing = rng.u8(0..3) == 0;
        let mut endpoint = |e: i32| EndpointSetup {
            zones: *rng.choice(if count > 2 { &[1, 2, 2][..] } else { &[1, 2, 2, 2, 3] }).unwrap_or(&2),
            kind: if mixed { *rng.choice(&kinds).unwrap_or(&same) } else { same },
            priority: if prioritised { e } else { 0 },
            shares: sharing || prioritised,
            cloud: rng.bool(),
            zone_name: rng.u8(0..8) == 0,
        };
        let endpoints = (0..count).map(&mut endpoint).collect();
        Self {
            endpoints,
            one: rng.u8(0..4) == 0,
            prefer_local: rng.u8(0..6) == 0,
            local: rng.bool().then_some(0),
            hold: *rng.choice(&[5, 10, 30]).unwrap_or(&10),
            short_graces: rng.u8(0..4) == 0,
        }
    }
}

impl History {
    pub(super) fn drawn(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let setup = Setup::drawn(&mut rng);
        let mut events = Vec::new();
        let mut at = rng.u64(30..60) * SECOND;
        let mut ailing = false;
        for _ in 0..rng.u8(1..=9) {
            let event = drawn_event(&setup, ailing, &mut rng);
            ailing = match event {
                Event::Cut(_) | Event::NoSockets => true,
                Event::Heal => false,
                _ => ailing,
            };
            events.push((at, event));
            if let Event::Path(spot, Path::Up) = event
                && rng.u8(0..4) == 0
            {
                // It comes back, and falls ill again before anybody trusts it; maybe as the other one goes.
                if let Some(other) = setup.spots().find(|s| s.endpoint == spot.endpoint && *s != spot)
                    && rng.bool()
                {
                    at += rng.u64(0..2 * SECOND);
                    events.push((at, Event::Path(other, Path::Silent)));
                }
                at += rng.u64(SECOND..9 * SECOND);
                events.push((at, drawn_illness(spot, &mut rng)));
            }
            at += match rng.u8(0..6) {
                0 | 1 => rng.u64(0..6 * SECOND),
                2 | 3 => rng.u64(6 * SECOND..60 * SECOND),
                4 => rng.u64(60 * SECOND..300 * SECOND),
                _ if setup.short_graces => rng.u64(300 * SECOND..900 * SECOND),
                _ => rng.u64(100 * SECOND..200 * SECOND),
            };
        }
        if ailing {
            events.push((at, Event::Heal));
        }
        Self { seed, setup, events }
    }
}

fn drawn_event(setup: &Setup, ailing: bool, rng: &mut Rng) -> Event {
    let spots: Vec<_> = setup.spots().collect();
    let spot = spots[rng.usize(..spots.len())];
    let endpoint = spot.endpoint;
    if ailing && rng.bool() {
        return Event::Heal;
    }
    match rng.u8(0..40) {
        0..=5 => drawn_illness(spot, rng),
        6..=12 => Event::Path(spot, Path::Up),
        13 => Event::Path(spot, Path::Lossy(rng.u8(5..60))),
        14 => Event::Path(spot, Path::Slow(rng.u16(100..2500))),
        15..=22 => drawn_login(spot, rng),
        23..=25 => Event::Cut(rng.u8(0..3) == 0),
        26 => Event::NoSockets,
        27 => Event::Suspend(rng.u64(3..600)),
        28 | 29 => Event::Restart,
        30 => Event::Reboot,
        31 => Event::Replace(spot),
        32 => Event::Unlist(spot, rng.u8(0..3) > 0),
        33 => Event::UnlistAll(endpoint, rng.u8(0..3) > 0),
        34 | 35 => drawn_source(rng),
        36 => Event::One(rng.bool()),
        37 if setup.endpoints.len() > 1 => Event::Priority(endpoint, rng.i32(0..2)),
        38 if setup.endpoints.len() > 1 => Event::Remove(endpoint, rng.u8(0..3) > 0),
        39 => Event::Drain(spot.zone, rng.u64(20..300)),
        _ => Event::Vandal,
    }
}

fn drawn_illness(spot: Spot, rng: &mut Rng) -> Event {
    Event::Path(spot, if rng.bool() { Path::Silent } else { Path::Refused })
}

fn drawn_login(spot: Spot, rng: &mut Rng) -> Event {
    let logins = [
        Login::Right,
        Login::Right,
        Login::Right,
        Login::Wrong,
        Login::NotAllowed,
        Login::Suspended,
        Login::Overloaded,
        Login::BackendDown,
        Login::BackendDown,
    ];
    Event::Login((rng.u8(0..4) > 0).then_some(spot), *rng.choice(&logins).unwrap_or(&Login::Right))
}

fn drawn_source(rng: &mut Rng) -> Event {
    let source = if rng.bool() { Source::Api } else { Source::Dns };
    let how = [Answering::Truly, Answering::NotAtAll, Answering::OldNews, Answering::Incomplete];
    Event::Answers(source, *rng.choice(&how).unwrap_or(&Answering::Truly))
}

/// A letter for each zone of each endpoint, across endpoints.
pub(super) struct Letters<'a>(pub(super) &'a Setup);

impl Letters<'_> {
    pub(super) fn of(&self, spot: Spot) -> char {
        let place = self.0.spots().position(|s| s == spot).unwrap_or_default();
        char::from(b'A' + u8::try_from(place).unwrap_or_default())
    }

    fn event(&self, event: Event) -> String {
        match event {
            Event::Path(spot, path) => format!("{} {}", self.of(spot), told_path(path)),
            Event::Login(Some(spot), login) => format!("{}'s login {}", self.of(spot), told_login(login)),
            Event::Login(None, login) => format!("logins everywhere {}", told_login(login)),
            Event::Cut(false) => "host cut".to_owned(),
            Event::Cut(true) => "host cut, and told so".to_owned(),
            Event::NoSockets => "host without sockets".to_owned(),
            Event::Heal => "host well again".to_owned(),
            Event::Suspend(secs) => format!("host suspended for {secs} s"),
            Event::Restart => "agent and writer restarted".to_owned(),
            Event::Reboot => "host rebooted".to_owned(),
            Event::Replace(spot) => format!("{} gets another address", self.of(spot)),
            Event::Unlist(spot, gone) => format!("the cloud {} {}", has(gone), self.of(spot)),
            Event::UnlistAll(endpoint, gone) => format!("the cloud {} e{endpoint}", has(gone)),
            Event::Answers(source, how) => format!("{source:?} answers {how:?}"),
            Event::One(one) => format!("answers = {:?}", if one { "one" } else { "all" }),
            Event::Priority(endpoint, priority) => format!("e{endpoint} priority {priority}"),
            Event::Remove(endpoint, gone) => format!("the config {} e{endpoint}", has(gone)),
            Event::Drain(zone, secs) => format!("zone {zone} drained for {secs} s"),
            Event::Vandal => "the block is taken out".to_owned(),
        }
    }
}

fn has(gone: bool) -> &'static str {
    if gone { "lacks" } else { "has" }
}

fn told_path(path: Path) -> String {
    match path {
        Path::Up => "back".to_owned(),
        Path::Refused => "refuses".to_owned(),
        Path::Silent => "silent".to_owned(),
        Path::Lossy(percent) => format!("loses {percent} %"),
        Path::Slow(ms) => format!("answers after {ms} ms"),
    }
}

fn told_login(login: Login) -> &'static str {
    match login {
        Login::Right => "good",
        Login::Wrong => "bad",
        Login::NotAllowed => "not allowed",
        Login::Suspended => "suspended",
        Login::Overloaded => "overloaded",
        Login::NoComputeNode => "without a compute node",
        Login::BackendDown => "backend_down",
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = Letters(&self.setup);
        let Setup { one, prefer_local, local, hold, short_graces, endpoints } = &self.setup;
        for (n, e) in endpoints.iter().enumerate() {
            let zones: String = (0..e.zones).map(|zone| letters.of(Spot { endpoint: n, zone })).collect();
            let source = if e.cloud { "cloud" } else { "fixed" };
            write!(f, "e{n} = {zones} ({:?}, {source}", e.kind)?;
            if e.priority != 0 {
                write!(f, ", priority {}", e.priority)?;
            }
            for (is, what) in [(e.shares, "shared name"), (e.zone_name, "zone name")] {
                if is {
                    write!(f, ", {what}")?;
                }
            }
            f.write_str("), ")?;
        }
        write!(f, "hold {hold} s")?;
        for (is, what) in [
            (*one, "answers one"),
            (*prefer_local, "prefers local"),
            (*local == Some(0), "local is zone 0"),
            (*short_graces, "short graces"),
        ] {
            if is {
                write!(f, ", {what}")?;
            }
        }
        f.write_str(": ")?;
        for (n, (at, event)) in self.events.iter().enumerate() {
            let comma = if n > 0 { ", " } else { "" };
            write!(f, "{comma}{}.{:03} {}", at / SECOND, at % SECOND, letters.event(*event))?;
        }
        Ok(())
    }
}
