//! The manual pages that are made, not written: one of the command line, one a command, and that of the config file.
//!
//! Nothing of the machine or of the day is in them, so that the same sources give the same bytes.

mod command_page;
mod config_page;
mod page;
mod sample;

use clap::Command;

pub use page::Page;

/// Every page: the program's own first, then one a command, the config file's last. `exits` are the exit codes and what
/// each means.
#[must_use]
pub fn pages(command: &Command, exits: &[(u8, &str)]) -> Vec<Page> {
    let mut command = command_page::told(command.clone());
    command.build();
    let mut pages = command_page::pages(&command, exits);
    pages.push(config_page::page());
    pages
}
