//! A directory of the machine as a tree of files: what `.dockerignore` hides is not there, and everybody is root.
//!
//! Every look-up goes from the root's descriptor through directories only (`openat2`, no links, never upwards), so nobody
//! who changes the directory meanwhile leads it elsewhere. Links are data; sockets are not files and are left out.
//! What cannot be read is an error only when a step needs it.

mod hashes;
mod metadata;
mod parallel;
mod walk;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use crate::files::{Files, FilesError, Found, FoundList, Stamp};
use crate::ignore::{IgnoreError, IgnoreFile, Inherited};
use crate::layer::{Entry, Kind, LayerPath};
use parallel::for_each;

pub(crate) use hashes::Hashes;
pub(crate) use metadata::stamp_of;

/// The name of the file that hides others.
const IGNORE_FILE: &str = ".dockerignore";
/// No ignore file is larger.
const MOST_IGNORE: u64 = 16 << 20;

/// Fewer files are hashed before a thread has started.
const FILES_WORTH_A_THREAD: usize = 16;

/// A directory that files are copied from.
pub(crate) struct Context {
    name: String,
    root: OwnedFd,
    ignore: IgnoreFile,
    hashes: Hashes,
}

/// Why a directory cannot be a context.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContextError {
    /// It cannot be opened.
    #[error("cannot open {path}")]
    Open {
        /// Where.
        path: String,
        /// The system's words.
        source: io::Error,
    },
    /// Its ignore file is malformed.
    #[error("{path} cannot be read")]
    Ignore {
        /// Where.
        path: String,
        /// Its text.
        text: String,
        /// Why.
        source: IgnoreError,
    },
    /// Its ignore file is no text.
    #[error("{path} is not UTF-8 text")]
    IgnoreText {
        /// Where.
        path: String,
    },
}

/// Why a path is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// A rule hides it.
    Ignored {
        /// The rule as written.
        rule: String,
        /// Its line in the ignore file.
        line: usize,
    },
    /// There is nothing.
    Nothing {
        /// What is in the nearest directory that is there.
        siblings: Vec<String>,
    },
}

impl Context {
    /// Opens `directory`. `ignore` replaces its own ignore file.
    pub(crate) fn open(
        name: &str,
        directory: &Path,
        ignore: Option<&str>,
        hashes: Hashes,
    ) -> Result<Self, ContextError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(directory, flags, Mode::empty())
            .map_err(|error| ContextError::Open { path: directory.display().to_string(), source: error.into() })?;
        let mut context = Self { name: name.to_owned(), root, ignore: IgnoreFile::default(), hashes };
        let path = directory.join(IGNORE_FILE).display().to_string();
        let text = match ignore {
            Some(text) => Some(text.to_owned()),
            None => context.own_ignore_file(&path)?,
        };
        if let Some(text) = text {
            context.ignore = match IgnoreFile::parse(&text) {
                Ok(ignore) => ignore,
                Err(source) => return Err(ContextError::Ignore { path, text, source }),
            };
        }
        Ok(context)
    }

    /// What it is called in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn own_ignore_file(&self, path: &str) -> Result<Option<String>, ContextError> {
        use std::io::Read as _;
        let failed = |source: io::Error| ContextError::Open { path: path.to_owned(), source };
        let name = LayerPath::parse(IGNORE_FILE).unwrap_or_default();
        let file = match self.open_file(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(MOST_IGNORE).read_to_end(&mut bytes).map_err(failed)?;
        let text = String::from_utf8(bytes).map_err(|_| ContextError::IgnoreText { path: path.to_owned() })?;
        Ok(Some(text))
    }

    /// Opens a regular file for reading. A named pipe is not waited for.
    pub(crate) fn open_file(&self, path: &LayerPath) -> io::Result<File> {
        let file = self.open_again(path)?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// The same for whoever looks by himself whether it is still the regular file that it was.
    pub(crate) fn open_again(&self, path: &LayerPath) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(File::from(self.open_beneath(path, flags)?))
    }

    /// Whether any change of a file with this stamp would show in its stamp.
    pub(crate) fn lasts(&self, stamp: &Stamp) -> bool {
        self.hashes.lasts(stamp)
    }

    /// What was found out about files, to be stored.
    pub(crate) fn hashes(&self) -> &Hashes {
        &self.hashes
    }

    fn open_directory(&self, path: &LayerPath) -> Result<OwnedFd, Errno> {
        self.open_beneath(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC)
    }

    fn open_beneath(&self, path: &LayerPath, flags: OFlags) -> Result<OwnedFd, Errno> {
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let name = if path.is_root() { Path::new(".") } else { path.as_path() };
        openat2(&self.root, name, flags, Mode::empty(), within)
    }

    /// Which rules match a directory, to be handed to what is in it.
    fn inherited(&self, directory: &LayerPath) -> Inherited {
        let mut inherited = Inherited::default();
        if self.ignore.is_empty() {
            return inherited;
        }
        for path in directory.ancestors().skip(1).chain([directory.clone()]) {
            inherited = self.ignore.check(&text(&path), &inherited).1;
        }
        inherited
    }

    /// Whether `found`, in a directory that hands down `inherited`, is there as far as the build can see.
    fn shows(&self, found: &Found, inherited: &Inherited) -> Result<bool, FilesError> {
        let path = &found.entry.path;
        if self.ignore.is_empty() || path.is_root() {
            return Ok(true);
        }
        let (excluded, _) = self.ignore.check(&text(path), inherited);
        if !excluded {
            return Ok(true);
        }
        // A directory that is left out is there all the same when something in it was taken back in.
        Ok(found.is_dir() && !self.ignore.may_skip(&text(path)) && !self.list(path)?.is_empty())
    }

    /// Why `path` is not there.
    pub(crate) fn absence(&self, path: &LayerPath) -> Absence {
        if let Some((rule, line)) = self.ignore.culprit(&text(path))
            && self.look(path).is_ok_and(|found| found.is_some())
        {
            return Absence::Ignored { rule: rule.to_owned(), line };
        }
        let directory = |here: &LayerPath| self.look(here).is_ok_and(|found| found.is_some_and(|found| found.is_dir()));
        let known = path.ancestors().take_while(directory).last().unwrap_or_default();
        let siblings = self.list(&known).unwrap_or_default();
        Absence::Nothing { siblings: siblings.iter().map(|found| text(&found.entry.path)).collect() }
    }

    /// What is at `path`, hidden or not.
    fn look(&self, path: &LayerPath) -> Result<Option<Found>, FilesError> {
        let Some(parent) = path.parent() else { return self.root_found().map(Some) };
        let directory = match self.open_directory(&parent) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(error) => return Err(failed(&parent, error)),
        };
        metadata::read(&directory, path, &self.hashes).map_err(|error| failed(path, error))
    }

    fn root_found(&self) -> Result<Found, FilesError> {
        metadata::of_root(&self.root).map_err(|error| failed(&LayerPath::root(), error))
    }
}

