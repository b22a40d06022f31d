//! `privatelinkd completions`

use clap::{Command, ValueEnum};
use clap_complete::shells::{Bash, Fish, Zsh};

use super::exit::{Exit, Failed};
use super::output;

/// What `--help` says at its end.
pub(super) const HELP: &str = "\
Complete in this shell alone:
  source <(privatelinkd completions bash)
For everybody the packages have put it where the shell looks; without them that is
  bash: /etc/bash_completion.d/privatelinkd
  zsh: /usr/local/share/zsh/site-functions/_privatelinkd
  fish: /etc/fish/completions/privatelinkd.fish";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell that the script is for.
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn main(args: &Args, command: &Command) -> Result<Exit, Failed> {
    let mut command = visible(command);
    let (name, mut script) = (command.get_name().to_owned(), Vec::new());
    match args.shell {
        Shell::Bash => clap_complete::generate(Bash, &mut command, name, &mut script),
        Shell::Zsh => clap_complete::generate(Zsh, &mut command, name, &mut script),
        Shell::Fish => {
            clap_complete::generate(Fish, &mut command, name.as_str(), &mut script);
            script.extend(fish_words(&command, &name).into_bytes());
        }
    }
    output::print(&script)?;
    Ok(Exit::Fine)
}

/// The same command without what `--help` does not show: the makers of the scripts would offer that, too.
fn visible(command: &Command) -> Command {
    let shown = Command::new(command.get_name().to_owned())
        .args(command.get_arguments().filter(|arg| !arg.is_hide_set()).cloned())
        .subcommands(command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(visible));
    let shown = match command.get_about() {
        Some(about) => shown.about(about.clone()),
        None => shown,
    };
    match command.get_version() {
        Some(version) => shown.version(version.to_owned()),
        None => shown,
    }
}

/// What the maker of fish's script leaves out: the words that stand in the place of an argument without a name.
fn fish_words(command: &Command, program: &str) -> String {
    let words = |below: &Command| -> Vec<String> {
        let values = below.get_positionals().flat_map(|arg| arg.get_possible_values());
        values.map(|value| value.get_name().to_owned()).collect()
    };
    let line = |below: &Command| {
        let (name, words) = (below.get_name(), words(below).join(" "));
        let when = format!("__fish_{program}_using_subcommand {name}");
        (!words.is_empty()).then(|| format!("complete -c {program} -n \"{when}\" -f -a \"{words}\"\n"))
    };
    command.get_subcommands().filter_map(line).collect()
}
