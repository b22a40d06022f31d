//! `privatelinkd completions`

use clap::{Command, CommandFactory as _, ValueEnum};
use clap_complete::shells::{Bash, Fish, Zsh};

use super::exit::{Exit, Failed};
use super::{Cli, output};

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

pub(super) fn main(args: &Args) -> Result<Exit, Failed> {
    let mut command = visible(&Cli::command());
    let (name, mut script) = (command.get_name().to_owned(), Vec::new());
    match args.shell {
        Shell::Bash => clap_complete::generate(Bash, &mut command, name, &mut script),
        Shell::Zsh => clap_complete::generate(Zsh, &mut command, name, &mut script),
        Shell::Fish => clap_complete::generate(Fish, &mut command, name, &mut script),
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
