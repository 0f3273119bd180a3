//! What files of a context contain, remembered by what the file system says about them: as long as device, inode, size and both
//! times are the same, so are content and extended attributes. A file that changed just before it was read may change again
//! within the same tick of the file system's clock; what was found then is good for this build only.
//!
//! What the file system says is kept as a short hash of it, so that a million files take 49 MB, stored as well as in memory. What
//! earlier builds found is one sorted list, read at once and searched without a lock.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FileType, fstat};

use super::metadata::stamp;
use crate::files::{Stamp, StampKey};
use crate::layer::{Fingerprint, Fingerprinter};

/// Begins the stored form; another version is another name.
const MAGIC: &[u8; 8] = b"WHARFHS3";
const RECORD: usize = KEY + Fingerprint::WIDTH + 1;
const KEY: usize = size_of::<StampKey>();
/// What was found is kept in so many parts, each with a lock of its own: few enough in each to keep them sorted.
const PARTS: usize = 1024;
/// In a record's last byte: it has no extended attributes.
const PLAIN: u8 = 1;
/// In the last byte of what this build found: later builds may rely on it.
const LASTS: u8 = 2;
/// More than this are not kept.
const MOST: usize = 1_000_000;
/// So many that were not asked for are kept, however few were.
const SPARE: usize = 10_000;
/// Of a file, so much is read at once.
const MOST_AT_ONCE: usize = 256 << 10;
/// Coarser than the clock of any file system in use.
const TICK: i64 = 2;

/// What is known so far.
pub(crate) struct Hashes {
    /// What earlier builds found, as it is stored: records, sorted.
    stored: Vec<u8>,
    /// Which of it this build asked for.
    used: Vec<AtomicBool>,
    /// What this build found, by the first bytes of its key: records, sorted.
    fresh: Vec<Mutex<Vec<Record>>>,
    /// Seconds since 1970, when the build began.
    began: i64,
}

type Record = [u8; RECORD];

/// What is known about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) content: Fingerprint,
    /// Whether it has no extended attributes that travel.
    pub(super) plain: bool,
}

impl Default for Hashes {
    fn default() -> Self {
        Self::of(Vec::new(), 0)
    }
}

impl Hashes {
    /// What is stored at `path`; nothing when there is nothing, or nothing that can be read.
    pub(crate) fn load(path: &Path, began: i64) -> Self {
        let mut bytes = fs::read(path).unwrap_or_default();
        if !bytes.starts_with(MAGIC) {
            bytes.clear();
        }
        bytes.drain(..MAGIC.len().min(bytes.len()));
        // Written in order; whoever damaged it gets less out of it, not something wrong.
        let (records, rest) = bytes.as_chunks::<RECORD>();
        if !rest.is_empty() || !records.is_sorted() {
            bytes.clear();
        }
        Self::of(bytes, began)
    }

    fn of(stored: Vec<u8>, began: i64) -> Self {
        let used = (0..stored.len() / RECORD).map(|_| AtomicBool::new(false)).collect();
        Self { stored, used, fresh: (0..PARTS).map(|_| Mutex::default()).collect(), began }
    }

    fn records(&self) -> &[Record] {
        self.stored.as_chunks().0
    }

