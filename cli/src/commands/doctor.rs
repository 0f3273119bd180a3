//! `wharf doctor`: what this machine lets builds do, and what stands in the way of more.

use wharf_builder::sandbox::{Outcome, Report, probe};

use crate::failure::Failure;
use crate::output;

/// Prints it.
pub fn run() -> Result<(), Failure> {
    output::print(render(&probe()).as_bytes())
}
