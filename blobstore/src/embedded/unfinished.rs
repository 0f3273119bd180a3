//! An object on its way: a file that nobody can read yet, and how it becomes one that everybody can.
//!
//! Until its first checkpoint the file has no name, so the kernel forgets it with its writer, whatever ends the writer.
//! (On file systems that cannot do this it has a name, and a writer that is killed leaves it behind.) From its first
//! checkpoint on it is
//!
//! ```text
//! partial/<epoch>.<branch>.<length>     the first <length> bytes are durable, and a checkpoint may name them
//! ```
//!
//! Several writers may hold one upload at once: a client tries again while its first connection has not died yet, or
//! goes on from a checkpoint that is no longer the last. Whoever is first must not find bytes of the second, because
//! each has hashed only its own. So
//!
//! * bytes below `<length>` are never written again, and a writer holds a lock on its file;
//! * who resumes from the last checkpoint of a file that nobody holds goes on in it;
//! * who resumes from an earlier one, or while somebody holds the file, goes on in a copy: a new branch;
//! * who finishes first takes the name in `objects/`, which is never replaced, and takes the other branches away.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::objects::Place;
use super::room;
use crate::{Checkpoint, Error, ObjectKey, Result};

/// The name of a file in `partial/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartialName {
    pub(super) key: ObjectKey,
    branch: u64,
    length: u64,
}

impl fmt::Display for PartialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:016x}.{}", self.key, self.branch, self.length)
    }
}

impl PartialName {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (key, checkpoint) = name.split_once('.')?;
        Self::of_checkpoint(key.parse().ok()?, &Checkpoint(checkpoint.to_owned()))
    }

    /// A checkpoint is the part of the name after the key.
    fn of_checkpoint(key: ObjectKey, checkpoint: &Checkpoint) -> Option<Self> {
        let (branch, length) = checkpoint.0.split_once('.')?;
        let name = Self { key, branch: u64::from_str_radix(branch, 16).ok()?, length: length.parse().ok()? };
        // Only the text that we write, so that no two texts are one name.
        (name.checkpoint() == *checkpoint).then_some(name)
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint(format!("{:016x}.{}", self.branch, self.length))
    }

    fn path(&self, place: &Place) -> PathBuf {
        place.layout.partial().join(self.to_string())
    }
}

/// The file of an object on its way. All of this blocks.
#[derive(Debug)]
pub(super) struct UnfinishedFile {
    place: Arc<Place>,
    key: ObjectKey,
    pub(super) file: Arc<File>,
    name: Option<PartialName>,
    /// Somebody may know a checkpoint that names this file, so it outlives its writer.
    pub(super) known: bool,
}

impl Drop for UnfinishedFile {
    fn drop(&mut self) {
        if let Some(name) = self.name.filter(|_| !self.known) {
            // When this fails the file is listed as unfinished, and purged with the others.
            let _ = fs::remove_file(name.path(&self.place));
        }
    }
}

impl UnfinishedFile {
    /// A new, empty file.
    pub(super) fn create(place: &Arc<Place>, key: ObjectKey) -> Result<Self> {
        let directory = place.layout.partial();
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let opened = match rustix::fs::open(&directory, flags, Mode::from_raw_mode(0o666)) {
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => return Self::create_named(place, key),
            // Without /proc, a file that has no name could never be given one.
            Ok(_) if !Path::new("/proc/self/fd").exists() => return Self::create_named(place, key),
            opened => opened,
        };
        let file = opened.map_err(|error| cannot("begin", key, error))?;
        let unfinished = Self { place: Arc::clone(place), key, file: Arc::new(file.into()), name: None, known: false };
        unfinished.lock()?;
        Ok(unfinished)
    }

    /// [`UnfinishedFile::create`] where files cannot be nameless.
    fn create_named(place: &Arc<Place>, key: ObjectKey) -> Result<Self> {
        let name = PartialName { key, branch: fresh_branch(), length: 0 };
        let file = File::options().read(true).write(true).create_new(true).open(name.path(place));
        let file = file.map_err(|error| cannot("begin", key, error))?;
        let unfinished = Self { place: Arc::clone(place), key, file: Arc::new(file), name: Some(name), known: false };
        unfinished.lock()?;
        Ok(unfinished)
    }

