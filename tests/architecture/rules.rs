//! The rules, as data: which room may name which, and what only some rooms may name.
//!
//! In a list of rooms `x` is that row's room alone (the types of `config`, say, and not its loader) and `x::*` is it
//! with every row beneath it. A file belongs to the room with the longest matching path.

/// A room: a module of the house, with its files and whatever lies beneath it that has no row of its own.
pub(super) struct Room {
    pub(super) at: &'static str,
    pub(super) pure: bool,
    /// The rooms it may name, besides itself and what lies beneath it.
    pub(super) may: &'static [&'static str],
    /// Said when it names another.
    pub(super) why: &'static str,
}

const fn pure(at: &'static str, may: &'static [&'static str], why: &'static str) -> Room {
    Room { at, pure: true, may, why }
}

const fn room(at: &'static str, may: &'static [&'static str], why: &'static str) -> Room {
    Room { at, pure: false, may, why }
}

pub(super) const ROOMS: &[Room] = &[
    pure("model", &[], "the nouns stand on nothing: every room stands on them"),
    pure("config", &["model"], "the config is typed values; whoever uses them comes to it, it goes to nobody"),
    pure("config::raw", &["model", "config"], "a tree of spanned values is judged without the world"),
    pure(
        "config::check",
        &["model", "config", "config::raw"],
        "what the loader gathered is judged, not gathered again",
    ),
    room("config::loader", &["model", "sys::*", "config::*"], "the loader reads files and hands on; it knows no stage"),
    room(
        "config::last_good",
        &["model", "sys::*", "config::*"],
        "what was accepted is kept and read back by the one that loads",
    ),
    room("config::drop_ins", &["model", "config::*"], "which files count is asked of the folder"),
    room("config::sources", &["model", "config::*"], "whether the files changed is asked of the files alone"),
    room("cloud", &["model", "sys::*"], "a client of the cloud knows neither health nor publishing"),
    pure("cloud::sign", &["model"], "a signature is a function of a request, a date and a nonce"),
    pure("cloud::reply", &["model"], "what came back is a value"),
    pure("cloud::openapi::refusal", &["model", "cloud::reply"], "what an error means is read off the reply"),
    pure(
        "cloud::openapi::error",
        &["model", "cloud::reply", "cloud::openapi::refusal"],
        "why a call has no answer is a value",
    ),
    pure(
        "cloud::openapi::advice",
        &["model", "cloud::openapi::error", "cloud::openapi::refusal"],
        "what to do about an error is read off the error",
    ),
    pure(
        "cloud::openapi::retry",
        &["model", "cloud::reply", "cloud::openapi::refusal", "cloud::openapi::error"],
        "whether to try again is decided on values: time and chance come in",
    ),
    pure("cloud::credentials::reply", &["model", "cloud::sign"], "credentials are read off a reply"),
    pure("cloud::credentials::recipe", &["model", "cloud::sign"], "how keys are got is a value"),
    pure("cloud::credentials::environment", RECIPES_MAY, "the environment is gathered by others and only judged here"),
    pure(
        "cloud::credentials::configured",
        &["model", "config", "cloud", "cloud::sign", "cloud::credentials::recipe", "cloud::credentials::environment"],
        "whom the config means is a function of it and of the environment",
    ),
    pure("cloud::credentials::ini", RECIPES_MAY, "a profile is a function of a file's text"),
    pure("cloud::credentials::cli_config", RECIPES_MAY, "a profile is a function of a file's text"),
    pure("cloud::credentials::lease", &["model"], "when keys are replaced is decided on values"),
    pure("cloud::privatelink::record", &["model"], "what the API tells of is a value"),
    pure(
        "cloud::privatelink::parse",
        &["model", "cloud::openapi::error", "cloud::privatelink::record"],
        "a parser is a function of bytes",
    ),
    room(
        "discover",
        &["model", "sys::*", "config", "cloud::*"],
        "what exists is found out apart from what is healthy or published",
    ),
    room("probe", &["model", "sys::*", "health"], "a probe works on targets: it takes no names, answers or settings"),
    pure("health", &["model"], "health is a fold of observations"),
    pure("steer", &["model"], "a plan is a function of its inputs"),
    room("publish", &["model", "sys::*"], "a publisher gets a plan; it asks no stage how that came about"),
    room(
        "publish::hosts",
        &["model", "sys::*", "publish", "publish::admission"],
        "a publisher gets a plan; it asks no stage how that came about",
    ),
    pure("publish::hosts::block", &["model"], "rendering and splicing are functions of bytes and a plan"),
    pure(
        "publish::hosts::adopt",
        &["model", "publish::hosts::block", "publish::hosts::shadow"],
        "what is taken out of lines of others, and given back, is a function of bytes",
    ),
    room("publish::hosts::cloud_init", &["sys::*"], "whether cloud-init makes the file is asked of its files"),
    pure("publish::hosts::merge", &["publish::hosts::block"], "a merge is a function of three versions of a file"),
    room(
        "publish::hosts::file",
        &["model", "sys::*", "publish::hosts::merge"],
        "the file discipline is about one file; it reads no config",
    ),
    pure("publish::hosts::shadow", &["model", "publish::hosts::block"], "who else names a name is a function of bytes"),
    room(
        "publish::hosts::handover",
        &["model", "sys::*", "publish::hosts::untrusted_file", "publish::hosts::life_file"],
        "the hand-over carries closed types between two processes",
    ),
    room(
        "publish::hosts::life_file",
        &["model", "sys::file_stamp"],
        "a sign of life is a file and its times, whoever leaves it",
    ),
    room(
        "publish::hosts::untrusted_file",
        &["model", "sys::*"],
        "a file of another user is read without knowing what for",
    ),
    pure(
        "publish::admission",
        &["model", "config"],
        "what is let in is a function of a plan, of the config and of what was let in before",
    ),
    pure(
        "publish::hosts::policy",
        &["model", "config", "publish::admission"],
        "the privileged side judges by its own config; it trusts nothing that the network side computed",
    ),
    room(
        "publish::hosts::writer",
        &["model", "sys::*", "config::*", "publish", "publish::admission", "publish::hosts::*"],
        "the privileged loop faces the hand-over and the file, nothing else",
    ),
    pure(
        "publish::hosts::writer::core",
        &[
            "model",
            "publish::admission",
            "publish::hosts::adopt",
            "publish::hosts::block",
            "publish::hosts::file",
            "publish::hosts::policy",
            "publish::hosts::handover",
            "publish::hosts::life_file",
            "sys::file_stamp",
        ],
        "the writer decides on values; its loop touches the world",
    ),
    room(
        "publish::dns",
        &["model", "sys::*", "publish", "publish::admission", "publish::dns::*"],
        "the stub answers from the plan alone, as the hosts writer admits it",
    ),
    pure("publish::dns::zone", &["model"], "a zone is a function of a plan"),
    pure("publish::dns::question", &["model"], "where things stand in a message is the same for all"),
    pure("publish::dns::answer", &["model", "publish::dns::zone"], "an answer is a function of a zone and a question"),
    pure(
        "publish::dns::reference",
        &["model", "publish::dns::zone", "publish::dns::question", "publish::dns::answer"],
        "a reply is a function of the names and a packet",
    ),
    pure(
        "publish::dns::wire",
        &["model", "publish::dns::zone", "publish::dns::question", "publish::dns::answer", "publish::dns::reference"],
        "what is written beforehand is written by the reference",
    ),
    room(
        "publish::dns::server",
        &["model", "sys::*", "publish::dns::*"],
        "the server shares only answers and counters",
    ),
    room(
        "route",
        &["model", "sys::*", "config", "route::*"],
        "the way to the stub is set up without knowing what it answers",
    ),
    pure("route::choice", &["model", "config"], "which way there is follows from what was seen"),
    pure("route::delegate", &["model", "route::choice", "route::link"], "a file's text is a function of names"),
    pure("route::link", &["model", "route::choice"], "what to call is a function of names"),
    pure("route::question", &["model"], "a packet is a function of a name"),
    pure("route::advice", &["model"], "a text is a function of names"),
    pure(
        "route::report",
        &["model", "config", "route::advice", "route::choice", "route::link", "route::question"],
        "a report is a function of what was seen",
    ),
    room("observe", &["model"], "observe watches and may not speak: it gets values, never a stage"),
    room(
        "observe::snapshot",
        &["model", "sys::*", "config", "observe", "observe::events"],
        "a snapshot is taken out of read-only receivers; it asks no stage",
    ),
    pure(
        "observe::metrics",
        &["model", "observe", "observe::snapshot", "observe::status", "sys::process_stats"],
        "a renderer is a function of a snapshot",
    ),
    pure(
        "observe::status",
        &["model", "observe", "observe::snapshot", "observe::text_table", "sys::heartbeat"],
        "a renderer is a function of a snapshot",
    ),
    pure("observe::text_table", &["model"], "a text is a function of values"),
    room("observe::events", &["model", "sys::*"], "the event log takes events from everyone and asks nobody"),
    room("observe::serve", &["model", "sys::*", "observe::*"], "a listener serves what the renderers give it"),
    pure(
        "preview",
        &["model", "discover", "observe::text_table", "observe::status"],
        "what was found once is shown beside what the agent says; a report is a function of both",
    ),
    room(
        "draft",
        &["model", "cloud::*", "discover", "probe", "draft::*"],
        "a config is drafted of what the API and the ports say, before there is any stage",
    ),
    pure("manual", &["config"], "a page is a function of what it is about"),
    pure("draft::findings", &["model", "cloud::privatelink::record"], "what was seen of an endpoint is a value"),
    pure(
        "draft::recognise",
        &["model", "cloud::privatelink::record", "draft::findings"],
        "a guess is read off what was seen",
    ),
    pure("draft::label", &["model"], "a label is a function of a name"),
    pure(
        "draft::text",
        &["model", "cloud::privatelink::record", "draft::findings", "draft::recognise", "draft::label"],
        "a text is a function of what was seen",
    ),
    room("sys", &["model"], "calls to the operating system know nothing of what they are for"),
    room("sys::subprocess", &["model", "sys::*"], "calls to the operating system know nothing of what they are for"),
    room("sys::file_stamp", &[], "calls to the operating system know nothing of what they are for"),
    room("sys::file_lock", &["model", "sys::*"], "calls to the operating system know nothing of what they are for"),
    room("sys::heartbeat", &["model", "sys::*"], "calls to the operating system know nothing of what they are for"),
    room("sys::process_stats", &["model", "sys::*"], "calls to the operating system know nothing of what they are for"),
    room("sys::clock", &["model"], "calls to the operating system know nothing of what they are for"),
    room("sys::service_manager", &["model"], "calls to the operating system know nothing of what they are for"),
    pure("sys::lock", &[], "a lock is taken in the same way whatever it is for"),
    room("sys::log_queue", &["model", "sys::*"], "calls to the operating system know nothing of what they are for"),
    room("daemon", &["model", "sys::*"], "what both processes share knows neither of them"),
    room(
        "daemon::hosts_writer",
        &["model", "sys::*", "config::*", "publish::*", "observe::*", "daemon::*"],
        "the privileged process is the hosts writer and nothing else",
    ),
    room(
        "agent",
        &[
            "model",
            "sys::*",
            "config::*",
            "daemon::*",
            "cloud::*",
            "discover",
            "probe",
            "steer",
            "publish::*",
            "observe::*",
        ],
        "the composition root is called by cli, and not the other way round",
    ),
    room(
        "cli",
        &[
            "model",
            "sys::*",
            "config::*",
            "cloud::*",
            "publish::*",
            "route::*",
            "observe::*",
            "preview::*",
            "draft::*",
            "manual",
            "daemon::*",
            "daemon::hosts_writer",
            "agent",
        ],
        "commands may use every room",
    ),
    room("main", &["cli"], "main parses arguments, calls and maps an error to an exit code"),
    room("lib", &[], "the crate's root lists its rooms"),
];

/// What says how keys are got.
const RECIPES_MAY: &[&str] = &["model", "cloud::sign", "cloud::credentials::recipe"];

/// Things that only some rooms may name.
pub(super) struct Ban {
    /// A path and what lies beneath it; `*x` is any path with a part that ends in `x`.
    pub(super) what: &'static [&'static str],
    /// What lies beneath it and is free all the same.
    pub(super) but: &'static [&'static str],
    pub(super) rooms: Rooms,
    /// Whether `#[cfg(test)]` code must keep to it too.
    pub(super) in_tests: bool,
    pub(super) why: &'static str,
}

