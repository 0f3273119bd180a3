//! `wharf completion SHELL`

use clap::CommandFactory as _;

use crate::args::Cli;
use crate::failure::Failure;

/// Prints the script.
pub fn run(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "wharf", &mut script);
    crate::output::print(&script)
}