    /// The stored form, when there is anything new in it: what this build used, and as much again of the rest.
    #[expect(clippy::stable_sort_primitive, reason = "it finds the runs that are sorted already, and merges them")]
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let parts: Vec<_> = self.fresh.iter().map(locked).collect();
        let lasting = || parts.iter().flat_map(|part| part.iter()).filter(|record| record[RECORD - 1] & LASTS != 0);
        let fresh = lasting().count();
        if fresh == 0 {
            return None;
        }
        let asked_for = |wanted: bool| {
            let all = self.records().iter().zip(&self.used);
            all.filter(move |(_, used)| used.load(Ordering::Relaxed) == wanted).map(|(record, _)| *record)
        };
        let used = asked_for(true).count();
        let spare = (fresh + used).max(SPARE).min(self.used.len() - used);
        let count = (fresh + used + spare).min(MOST);
        let mut bytes = Vec::with_capacity(MAGIC.len() + count * RECORD);
        bytes.extend_from_slice(MAGIC);
        let all = lasting().copied().map(stored).chain(asked_for(true));
        for record in all.chain(asked_for(false).take(spare)).take(count) {
            bytes.extend_from_slice(&record);
        }
        bytes[MAGIC.len()..].as_chunks_mut::<RECORD>().0.sort();
        Some(bytes)
    }

    /// Whether a file was old enough, when this build began, for any later change to show.
    pub(super) fn lasts(&self, stamp: &Stamp) -> bool {
        stamp.changed() < self.began - TICK
    }

    /// What is known about the file with this stamp.
    pub(super) fn find(&self, stamp: &Stamp) -> Option<Known> {
        let key = stamp.key();
        if let Ok(at) = position(self.records(), key) {
            self.used[at].store(true, Ordering::Relaxed);
            return Some(decode(&self.records()[at]));
        }
        let fresh = self.fresh(key);
        position(&fresh, key).ok().map(|at| decode(&fresh[at]))
    }

    /// Finds out what a file contains, which must be a regular one. `plain` is what was seen of its extended attributes, and
    /// `buffer` anything: it is used again for the next file.
    pub(super) fn read(&self, mut file: File, plain: bool, buffer: &mut Vec<u8>) -> io::Result<Fingerprint> {
        let stat = fstat(&file)?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let stamp = stamp(&stat);
        if let Some(known) = self.find(&stamp) {
            return Ok(known.content);
        }
        let mut fingerprinter = Fingerprinter::new();
        let size = usize::try_from(stat.st_size).unwrap_or(0);
        // One byte more than there is finds a small file's end in one read.
        let room = size.saturating_add(1).clamp(4 << 10, MOST_AT_ONCE);
        if buffer.len() < room {
            buffer.resize(room, 0);
        }
        let mut total = 0;
        loop {
            match file.read(&mut buffer[..room]) {
                Ok(0) => break,
                Ok(count) => {
                    fingerprinter.update(&buffer[..count]);
                    total += count;
                    if total == size && count < room {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let content = fingerprinter.finish();
        // A file that changed while it was read has no content to remember.
        if self::stamp(&fstat(&file)?) == stamp {
            self.remember(&stamp, &Known { content, plain });
        }
        Ok(content)
    }

    fn remember(&self, stamp: &Stamp, known: &Known) {
        let mut record = encode(stamp.key(), known);
        if self.lasts(stamp) {
            record[RECORD - 1] |= LASTS;
        }
        let mut fresh = self.fresh(stamp.key());
        match position(&fresh, stamp.key()) {
            Ok(at) => fresh[at] = record,
            Err(at) => {
                if fresh.len() == fresh.capacity() {
                    let more = fresh.len() / 4 + 4;
                    fresh.reserve_exact(more);
                }
                fresh.insert(at, record);
            }
        }
    }

    fn fresh(&self, key: &StampKey) -> MutexGuard<'_, Vec<Record>> {
        locked(&self.fresh[usize::from(u16::from_le_bytes([key[0], key[1]])) % PARTS])
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn position(records: &[Record], key: &StampKey) -> Result<usize, usize> {
    records.binary_search_by(|record| record[..KEY].cmp(key))
}

/// A record as it is stored.
fn stored(mut record: Record) -> Record {
    record[RECORD - 1] &= PLAIN;
    record
}

fn encode(key: &StampKey, known: &Known) -> Record {
    let mut record = [0; RECORD];
    record[..KEY].copy_from_slice(key);
    record[KEY..RECORD - 1].copy_from_slice(known.content.as_bytes());
    record[RECORD - 1] = if known.plain { PLAIN } else { 0 };
    record
}

fn decode(record: &Record) -> Known {
    let content = record[KEY..].first_chunk().copied().unwrap_or_default();
    Known { content: Fingerprint::from(content), plain: record[RECORD - 1] & PLAIN != 0 }
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
        assert_eq!(hashes.read(open(), true, &mut Vec::new()).unwrap(), Fingerprint::of(b"x"));
        assert!(hashes.find(&stamp()).is_some() && !hashes.lasts(&stamp()));
        assert!(reload(&hashes, now).is_none(), "it may change within this tick");

        let later = Hashes::load(Path::new("/nowhere"), now + 10);
        later.read(open(), false, &mut Vec::new()).unwrap();
        let next = reload(&later, now + 20).unwrap();
        assert_eq!(next.records().len(), 1);
        assert_eq!(next.find(&stamp()), Some(Known { content: Fingerprint::of(b"x"), plain: false }));
        assert!(next.lasts(&stamp()));
        assert!(next.encode().is_none(), "nothing new, nothing to write");

        fs::write(&path, "yy").unwrap();
        assert_eq!(next.find(&stamp()), None);
        assert_eq!(next.read(open(), true, &mut Vec::new()).unwrap(), Fingerprint::of(b"yy"));
    }

    #[test]
    fn files_of_any_size_share_a_buffer_and_nothing_else_is_read() {
        let room = tempfile::tempdir().unwrap();
        let (hashes, mut buffer) = (Hashes::default(), Vec::new());
        let most = MOST_AT_ONCE;
        for length in [5, 0, most - 1, most, most + 1, 3 * most, 4096, 1] {
            let (path, content) = (room.path().join(length.to_string()), vec![7; length]);
            fs::write(&path, &content).unwrap();
            let found = hashes.read(File::open(&path).unwrap(), true, &mut buffer).unwrap();
            assert_eq!(found, Fingerprint::of(&content), "{length}");
        }
        assert_eq!(buffer.len(), most);
        let directory = hashes.read(File::open(room.path()).unwrap(), true, &mut buffer);
        assert_eq!(directory.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn what_is_not_asked_for_any_more_is_forgotten_in_time() {
        let known = |content: &[u8]| Known { content: Fingerprint::of(content), plain: true };
        let old = |inode: i64| Stamp::new(&[1, inode], 0);
        let mut records: Vec<_> = (0..30_000).map(|inode| encode(old(inode).key(), &known(b"old"))).collect();
        records.sort_unstable();
        let hashes = Hashes::of(records.concat(), 10);
        for inode in 29_000..30_000 {
            assert!(hashes.find(&old(inode)).is_some());
        }
        hashes.remember(&old(-1), &known(b"new"));
        let next = reload(&hashes, 20).unwrap();
        assert_eq!(next.records().len(), 1 + 1000 + SPARE);
        assert_eq!(next.find(&old(-1)), Some(known(b"new")));
        for inode in 29_000..30_000 {
            assert_eq!(next.find(&old(inode)), Some(known(b"old")));
        }
        assert_eq!((0..29_000).filter(|inode| next.find(&old(*inode)).is_some()).count(), SPARE);
    }

    #[test]
    fn garbage_is_as_good_as_nothing() {
        let room = tempfile::tempdir().unwrap();
        let unsorted = [&MAGIC[..], &[2; RECORD], &[1; RECORD]].concat();
        for bytes in [&b""[..], b"WHARFHS3", b"WHARFHS2", b"WHARFHS3short", b"something else entirely", &unsorted] {
            fs::write(room.path().join("hashes"), bytes).unwrap();
            assert!(Hashes::load(&room.path().join("hashes"), 0).records().is_empty());
        }
    }
}