    fn lock(&self) -> Result<()> {
        let locked = rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive);
        locked.map_err(|error| cannot("lock", self.key, error))
    }

    /// Goes on from a checkpoint: the file, and how many bytes it has.
    pub(super) fn resume(place: &Arc<Place>, key: ObjectKey, checkpoint: &Checkpoint) -> Result<(Self, u64)> {
        let name = PartialName::of_checkpoint(key, checkpoint).ok_or(Error::UploadLost)?;
        let source = match take(place, name)? {
            Taken::Ours(file) => {
                file.set_len(name.length).map_err(|error| cannot("resume", key, error))?;
                let file = Arc::new(file);
                let unfinished = Self { place: Arc::clone(place), key, file, name: Some(name), known: true };
                return Ok((unfinished, name.length));
            }
            Taken::Held(file) => file,
            Taken::Missing => open_later(place, name)?,
        };
        Ok((Self::branch_off(place, name, &source)?, name.length))
    }

    /// A new branch that begins with what the checkpoint covers.
    fn branch_off(place: &Arc<Place>, origin: PartialName, source: &File) -> Result<Self> {
        let key = origin.key;
        let mut branch = Self::create(place, key)?;
        copy(source, &branch.file, origin.length).map_err(|error| cannot("resume", key, error))?;
        // A name from the start: whoever finishes the object takes it away, and then we cannot finish any more.
        branch.rename(PartialName { branch: fresh_branch(), ..origin })?;
        if place.layout.object(key).exists() {
            return Err(Error::UploadLost);
        }
        Ok(branch)
    }

    /// Makes the first `length` bytes durable under a name that says so.
    pub(super) fn checkpoint(&mut self, length: u64) -> Result<Checkpoint> {
        let branch = self.name.map_or_else(fresh_branch, |name| name.branch);
        let name = PartialName { key: self.key, branch, length };
        self.flush()?;
        self.rename(name)?;
        self.place.partial.sync().map_err(|error| cannot("checkpoint", self.key, error))?;
        Ok(name.checkpoint())
    }

    /// Makes the object durable and visible, in this order: bytes, name, directory.
    pub(super) fn finish(mut self) -> Result<()> {
        self.flush()?;
        let resumable = self.publish()?;
        self.forbid_writing();
        let settled = self.settle(resumable);
        if settled.is_err() {
            // Nobody is told of this object, so nobody would ever delete it.
            let _ = fs::remove_file(self.place.layout.object(self.key));
        }
        settled
    }

    fn settle(&self, resumable: bool) -> Result<()> {
        self.place.shard(self.key).sync().map_err(|error| cannot("finish", self.key, error))?;
        if resumable { remove_partial(&self.place, self.key) } else { Ok(()) }
    }

    fn flush(&self) -> Result<()> {
        rustix::fs::fdatasync(&self.file).map_err(|error| cannot("flush", self.key, error))
    }

    /// Gives the file a name in `partial/`, or another one.
    fn rename(&mut self, new: PartialName) -> Result<()> {
        let path = new.path(&self.place);
        let renamed = match self.name {
            None => link_nameless(&self.file, &path),
            Some(old) => rustix::fs::rename(old.path(&self.place), &path),
        };
        match renamed {
            Ok(()) => {
                self.name = Some(new);
                Ok(())
            }
            // Somebody finished or abandoned the upload meanwhile.
            Err(Errno::NOENT) => Err(Error::UploadLost),
            Err(error) => Err(cannot("checkpoint", self.key, error)),
        }
    }

    /// Gives the file its name in `objects/`. Whether others may have branches of the same upload.
    fn publish(&mut self) -> Result<bool> {
        let path = self.place.layout.object(self.key);
        let (published, resumable) = match self.name {
            None => (link_nameless(&self.file, &path), false),
            Some(name) => (move_exclusive(&name.path(&self.place), &path), true),
        };
        match published {
            Ok(()) => {
                self.name = None;
                Ok(resumable)
            }
            Err(Errno::NOENT | Errno::EXIST) => Err(Error::UploadLost),
            Err(error) => Err(cannot("finish", self.key, error)),
        }
    }

    /// Objects never change; their files say so. A precaution, so nothing depends on whether it works.
    fn forbid_writing(&self) {
        if let Ok(metadata) = self.file.metadata() {
            let mode = metadata.permissions().mode() & !0o222;
            let _ = self.file.set_permissions(fs::Permissions::from_mode(mode));
        }
    }
}

/// What became of the wish to go on in a file.
enum Taken {
    /// It is at this checkpoint, and nobody else writes to it.
    Ours(File),
    /// It is at this checkpoint, and somebody writes to it.
    Held(File),
    /// There is no file at this checkpoint.
    Missing,
}

