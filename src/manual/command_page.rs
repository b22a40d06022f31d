//! The pages of the program and of each command, of the one definition of the command line.

use clap::{Arg, Command};
use clap_mangen::Man;
use roff::{Roff, bold, italic, roman};

use super::page::{MANUAL, OTHERS, Page, SOURCE, assemble, heading, paragraphs, see_also};

/// Of the section for what admins run.
const SECTION: u8 = 8;

/// What the program's own page says beside what `--help` does.
const ABOUT: &str = "\
Applications reach a database through a PrivateLink endpoint, which has an address in each zone. `privatelinkd` keeps \
the names of such endpoints on this host on addresses that answer, never takes the last one away, and tells why.

Two services do the work. The agent, `privatelinkd.service`, runs `privatelinkd run`: it finds the addresses of the \
endpoints that the configuration names, probes each of them, and decides where each name leads. The hosts writer, \
`privatelinkd-hosts.service`, runs `privatelinkd hosts run` and keeps the names in `/etc/hosts`. A third, \
`privatelinkd-route.service`, runs `privatelinkd route install` and is of use only with the DNS stub.

Everything else is for people and scripts. Before there is a configuration:
  privatelinkd init
Before it is put into force, what is wrong with it and what would come of it:
  privatelinkd check
  privatelinkd plan
Afterwards, what the agent knows and does:
  privatelinkd status";

/// Files that an admin may look for.
const FILES: [(&str, &str); 6] = [
    ("/etc/privatelinkd/config.toml", "The configuration, see privatelinkd.toml(5)."),
    ("/etc/privatelinkd/conf.d/*.toml", "What is laid over it, in the order of the names."),
    (
        "/etc/privatelinkd/environment",
        "Variables for the agent, if it is there, such as ALIBABA_CLOUD_PROFILE: root's, of mode 0600; read when the \
         agent starts.",
    ),
    ("/etc/hosts", "The names, between two lines of comment; all else is left as it is."),
    ("/run/privatelinkd/status.sock", "Where `status` asks the agent."),
    (
        "/var/lib/privatelinkd, /var/lib/privatelinkd-hosts",
        "What must survive a restart: the agent's; the hosts writer's, with `hosts.orig`, the hosts file as it was \
         before, or `hosts.made` where there was none.",
    ),
];

/// Variables that the program itself looks at, beside those of the cloud's credentials.
const ENVIRONMENT: [(&str, &str); 1] = [("NO_COLOR", "If it is set and not empty, no page on a terminal has colours.")];

/// The page of a built command, and of each command below it.
pub(super) fn pages(command: &Command, exits: &[(u8, &str)]) -> Vec<Page> {
    let mut all = vec![page(command, exits, &parents(command))];
    collect(command, exits, &mut all);
    all
}

fn collect(command: &Command, exits: &[(u8, &str)], all: &mut Vec<Page>) {
    for below in with_pages(command) {
        all.push(page(below, exits, &parents(below)));
        collect(below, exits, all);
    }
}

/// Those that have a page of their own: `help` has none, for it says what the others' pages say.
fn with_pages(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help")
}

fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// As it is typed: `privatelinkd hosts apply`.
fn typed(command: &Command) -> &str {
    command.get_bin_name().unwrap_or_else(|| command.get_name())
}

/// The names of the pages above a command's: `privatelinkd`, `privatelinkd-hosts`.
fn parents(command: &Command) -> Vec<String> {
    let words: Vec<&str> = typed(command).split(' ').collect();
    (1..words.len()).map(|n| words[..n].join("-")).collect()
}

