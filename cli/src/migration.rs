//! What `wharf migrate` moves: every repository of a source, with its tags, and where they go.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use wharf_client::distribution::DistributionStorage;
use wharf_client::layout::LayoutDirectory;
use wharf_client::registry::Client;
use wharf_client::transfer::{ImageSink, ImageSource, Target};
use wharf_registry::repo::Pattern;
use wharf_spec::{RegistryHost, RepositoryName, Tag};

use crate::failure::Failure;
use crate::remote::registry_host;
use crate::session::Session;
use crate::stores::{OpenStore, s3_config};

/// Where everything comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A registry.
    Registry(RegistryHost),
    /// `distribution:DIR`
    Distribution(PathBuf),
    /// `distribution:s3://BUCKET/PREFIX`
    Bucket(String),
    /// `oci:DIR`: a layout, or a directory of layouts, each at its repository's name (as zot keeps them).
    Layouts(PathBuf),
}

/// An image to move, and the tag it gets, if any.
pub type Image = (Target, Option<Tag>);

/// A repository with what is to be moved of it.
pub struct Repository {
    pub name: RepositoryName,
    pub source: Box<dyn ImageSource>,
    pub images: Vec<Image>,
}

impl std::str::FromStr for Source {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        if let Some(url) = text.strip_prefix("distribution:").filter(|place| place.starts_with("s3://")) {
            return Ok(Self::Bucket(url.to_owned()));
        }
        if let Some(path) = text.strip_prefix("distribution:") {
            return Ok(Self::Distribution(path.into()));
        }
        if let Some(path) = text.strip_prefix("oci:") {
            return Ok(Self::Layouts(path.into()));
        }
        let hint = "a source is HOST[:PORT], distribution:DIR or distribution:s3://BUCKET (the storage of registry:2) or oci:DIR";
        registry_host(Some(text)).map(Self::Registry).map_err(|failure| failure.hint(hint))
    }
}

/// Which repositories are meant; all when nothing is said.
pub struct Selection(Vec<Pattern>);

impl Selection {
    pub fn new(texts: &[String]) -> Self {
        Self(texts.iter().map(Pattern::new).collect())
    }

    fn fits(&self, name: &RepositoryName) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| pattern.fits(name.as_str()))
    }

    /// The names, when all are written out: then no registry need be asked for its list, which many do not give.
    fn names(&self) -> Option<Vec<RepositoryName>> {
        let plain = |pattern: &Pattern| pattern.as_str().parse().ok();
        if self.0.is_empty() { None } else { self.0.iter().map(plain).collect() }
    }
}