/// Where a ban holds.
pub(super) enum Rooms {
    Everywhere,
    Pure,
    In(&'static [&'static str]),
    NotIn(&'static [&'static str]),
}

pub(super) const BANS: &[Ban] = &[
    Ban {
        what: &[
            "tokio",
            "tokio_util",
            "tokio_rustls",
            "hyper",
            "hyper_util",
            "reqwest",
            "hickory_resolver",
            "notify",
            "socket2",
            "nix",
            "rustix",
            "libc",
            "tempfile",
            "rustls_native_certs",
            "fastrand",
            "ring::rand",
            "tracing",
            "tracing_subscriber",
            "std::fs",
            "std::os",
            "std::env",
            "std::process",
            "std::thread",
            "std::io::stdin",
            "std::io::stdout",
            "std::io::stderr",
            "std::net::TcpStream",
            "std::net::TcpListener",
            "std::net::UdpSocket",
            "std::net::ToSocketAddrs",
            "std::time::Instant",
            "std::time::SystemTime",
        ],
        but: &["std::fs::Metadata", "std::os::unix::fs::MetadataExt"],
        rooms: Rooms::Pure,
        in_tests: false,
        why: "a pure room gets values and returns values: no I/O, no clock, no chance, no runtime, no log",
    },
    Ban {
        what: &["crate::sys::clock", "crate::sys::process_stats::ProcessStats::read", "crate::sys::heartbeat::Stages"],
        but: &[],
        rooms: Rooms::Pure,
        in_tests: false,
        why: "a pure room shows what was read; it does not read it",
    },
    Ban {
        what: &["unsafe"],
        but: &[],
        rooms: Rooms::NotIn(&["sys::*"]),
        in_tests: true,
        why: "only sys may vouch for what the compiler can't check",
    },
    Ban {
        what: &["nix", "rustix", "libc"],
        but: &["nix::errno"],
        rooms: Rooms::NotIn(&[
            "sys::*",
            "publish::hosts::file",
            "publish::hosts::handover",
            "publish::hosts::untrusted_file",
        ]),
        in_tests: false,
        why: "sys is the home of calls to the operating system; only those that open files somebody else may have \
              tampered with hold to handles and flags of their own (an error number is a value, no call)",
    },
    Ban {
        what: &["anyhow"],
        but: &[],
        rooms: Rooms::NotIn(&["cli"]),
        in_tests: true,
        why: "errors are situations in small enums; only a command may lump them together",
    },
    Ban {
        what: &["std::process::exit", "std::process::abort"],
        but: &[],
        rooms: Rooms::Everywhere,
        in_tests: true,
        why: "who exits below main skips the drain",
    },
    Ban {
        what: &["tracing", "tracing_subscriber"],
        but: &[],
        rooms: Rooms::NotIn(&[
            "observe::events",
            // Its own faults; an event about a listener would come back through it.
            "observe::serve",
            "sys::log_queue",
            // Trouble with who hears of everything else.
            "daemon",
            // A process of its own, that nobody listens to.
            "publish::hosts::writer",
            "agent",
            "cli",
        ]),
        in_tests: false,
        why: "what happens is an event, and observe::events makes the one log line of it",
    },
    Ban {
        what: &[
            "*Sender",
            "tokio::sync::watch::channel",
            "tokio::sync::mpsc::channel",
            "tokio::sync::broadcast::channel",
        ],
        but: &[],
        rooms: Rooms::In(&["observe", "observe::snapshot", "observe::metrics", "observe::status", "observe::serve"]),
        in_tests: false,
        why: "observe may not speak: only observe::events holds a sender, of the event log",
    },
    Ban {
        what: &["*lookup_host", "*ToSocketAddrs", "hickory_resolver"],
        but: &[],
        rooms: Rooms::In(&["probe", "publish::*", "observe::*"]),
        in_tests: false,
        why: "probes dial addresses of the inventory; nothing that we publish may come back to us as an input",
    },
    Ban {
        what: &[
            "hyper",
            "hyper_util",
            "reqwest",
            "socket2",
            "tokio::net",
            "tokio_rustls",
            "std::net::TcpStream",
            "std::net::TcpListener",
            "std::net::UdpSocket",
        ],
        but: &[],
        rooms: Rooms::In(&["config::*", "publish::hosts::*"]),
        in_tests: false,
        why: "whoever owns the hosts file faces no network",
    },
    Ban {
        what: &["reqwest", "hickory_resolver", "hickory_proto", "hickory_net"],
        but: &[],
        rooms: Rooms::NotIn(&["cloud"]),
        in_tests: false,
        why: "the cloud room alone asks the cloud and its resolvers; others ask the cloud room",
    },
    Ban {
        what: &["*bind"],
        but: &[],
        rooms: Rooms::In(&["publish::dns::server", "observe::serve"]),
        in_tests: false,
        why: "sockets are handed in, already bound",
    },
    Ban {
        what: &["#[path]", "include!"],
        but: &[],
        rooms: Rooms::Everywhere,
        in_tests: true,
        why: "a file's room is read off its path; tests that need a file of their own stand in `<module>/tests.rs`",
    },
];

/// Lines of a file before its last test module.
pub(super) const FILE_BUDGET: usize = 400;
/// Lines of `src/main.rs`.
pub(super) const MAIN_BUDGET: usize = 30;
