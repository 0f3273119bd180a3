//! `wharf`: build, store, serve and deploy container images.
//!
//! This crate reads arguments, environment and configuration, wires the other crates together, and is the only one that
//! prints.

#![expect(unreachable_pub, reason = "a program has no outside: `pub` here means what it means in a library")]

mod agents;
mod ahead;
mod annotations;
mod args;
mod attestations;
mod bake;
mod bases;
mod builds;
mod built;
mod caches;
mod commands;
mod config;
mod contexts;
mod csv;
mod destinations;
mod eager;
mod engine;
mod env;
mod explain;
mod failure;
mod fetch;
mod images;
mod limits;
mod migration;
mod names;
mod output;
mod outputs;
mod places;
mod policy;
mod programs;
mod progress;
mod publish;
mod questions;
mod remote;
mod requests;
mod session;
mod size;
mod span;
mod stores;
mod transfers;
mod waiting;

use std::process::ExitCode;

use clap::Parser as _;
use wharf_registry::background::step_back;

use crate::args::{Cli, Command};
use crate::env::Environment;
use crate::failure::{EXIT_USAGE, Failure};
use crate::session::Session;

fn main() -> ExitCode {
    // Before anything else: this process may be the one that runs a build's step.
    wharf_builder::sandbox::run_helper_if_asked();
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
    // These two must come before the first thread.
    if let Command::Doctor = cli.command {
        return commands::doctor::run();
    }
    let builds = match &cli.command {
        Command::Build(build) => build.asked().question.is_none(),
        Command::Bake(bake) => bake.builds(),
        Command::Up(_) | Command::Import(_) | Command::Cache(_) => true,
        _ => false,
    };
    if builds {
        wharf_builder::sandbox::enter_user_namespace_if_needed()
            .map_err(|error| Failure::new("builds cannot run here").because(error).hint("`wharf doctor` says why"))?;
    }
    // Nobody waits for these, and whoever is served beside them should not wait on their account.
    if let Command::Gc(_) | Command::Fsck(_) = &cli.command {
        step_back();
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::new("could not start").because(error))?;
    runtime.block_on(dispatch(session, cli.command))
}

async fn dispatch(session: Session, command: Command) -> Result<(), Failure> {
    match command {
        Command::Build(command) => Box::pin(commands::build::run(&session, command)).await,
        Command::Bake(command) => Box::pin(commands::bake::run(&session, command)).await,
        Command::Policy(options) => Box::pin(commands::policy::run(&session, options.command)).await,
        Command::Cache(options) => commands::cache::run(&session, &options.command).await,
        Command::Serve(command) => commands::serve::run(&session, command).await,
        Command::Up(command) => Box::pin(commands::up::run(&session, command)).await,
        Command::Push(command) => commands::push::run(&session, command).await,
        Command::Pull(command) => commands::pull::run(&session, command).await,
        Command::Copy(command) => commands::copy::run(&session, command).await,
        Command::Tag(command) => commands::tag::run(&session, command).await,
        Command::Images(command) => commands::images::run(&session, command).await,
        Command::Inspect(command) => commands::inspect::run(&session, command).await,
        Command::Rm(command) => commands::rm::run(&session, command).await,
        Command::History(command) => commands::history::run(&session, command).await,
        Command::Rollback(command) => commands::history::rollback(&session, command).await,
        Command::Prune(command) => commands::prune::run(&session, command).await,
        Command::Migrate(command) => commands::migrate::run(&session, command).await,
        Command::Backup(command) => commands::backup::run(&session, command).await,
        Command::Restore(command) => commands::backup::restore_records(&session, command).await,
        Command::Import(command) => commands::import::run(&session, command).await,
        Command::Gc(command) => commands::gc::run(&session, command).await,
        Command::Fsck(command) => commands::fsck::run(&session, command).await,
        Command::Login(command) => commands::login::run(&session, command).await,
        Command::Logout(command) => commands::login::logout(&session, command).await,
        Command::Doctor => commands::doctor::run(),
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