impl Files for Context {
    fn get(&self, path: &LayerPath) -> Result<Option<Found>, FilesError> {
        let Some(found) = self.look(path)? else { return Ok(None) };
        let inherited = path.parent().map(|parent| self.inherited(&parent)).unwrap_or_default();
        Ok(self.shows(&found, &inherited)?.then_some(found))
    }

    fn list(&self, path: &LayerPath) -> Result<Vec<Found>, FilesError> {
        let directory = self.open_directory(path).map_err(|error| failed(path, error))?;
        let names = names(&directory).map_err(|error| failed(path, error))?;
        let inherited = self.inherited(path);
        let mut all = Vec::with_capacity(names.len());
        for name in names {
            let child = path.join(&name).map_err(|source| FilesError::Name { parent: path.clone(), source })?;
            // What vanished since the directory was read was never there.
            let Some(found) =
                metadata::read(&directory, &child, &self.hashes).map_err(|error| failed(&child, error))?
            else {
                continue;
            };
            if self.shows(&found, &inherited)? {
                all.push(found);
            }
        }
        Ok(all)
    }

    fn fingerprint(&self, files: Vec<&mut Found>) -> Result<(), FilesError> {
        let unknown: Vec<&mut Found> = files.into_iter().filter(|file| file.content.is_none()).collect();
        for_each(unknown, FILES_WORTH_A_THREAD, |file, buffer| {
            let path = &file.entry.path;
            let opened = self.open_again(path);
            let read = opened.and_then(|open| self.hashes.read(open, file.entry.xattrs.is_empty(), buffer));
            file.content = Some(read.map_err(|source| FilesError::Io { path: path.clone(), source })?);
            Ok(())
        })
    }

    fn walk(&self, top: &Found) -> Result<FoundList, FilesError> {
        walk::walk(self, top.clone())
    }
}

/// The ignore rules of a directory that is a context, or those that replace them. What is wrong with them is said when the
/// directory is used.
pub(crate) fn ignore_rules(directory: &Path, replacement: Option<&str>) -> Option<IgnoreFile> {
    Context::open("", directory, replacement, Hashes::default()).ok().map(|context| context.ignore)
}

/// The names in a directory, sorted.
fn names(directory: &OwnedFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for child in Dir::read_from(directory)? {
        let child = child?;
        let name = child.file_name().to_bytes();
        if !matches!(name, b"." | b"..") && child.file_type() != FileType::Socket {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn text(path: &LayerPath) -> String {
    String::from_utf8_lossy(path.as_bytes()).into_owned()
}

fn failed(path: &LayerPath, error: Errno) -> FilesError {
    FilesError::Io { path: path.clone(), source: error.into() }
}

/// An entry of the root directory, which has no name.
fn directory_entry(path: LayerPath, mode: u32) -> Entry {
    Entry::new(path, Kind::Dir, mode)
}

#[cfg(test)]
mod tests;
