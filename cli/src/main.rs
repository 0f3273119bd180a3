//! `wharf`: build, store, serve and deploy container images.
//!
//! This crate reads arguments, environment and configuration, wires the other crates together, and is the only one that
//! prints.

mod args;
mod commands;
mod config;
mod env;
mod failure;
mod images;
mod names;
mod output;
mod progress;
mod remote;
mod session;
mod stores;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::env::Environment;
use crate::failure::{EXIT_USAGE, Failure};
use crate::session::Session;

fn main() -> ExitCode {
    let environment = Environment::read();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let color = std::io::IsTerminal::is_terminal(&std::io::stderr()) && !environment.no_color();
    match start(cli, environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprint!("{}", failure.render(color));
            ExitCode::from(failure.code())
        }
    }
}

fn start(cli: Cli, environment: Environment) -> Result<(), Failure> {
    log_to_stderr(&environment)?;
    let session = Session::new(cli.global, environment)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::new("could not start").because(error))?;
    runtime.block_on(dispatch(session, cli.command))
}

async fn dispatch(session: Session, command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(command) => commands::serve::run(&session, command).await,
        Command::Images(command) => commands::images::run(&session, command).await,
        Command::Inspect(command) => commands::inspect::run(&session, command).await,
        Command::Tag(command) => commands::tag::run(&session, command).await,
        Command::Rm(command) => commands::rm::run(&session, command).await,
        Command::Completion { shell } => commands::completion::run(shell),
    }
}

/// Errors and warnings of the server go to standard error; `WHARF_LOG` asks for more.
fn log_to_stderr(environment: &Environment) -> Result<(), Failure> {
    let filter = environment.log().unwrap_or("warn");
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .map_err(|error| Failure::usage("WHARF_LOG is no log filter").because(error))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}
