//! What files of a context contain, remembered by what the file system says about them: as long as device, inode, size and both
//! times are the same, so are content and extended attributes. A file that changed just before it was read may change again
//! within the same tick of the file system's clock; what was found then is good for this build only.
//!
//! What earlier builds found is one sorted list, read at once and searched without a lock.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::fstat;

use super::metadata::stamp;
use crate::files::Stamp;
use crate::layer::{Fingerprint, Fingerprinter};

/// Begins the stored form; another version is another name.
const MAGIC: &[u8; 8] = b"WHARFHS2";
const STAMP: usize = 7 * 8;
const RECORD: usize = STAMP + Fingerprint::WIDTH + 1;
/// More than this are not kept.
const MOST: usize = 1_000_000;
/// So many that were not asked for are kept, however few were.
const SPARE: usize = 10_000;
/// Coarser than the clock of any file system in use.
const TICK: i64 = 2;

/// What is known so far.
#[derive(Default)]
pub(crate) struct Hashes {
    /// What earlier builds found, by stamp.
    stored: Vec<(Stamp, Known)>,
    /// Which of it this build asked for.
    used: Vec<AtomicBool>,
    /// What this build found.
    fresh: Mutex<HashMap<Stamp, Known>>,
    /// Seconds since 1970, when the build began.
    began: i64,
}

/// What is known about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) content: Fingerprint,
    /// Whether it has no extended attributes that travel.
    pub(super) plain: bool,
}

impl Hashes {
    /// What is stored at `path`; nothing when there is nothing, or nothing that can be read.
    pub(crate) fn load(path: &Path, began: i64) -> Self {
        let bytes = fs::read(path).unwrap_or_default();
        let records = bytes.strip_prefix(MAGIC).unwrap_or_default().as_chunks::<RECORD>().0;
        let mut stored: Vec<(Stamp, Known)> = records.iter().filter_map(decode).collect();
        // Written in order; whoever damaged it gets less out of it, not something wrong.
        if !stored.is_sorted_by_key(|(stamp, _)| *stamp) {
            stored.clear();
        }
        let used = stored.iter().map(|_| AtomicBool::new(false)).collect();
        Self { stored, used, fresh: Mutex::default(), began }
    }

    /// The stored form, when there is anything new in it: what this build used, and as much again of the rest.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let fresh = self.fresh();
        let mut records: Vec<(&Stamp, &Known)> = fresh.iter().filter(|(stamp, _)| self.lasts(stamp)).collect();
        if records.is_empty() {
            return None;
        }
        let (used, unused): (Vec<_>, Vec<_>) =
            self.stored.iter().zip(&self.used).partition(|(_, used)| used.load(Ordering::Relaxed));
        records.extend(used.into_iter().map(|((stamp, known), _)| (stamp, known)));
        let spare = records.len().max(SPARE);
        records.extend(unused.into_iter().take(spare).map(|((stamp, known), _)| (stamp, known)));
        records.truncate(MOST);
        records.sort_unstable_by_key(|(stamp, _)| **stamp);
        let mut bytes = Vec::with_capacity(MAGIC.len() + records.len() * RECORD);
        bytes.extend_from_slice(MAGIC);
        for (stamp, known) in records {
            for number in stamp {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(known.content.as_bytes());
            bytes.push(u8::from(known.plain));
        }
        Some(bytes)
    }

    /// Whether a file was old enough, when this build began, for any later change to show.
    pub(super) fn lasts(&self, stamp: &Stamp) -> bool {
        let [.., mtime, _, ctime, _] = *stamp;
        mtime.max(ctime) < self.began - TICK
    }

    /// What is known about the file with this stamp.
    pub(super) fn find(&self, stamp: &Stamp) -> Option<Known> {
        if let Ok(at) = self.stored.binary_search_by_key(stamp, |(stamp, _)| *stamp) {
            self.used[at].store(true, Ordering::Relaxed);
            return Some(self.stored[at].1);
        }
        self.fresh().get(stamp).copied()
    }

