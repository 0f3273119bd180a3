//! What was made in the cache directory and may not have reached the disk yet.
//!
//! Nothing here waits for the disk, so after a power failure what was made last may be there with the wrong bytes. Before
//! something takes its place, a marker with the id of this boot is made; file systems keep that order. A marker of
//! another boot means: do not trust it, make it again. Markers that are old enough go once everything is flushed.
//!
//! The markers of one build are names of one file, which costs less than as many files. Its time of change is when it got
//! the last of them, so none of them is older than it says.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock, syncfs};

/// The kernel has written by itself what is this old, so flushing costs next to nothing.
const SETTLED: Duration = Duration::from_secs(120);

/// The markers of one cache directory.
#[derive(Debug)]
pub(super) struct Fresh {
    /// The cache directory.
    root: PathBuf,
    /// The id of this boot, and a file that says it.
    boot: String,
    marker: PathBuf,
}

impl Fresh {
    /// Removes what cannot be trusted. `room` is a directory of this build alone, `now` the file system's own time.
    pub(super) fn check(root: &Path, room: &Path, now: SystemTime) -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self::check_since(root, room, boot, now)
    }

    fn check_since(root: &Path, room: &Path, boot: String, now: SystemTime) -> io::Result<Self> {
        // Two builds that both distrust something must not remove what the other has made again, and a marker that is being
        // written says nothing yet.
        let _alone = lock(root, FlockOperation::LockExclusive)?;
        let mut settled = Vec::new();
        // A file is read once, under whichever of its names comes first.
        let mut read: HashMap<u64, Option<SystemTime>> = HashMap::new();
        for entry in fs::read_dir(root.join("fresh"))? {
            let entry = entry?;
            let marker = entry.path();
            let made = match read.entry(entry.ino()) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(unknown) => *unknown.insert(made_since(&boot, &marker)?),
            };
            let Some(made) = made else {
                distrust(root, &marker)?;
                continue;
            };
            if now.duration_since(made).is_ok_and(|age| age > SETTLED) {
                settled.push((marker, made));
            }
        }
        if !settled.is_empty() {
            flush_and_forget(root, settled);
        }
        let marker = room.join("boot");
        fs::write(&marker, &boot)?;
        Ok(Self { root: root.to_owned(), boot, marker })
    }

    /// Says that something is about to take its place at `path`, which lies in a directory of the cache.
    pub(super) fn mark(&self, path: &Path) -> io::Result<()> {
        let part = |path: Option<&Path>| {
            path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let name = format!("{}.{}", part(path.parent()), part(Some(path)));
        let _together = lock(&self.root, FlockOperation::LockShared)?;
        let name = self.root.join("fresh").join(name);
        // One that is there is about something that was made before.
        match fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // Where a file has no second name, or has too many, it is one of its own.
        fs::hard_link(&self.marker, &name).or_else(|_| fs::write(&name, &self.boot))
    }
}

/// When the last of a marker's file was made; nothing if that was not since this boot.
fn made_since(boot: &str, marker: &Path) -> io::Result<Option<SystemTime>> {
    if boot.is_empty() || fs::read_to_string(marker)? != boot {
        return Ok(None);
    }
    changed(marker).map(Some)
}

/// When a file was written or named.
fn changed(path: &Path) -> io::Result<SystemTime> {
    let found = fs::metadata(path)?;
    let since = Duration::new(found.ctime().try_into().unwrap_or(0), found.ctime_nsec().try_into().unwrap_or(0));
    Ok(SystemTime::UNIX_EPOCH + since)
}

/// Markers are written together, and looked at and removed alone. Let go of when dropped.
fn lock(root: &Path, how: FlockOperation) -> io::Result<File> {
    let lock = File::options().create(true).truncate(false).write(true).open(root.join("fresh.lock"))?;
    flock(&lock, how)?;
    Ok(lock)
}

/// Removes what a marker is about, then the marker.
fn distrust(root: &Path, marker: &Path) -> io::Result<()> {
    let name = marker.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some((part, name)) = name.split_once('.') {
        let path = root.join(part).join(name);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    }
    fs::remove_file(marker)
}