impl Source {
    /// The names of the repositories that are to be moved, in order.
    pub async fn repositories(&self, session: &Session, wanted: &Selection) -> Result<Vec<RepositoryName>, Failure> {
        let mut names = match self {
            Self::Registry(host) => match wanted.names() {
                Some(names) => names,
                None => session.client()?.catalog(host).await.map_err(|error| {
                    Failure::new(format!("could not list the repositories of {host}"))
                        .because(error)
                        .hint("a registry that keeps no list can be moved by name: --repository NAME")
                })?,
            },
            Self::Distribution(_) | Self::Bucket(_) => {
                let (storage, place) = self.storage(session).await?;
                storage.repositories().await.map_err(|error| unreadable(&place, error))?
            }
            Self::Layouts(path) => layouts(path)?.into_iter().map(|(name, _)| name).collect(),
        };
        names.retain(|name| wanted.fits(name));
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// What another registry wrote, in a directory or a bucket, and where that is.
    async fn storage(&self, session: &Session) -> Result<(DistributionStorage, PathBuf), Failure> {
        match self {
            Self::Bucket(url) => {
                let place = PathBuf::from(url.split('?').next().unwrap_or(url));
                let opened = DistributionStorage::open_bucket(&s3_config(session, url)?).await;
                Ok((opened.map_err(|error| unreadable(&place, error))?, place))
            }
            Self::Distribution(path) => {
                let opened = DistributionStorage::open(path).await;
                Ok((opened.map_err(|error| unreadable(path, error))?, path.clone()))
            }
            Self::Registry(_) | Self::Layouts(_) => unreachable!("only these two are storages"),
        }
    }

    /// Opens one of them.
    pub async fn open(&self, session: &Session, client: &Client, name: &RepositoryName) -> Result<Repository, Failure> {
        let failed = || Failure::new(format!("could not read the repository {name}"));
        let tagged = |tags: Vec<Tag>| tags.into_iter().map(|tag| (Target::Tag(tag.clone()), Some(tag)));
        let (source, images): (Box<dyn ImageSource>, Vec<Image>) = match self {
            Self::Registry(host) => {
                let repository = client.repository(host, name);
                let tags = repository.tags().await.map_err(|error| failed().because(error))?.unwrap_or_default();
                (Box::new(repository), tagged(tags).collect())
            }
            Self::Distribution(_) | Self::Bucket(_) => {
                let (storage, _) = self.storage(session).await?;
                let repository = storage.repository(name.clone());
                let tags = repository.tags().await.map_err(|error| failed().because(error))?;
                let referrers = repository.referrers().await.map_err(|error| failed().because(error))?;
                // Subjects first would be nicer, but a manifest may come before what it is about.
                let untagged = referrers.into_iter().map(|digest| (Target::Digest(digest), None));
                (Box::new(repository), tagged(tags).chain(untagged).collect())
            }
            Self::Layouts(path) => {
                let found = layouts(path)?.into_iter().find(|(found, _)| found == name);
                let (_, directory) = found.ok_or_else(|| failed().hint("it was there a moment ago"))?;
                let layout = LayoutDirectory::open(&directory).map_err(|error| unreadable(&directory, error))?;
                let images = layout.images().map_err(|error| unreadable(&directory, error))?;
                let images = images.into_iter().map(|image| (Target::Digest(image.descriptor.digest), image.tag()));
                let images = images.collect();
                (Box::new(layout), images)
            }
        };
        Ok(Repository { name: name.clone(), source, images })
    }
}

fn unreadable(path: &Path, error: wharf_client::transfer::Error) -> Failure {
    Failure::new(format!("could not read {}", path.display())).because(error)
}

/// The layouts below a directory with the names they stand for; the directory itself, if it is one, by its own name.
fn layouts(top: &Path) -> Result<Vec<(RepositoryName, PathBuf)>, Failure> {
    let none = |problem: &str| {
        Failure::new(format!("{} {problem}", top.display()))
            .hint("a layout has a file `oci-layout`; the directories above it make the repository's name")
    };
    if top.join("oci-layout").is_file() {
        let own = top.canonicalize().ok();
        let name = own.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()?.to_lowercase().parse().ok());
        let name = name.ok_or_else(|| none("is a layout, but its name is none for a repository"))?;
        return Ok(vec![(name, top.to_owned())]);
    }
    let (mut found, mut waiting) = (BTreeSet::new(), vec![top.to_owned()]);
    while let Some(directory) = waiting.pop() {
        let failed =
            |error: std::io::Error| Failure::new(format!("could not read {}", directory.display())).because(error);
        for entry in std::fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // Links are not followed: they may lead in circles.
            if !entry.file_type().map_err(failed)?.is_dir() {
                continue;
            }
            let path = entry.path();
            if !path.join("oci-layout").is_file() {
                waiting.push(path);
                continue;
            }
            let name = path.strip_prefix(top).ok().and_then(|path| path.to_str()?.parse().ok());
            found.extend(name.map(|name| (name, path)));
        }
    }
    if found.is_empty() { Err(none("holds no OCI layout")) } else { Ok(found.into_iter().collect()) }
}

/// Where everything goes.
pub enum Destination {
    /// The store.
    Store(OpenStore),
    /// Another registry.
    Registry(RegistryHost, Client),
}

impl Destination {
    /// Opens what the user names; the store when he names nothing.
    pub async fn open(session: &Session, host: Option<&str>) -> Result<Self, Failure> {
        match host {
            None => Ok(Self::Store(OpenStore::open(session).await?)),
            Some(host) => Ok(Self::Registry(registry_host(Some(host))?, session.client()?)),
        }
    }

    /// The repository of that name.
    pub fn repository(&self, name: &RepositoryName) -> Box<dyn ImageSink> {
        match self {
            Self::Store(store) => Box::new(store.place(name)),
            Self::Registry(host, client) => Box::new(client.repository(host, name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_read_as_they_are_written() {
        let url = "s3://old/registry?endpoint=http://127.0.0.1:9000";
        assert_eq!(format!("distribution:{url}").parse::<Source>().unwrap(), Source::Bucket(url.to_owned()));
        assert_eq!("oci:x".parse::<Source>().unwrap(), Source::Layouts("x".into()));
        assert_eq!("distribution:/srv".parse::<Source>().unwrap(), Source::Distribution("/srv".into()));
        let host = Source::Registry("old.example:5000".parse().unwrap());
        assert_eq!("https://old.example:5000/".parse::<Source>().unwrap(), host);
        assert!("not a host".parse::<Source>().unwrap_err().to_string().contains("distribution:DIR"));
    }

    #[test]
    fn names_written_out_need_no_list() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(Selection::new(&texts(&["a/b", "c"])).names().map(|names| names.len()), Some(2));
        assert_eq!(Selection::new(&texts(&["a/*", "c"])).names(), None);
        assert_eq!(Selection::new(&[]).names(), None);
        let some = Selection::new(&texts(&["a/*"]));
        assert!(some.fits(&"a/b".parse().unwrap()) && !some.fits(&"b".parse().unwrap()));
    }
}