    /// Finds out what a regular file contains. `plain` is what was seen of its extended attributes.
    pub(super) fn read(&self, mut file: File, plain: bool) -> io::Result<Fingerprint> {
        let stamp = stamp(&fstat(&file)?);
        if let Some(known) = self.find(&stamp) {
            return Ok(known.content);
        }
        let mut fingerprinter = Fingerprinter::new();
        // As large as a small file and one byte, which finds its end in one read.
        let room = usize::try_from(stamp[2]).unwrap_or(0).saturating_add(1).clamp(4 << 10, 256 << 10);
        let mut buffer = vec![0; room];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => fingerprinter.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let content = fingerprinter.finish();
        // A file that changed while it was read has no content to remember.
        if self::stamp(&fstat(&file)?) == stamp {
            self.fresh().insert(stamp, Known { content, plain });
        }
        Ok(content)
    }

    fn fresh(&self) -> MutexGuard<'_, HashMap<Stamp, Known>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn decode(record: &[u8; RECORD]) -> Option<(Stamp, Known)> {
    let (numbers, rest) = record.split_at(STAMP);
    let (content, plain) = rest.split_first_chunk()?;
    let mut stamp = Stamp::default();
    for (number, bytes) in stamp.iter_mut().zip(numbers.as_chunks().0) {
        *number = i64::from_le_bytes(*bytes);
    }
    Some((stamp, Known { content: Fingerprint::from(*content), plain: plain == [1] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reload(hashes: &Hashes, began: i64) -> Option<Hashes> {
        let room = tempfile::tempdir().unwrap();
        fs::write(room.path().join("hashes"), hashes.encode()?).unwrap();
        Some(Hashes::load(&room.path().join("hashes"), began))
    }

    #[test]
    fn what_is_old_enough_is_known_to_the_next_build() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("f");
        fs::write(&path, "x").unwrap();
        let now = std::os::unix::fs::MetadataExt::ctime(&fs::metadata(&path).unwrap());
        let open = || File::open(&path).unwrap();
        let stamp = || stamp(&fstat(open()).unwrap());

        let hashes = Hashes::load(Path::new("/nowhere"), now);
        assert_eq!(hashes.read(open(), true).unwrap(), Fingerprint::of(b"x"));
        assert!(hashes.find(&stamp()).is_some() && !hashes.lasts(&stamp()));
        assert!(reload(&hashes, now).is_none(), "it may change within this tick");

        let later = Hashes::load(Path::new("/nowhere"), now + 10);
        later.read(open(), false).unwrap();
        let next = reload(&later, now + 20).unwrap();
        assert_eq!(next.stored.len(), 1);
        assert_eq!(next.find(&stamp()), Some(Known { content: Fingerprint::of(b"x"), plain: false }));
        assert!(next.lasts(&stamp()));
        assert!(next.encode().is_none(), "nothing new, nothing to write");

        fs::write(&path, "yy").unwrap();
        assert_eq!(next.find(&stamp()), None);
        assert_eq!(next.read(open(), true).unwrap(), Fingerprint::of(b"yy"));
    }

    #[test]
    fn what_is_not_asked_for_any_more_is_forgotten_in_time() {
        let known = |content: &[u8]| Known { content: Fingerprint::of(content), plain: true };
        let old = |inode: i64| [1, inode, 0, 0, 0, 0, 0];
        let mut hashes = Hashes { began: 10, ..Hashes::default() };
        hashes.stored = (0..30_000).map(|inode| (old(inode), known(b"old"))).collect();
        hashes.used = (0..30_000).map(|inode| AtomicBool::new(inode >= 29_000)).collect();
        hashes.fresh().insert(old(-1), known(b"new"));
        let next = reload(&hashes, 20).unwrap();
        assert_eq!(next.stored.len(), 1 + 1000 + SPARE);
        assert_eq!(next.find(&old(-1)), Some(known(b"new")));
        assert_eq!(next.find(&old(29_500)), Some(known(b"old")));
        assert_eq!(next.find(&old(28_999)), None);
    }

    #[test]
    fn garbage_is_as_good_as_nothing() {
        let room = tempfile::tempdir().unwrap();
        let unsorted = [&MAGIC[..], &[2; RECORD], &[1; RECORD]].concat();
        for bytes in [&b""[..], b"WHARFHS2", b"WHARFHS2short", b"something else entirely", &unsorted] {
            fs::write(room.path().join("hashes"), bytes).unwrap();
            assert!(Hashes::load(&room.path().join("hashes"), 0).stored.is_empty());
        }
    }
}
