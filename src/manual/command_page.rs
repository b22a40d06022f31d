//! The pages of the program and of each command, of the one definition of the command line.

use clap::Command;
use clap_mangen::Man;
use roff::{Roff, bold, italic, roman};

use super::page::{MANUAL, OTHERS, Page, SOURCE, assemble, heading, paragraphs, see_also};

/// Of the section for what admins run.
const SECTION: u8 = 8;

/// What the program's own page says beside what `--help` does.
const ABOUT: &str = "
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
         before.",
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

/// The names of the pages above a command's: `privatelinkd`, `privatelinkd-hosts`. Its own bin name has its words.
fn parents(command: &Command) -> Vec<String> {
    let words: Vec<&str> = command.get_bin_name().unwrap_or_default().split(' ').collect();
    (1..words.len()).map(|n| words[..n].join("-")).collect()
}

fn page(command: &Command, exits: &[(u8, &str)], parents: &[String]) -> Page {
    let name = name(command);
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
    let main = parents.is_empty();
    let mut parts = vec![
        own(&|out| man.render_name_section(out)),
        own(&|out| man.render_synopsis_section(out)),
        own(&|out| man.render_description_section(out)),
    ];
    let mut more = Roff::new();
    match command.get_after_help() {
        _ if main => paragraphs(&mut more, ABOUT),
        Some(text) => {
            more.control("PP", []);
            paragraphs(&mut more, &text.to_string());
        }
        None => {}
    }
    commands(&mut more, command);
    parts.push(more.render());
    parts.push(own(&|out| man.render_options_section(out)));
    let mut end = Roff::new();
    exit_status(&mut end, exits);
    if main {
        table(&mut end, "ENVIRONMENT", &ENVIRONMENT);
        table(&mut end, "FILES", &FILES);
    }
    see_also(&mut end, &others(command, parents));
    parts.push(end.render());
    let text = assemble(&own(&|out| man.render_title(out)), &parts);
    Page { name, section: SECTION, text }
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
            let words = command.get_bin_name().unwrap_or_default();
            roff.text([bold(format!("{words} help")), roman(" ["), italic("command"), roman("]")]);
        } else {
            roff.text([bold(name(below)), roman(format!("({SECTION})"))]);
        }
        roff.text([roman(below.get_about().map(ToString::to_string).unwrap_or_default())]);
    }
}

fn exit_status(roff: &mut Roff, exits: &[(u8, &str)]) {
    heading(roff, "EXIT STATUS");
    for (code, meaning) in exits {
        roff.control("TP", ["6"]).text([bold(code.to_string())]).text([roman(*meaning)]);
    }
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
