//! How much room the cache directory takes, and taking less: what was not used for the longest time goes first.
//!
//! Nothing goes while a build runs: builds hold `use.lock` together, whoever prunes holds it alone. What goes can be made
//! again; a cache mount starts empty the next time.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, flock, futimens};
use rustix::io::Errno;

/// The lock that builds share.
pub(super) const USE_LOCK: &str = "use.lock";

/// What takes room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachePart {
    /// Unpacked layers.
    Layers,
    /// Cache mounts.
    Mounts,
    /// What layers hold, what steps depended on, hashes.
    Notes,
}

/// How much one part takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartUsage {
    /// How many things.
    pub count: usize,
    /// Bytes on the disk.
    pub size: u64,
}

/// How much the cache directory takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheUsage {
    /// Unpacked layers.
    pub layers: PartUsage,
    /// Cache mounts.
    pub mounts: PartUsage,
    /// The rest.
    pub notes: PartUsage,
}

impl CacheUsage {
    /// Bytes in all.
    pub fn total(&self) -> u64 {
        self.layers.size + self.mounts.size + self.notes.size
    }

    fn add(&mut self, part: CachePart, size: u64) {
        let usage = match part {
            CachePart::Layers => &mut self.layers,
            CachePart::Mounts => &mut self.mounts,
            CachePart::Notes => &mut self.notes,
        };
        usage.count += 1;
        usage.size += size;
    }
}

/// What pruning did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pruning {
    /// A build is running: nothing was done.
    Busy,
    /// What went.
    Done(CacheUsage),
}

/// One thing that can go by itself.
struct Item {
    part: CachePart,
    path: PathBuf,
    size: u64,
    used: SystemTime,
}

/// How much the cache at `root` takes; nothing when there is none.
pub fn cache_usage(root: &Path) -> io::Result<CacheUsage> {
    let mut usage = CacheUsage::default();
    for item in items(root)? {
        usage.add(item.part, item.size);
    }
    Ok(usage)
}

/// Removes what was used longest ago until the cache at `root` takes no more than `limit` bytes.
pub fn prune_cache(root: &Path, limit: u64) -> io::Result<Pruning> {
    let mut gone = CacheUsage::default();
    if !root.exists() {
        return Ok(Pruning::Done(gone));
    }
    let lock = File::options().create(true).truncate(false).write(true).open(root.join(USE_LOCK))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(Pruning::Busy),
        Err(error) => return Err(error.into()),
    }
    let mut items = items(root)?;
    items.sort_by_key(|item| item.used);
    let mut total: u64 = items.iter().map(|item| item.size).sum();
    for item in items {
        if total <= limit {
            break;
        }
        remove(root, &item.path)?;
        total -= item.size;
        gone.add(item.part, item.size);
    }
    Ok(Pruning::Done(gone))
}

/// Out of its place first: nobody finds half of it.
fn remove(root: &Path, path: &Path) -> io::Result<()> {
    if !path.is_dir() {
        return fs::remove_file(path);
    }
    let away = root.join("tmp/pruned");
    if away.exists() {
        fs::remove_dir_all(&away)?;
    }
    fs::rename(path, &away)?;
    fs::remove_dir_all(&away)
}

fn items(root: &Path) -> io::Result<Vec<Item>> {
    let mut items = Vec::new();
    let parts = [
        ("snapshots", CachePart::Layers),
        ("mounts", CachePart::Mounts),
        ("index", CachePart::Notes),
        ("frames", CachePart::Notes),
        ("notes", CachePart::Notes),
        ("hashes", CachePart::Notes),
    ];
    for (directory, part) in parts {
        let entries = match fs::read_dir(root.join(directory)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            items.push(Item { part, size: size(&path)?, used: last_used(root, part, &path)?, path });
        }
    }
    Ok(items)
}

/// Bytes on the disk, of everything below.
fn size(path: &Path) -> io::Result<u64> {
    let found = path.symlink_metadata()?;
    let mut total = found.blocks() * 512;
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            total += size(&entry?.path())?;
        }
    }
    Ok(total)
}

fn last_used(root: &Path, part: CachePart, path: &Path) -> io::Result<SystemTime> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let marker = match part {
        // The directory's own time is the layer's.
        CachePart::Layers => root.join("index").join(name.split('-').next().unwrap_or_default()),
        CachePart::Mounts => path.join("0/lock"),
        CachePart::Notes => path.to_owned(),
    };
    match fs::metadata(marker) {
        Ok(found) => found.modified(),
        // Never used, as far as anybody can tell.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(SystemTime::UNIX_EPOCH),
        Err(error) => Err(error),
    }
}

/// Says that this was used now. That it could not be said matters little.
pub(super) fn touch(file: &File) {
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let _ = futimens(file, &Timestamps { last_access: omit, last_modification: now });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn set_used(path: &Path, seconds: u64) {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    fn cache() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for part in ["tmp", "snapshots/aa", "snapshots/bb-on", "index", "mounts/m/0"] {
            fs::create_dir_all(root.path().join(part)).unwrap();
        }
        for (path, used) in [("index/aa", 30), ("index/bb", 10), ("mounts/m/0/lock", 20)] {
            fs::write(root.path().join(path), "").unwrap();
            set_used(&root.path().join(path), used);
        }
        for path in ["snapshots/aa/f", "snapshots/bb-on/f", "mounts/m/0/f"] {
            fs::write(root.path().join(path), vec![7; 100_000]).unwrap();
        }
        root
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_no_more_than_has_to() {
        let root = cache();
        let before = cache_usage(root.path()).unwrap();
        assert_eq!((before.layers.count, before.mounts.count, before.notes.count), (2, 1, 2));
        assert!(before.total() >= 300_000);
        assert_eq!(prune_cache(root.path(), before.total()).unwrap(), Pruning::Done(CacheUsage::default()));

        let Pruning::Done(gone) = prune_cache(root.path(), before.total() - 1).unwrap() else {
            panic!("nobody builds")
        };
        assert_eq!((gone.layers.count, gone.mounts.count), (1, 0));
        assert!(!root.path().join("snapshots/bb-on").exists() && root.path().join("snapshots/aa").exists());

        let Pruning::Done(_) = prune_cache(root.path(), 110_000).unwrap() else { panic!("nobody builds") };
        assert!(!root.path().join("mounts/m").exists() && root.path().join("snapshots/aa").exists());
        prune_cache(root.path(), 0).unwrap();
        assert_eq!(cache_usage(root.path()).unwrap().total(), 0);
        assert_eq!(fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn nothing_goes_while_a_build_runs() {
        let root = cache();
        let build = super::super::cache_dir::CacheDir::enter(root.path(), [1; 16]).unwrap();
        assert_eq!(prune_cache(root.path(), 0).unwrap(), Pruning::Busy);
        assert!(root.path().join("snapshots/aa").exists());
        drop(build);
        assert!(matches!(prune_cache(root.path(), 0).unwrap(), Pruning::Done(_)));
    }

    #[test]
    fn a_cache_that_is_not_there_takes_no_room() {
        let nowhere = Path::new("/nowhere/at/all");
        assert_eq!(cache_usage(nowhere).unwrap().total(), 0);
        assert_eq!(prune_cache(nowhere, 0).unwrap(), Pruning::Done(CacheUsage::default()));
    }
}
