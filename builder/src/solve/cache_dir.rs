//! The builder's own directory. Everything in it can be made again; nothing in it is ever half-written.
//!
//! ```text
//! tmp/<id>.lock, tmp/<id>/     one running build: whatever it is making; the next build removes what a dead one left
//! snapshots/<diff id>/         one unpacked layer, as an overlay wants it
//! snapshots/<diff id>-<stack>/ the same for a layer that does not describe all its directories, on one stack
//! index/<diff id>              what a layer holds
//! frames/<step>                which compressed pieces the layer of a step consists of
//! notes/<step>                 what the key of a step was made of
//! mounts/<hash of id>/         cache mounts
//! fresh/<what>.<name>          what may not have reached the disk yet: see `fresh`
//! turns/<step>                 locked by the build that does this step, while others wait for its result
//! use.lock                     held by all builds together, and alone by whoever prunes
//! hashes/<hash of path>        what the files of a context contain
//! ```
//!
//! Things are made in `tmp/<id>/` and renamed to where they belong, so two builds that make the same thing do no harm.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, linkat};
use wharf_spec::Digest;

use super::cache_use::{USE_LOCK, touch};
use super::fresh::Fresh;
use crate::layer::Fingerprint;

/// The directory while one build uses it.
#[derive(Debug)]
pub(crate) struct CacheDir {
    root: PathBuf,
    room: PathBuf,
    lock_path: PathBuf,
    fresh: Fresh,
    /// Held as long as the build runs; the kernel lets go of it when the process dies.
    _lock: File,
    /// Shared with all builds, so that nobody prunes meanwhile.
    _use: File,
    next: AtomicU64,
}

impl CacheDir {
    /// Enters the directory, and removes what builds that died have left.
    pub(crate) fn enter(root: &Path, id: [u8; 16]) -> io::Result<Self> {
        if !root.exists() {
            // Setuid programs of images are in here; nobody else is to reach them.
            let private = fs::Permissions::from_mode(0o700);
            fs::create_dir_all(root)?;
            fs::set_permissions(root, private)?;
        }
        for part in ["tmp", "snapshots", "index", "frames", "notes", "hashes", "mounts", "fresh", "turns"] {
            fs::create_dir_all(root.join(part))?;
        }
        let in_use = File::options().create(true).truncate(false).write(true).open(root.join(USE_LOCK))?;
        flock(&in_use, FlockOperation::LockShared)?;
        // Symbolic links in the path must not change under the feet of mounts.
        let root = root.canonicalize()?;
        remove_remains(&root.join("tmp"));
        let name = id.iter().fold(String::new(), |name, byte| name + &format!("{byte:02x}"));
        let (room, lock_path) = (root.join("tmp").join(&name), root.join("tmp").join(format!("{name}.lock")));
        let lock = make_locked(&root.join("tmp"), &lock_path)?;
        fs::create_dir(&room)?;
        let fresh = Fresh::check(&root, &room, lock.metadata()?.modified()?)?;
        Ok(Self { root, room, lock_path, fresh, _lock: lock, _use: in_use, next: AtomicU64::new(0) })
    }

