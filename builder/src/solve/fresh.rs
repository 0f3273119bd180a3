//! What was made in the cache directory and may not have reached the disk yet.
//!
//! Nothing here waits for the disk, so after a power failure what was made last may be there with the wrong bytes. Before
//! something takes its place, a marker with the id of this boot is made; file systems keep that order. A marker of
//! another boot means: do not trust it, make it again. Markers that are old enough go once everything is flushed.

use std::fs::{self, File};
use std::io;
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
    boot: String,
}

impl Fresh {
    /// Removes what cannot be trusted. `now` is the file system's own time.
    pub(super) fn check(root: &Path, now: SystemTime) -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self::check_since(root, boot, now)
    }

    fn check_since(root: &Path, boot: String, now: SystemTime) -> io::Result<Self> {
        // Two builds that both distrust something must not remove what the other has made again, and a marker that is being
        // written says nothing yet.
        let _alone = lock(root, FlockOperation::LockExclusive)?;
        let mut settled = Vec::new();
        for entry in fs::read_dir(root.join("fresh"))? {
            let marker = entry?.path();
            if boot.is_empty() || fs::read_to_string(&marker)? != boot {
                distrust(root, &marker)?;
                continue;
            }
            let made = fs::metadata(&marker)?.modified()?;
            if now.duration_since(made).is_ok_and(|age| age > SETTLED) {
                settled.push((marker, made));
            }
        }
        if !settled.is_empty() {
            flush_and_forget(root, settled);
        }
        Ok(Self { root: root.to_owned(), boot })
    }

    /// Says that something is about to take its place at `path`, which lies in a directory of the cache.
    pub(super) fn mark(&self, path: &Path) -> io::Result<()> {
        let part = |path: Option<&Path>| {
            path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let name = format!("{}.{}", part(path.parent()), part(Some(path)));
        let _together = lock(&self.root, FlockOperation::LockShared)?;
        fs::write(self.root.join("fresh").join(name), &self.boot)
    }
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
        if syncfs(&opened).is_err() {
            return;
        }
        let Ok(_alone) = lock(&root, FlockOperation::LockExclusive) else { return };
        for (marker, made) in markers {
            // One that was made again meanwhile is about something that was not flushed.
            if fs::metadata(&marker).and_then(|found| found.modified()).is_ok_and(|now| now == made) {
                let _ = fs::remove_file(marker);
            }
        }
    };
    // Without a thread, the markers stay for the next build.
    let _ = thread::Builder::new().name("flush".to_owned()).spawn(work);
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
        let before = Fresh::check_since(root.path(), "boot 1".to_owned(), NOW).unwrap();
        before.mark(&root.path().join("snapshots/old")).unwrap();
        before.mark(&root.path().join("index/old")).unwrap();
        before.mark(&root.path().join("snapshots/never-made")).unwrap();

        Fresh::check_since(root.path(), "boot 1".to_owned(), NOW).unwrap();
        assert!(root.path().join("snapshots/old").exists(), "this boot's own is trusted");
        Fresh::check_since(root.path(), "boot 2".to_owned(), NOW).unwrap();
        assert!(!root.path().join("snapshots/old").exists() && !root.path().join("index/old").exists());
        assert!(root.path().join("snapshots/kept").exists());
        assert_eq!(fs::read_dir(root.path().join("fresh")).unwrap().count(), 0);
    }

    /// Builds come and go while others mark what they make: nobody fails, and nothing that was made is taken away.
    #[test]
    fn markers_of_builds_that_run_are_never_distrusted() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("fresh")).unwrap();
        fs::create_dir_all(root.path().join("index")).unwrap();
        let later = fs::metadata(root.path()).unwrap().modified().unwrap() + SETTLED * 2;
        thread::scope(|scope| {
            for worker in 0..4 {
                let root = root.path();
                scope.spawn(move || {
                    for round in 0..50 {
                        let fresh = Fresh::check_since(root, "boot 1".to_owned(), later).unwrap();
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
        Fresh::check_since(root.path(), "boot 1".to_owned(), NOW).unwrap();
        assert!(!root.path().join("snapshots/half").exists());
    }
}
