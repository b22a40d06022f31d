//! The page of the config file: the table of keys tells what each is and its default, the packaged sample what it is
//! for.

use roff::{Inline, Roff, bold, italic, roman};

use super::page::{MANUAL, OTHERS, Page, SOURCE, assemble, breakable, heading, marked, paragraphs, see_also};
use super::sample::{Group, tables};
use crate::config::keys::{self, Key, Owner};

const NAME: &str = "privatelinkd.toml";
/// Of the section for files.
const SECTION: u8 = 5;
/// The version that a key is not said to have come with.
const FIRST: &str = "0.1.0";

const ABOUT: &str = "\
The configuration of `privatelinkd` is TOML. Unknown keys are errors. A duration is text such as \"500ms\", \"5s\", \
\"10m\" or \"1h\"; words such as \"any\" are text, too. What is not set has its default.

Drop-ins, `/etc/privatelinkd/conf.d/*.toml`, are laid over the main file in the order of their names, key by key; \
endpoints go together by `name`, their zones by `id`. Hidden files and the copies that editors and package managers \
leave are passed over.

What is wrong with it, all at once:
  privatelinkd check
What came of it, each value with the file and line that it is from:
  privatelinkd check --show";

const CHANGES: &str = "\
A change is put into force, and an agent that was stopped is started, by
  systemctl reload-or-restart privatelinkd
With a complaint the reload fails, and the configuration in force goes on. What did not change goes on undisturbed. \
The hosts writer notices changes by itself.

These keys take a restart of the agent, and a reload says so:";

const SECRETS: &str = "\
No secret stands in the configuration itself. A file with one must be owned by root or by the user of the service, \
and be closed to others: mode 0640 or less. One that is written anew is noticed without a reload.

`credential:NAME` in the place of a path is what systemd (247 and newer) gives the agent by \
`LoadCredential=NAME:/path` or its like in a drop-in of privatelinkd.service; the file itself then needs to be readable \
by root alone. It comes with a start of the service, and anew with the next: after the drop-in, and after each change \
of the secret, `systemctl restart privatelinkd`; a reload alone is refused, or reads the copy of before. \
privatelinkd-guides(7) has an example.

These keys take either, as `headers` of a probe may:";

const WRITER: &str = "\
The hosts writer, which runs as root, takes the configuration only from files that nobody but root can change. It needs \
just these keys, and goes by its last good ones if there is a complaint about one of them; a complaint about another \
is none of its business:";

