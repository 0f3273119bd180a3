//! Places images are copied from and to, as `wharf copy` writes them: the store, a registry, an OCI layout, an archive.

use std::path::{Path, PathBuf};

use wharf_client::archive::{Archive, ArchiveWriter};
use wharf_client::layout::{LayoutDirectory, NamedImage};
use wharf_client::transfer::{CopyOptions, CopyReport, Events, ImageSink, ImageSource, Target, copy};
use wharf_spec::{Reference, Tag};

use crate::failure::Failure;
use crate::images::destination;
use crate::session::Session;
use crate::stores::OpenStore;

/// Where an image is or goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the store, for a name without a host; else at that registry.
    Reference(Reference),
    /// `oci:DIR[:TAG]`
    Layout(PathBuf, Option<Tag>),
    /// `oci-archive:FILE[:TAG]` and `docker-archive:FILE[:NAME[:TAG]]`: one file that is both.
    Archive(PathBuf, Option<Reference>),
}

/// An open source and what to copy from it.
type Source = (Box<dyn ImageSource>, Target);

impl std::str::FromStr for Place {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::usage(format!("`{text}` names no place"))
                .hint("places are NAME:TAG, oci:DIR, oci-archive:FILE and docker-archive:FILE; see `wharf copy --help`")
        };
        if let Some(rest) = text.strip_prefix("oci:") {
            let (path, tag) = split(rest).ok_or_else(wrong)?;
            return Ok(Self::Layout(
                path,
                tag.map(str::parse).transpose().map_err(|error: wharf_spec::NameError| wrong().because(error))?,
            ));
        }
        if let Some(rest) = text.strip_prefix("oci-archive:") {
            let (path, tag) = split(rest).ok_or_else(wrong)?;
            let name = tag.map(|tag| format!("image:{tag}").parse()).transpose();
            return Ok(Self::Archive(path, name.map_err(|error: wharf_spec::ReferenceError| wrong().because(error))?));
        }
        if let Some(rest) = text.strip_prefix("docker-archive:") {
            let (path, name) = split(rest).ok_or_else(wrong)?;
            let name = name.map(str::parse).transpose();
            return Ok(Self::Archive(path, name.map_err(|error: wharf_spec::ReferenceError| wrong().because(error))?));
        }
        text.parse().map(Self::Reference).map_err(|error: wharf_spec::ReferenceError| wrong().because(error))
    }
}

/// `PATH[:REST]`; `None` without a path.
fn split(text: &str) -> Option<(PathBuf, Option<&str>)> {
    let (path, rest) = text.split_once(':').unwrap_or((text, ""));
    (!path.is_empty()).then(|| (path.into(), Some(rest).filter(|rest| !rest.is_empty())))
}

impl Place {
    async fn source(&self, session: &Session, store: &OpenStore) -> Result<Source, Failure> {
        match self {
            // `copy` takes a name with a host at its word: the registry itself, not what the store kept of it.
            Self::Reference(reference) if reference.host.is_some() => {
                let remote = session.remote(reference)?;
                Ok((Box::new(remote.repository), remote.target))
            }
            Self::Reference(reference) => {
                let image = store.require(reference).await?;
                Ok((Box::new(store.place(&image.name)), Target::Digest(image.manifest.digest())))
            }
            Self::Layout(path, tag) => {
                let no_layout = |error| Failure::new(format!("{} is not an OCI layout", path.display())).because(error);
                let layout = LayoutDirectory::open(path).map_err(no_layout)?;
                let images = layout.images().map_err(|error| unreadable(path, error))?;
                let target = choose(&images, tag.as_ref(), path)?;
                Ok((Box::new(layout), target))
            }
            Self::Archive(path, name) => {
                let archive = Archive::open(path, &store.scratch()?).await.map_err(|error| unreadable(path, error))?;
                let tag = name.as_ref().and_then(Reference::tag_or_latest);
                let target = choose(&archive.images(), tag.as_ref(), path)?;
                Ok((Box::new(archive), target))
            }
        }
    }
}

fn unreadable(path: &Path, error: wharf_client::transfer::Error) -> Failure {
    Failure::new(format!("could not read {}", path.display())).because(error)
}

