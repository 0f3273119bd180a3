//! Where a build's files come from: directories are used as they are; repositories, downloads and standard input become
//! directories that go away with the build.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use futures_util::TryStreamExt as _;
use wharf_builder::git::{Checkout, GitSource, Host, checkout};
use wharf_builder::layer::{FlatLayer, Kind, LayerIndex, Ownership, TarLimits, detect_archive, unpack_flat};
use wharf_builder::policy::{Policies, PolicyError};
use wharf_builder::{ContextSource, DockerfileText, Fetch as _, ImageName};
use wharf_client::transfer::Target;
use wharf_spec::{Algorithm, Compression, Digest, Hasher, Platform};

use crate::builds::pairs;
use crate::failure::Failure;
use crate::fetch::Fetcher;
use crate::session::Session;
use crate::stores::own_place;

/// A Dockerfile is not longer than this.
pub const MAX_DOCKERFILE: u64 = 16 << 20;

/// The main context of a build.
pub struct MainContext {
    /// Its files, when it has any.
    pub directory: Option<PathBuf>,
    /// The Dockerfile, when it came in place of a context.
    pub dockerfile: Option<DockerfileText>,
    /// When its files were made, as far as that is known.
    pub time: Option<i64>,
    _room: Option<Room>,
}

/// What fetching a context needs.
#[derive(Clone, Copy)]
pub struct Fetching<'a> {
    pub session: &'a Session,
    /// The socket of an SSH agent.
    pub agent: Option<&'a Path>,
    /// A directory for what lives as long as the build.
    pub scratch: &'a Path,
    /// What may be used, and what takes its place.
    pub policies: &'a Policies,
    /// Whether `.git` is part of a repository that does not say.
    pub keep_git_dir: bool,
}

/// Named contexts, and what must stay alive for them.
#[derive(Default)]
pub struct Named {
    pub sources: BTreeMap<String, ContextSource>,
    /// When their files were made, where that is known.
    pub times: BTreeMap<String, i64>,
    rooms: Vec<Room>,
}

/// A download in a file.
struct Spooled {
    file: File,
    /// `Last-Modified`
    time: Option<i64>,
}

/// A directory of this build's own; removed when dropped.
pub struct Room(PathBuf);