fn page(command: &Command, exits: &[(u8, &str)], parents: &[String]) -> Page {
    let (name, main) = (name(command), parents.is_empty());
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .section(SECTION.to_string())
        // Empty, but there: what follows would move up.
        .date("\"\"")
        .source(SOURCE)
        .manual(MANUAL);
    let own = |render: &dyn Fn(&mut Vec<u8>) -> std::io::Result<()>| {
        let mut bytes = Vec::new();
        // Writing to memory does not fail, and what is written is text.
        let _ = render(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let mut begin = Roff::new();
    synopsis(&mut begin, command, main);
    heading(&mut begin, "DESCRIPTION");
    let description = description(command, main);
    paragraphs(&mut begin, &description);
    commands(&mut begin, command);
    let mut end = Roff::new();
    exit_status(&mut end, exits);
    if main {
        table(&mut end, "ENVIRONMENT", &ENVIRONMENT);
        table(&mut end, "FILES", &FILES);
    }
    see_also(&mut end, &others(command, parents));
    let names = own(&|out| man.render_name_section(out));
    let parts = [names, begin.render(), own(&|out| man.render_options_section(out)), end.render()];
    let text = assemble(&own(&|out| man.render_title(out)), &parts);
    Page { name, section: SECTION, text }
}

/// The same command, but the words that an option takes stand in its description: as a list, as the pages' maker would
/// show them, they are longer than all else.
pub(super) fn told(command: Command) -> Command {
    let with_words = |arg: Arg| {
        let words: Vec<String> = arg.get_possible_values().iter().map(|word| word.get_name().to_owned()).collect();
        match arg.get_help() {
            Some(help) if arg.get_action().takes_values() && !words.is_empty() => {
                let help = format!("{help}: {}", words.join(", "));
                arg.help(help).hide_possible_values(true)
            }
            _ => arg,
        }
    };
    command.mut_args(with_words).mut_subcommands(told)
}

/// How the command is called. That each takes `--help` is said among its options.
fn synopsis(roff: &mut Roff, command: &Command, main: bool) {
    heading(roff, "SYNOPSIS");
    let mut line = vec![bold(typed(command))];
    let told = |arg: &&Arg| !arg.is_hide_set() && (main || arg.get_id() != "help");
    let (places, options): (Vec<_>, Vec<_>) = command.get_arguments().filter(told).partition(|arg| arg.is_positional());
    for arg in options.into_iter().chain(places) {
        let (open, close) = if arg.is_required_set() { ("", "") } else { ("[", "]") };
        line.push(roman(format!(" {open}")));
        let value = arg.get_value_names().unwrap_or_default().join(" ");
        match arg.get_long() {
            Some(long) if arg.get_action().takes_values() => {
                line.extend([bold(format!("--{long}")), roman(" "), italic(value)]);
            }
            Some(long) => line.push(bold(format!("--{long}"))),
            None => line.push(italic(value)),
        }
        let many = arg.get_num_args().is_some_and(|many| many.max_values() > 1);
        line.push(roman(format!("{}{close}", if many { " ..." } else { "" })));
    }
    if command.has_subcommands() {
        line.extend([roman(" "), italic("COMMAND"), roman(" ...")]);
    }
    roff.text(line);
}

/// What the command does, and what its `--help` says at the end.
fn description(command: &Command, main: bool) -> String {
    if main {
        return ABOUT.to_owned();
    }
    let about = command.get_long_about().or_else(|| command.get_about()).map(ToString::to_string).unwrap_or_default();
    match command.get_after_help() {
        Some(more) => format!("{about}.\n\n{more}"),
        None => format!("{about}."),
    }
}

/// The commands below this one, each with the first words of its page.
fn commands(roff: &mut Roff, command: &Command) {
    if !command.has_subcommands() {
        return;
    }
    heading(roff, "COMMANDS");
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        roff.control("TP", []);
        if below.get_name() == "help" {
            roff.text([bold(format!("{} help", typed(command))), roman(" ["), italic("command"), roman("]")]);
        } else {
            roff.text([bold(name(below)), roman(format!("({SECTION})"))]);
        }
        roff.text([roman(below.get_about().map(ToString::to_string).unwrap_or_default())]);
    }
}

fn exit_status(roff: &mut Roff, exits: &[(u8, &str)]) {
    heading(roff, "EXIT STATUS");
    for (at, (code, meaning)) in exits.iter().enumerate() {
        roff.control("TP", ["6"]).text([bold(code.to_string())]).text([roman(*meaning)]);
        if at == 0 {
            // Without empty lines between the others.
            roff.control("PD", ["0"]);
        }
    }
    roff.control("PD", []);
}

fn table(roff: &mut Roff, title: &str, rows: &[(&str, &str)]) {
    heading(roff, title);
    for (what, meaning) in rows {
        roff.control("TP", []).text([bold(*what)]);
        paragraphs(roff, meaning);
    }
}

/// The pages to read on: those above, those below and those beside.
fn others(command: &Command, parents: &[String]) -> Vec<(String, u8)> {
    let below = with_pages(command).map(|below| (name(below), SECTION));
    let above = parents.iter().map(|name| (name.clone(), SECTION));
    let more = OTHERS.map(|(name, section)| (name.to_owned(), section));
    above.chain(below).chain(more).collect()
}