/// The image of a file that is meant: the tagged one, or the only one.
fn choose(images: &[NamedImage], tag: Option<&Tag>, path: &Path) -> Result<Target, Failure> {
    let listed = || images.iter().filter_map(|image| image.name.clone()).collect::<Vec<_>>();
    match (tag, images) {
        (Some(tag), _) => {
            let found = images.iter().find(|image| image.tag().as_ref() == Some(tag));
            found.map(|image| Target::Digest(image.descriptor.digest)).ok_or_else(|| {
                Failure::new(format!("{} has no image tagged {tag}", path.display()))
                    .hint(format!("it has: {}", listed().join(", ")))
            })
        }
        (None, [only]) => Ok(Target::Digest(only.descriptor.digest)),
        (None, []) => Err(Failure::new(format!("{} holds no image", path.display()))),
        (None, _) => Err(Failure::usage(format!("{} holds several images: say which", path.display()))
            .hint(format!("it has: {}", listed().join(", ")))),
    }
}

/// Begins an archive at `path`.
pub async fn create_archive(path: &Path) -> Result<ArchiveWriter, Failure> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
        return Err(Failure::new(format!("could not write {}", path.display()))
            .hint(format!("there is no directory {}", parent.display())));
    }
    let unwritable = |error| Failure::new(format!("could not write {}", path.display())).because(error);
    ArchiveWriter::create(path).await.map_err(unwritable)
}

/// Copies an image from anywhere to anywhere.
pub async fn transfer(
    session: &Session,
    store: &OpenStore,
    (from, to): (&Place, &Place),
    options: &CopyOptions,
    events: &Events,
) -> Result<CopyReport, Failure> {
    let (source, target) = from.source(session, store).await?;
    let into = |sink: Box<dyn ImageSink>, tag: Option<Tag>| async move {
        let copied = copy((&*source, &target), (&*sink, tag.as_ref()), options, events).await;
        copied.map_err(|error| Failure::new("could not copy").because(error))
    };
    match to {
        Place::Reference(reference) if reference.host.is_none() => {
            into(Box::new(store.place(&destination(reference)?)), reference.tag_or_latest()).await
        }
        Place::Reference(reference) => {
            let remote = session.remote(reference)?;
            into(Box::new(remote.repository), reference.tag_or_latest()).await
        }
        Place::Layout(path, tag) => {
            let unwritable = |error: wharf_client::transfer::Error| {
                Failure::new(format!("could not write {}", path.display())).because(error)
            };
            let layout = LayoutDirectory::create(path).map_err(unwritable)?;
            let report = into(Box::new(layout.clone()), tag.clone()).await?;
            if tag.is_none() {
                layout.list(&report.root, None).map_err(unwritable)?;
            }
            Ok(report)
        }
        Place::Archive(path, name) => {
            let unwritable = |error: wharf_client::transfer::Error| {
                Failure::new(format!("could not write {}", path.display())).because(error)
            };
            let archive = create_archive(path).await?;
            let tag = name.as_ref().and_then(Reference::tag_or_latest);
            let report = into(Box::new(archive.image(name.clone())), tag).await?;
            if name.is_none() {
                archive.list(&report.root);
            }
            archive.finish().await.map_err(unwritable)?;
            Ok(report)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_as_they_are_written() {
        let tag = |text: &str| text.parse::<Tag>().unwrap();
        for (text, place) in [
            ("oci:out", Place::Layout("out".into(), None)),
            ("oci:/tmp/out:v1", Place::Layout("/tmp/out".into(), Some(tag("v1")))),
            ("docker-archive:a.tar:team/app:1", Place::Archive("a.tar".into(), Some("team/app:1".parse().unwrap()))),
            ("oci-archive:a.tar", Place::Archive("a.tar".into(), None)),
            ("team/app:1", Place::Reference("team/app:1".parse().unwrap())),
        ] {
            assert_eq!(text.parse::<Place>().unwrap(), place, "{text}");
        }
        assert!("oci:out:-x".parse::<Place>().is_err());
        for bad in ["Team/App", "oci:", "docker-archive::app:1"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