impl Room {
    fn new(scratch: &Path) -> Result<Self, Failure> {
        let path = own_place(scratch, "context");
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

/// Whether the context that `text` names is a directory of this machine.
pub fn is_directory(text: &str) -> Result<bool, Failure> {
    Ok(place(text)? == Place::Directory)
}

/// Whether policies let a context be used that was fetched before they were known.
pub fn ask(policies: &Policies, text: &str) -> Result<(), Failure> {
    let asked = match place(text)? {
        Place::Directory | Place::StandardInput => Ok(()),
        Place::Repository(source) => policies.repository(source).map(drop),
        Place::Download => policies.url(text, None).map(drop),
    };
    asked.map_err(|error| refused(text, error))
}

/// The main context that `text` names.
pub async fn main(fetching: &Fetching<'_>, text: &str) -> Result<MainContext, Failure> {
    match place(text)? {
        Place::Directory => {
            let path = Path::new(text);
            if !path.exists() {
                return Err(Failure::usage(format!("there is no directory {text} to build")));
            }
            if !path.is_dir() {
                return Err(Failure::usage(format!("the context {text} is not a directory")));
            }
            fetching.policies.local("context").map_err(|error| refused(text, error))?;
            Ok(MainContext { directory: Some(path.to_path_buf()), dockerfile: None, time: None, _room: None })
        }
        Place::Repository(source) => {
            let room = Room::new(fetching.scratch)?;
            let Checkout { directory, committed, .. } = clone(fetching, &source, &room).await?;
            let time = Some(committed);
            Ok(MainContext { directory: Some(directory), dockerfile: None, time, _room: Some(room) })
        }
        Place::StandardInput => {
            let room = Room::new(fetching.scratch)?;
            let mut file = spool(&room)?;
            let failed = |error: std::io::Error| Failure::new("could not read standard input").because(error);
            std::io::copy(&mut std::io::stdin().lock(), &mut file).map_err(failed)?;
            spooled(Spooled { file, time: None }, "stdin", room)
        }
        Place::Download => {
            let room = Room::new(fetching.scratch)?;
            let file = download(fetching, text, &room).await?;
            spooled(file, text, room)
        }
    }
}

/// An archive is the context, anything else the Dockerfile of a build without one.
fn spooled(Spooled { mut file, time }: Spooled, name: &str, room: Room) -> Result<MainContext, Failure> {
    if let Some(unpacked) = unpack_archive(&mut file, name, &room)? {
        let time = time.or(unpacked.newest);
        return Ok(MainContext { directory: Some(room.files()), dockerfile: None, time, _room: Some(room) });
    }
    let failed =
        |error: std::io::Error| Failure::new(format!("{name} is neither an archive nor a Dockerfile")).because(error);
    let mut text = String::new();
    file.rewind().map_err(failed)?;
    file.take(MAX_DOCKERFILE).read_to_string(&mut text).map_err(failed)?;
    let dockerfile = DockerfileText { name: name.to_owned(), text };
    Ok(MainContext { directory: None, dockerfile: Some(dockerfile), time, _room: Some(room) })
}

fn spool(room: &Room) -> Result<File, Failure> {
    let failed = |error| Failure::new("could not make room for a context").because(error);
    File::options().read(true).write(true).create_new(true).open(room.0.join("spool")).map_err(failed)
}

fn refused(context: &str, error: PolicyError) -> Failure {
    crate::programs::refused(format!("the context {context} may not be used"), error)
}

async fn download(fetching: &Fetching<'_>, url: &str, room: &Room) -> Result<Spooled, Failure> {
    let (url, checksum) = fetching.policies.url(url, None).map_err(|error| refused(url, error))?;
    let url = url.as_str();
    let failed = || Failure::new(format!("could not fetch the context {url}"));
    let mut hasher = Hasher::new(checksum.as_ref().map_or(Algorithm::Sha256, Digest::algorithm));
    let fetched = Fetcher(fetching.session.client_config()?).get(url).await.map_err(|error| failed().because(error))?;
    let time = fetched.last_modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let time = time.and_then(|time| i64::try_from(time.as_secs()).ok());
    let (mut body, mut file) = (fetched.body, spool(room)?);
    while let Some(piece) = body.try_next().await.map_err(|error| failed().because(error))? {
        hasher.update(&piece);
        file.write_all(&piece).map_err(|error| failed().because(error))?;
    }
    let found = hasher.finish();
    if let Some(expected) = checksum.filter(|expected| *expected != found) {
        return Err(Failure::new(format!("the context {url} is not what the source policy says"))
            .hint(format!("it hashes to {found}, and is to hash to {expected}")));
    }
    Ok(Spooled { file, time })
}

/// An archive that was unpacked.
struct Unpacked {
    /// The time of its newest file.
    newest: Option<i64>,
}

/// Unpacks the file if it is an archive. Everything in it belongs to whoever builds.
fn unpack_archive(file: &mut File, name: &str, room: &Room) -> Result<Option<Unpacked>, Failure> {
    let failed = || Failure::new(format!("the archive {name} cannot be unpacked"));
    let mut again = || -> Result<File, Failure> {
        file.rewind().map_err(|error| failed().because(error))?;
        file.try_clone().map_err(|error| failed().because(error))
    };
    let Some(format) = detect_archive(again()?).map_err(|error| failed().because(error))? else { return Ok(None) };
    let decoder = wharf_builder::layer::Decoder::new(again()?, format).map_err(|error| failed().because(error))?;
    let index = LayerIndex::from_tar(decoder, Compression::Uncompressed, TarLimits::default());
    let (_, index) = index.map_err(|error| failed().because(error))?;
    let layer = FlatLayer { index: &index, blob: again()?, format };
    unpack_flat([layer], &room.files(), Ownership::Squashed, TarLimits::default())
        .map_err(|error| failed().because(error))?;
    let files = index.iter().filter(|one| matches!(one.entry.kind, Kind::File { .. }));
    Ok(Some(Unpacked { newest: files.map(|one| one.entry.mtime.secs).max() }))
}

async fn clone(fetching: &Fetching<'_>, source: &GitSource, room: &Room) -> Result<Checkout, Failure> {
    let agent = fetching.agent.map(Path::to_path_buf);
    let host = Host { agent, proxies: fetching.session.environment.proxies() };
    let allowed = fetching.policies.repository(source.clone());
    let source = &allowed.map_err(|error| refused(&source.remote, error))?;
    let keep = source.keep_git_dir.unwrap_or(fetching.keep_git_dir);
    checkout(source, &room.files(), &host, keep).await.map_err(|error| {
        let hint = error.hint();
        let failure = Failure::new(format!("the repository {} cannot be used", source.remote)).because(error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })
}

/// `--build-context`
pub async fn named(fetching: &Fetching<'_>, texts: &[String]) -> Result<Named, Failure> {
    let mut named = Named::default();
    for (name, value) in pairs("--build-context", texts)? {
        if let Some((_, platform)) = name.split_once("::") {
            platform.parse::<Platform>().map_err(|error| {
                Failure::usage(format!("--build-context {name}={value}: the platform is not one"))
                    .because(error)
                    .hint("for one platform alone, write NAME::OS/ARCH=VALUE, for example app::linux/arm64=./arm")
            })?;
        }
        let source = match image(&name, &value)? {
            Some(image) => ContextSource::Image(image),
            None => match place(&value)? {
                Place::Directory if Path::new(&value).is_dir() => {
                    fetching.policies.local(&name).map_err(|error| refused(&value, error))?;
                    ContextSource::Directory(PathBuf::from(&value))
                }
                Place::Directory | Place::StandardInput => {
                    let failure = Failure::usage(format!("--build-context {name}={value}: there is no such directory"));
                    return Err(if value.starts_with("target:") {
                        failure.hint("`target:` is for bake files; `--from` and FROM take stages by their names")
                    } else {
                        failure
                    });
                }
                Place::Repository(repository) => {
                    let room = Room::new(fetching.scratch)?;
                    let Checkout { directory, committed, .. } = clone(fetching, &repository, &room).await?;
                    named.times.insert(name.to_lowercase(), committed);
                    named.rooms.push(room);
                    ContextSource::Directory(directory)
                }
                Place::Download => {
                    let room = Room::new(fetching.scratch)?;
                    let Spooled { mut file, time } = download(fetching, &value, &room).await?;
                    let Some(unpacked) = unpack_archive(&mut file, &value, &room)? else {
                        return Err(Failure::new(format!("the context {value} is no archive")));
                    };
                    named.times.extend(time.or(unpacked.newest).map(|time| (name.to_lowercase(), time)));
                    let files = room.files();
                    named.rooms.push(room);
                    ContextSource::Directory(files)
                }
            },
        };
        named.sources.insert(name, source);
    }
    Ok(named)
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
