//! Where a build's files come from: directories are used as they are; repositories, downloads and standard input become
//! directories that go away with the build.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::TryStreamExt as _;
use wharf_builder::git::{GitSource, Host, checkout};
use wharf_builder::layer::{FlatLayer, LayerIndex, Ownership, TarLimits, detect_archive, unpack_flat};
use wharf_builder::{ContextSource, DockerfileText, Fetch as _, ImageName};
use wharf_client::transfer::Target;
use wharf_spec::Compression;

use crate::builds::pairs;
use crate::failure::Failure;
use crate::fetch::Fetcher;
use crate::session::Session;

/// A Dockerfile is not longer than this.
pub const MAX_DOCKERFILE: u64 = 16 << 20;

/// The main context of a build.
pub struct MainContext {
    /// Its files, when it has any.
    pub directory: Option<PathBuf>,
    /// The Dockerfile, when it came in place of a context.
    pub dockerfile: Option<DockerfileText>,
    _room: Option<Room>,
}

/// A directory of this build's own; removed when dropped.
pub struct Room(PathBuf);

impl Room {
    fn new(scratch: &Path) -> Result<Self, Failure> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = scratch.join(format!("context-{}-{number}", std::process::id()));
        let failed = |error| Failure::new("could not make room for a context").because(error);
        std::fs::create_dir_all(path.join("files")).map_err(failed)?;
        Ok(Self(path))
    }

    fn files(&self) -> PathBuf {
        self.0.join("files")
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What has to be fetched to have a context.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Directory,
    StandardInput,
    Repository(GitSource),
    Download,
}

fn place(text: &str) -> Result<Place, Failure> {
    if text == "-" {
        return Ok(Place::StandardInput);
    }
    if let Some(source) = GitSource::parse(text) {
        let wrong = |error| Failure::usage(format!("the context {text} makes no sense")).because(error);
        return source.map(Place::Repository).map_err(wrong);
    }
    if text.starts_with("http://") || text.starts_with("https://") {
        return Ok(Place::Download);
    }
    Ok(Place::Directory)
}

/// The main context that `text` names.
pub async fn main(
    session: &Session,
    text: &str,
    agent: Option<PathBuf>,
    scratch: &Path,
) -> Result<MainContext, Failure> {
    let directory =
        |directory: PathBuf, room| MainContext { directory: Some(directory), dockerfile: None, _room: room };
    match place(text)? {
        Place::Directory => {
            let path = Path::new(text);
            if !path.exists() {
                return Err(Failure::usage(format!("there is no directory {text} to build")));
            }
            if !path.is_dir() {
                return Err(Failure::usage(format!("the context {text} is not a directory")));
            }
            Ok(directory(path.to_path_buf(), None))
        }
        Place::Repository(source) => {
            let room = Room::new(scratch)?;
            Ok(directory(clone(session, &source, agent, &room).await?, Some(room)))
        }
        Place::StandardInput => {
            let room = Room::new(scratch)?;
            let mut file = spool(&room)?;
            let failed = |error: std::io::Error| Failure::new("could not read standard input").because(error);
            std::io::copy(&mut std::io::stdin().lock(), &mut file).map_err(failed)?;
            spooled(file, "stdin", room)
        }
        Place::Download => {
            let room = Room::new(scratch)?;
            let file = download(session, text, &room).await?;
            spooled(file, text, room)
        }
    }
}

/// An archive is the context, anything else the Dockerfile of a build without one.
fn spooled(mut file: File, name: &str, room: Room) -> Result<MainContext, Failure> {
    if unpack_archive(&mut file, name, &room)? {
        return Ok(MainContext { directory: Some(room.files()), dockerfile: None, _room: Some(room) });
    }
    let failed =
        |error: std::io::Error| Failure::new(format!("{name} is neither an archive nor a Dockerfile")).because(error);
    let mut text = String::new();
    file.rewind().map_err(failed)?;
    file.take(MAX_DOCKERFILE).read_to_string(&mut text).map_err(failed)?;
    let dockerfile = DockerfileText { name: name.to_owned(), text };
    Ok(MainContext { directory: None, dockerfile: Some(dockerfile), _room: Some(room) })
}

fn spool(room: &Room) -> Result<File, Failure> {
    let failed = |error| Failure::new("could not make room for a context").because(error);
    File::options().read(true).write(true).create_new(true).open(room.0.join("spool")).map_err(failed)
}

async fn download(session: &Session, url: &str, room: &Room) -> Result<File, Failure> {
    let failed = || Failure::new(format!("could not fetch the context {url}"));
    let fetched = Fetcher(session.client_config()?).get(url).await.map_err(|error| failed().because(error))?;
    let (mut body, mut file) = (fetched.body, spool(room)?);
    while let Some(piece) = body.try_next().await.map_err(|error| failed().because(error))? {
        file.write_all(&piece).map_err(|error| failed().because(error))?;
    }
    Ok(file)
}