/// Flushes the file system and removes the markers, while the build goes on. Cut short, it is done again.
fn flush_and_forget(root: &Path, markers: Vec<(PathBuf, SystemTime)>) {
    let (Ok(opened), root) = (File::open(root), root.to_owned()) else { return };
    let work = move || {
        if syncfs(&opened).is_ok() {
            forget(&root, markers);
        }
    };
    // Without a thread, the markers stay for the next build.
    let _ = thread::Builder::new().name("flush".to_owned()).spawn(work);
}

/// Removes markers of what was flushed.
fn forget(root: &Path, markers: Vec<(PathBuf, SystemTime)>) {
    let Ok(_alone) = lock(root, FlockOperation::LockExclusive) else { return };
    // One that was made again meanwhile is about something that was not flushed. Removing one is a change of those that are the
    // same file, so all are looked at before.
    let flushed = markers.into_iter().filter(|(marker, made)| changed(marker).is_ok_and(|now| now == *made));
    for (marker, _) in flushed.collect::<Vec<_>>() {
        let _ = fs::remove_file(marker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn what_another_boot_made_last_is_made_again() {
        let root = tempfile::tempdir().unwrap();
        for part in ["fresh", "snapshots/old", "snapshots/kept", "index"] {
            fs::create_dir_all(root.path().join(part)).unwrap();
        }
        fs::write(root.path().join("index/old"), "x").unwrap();
        let before = Fresh::check_since(root.path(), root.path(), "boot 1".to_owned(), NOW).unwrap();
        before.mark(&root.path().join("snapshots/old")).unwrap();
        before.mark(&root.path().join("snapshots/old")).unwrap();
        before.mark(&root.path().join("index/old")).unwrap();
        before.mark(&root.path().join("snapshots/never-made")).unwrap();

        Fresh::check_since(root.path(), root.path(), "boot 1".to_owned(), NOW).unwrap();
        assert!(root.path().join("snapshots/old").exists(), "this boot's own is trusted");
        Fresh::check_since(root.path(), root.path(), "boot 2".to_owned(), NOW).unwrap();
        assert!(!root.path().join("snapshots/old").exists() && !root.path().join("index/old").exists());
        assert!(root.path().join("snapshots/kept").exists());
        assert_eq!(fs::read_dir(root.path().join("fresh")).unwrap().count(), 0);
    }

    #[test]
    fn what_was_flushed_is_forgotten_but_not_what_came_meanwhile() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("fresh")).unwrap();
        let fresh = Fresh::check_since(root.path(), root.path(), "boot 1".to_owned(), NOW).unwrap();
        for name in ["a", "b", "c"] {
            fresh.mark(&root.path().join("index").join(name)).unwrap();
        }
        let listed = || fs::read_dir(root.path().join("fresh")).unwrap().map(|entry| entry.unwrap().path());
        let since = |time: Duration| listed().map(|path| (path.clone(), changed(&path).unwrap() - time)).collect();
        forget(root.path(), since(Duration::from_secs(1)));
        assert_eq!(listed().count(), 3, "they are about something newer");
        forget(root.path(), since(Duration::ZERO));
        assert_eq!(listed().count(), 0);
    }

    /// Builds come and go while others mark what they make: nobody fails, and nothing that was made is taken away.
    #[test]
    fn markers_of_builds_that_run_are_never_distrusted() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("fresh")).unwrap();
        fs::create_dir_all(root.path().join("index")).unwrap();
        let later = changed(root.path()).unwrap() + SETTLED * 2;
        thread::scope(|scope| {
            for worker in 0..4 {
                let root = root.path();
                let room = root.join(worker.to_string());
                fs::create_dir(&room).unwrap();
                scope.spawn(move || {
                    for round in 0..50 {
                        let fresh = Fresh::check_since(root, &room, "boot 1".to_owned(), later).unwrap();
                        let path = root.join(format!("index/{worker}-{}", round % 5));
                        fresh.mark(&path).unwrap();
                        fs::write(&path, "made").unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(root.path().join("index")).unwrap().count(), 20);
    }

    #[test]
    fn an_empty_marker_is_one_that_was_cut_short() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("fresh")).unwrap();
        fs::create_dir_all(root.path().join("snapshots/half")).unwrap();
        fs::write(root.path().join("fresh/snapshots.half"), "").unwrap();
        Fresh::check_since(root.path(), root.path(), "boot 1".to_owned(), NOW).unwrap();
        assert!(!root.path().join("snapshots/half").exists());
    }
}
