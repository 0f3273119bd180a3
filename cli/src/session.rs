//! What every command needs: the options all share, the environment, the configuration, and who runs it.

use std::io::IsTerminal as _;

use crate::args::Global;
use crate::config::Config;
use crate::env::Environment;
use crate::failure::Failure;
use crate::progress::{Palette, Progress};

/// One run of the program.
#[derive(Clone, Debug)]
pub struct Session {
    /// Options of every command.
    pub global: Global,
    /// The environment at the start.
    pub environment: Environment,
    /// The configuration file.
    pub config: Config,
    /// Whether this is root.
    pub root: bool,
    /// Whether standard error takes colours.
    pub color: bool,
    /// In which colours it shows progress; none where it takes none.
    pub palette: Palette,
}

impl Session {
    /// Reads the configuration.
    pub fn new(global: Global, environment: Environment) -> Result<Self, Failure> {
        let root = rustix::process::geteuid().is_root();
        let config = Config::load(global.config.as_deref(), &environment, root)?;
        let color = std::io::stderr().is_terminal() && !environment.no_color();
        let (palette, complaints) = match environment.colors() {
            Some(text) if color => Palette::read(text),
            None if color => (Palette::usual(), Vec::new()),
            Some(_) | None => (Palette::plain(), Vec::new()),
        };
        for complaint in complaints.iter().filter(|_| !global.quiet) {
            eprintln!("warning: {complaint}");
        }
        Ok(Self { global, environment, config, root, color, palette })
    }

    /// Progress in the style the user asked for.
    pub fn progress(&self) -> Result<Progress, Failure> {
        Progress::new(self)
    }

    #[cfg(test)]
    pub fn for_tests(environment: Environment, root: bool) -> Self {
        let global = Global {
            store: None,
            config: None,
            insecure_registry: Vec::new(),
            registry_ca: Vec::new(),
            progress: None,
            quiet: true,
        };
        Self { global, environment, config: Config::default(), root, color: false, palette: Palette::plain() }
    }
}
