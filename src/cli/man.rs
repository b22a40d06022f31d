//! `privatelinkd man`

use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;

use super::exit::{Exit, Failed, io_exit};
use super::output;
use crate::manual::{self, Page};

/// What `--help` says at its end.
pub(super) const HELP: &str = "\
Read a page:
  privatelinkd man hosts apply | man -l -
Install all pages:
  privatelinkd man --all /usr/local/share/man";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A command, such as hosts apply, or privatelinkd.toml for the configuration; by default privatelinkd itself.
    #[arg(value_name = "PAGE")]
    page: Vec<String>,
    /// Write every page instead, into the folders man5 and man8 of this one.
    #[arg(long, value_name = "FOLDER", conflicts_with = "page", value_hint = clap::ValueHint::DirPath)]
    all: Option<PathBuf>,
}

pub(super) fn main(args: &Args, command: &Command) -> Result<Exit, Failed> {
    let pages = manual::pages(command, &Exit::MEANINGS);
    match &args.all {
        Some(folder) => write_all(&pages, folder)?,
        None => output::print(chosen(&pages, command.get_name(), &args.page)?.text.as_bytes())?,
    }
    Ok(Exit::Fine)
}

/// The page that these words name: as `man` would be asked, or without the program's own name.
fn chosen<'a>(pages: &'a [Page], program: &str, words: &[String]) -> Result<&'a Page, Failed> {
    let words_of = |page: &Page| page.name.strip_prefix(&format!("{program}-")).map(str::to_owned);
    let page = match words.join("-") {
        none if none.is_empty() => pages.first(),
        name => pages.iter().find(|page| page.name == name || words_of(page).as_ref() == Some(&name)),
    };
    page.ok_or_else(|| {
        let known: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
        Failed::new(Exit::Usage, anyhow::anyhow!("no page {:?}: there are {}", words.join(" "), known.join(", ")))
    })
}

fn write_all(pages: &[Page], folder: &Path) -> Result<(), Failed> {
    for page in pages {
        let folder = folder.join(format!("man{}", page.section));
        let path = folder.join(page.file_name());
        let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, &page.text));
        written.map_err(|e| {
            let exit = io_exit(&e, Exit::Internal);
            exit.because(format!("can't write {}", path.display()))(e)
        })?;
    }
    Ok(())
}
