//! Where the store lies, and opening it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use wharf_blobstore::s3::{self, S3Config};
use wharf_blobstore::{Store, embedded};
use wharf_registry::repo::Repositories;
use wharf_spec::Digest;

use crate::failure::Failure;
use crate::policy::policy;
use crate::session::Session;

/// A store that is open, and the directory for what builds can make again.
#[derive(Clone, Debug)]
pub struct OpenStore {
    /// Where it lies, for the user.
    pub place: String,
    /// Where it lies, if that is a directory.
    pub directory: Option<PathBuf>,
    /// Its repositories.
    pub repositories: Repositories,
    build: PathBuf,
}

/// Where a store lies.
#[derive(Clone, Debug)]
enum Place {
    Directory(PathBuf),
    S3(Box<S3Config>),
}

impl OpenStore {
    /// Opens the store the user means, and makes it when it is not there.
    pub async fn open(session: &Session) -> Result<Self, Failure> {
        let (place, directory, build, store) = match place(session)? {
            Place::Directory(directory) => {
                let store = open(&directory)?;
                (directory.display().to_string(), Some(directory.clone()), directory.join("build"), store)
            }
            Place::S3(config) => {
                let build = local_build_cache(session, &config)?;
                let store = s3::open(&config).await.map_err(|error| {
                    Failure::new("could not open the store")
                        .because(error)
                        .hint("docs/configuration.md, \"Stores in S3\"")
                })?;
                (config.to_string(), None, build, store)
            }
        };
        let repositories = Repositories::new(store).with_policy(policy(&session.config)?);
        Ok(Self { place, directory, repositories, build })
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
        self.build.clone()
    }
}

/// A place in [`OpenStore::scratch`] that nothing else has, in this process or another. Nothing is there yet.
pub fn own_place(scratch: &Path, what: &str) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    scratch.join(format!("{what}-{}-{number}", std::process::id()))
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
fn place(session: &Session) -> Result<Place, Failure> {
    let named = session.global.store.as_deref().or(session.environment.store()).or(session.config.store.as_deref());
    if let Some(named) = named {
        return match named.split_once("://") {
            Some(("s3", _)) => s3_config(session, named).map(|config| Place::S3(Box::new(config))),
            Some((scheme, _)) => {
                Err(Failure::usage(format!("stores are kept in directories and in s3://, not in {scheme}://"))
                    .hint("give a directory or a bucket: --store DIR or --store s3://BUCKET/PREFIX"))
            }
            None => Ok(Place::Directory(PathBuf::from(named))),
        };
    }
    if session.root {
        return Ok(Place::Directory(PathBuf::from("/var/lib/wharf")));
    }
    session.environment.data_home().map(|home| Place::Directory(home.join("wharf"))).ok_or_else(|| {
        Failure::usage("there is no place for the store: neither HOME nor XDG_DATA_HOME is set")
            .hint("give a directory: --store DIR or WHARF_STORE")
    })
}

/// What the URL says; what it leaves out, the environment says.
pub fn s3_config(session: &Session, url: &str) -> Result<S3Config, Failure> {
    let environment = &session.environment;
    let bad = |error: s3::BadS3Url| {
        Failure::usage(format!("{url} is no store")).because(error).hint("docs/configuration.md, \"Stores in S3\"")
    };
    let mut config = S3Config::from_url(url).map_err(bad)?;
    if config.region.is_empty() {
        environment.s3_region().unwrap_or_default().clone_into(&mut config.region);
    }
    if let (None, Some(endpoint)) = (&config.endpoint, environment.s3_endpoint()) {
        config = config.at(endpoint).map_err(bad)?;
    }
    config.credentials = environment.s3_credentials();
    Ok(config)
}

/// Builds work on files. Everything there can be made again.
fn local_build_cache(session: &Session, config: &S3Config) -> Result<PathBuf, Failure> {
    let caches = if session.root { Some(PathBuf::from("/var/cache")) } else { session.environment.cache_home() };
    let caches = caches.ok_or_else(|| {
        Failure::usage("there is no place for builds to work in: neither HOME nor XDG_CACHE_HOME is set")
            .hint("set XDG_CACHE_HOME to a directory of this machine")
    })?;
    // Another store, another directory.
    let place = Digest::sha256(config.to_string().as_bytes());
    Ok(caches.join("wharf").join(format!("{}-{}", config.bucket, &place.hex()[..12])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Environment;

    fn session(root: bool, environment: Environment, flag: Option<&str>) -> Session {
        let mut session = Session::for_tests(environment, root);
        session.global.store = flag.map(str::to_owned);
        session
    }

    fn place(root: bool, environment: Environment, flag: Option<&str>) -> Result<PathBuf, String> {
        match super::place(&session(root, environment, flag)) {
            Ok(Place::Directory(directory)) => Ok(directory),
            Ok(Place::S3(config)) => Err(config.to_string()),
            Err(failure) => Err(failure.to_string()),
        }
    }

    #[test]
    fn what_an_s3_url_leaves_out_the_environment_says() {
        let environment = || {
            Environment::of([
                ("HOME", "/home/ann"),
                ("AWS_REGION", "eu-north-1"),
                ("AWS_ENDPOINT_URL", "http://10.0.0.9:9000"),
                ("AWS_ACCESS_KEY_ID", "ann"),
                ("AWS_SECRET_ACCESS_KEY", "hush"),
            ])
        };
        let config = |url| s3_config(&session(false, environment(), None), url).unwrap();
        let found = config("s3://images/wharf");
        assert_eq!(found.to_string(), "s3://images/wharf/ at http://10.0.0.9:9000");
        assert_eq!((found.region.as_str(), found.path_style, found.credentials.len()), ("eu-north-1", None, 2));
        let named = config("s3://images?region=us-west-2&endpoint=https://s3.example");
        assert_eq!(
            (named.region.as_str(), named.to_string().as_str()),
            ("us-west-2", "s3://images/ at https://s3.example")
        );

        let cache = |root| local_build_cache(&session(root, environment(), None), &found).unwrap();
        assert!(cache(false).starts_with("/home/ann/.cache/wharf") && cache(true).starts_with("/var/cache/wharf"));
        assert!(s3_config(&session(true, environment(), None), "s3://images?x=1").is_err());
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
        assert_eq!(place(true, home(), Some("s3://bucket/a")).unwrap_err(), "s3://bucket/a/");
        assert!(place(true, home(), Some("gs://bucket")).unwrap_err().contains("not in gs://"));
    }
}