const EXAMPLE: &str = "\
[[endpoint]]
name = \"orders\"
# Its addresses are found through the API of the cloud.
id = \"ep-bp1i2x3y4z5a6b7c8d9e\"
private_dns = [\"gw-orders.cloud.taosdata.com\"]
probe = { kind = \"tdengine\" }

[[endpoint]]
name = \"ledger\"
# Its addresses are these.
addresses.cn-hangzhou-h = \"10.0.1.16\"
addresses.cn-hangzhou-i = \"10.0.2.16\"
private_dns = [\"ledger-db.example.com\"]

[endpoint.probe]
kind = \"matrixone\"
interval = \"10s\"

[steering]
prefer = \"local_zone\"
";

pub(super) fn page() -> Page {
    let mut title = Roff::new();
    title.control("TH", [NAME.to_uppercase().as_str(), &SECTION.to_string(), "\"\"", SOURCE, MANUAL]);
    let mut roff = Roff::new();
    heading(&mut roff, "NAME");
    roff.text([roman(format!("{NAME} - configuration of privatelinkd"))]);
    heading(&mut roff, "SYNOPSIS");
    roff.text([bold("/etc/privatelinkd/config.toml")]).control("br", []);
    roff.text([bold("/etc/privatelinkd/conf.d/*.toml")]);
    heading(&mut roff, "DESCRIPTION");
    paragraphs(&mut roff, ABOUT);
    heading(&mut roff, "CHANGES");
    paragraphs(&mut roff, CHANGES);
    list(&mut roff, keys::AT_RESTART.iter().copied());
    heading(&mut roff, "SECRETS");
    paragraphs(&mut roff, SECRETS);
    list(&mut roff, keys::KEYS.iter().map(|key| key.path).filter(|path| keys::names_a_secret_file(path)));
    heading(&mut roff, "WHAT THE HOSTS WRITER NEEDS");
    paragraphs(&mut roff, WRITER);
    list(&mut roff, keys::KEYS.iter().filter(|key| key.writer).map(|key| key.path));
    heading(&mut roff, "KEYS");
    all_keys(&mut roff);
    heading(&mut roff, "EXAMPLE");
    example(&mut roff, EXAMPLE);
    let others = OTHERS.iter().filter(|(name, _)| *name != NAME).map(|(name, section)| ((*name).to_owned(), *section));
    let commands = ["privatelinkd", "privatelinkd-check"].map(|name| (name.to_owned(), 8));
    see_also(&mut roff, &commands.into_iter().chain(others).collect::<Vec<_>>());
    Page { name: NAME.to_owned(), section: SECTION, text: assemble(&title.render(), &[roff.render()]) }
}

/// Adds paths of keys, one after the other.
fn list<'a>(roff: &mut Roff, paths: impl Iterator<Item = &'a str>) {
    let mut paths = paths.peekable();
    while let Some(path) = paths.next() {
        roff.text([bold(path), roman(if paths.peek().is_some() { "," } else { "." })]);
    }
}

fn all_keys(roff: &mut Roff) {
    for table in tables() {
        roff.control("SS", [table.header]);
        roff.text(marked(&table.about));
        for group in &table.groups {
            for (at, (path, name, _)) in group.keys.iter().enumerate() {
                roff.control(if at == 0 { "TP" } else { "TQ" }, []);
                roff.text(head(name, keys::find(path)));
            }
            roff.text(marked(&words(group)));
            examples(roff, group);
        }
    }
}

/// A key's name, what its value is, and its default.
fn head(name: &str, key: Option<&Key>) -> Vec<Inline> {
    let Some(Key { kind, default, .. }) = key else { return vec![bold(name)] };
    let mut head = vec![bold(name), roman(" ("), italic(*kind)];
    if let Some(default) = default {
        head.extend([roman(", default "), bold(*default)]);
    }
    head.push(roman(")"));
    head
}

/// What a group of keys is for, without what its head says already.
fn words(group: &Group) -> String {
    let mut words = group.about.clone();
    let rows: Vec<&Key> = group.keys.iter().filter_map(|(path, ..)| keys::find(path)).collect();
    for row in &rows {
        let mut kind = row.kind.to_owned();
        kind[..1].make_ascii_uppercase();
        words = without(&words, &format!("{kind}."));
        words = without(&words, &format!("{}.", row.kind));
        words = match row.default {
            Some(default) => without(&words, &format!("{kind}; the default is none: {default}.")),
            None => without(&words, "No default."),
        };
    }
    for (path, name, _) in &group.keys {
        let owners = match path.strip_suffix(&format!(".{name}")) {
            Some("cloud.credentials") => only_of(&keys::providers(), "provider", name),
            Some("endpoint.probe") => only_of(&keys::probe_kinds(), "kind", name),
            _ => None,
        };
        words.extend(owners.filter(|(_, all)| !all.iter().all(|owner| words.contains(owner))).map(|(said, _)| said));
    }
    if group.keys.iter().any(|(path, ..)| keys::AT_RESTART.contains(&path.as_str())) {
        words.push_str(" A change takes a restart.");
    }
    if let Some(row) = rows.iter().find(|row| row.since != FIRST) {
        words.push_str(&format!(" Since version {}.", row.since));
    }
    words
}

/// A text without one of its sentences.
fn without(text: &str, sentence: &str) -> String {
    match text.find(sentence) {
        Some(at) if at == 0 || text[..at].ends_with(". ") => {
            let (before, after) = (&text[..at], &text[at + sentence.len()..]);
            format!("{before}{}", after.trim_start()).trim_end().to_owned()
        }
        _ => text.to_owned(),
    }
}

/// Of whom alone a key is, if not of all, in a sentence.
fn only_of(owners: &[Owner], what: &str, name: &str) -> Option<(String, Vec<&'static str>)> {
    let theirs: Vec<&str> = owners.iter().filter(|(_, keys)| keys.contains(&name)).map(|(word, _)| *word).collect();
    (!theirs.is_empty()).then(|| (format!(" Only with `{what}` {}.", theirs.join(", ")), theirs))
}

/// What a value looks like, where the default does not show it.
fn examples(roff: &mut Roff, group: &Group) {
    for (path, name, value) in &group.keys {
        let shown = keys::find(path).and_then(|key| key.default).is_some_and(|default| default == *value);
        if !shown {
            roff.control("br", []).text([roman("Example: "), bold(breakable(&format!("{name} = {value}")))]);
        }
    }
}

fn example(roff: &mut Roff, text: &str) {
    roff.control("EX", []);
    for line in text.lines() {
        roff.text([roman(line)]);
    }
    roff.control("EE", []);
}