fn take(place: &Place, name: PartialName) -> Result<Taken> {
    let path = name.path(place);
    let file = match File::options().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Taken::Missing),
        Err(error) => return Err(cannot("resume", name.key, error)),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(Taken::Held(file)),
        Err(error) => Err(cannot("resume", name.key, error)),
        // Before the lock was ours, its holder may have moved on to its next checkpoint, or finished.
        Ok(()) if !is_at(&file, &path) => Ok(Taken::Missing),
        Ok(()) => match file.metadata() {
            Err(error) => Err(cannot("resume", name.key, error)),
            // A finished object that a crash left a second name: see `move_in_two_steps`.
            Ok(metadata) if metadata.nlink() != 1 || metadata.len() < name.length => Err(Error::UploadLost),
            Ok(_) => Ok(Taken::Ours(file)),
        },
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

/// The file of the same branch at a later checkpoint: it begins with the same bytes.
fn open_later(place: &Place, name: PartialName) -> Result<File> {
    let later = names_of(place, name.key)?
        .into_iter()
        .find(|other| other.branch == name.branch && other.length > name.length)
        .ok_or(Error::UploadLost)?;
    File::open(later.path(place)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::UploadLost,
        _ => cannot("resume", name.key, error),
    })
}

/// Every file in `partial/` that belongs to this object.
fn names_of(place: &Place, key: ObjectKey) -> Result<Vec<PartialName>> {
    let mut names = all_names(place)?;
    names.retain(|name| name.key == key);
    Ok(names)
}

/// Every file in `partial/`.
pub(super) fn all_names(place: &Place) -> Result<Vec<PartialName>> {
    let cannot = |error: io::Error| Error::io("list unfinished objects", error);
    let mut names = Vec::new();
    for entry in fs::read_dir(place.layout.partial()).map_err(cannot)? {
        names.extend(entry.map_err(cannot)?.file_name().to_str().and_then(PartialName::parse));
    }
    Ok(names)
}

/// Takes every branch of this object away. Their writers cannot finish any more.
pub(super) fn remove_partial(place: &Place, key: ObjectKey) -> Result<()> {
    for name in names_of(place, key)? {
        match fs::remove_file(name.path(place)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot("forget", key, error)),
            Ok(()) | Err(_) => {}
        }
    }
    place.partial.sync().map_err(|error| cannot("forget", key, error))
}

/// Copies the first `length` bytes; on file systems that can, without copying.
fn copy(source: &File, target: &File, length: u64) -> io::Result<()> {
    room::check(target, usize::try_from(length).unwrap_or(usize::MAX))?;
    let (mut from, mut to) = (0, 0);
    while to < length {
        let wanted = usize::try_from(length - to).unwrap_or(usize::MAX).min(1 << 30);
        if rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), wanted)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

fn link_nameless(file: &File, path: &Path) -> Result<(), Errno> {
    use std::os::fd::AsRawFd as _;
    let nameless = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, nameless, CWD, path, AtFlags::SYMLINK_FOLLOW)
}

/// Moves a file to a name that must not exist.
fn move_exclusive(from: &Path, to: &Path) -> Result<(), Errno> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => move_in_two_steps(from, to),
        moved => moved,
    }
}

/// [`move_exclusive`] on file systems that cannot do it at once. A crash between the two steps leaves both names; `take`
/// refuses such a file, so the object stays as it is.
fn move_in_two_steps(from: &Path, to: &Path) -> Result<(), Errno> {
    rustix::fs::link(from, to)?;
    rustix::fs::unlink(from)
}

fn fresh_branch() -> u64 {
    let mut bits = [0; 8];
    getrandom::fill(&mut bits).expect("the operating system has randomness");
    u64::from_be_bytes(bits)
}

