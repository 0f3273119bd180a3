//! What every command needs: the options all share, the environment, the configuration, and who runs it.

use std::fmt;
use std::io::IsTerminal as _;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};

use wharf_builder::Together;
use wharf_client::registry::Client;

use crate::args::Global;
use crate::builds::steps_at_once;
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
    /// What it has in common with other things that are done at once.
    pub shared: Option<Shared>,
    /// The client for registries, from when one is needed: clones have its connections and tokens, too.
    pub registries: Arc<OnceLock<Client>>,
}

/// What several builds of one command have in common.
#[derive(Clone)]
pub struct Shared {
    /// All of them are shown together.
    pub progress: Progress,
    /// How much they do at once, all together.
    pub together: Together,
}

impl Shared {
    /// For builds that run so many steps at once.
    pub fn new(session: &Session, jobs: Option<NonZeroUsize>) -> Result<Self, Failure> {
        Ok(Self { progress: session.progress()?, together: Together::new(steps_at_once(jobs)) })
    }

    /// For one of them.
    pub fn of(&self, whose: &str) -> Self {
        Self { progress: self.progress.of(whose), together: self.together.clone() }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("progress", &self.progress).finish_non_exhaustive()
    }
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
        Ok(Self { global, environment, config, root, color, palette, shared: None, registries: Arc::default() })
    }

    /// Progress in the style the user asked for.
    pub fn progress(&self) -> Result<Progress, Failure> {
        match &self.shared {
            Some(shared) => Ok(shared.progress.clone()),
            None => Progress::new(self),
        }
    }

    /// The same for one of several things that are done at once.
    pub fn sharing(&self, shared: Shared) -> Self {
        Self { shared: Some(shared), registries: Arc::default(), ..self.clone() }
    }

    /// The same, and these registries need not prove who they are.
    pub fn trusting(&self, hosts: impl IntoIterator<Item = String>) -> Self {
        let mut session = self.clone();
        let known = session.global.insecure_registry.len();
        session.global.insecure_registry.extend(hosts);
        if session.global.insecure_registry.len() > known {
            session.registries = Arc::default();
        }
        session
    }

    /// Says something that is no result.
    pub fn voice(&self) -> Voice {
        Voice { quiet: self.global.quiet, progress: self.shared.as_ref().map(|shared| shared.progress.clone()) }
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
        Self {
            global,
            environment,
            config: Config::default(),
            root,
            color: false,
            palette: Palette::plain(),
            shared: None,
            registries: Arc::default(),
        }
    }
}

/// Who says things on standard error while something is under way.
#[derive(Clone, Debug)]
pub struct Voice {
    quiet: bool,
    progress: Option<Progress>,
}

impl Voice {
    /// Says a line, unless nothing is to be said.
    pub fn say(&self, line: &str) {
        match &self.progress {
            _ if self.quiet => {}
            Some(progress) => progress.say(line),
            None => eprintln!("{line}"),
        }
    }
}