    /// A new directory that this build alone uses.
    pub(crate) fn scratch(&self, what: &str) -> io::Result<PathBuf> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.room.join(format!("{number}-{what}"));
        fs::create_dir(&path)?;
        // It may become the root of an image, whatever the umask.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// A directory that this build alone uses, again and again.
    pub(crate) fn shared(&self) -> io::Result<PathBuf> {
        let path = self.room.join("shared");
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Where nameless files go.
    pub(crate) fn room(&self) -> &Path {
        &self.room
    }

    /// Where a layer is unpacked.
    pub(crate) fn snapshot(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("snapshots").join(diff_id.hex())
    }

    /// Where a layer is unpacked that looks different on each stack.
    pub(crate) fn snapshot_on(&self, diff_id: &Digest, stack: &Digest) -> PathBuf {
        self.root.join("snapshots").join(format!("{}-{}", diff_id.hex(), stack.hex()))
    }

    /// Where a layer's index is.
    pub(crate) fn index(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("index").join(diff_id.hex())
    }

    /// Says that a layer was used, so that others are pruned first.
    pub(crate) fn used(&self, diff_id: &Digest) {
        if let Ok(index) = File::options().write(true).open(self.index(diff_id)) {
            touch(&index);
        }
    }

    /// What the layer of a step consists of.
    pub(crate) fn frames(&self, step: &str) -> PathBuf {
        self.root.join("frames").join(step)
    }

    /// What the key of a step was made of.
    pub(crate) fn notes(&self, step: &str) -> PathBuf {
        self.root.join("notes").join(step)
    }

    /// Whose turn it is to do a step.
    pub(crate) fn turn(&self, step: &str) -> PathBuf {
        self.root.join("turns").join(step)
    }

    /// What the files of the context in this directory contain.
    pub(crate) fn hashes(&self, directory: &Path) -> PathBuf {
        self.root.join("hashes").join(Fingerprint::of(directory.as_os_str().as_encoded_bytes()).hex())
    }

    /// Where a cache mount is.
    pub(crate) fn mount(&self, id: &str) -> PathBuf {
        self.root.join("mounts").join(Digest::sha256(id.as_bytes()).hex())
    }

    /// Moves a finished directory to where it belongs. If somebody else was faster, theirs stays.
    pub(crate) fn settle(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fresh.mark(to)?;
        match fs::rename(from, to) {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
                fs::remove_dir_all(from)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a small file so that it is there whole or not at all.
    pub(crate) fn write(&self, to: &Path, bytes: &[u8]) -> io::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let draft = self.room.join(format!("{number}-draft"));
        fs::write(&draft, bytes)?;
        self.fresh.mark(to)?;
        fs::rename(draft, to)
    }

    /// The same for a file whose damage nobody would notice: it waits for the disk.
    pub(crate) fn write_through(&self, to: &Path, bytes: &[u8]) -> io::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let draft = self.room.join(format!("{number}-draft"));
        let mut file = File::create(&draft)?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_data()?;
        fs::rename(draft, to)
    }
}

impl Drop for CacheDir {
    fn drop(&mut self) {
        // What cannot be removed now, the next build removes.
        let _ = fs::remove_dir_all(&self.room);
        let _ = fs::remove_file(&self.lock_path);
    }
}

/// Removes the rooms of builds that do not run any more: whoever runs holds a lock.
fn remove_remains(tmp: &Path) {
    let Ok(entries) = fs::read_dir(tmp) else { return };
    for lock_path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if lock_path.extension().is_some_and(|extension| extension == "lock") {
            remove_remain(&lock_path);
        }
    }
}

fn remove_remain(lock_path: &Path) {
    let Ok(lock) = File::open(lock_path) else { return };
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return;
    }
    let _ = fs::remove_dir_all(lock_path.with_extension(""));
    let _ = fs::remove_file(lock_path);
}

/// A lock file that nobody ever sees unlocked: it gets its name when it is locked already.
fn make_locked(directory: &Path, path: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let lock = File::from(rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR)?);
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    let nameless = format!("/proc/self/fd/{}", lock.as_raw_fd());
    linkat(CWD, nameless, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_build_left_is_removed_and_a_running_one_s_is_not() {
        let root = tempfile::tempdir().unwrap();
        let running = CacheDir::enter(root.path(), [1; 16]).unwrap();
        fs::write(running.scratch("upper").unwrap().join("file"), "x").unwrap();
        let dead = root.path().join("tmp/dead");
        fs::create_dir_all(dead.join("upper")).unwrap();
        fs::write(root.path().join("tmp/dead.lock"), "").unwrap();

        let next = CacheDir::enter(root.path(), [2; 16]).unwrap();
        assert!(!dead.exists());
        assert!(running.room.join("0-upper/file").exists());
        drop((running, next));
        assert_eq!(fs::read_dir(root.path().join("tmp")).unwrap().count(), 0, "a finished build leaves nothing");
    }

    #[test]
    fn the_first_to_settle_wins() {
        let root = tempfile::tempdir().unwrap();
        let cache = CacheDir::enter(root.path(), [1; 16]).unwrap();
        let place = cache.snapshot(&Digest::sha256(b"layer"));
        for text in ["first", "second"] {
            let made = cache.scratch("fs").unwrap();
            fs::write(made.join("file"), text).unwrap();
            cache.settle(&made, &place).unwrap();
        }
        assert_eq!(fs::read_to_string(place.join("file")).unwrap(), "first");
    }
}