fn cannot(what: &str, key: ObjectKey, error: impl Into<io::Error>) -> Error {
    Error::io(format!("{what} object {key}"), error.into())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tempfile::TempDir;

    use super::super::open_engines;
    use super::super::write::EmbeddedWriter;
    use super::*;
    use crate::{ObjectWriter, Objects as _};

    const KEY: ObjectKey = ObjectKey::new([7; 16]);

    fn place() -> (TempDir, Arc<Place>) {
        let directory = tempfile::tempdir().unwrap();
        let (objects, _) = open_engines(directory.path()).unwrap();
        (directory, objects.place)
    }

    fn branches(place: &Place) -> usize {
        fs::read_dir(place.layout.partial()).unwrap().count()
    }

    async fn resume(place: &Arc<Place>, checkpoint: &Checkpoint) -> Box<dyn ObjectWriter> {
        super::super::EmbeddedObjects { place: Arc::clone(place) }.resume(KEY, checkpoint).await.unwrap()
    }

    #[tokio::test]
    async fn a_branch_that_was_never_checkpointed_goes_with_its_writer() {
        let (_directory, place) = place();
        let mut first = EmbeddedWriter::new(KEY, UnfinishedFile::create(&place, KEY).unwrap(), 0);
        first.write(Bytes::from_static(b"first")).await.unwrap();
        assert_eq!(branches(&place), 0);
        let checkpoint = first.checkpoint().await.unwrap();
        let second = resume(&place, &checkpoint).await;
        assert_eq!(branches(&place), 2, "the file is held, so the second writer has its own");
        drop(second);
        assert_eq!(branches(&place), 1);
        drop(first);
        let third = resume(&place, &checkpoint).await;
        assert_eq!(branches(&place), 1, "nobody holds the file, so it goes on in place");
        drop(third);
        assert_eq!(branches(&place), 1);
    }

    #[tokio::test]
    async fn where_files_cannot_be_nameless_everything_works_all_the_same() {
        let (directory, place) = place();
        drop(EmbeddedWriter::new(KEY, UnfinishedFile::create_named(&place, KEY).unwrap(), 0));
        assert_eq!(branches(&place), 0, "a dropped writer leaves nothing");

        let mut writer = EmbeddedWriter::new(KEY, UnfinishedFile::create_named(&place, KEY).unwrap(), 0);
        writer.write(Bytes::from_static(b"one ")).await.unwrap();
        assert_eq!(branches(&place), 1);
        let checkpoint = writer.checkpoint().await.unwrap();
        drop(writer);
        let mut writer = resume(&place, &checkpoint).await;
        writer.write(Bytes::from_static(b"two")).await.unwrap();
        writer.finish().await.unwrap();
        assert_eq!(fs::read(place.layout.object(KEY)).unwrap(), b"one two");
        assert_eq!(branches(&place), 0);

        let other = ObjectKey::new([8; 16]);
        let writer = EmbeddedWriter::new(other, UnfinishedFile::create_named(&place, other).unwrap(), 0);
        Box::new(writer).finish().await.unwrap();
        assert_eq!(fs::read(place.layout.object(other)).unwrap(), b"");
        drop(directory);
    }

    #[tokio::test]
    async fn a_move_never_replaces_and_one_that_was_interrupted_is_never_resumed() {
        let (_directory, place) = place();
        let mut writer = EmbeddedWriter::new(KEY, UnfinishedFile::create(&place, KEY).unwrap(), 0);
        writer.write(Bytes::from_static(b"finished")).await.unwrap();
        let checkpoint = writer.checkpoint().await.unwrap();
        drop(writer);
        let name = PartialName::of_checkpoint(KEY, &checkpoint).unwrap();
        let (from, to) = (name.path(&place), place.layout.object(KEY));
        fs::hard_link(&from, &to).unwrap();
        assert!(matches!(UnfinishedFile::resume(&place, KEY, &checkpoint), Err(Error::UploadLost)));
        assert_eq!(move_in_two_steps(&from, &to), Err(Errno::EXIST));
        assert_eq!(move_exclusive(&from, &to), Err(Errno::EXIST));
        fs::remove_file(&to).unwrap();
        move_in_two_steps(&from, &to).unwrap();
        assert!(!from.exists() && fs::read(&to).unwrap() == b"finished");
    }

    #[test]
    fn only_our_own_names_are_names() {
        let name = PartialName { key: KEY, branch: 0xAB, length: 12 };
        assert_eq!(PartialName::parse(&name.to_string()), Some(name));
        for strange in ["", "x", "00.1", "00000000000000ab.012", "00000000000000AB.12", "00000000000000ab.12.", "ab.12"]
        {
            assert_eq!(PartialName::of_checkpoint(KEY, &Checkpoint(strange.to_owned())), None, "{strange}");
        }
    }

    #[test]
    fn a_finished_object_cannot_be_written() {
        let (_directory, place) = place();
        UnfinishedFile::create(&place, KEY).unwrap().finish().unwrap();
        let mode = fs::metadata(place.layout.object(KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o222, 0);
        assert!(matches!(UnfinishedFile::create(&place, KEY).unwrap().finish(), Err(Error::UploadLost)));
    }
}