/// Unpacks the file if it is an archive, and says whether it is one. Everything in it belongs to whoever builds.
fn unpack_archive(file: &mut File, name: &str, room: &Room) -> Result<bool, Failure> {
    let failed = || Failure::new(format!("the archive {name} cannot be unpacked"));
    let mut again = || -> Result<File, Failure> {
        file.rewind().map_err(|error| failed().because(error))?;
        file.try_clone().map_err(|error| failed().because(error))
    };
    let Some(format) = detect_archive(again()?).map_err(|error| failed().because(error))? else { return Ok(false) };
    let decoder = wharf_builder::layer::Decoder::new(again()?, format).map_err(|error| failed().because(error))?;
    let index = LayerIndex::from_tar(decoder, Compression::Uncompressed, TarLimits::default());
    let (_, index) = index.map_err(|error| failed().because(error))?;
    let layer = FlatLayer { index: &index, blob: again()?, format };
    unpack_flat([layer], &room.files(), Ownership::Squashed, TarLimits::default())
        .map_err(|error| failed().because(error))?;
    Ok(true)
}

async fn clone(session: &Session, source: &GitSource, agent: Option<PathBuf>, room: &Room) -> Result<PathBuf, Failure> {
    let host = Host { agent, proxies: session.environment.proxies() };
    let keep = source.keep_git_dir.unwrap_or(false);
    let checkout = checkout(source, &room.files(), &host, keep).await.map_err(|error| {
        let hint = error.hint();
        let failure = Failure::new(format!("the repository {} cannot be used", source.remote)).because(error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })?;
    Ok(checkout.directory)
}

/// `--build-context`, and what must stay alive for it.
pub async fn named(
    session: &Session,
    texts: &[String],
    agent: Option<&PathBuf>,
    scratch: &Path,
) -> Result<(BTreeMap<String, ContextSource>, Vec<Room>), Failure> {
    let (mut contexts, mut rooms) = (BTreeMap::new(), Vec::new());
    for (name, value) in pairs("--build-context", texts)? {
        let source = match image(&name, &value)? {
            Some(image) => ContextSource::Image(image),
            None => match place(&value)? {
                Place::Directory if Path::new(&value).is_dir() => ContextSource::Directory(PathBuf::from(&value)),
                Place::Directory | Place::StandardInput => {
                    return Err(Failure::usage(format!("--build-context {name}={value}: there is no such directory")));
                }
                Place::Repository(repository) => {
                    let room = Room::new(scratch)?;
                    let files = clone(session, &repository, agent.cloned(), &room).await?;
                    rooms.push(room);
                    ContextSource::Directory(files)
                }
                Place::Download => {
                    let room = Room::new(scratch)?;
                    let mut file = download(session, &value, &room).await?;
                    if !unpack_archive(&mut file, &value, &room)? {
                        return Err(Failure::new(format!("the context {value} is no archive")));
                    }
                    let files = room.files();
                    rooms.push(room);
                    ContextSource::Directory(files)
                }
            },
        };
        contexts.insert(name, source);
    }
    Ok((contexts, rooms))
}

/// `docker-image://` and `oci-layout://`.
fn image(name: &str, value: &str) -> Result<Option<ImageName>, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::usage(format!("--build-context {name}={value}: {error}"));
    if let Some(reference) = value.strip_prefix("docker-image://") {
        let reference = reference.parse().map_err(|error: wharf_spec::ReferenceError| wrong(&error))?;
        return Ok(Some(ImageName::Reference(reference)));
    }
    let Some(layout) = value.strip_prefix("oci-layout://") else { return Ok(None) };
    let (directory, target) = match layout.split_once('@') {
        // A tag beside a digest says nothing more.
        Some((directory, digest)) => {
            let digest = digest.parse().map_err(|error: wharf_spec::DigestError| wrong(&error))?;
            let directory = match directory.rsplit_once(':') {
                Some((directory, tag)) if !tag.contains('/') => directory,
                Some(_) | None => directory,
            };
            (directory, Some(Target::Digest(digest)))
        }
        None => match layout.rsplit_once(':') {
            Some((directory, tag)) if !tag.contains('/') => {
                (directory, Some(Target::Tag(tag.parse().map_err(|error: wharf_spec::NameError| wrong(&error))?)))
            }
            Some(_) | None => (layout, None),
        },
    };
    Ok(Some(ImageName::Layout { directory: directory.into(), target }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_told_apart() {
        assert_eq!(place("-").unwrap(), Place::StandardInput);
        assert_eq!(place("https://h/x.tar.gz").unwrap(), Place::Download);
        assert_eq!(place("./https").unwrap(), Place::Directory);
        assert!(matches!(place("https://h/r.git#main").unwrap(), Place::Repository(_)));
        assert!(place("https://h/r.git?no=1").is_err());
    }

    #[test]
    fn layouts_take_a_tag_and_a_digest() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (value, shown) in [
            ("oci-layout://d".to_owned(), "oci-layout://d".to_owned()),
            ("oci-layout://d:t".to_owned(), "oci-layout://d:t".to_owned()),
            (format!("oci-layout://d:t@{digest}"), format!("oci-layout://d@{digest}")),
        ] {
            assert_eq!(image("n", &value).unwrap().unwrap().to_string(), shown);
        }
        assert_eq!(image("n", "d").unwrap(), None);
    }
}
