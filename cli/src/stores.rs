//! Where the store lies, and opening it.

use std::path::{Path, PathBuf};

use wharf_blobstore::{Store, embedded};
use wharf_registry::repo::Repositories;

use crate::failure::Failure;
use crate::policy::policy;
use crate::session::Session;

/// A store that is open, and the directory for what builds can make again.
#[derive(Clone, Debug)]
pub struct OpenStore {
    /// Where it lies.
    pub directory: PathBuf,
    /// Its repositories.
    pub repositories: Repositories,
}

impl OpenStore {
    /// Opens the store the user means, and makes it when it is not there.
    pub fn open(session: &Session) -> Result<Self, Failure> {
        let directory = directory(session)?;
        let store = open(&directory)?;
        let repositories = Repositories::new(store).with_policy(policy(&session.config)?);
        Ok(Self { directory, repositories })
    }

    /// A directory for what lives as long as this process.
    pub fn scratch(&self) -> Result<PathBuf, Failure> {
        let directory = self.build_cache().join("scratch");
        let failed =
            |error: std::io::Error| Failure::new(format!("could not make {}", directory.display())).because(error);
        std::fs::create_dir_all(&directory).map_err(failed)?;
        Ok(directory)
    }

    /// Snapshots and indexes of layers: can be deleted at any time.
    pub fn build_cache(&self) -> PathBuf {
        self.directory.join("build")
    }
}

fn open(directory: &Path) -> Result<Store, Failure> {
    if directory.exists() && !directory.is_dir() {
        return Err(Failure::new(format!("the store {} is a file, not a directory", directory.display()))
            .hint("choose a directory with --store DIR or WHARF_STORE"));
    }
    embedded::open(directory).map_err(|error| {
        let failure = Failure::new(format!("could not open the store {}", directory.display())).because(error);
        failure.hint("choose another directory with --store DIR or WHARF_STORE")
    })
}

/// `--store`, else `WHARF_STORE`, else the configuration's, else the system's place for root and the user's for others.
fn directory(session: &Session) -> Result<PathBuf, Failure> {
    let named = session.global.store.as_deref().or(session.environment.store()).or(session.config.store.as_deref());
    if let Some(named) = named {
        if let Some((scheme, _)) = named.split_once("://") {
            return Err(Failure::usage(format!("this version keeps stores in directories only, not in {scheme}://"))
                .hint("give a directory: --store DIR"));
        }
        return Ok(PathBuf::from(named));
    }
    if session.root {
        return Ok(PathBuf::from("/var/lib/wharf"));
    }
    session.environment.data_home().map(|home| home.join("wharf")).ok_or_else(|| {
        Failure::usage("there is no place for the store: neither HOME nor XDG_DATA_HOME is set")
            .hint("give a directory: --store DIR or WHARF_STORE")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Environment;

    fn place(root: bool, environment: Environment, flag: Option<&str>) -> Result<PathBuf, String> {
        let mut session = Session::for_tests(environment, root);
        session.global.store = flag.map(str::to_owned);
        directory(&session).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_store_is_where_the_user_says() {
        let home = || Environment::of([("HOME", "/home/ann"), ("WHARF_STORE", "/srv/env")]);
        assert_eq!(place(true, home(), Some("/srv/flag")), Ok("/srv/flag".into()));
        assert_eq!(place(true, home(), None), Ok("/srv/env".into()));
        assert_eq!(place(true, Environment::default(), None), Ok("/var/lib/wharf".into()));
        let ann = Environment::of([("HOME", "/home/ann")]);
        assert_eq!(place(false, ann, None), Ok("/home/ann/.local/share/wharf".into()));
        assert!(place(false, Environment::default(), None).unwrap_err().contains("--store"));
        assert!(place(true, home(), Some("s3://bucket")).unwrap_err().contains("directories only"));
    }
}
