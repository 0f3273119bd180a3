//! Content hashes, remembered by what the file system says about a file: as long as device, inode, size and both times
//! are the same, so is the content. A file that changed just before it was hashed may change again within the same tick
//! of the file system's clock; such a hash is good for this build only.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::fstat;
use wharf_spec::{Algorithm, Digest};

use super::metadata::stamp;
use crate::files::Stamp;
use crate::layer::{Checksum, digest_from_raw};

/// Begins the stored form; another version is another name.
const MAGIC: &[u8; 8] = b"WHARFHS1";
const RECORD: usize = 7 * 8 + 32;
/// More than this are not kept.
const MOST: usize = 1_000_000;
/// Coarser than the clock of any file system in use.
const TICK: i64 = 2;

/// Hashes known so far.
#[derive(Default)]
pub(crate) struct Hashes {
    known: Mutex<HashMap<Stamp, Known>>,
    /// Seconds since 1970, when the build began.
    began: i64,
}

#[derive(Clone, Copy)]
struct Known {
    digest: Digest,
    /// Whether this build has asked for it.
    used: bool,
    /// Whether it was read from the stored form.
    stored: bool,
}

impl Hashes {
    /// The hashes stored at `path`; none when there are none, or none that can be read.
    pub(crate) fn load(path: &Path, began: i64) -> Self {
        let mut known = HashMap::new();
        let bytes = fs::read(path).unwrap_or_default();
        for record in bytes.strip_prefix(MAGIC).unwrap_or_default().chunks_exact(RECORD) {
            let (stamp, digest) = record.split_at(7 * 8);
            let mut numbers = [0; 7];
            for (number, bytes) in numbers.iter_mut().zip(stamp.chunks_exact(8)) {
                *number = i64::from_le_bytes(bytes.try_into().unwrap_or_default());
            }
            if let Some(digest) = sha256(digest) {
                known.insert(numbers, Known { digest, used: false, stored: true });
            }
        }
        Self { known: Mutex::new(known), began }
    }

    /// The stored form, when there is anything new in it: what this build used first, and as much of the rest as is kept.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let known = self.lock();
        let lasting = |(stamp, one): &(&Stamp, &Known)| one.stored || self.lasts(stamp);
        let mut records: Vec<_> = known.iter().filter(lasting).collect();
        if records.iter().all(|(_, one)| one.stored) {
            return None;
        }
        records.sort_by_key(|(_, one)| !one.used);
        let mut bytes = MAGIC.to_vec();
        for (stamp, one) in records.into_iter().take(MOST) {
            for number in stamp {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(one.digest.as_bytes());
        }
        Some(bytes)
    }

    /// Whether a file was old enough, when it was hashed, for any later change to show.
    fn lasts(&self, stamp: &Stamp) -> bool {
        let [.., mtime, _, ctime, _] = *stamp;
        mtime.max(ctime) < self.began - TICK
    }

    /// The SHA-256 of the content of the file with this stamp, if it is known.
    pub(super) fn known(&self, stamp: &Stamp) -> Option<Digest> {
        self.lock().get_mut(stamp).map(|known| {
            known.used = true;
            known.digest
        })
    }

    /// The SHA-256 of a regular file's content.
    pub(super) fn of(&self, mut file: File) -> io::Result<Digest> {
        let stamp = stamp(&fstat(&file)?);
        if let Some(digest) = self.known(&stamp) {
            return Ok(digest);
        }
        let mut hasher = Checksum::sha256();
        // As large as a small file and one byte, which finds its end in one read.
        let room = usize::try_from(stamp[2]).unwrap_or(0).saturating_add(1).clamp(4 << 10, 256 << 10);
        let mut buffer = vec![0; room];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let digest = hasher.finish();
        // A file that changed while it was read has no content to remember.
        if self::stamp(&fstat(&file)?) == stamp {
            self.lock().insert(stamp, Known { digest, used: true, stored: false });
        }
        Ok(digest)
    }

    /// What a file that was just opened has in it, if that can be told without reading it.
    pub(super) fn vouch(&self, file: &File) -> Option<Vouched> {
        let stamp = stamp(&fstat(file).ok()?);
        let digest = self.known(&stamp).filter(|_| self.lasts(&stamp))?;
        Some(Vouched { stamp, digest })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Stamp, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a file has in it, as long as nobody writes to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vouched {
    stamp: Stamp,
    /// The SHA-256 of its content.
    pub(crate) digest: Digest,
}

impl Vouched {
    /// Whether that was still true when the file had been read.
    pub(crate) fn holds(&self, file: &File) -> bool {
        fstat(file).is_ok_and(|stat| stamp(&stat) == self.stamp)
    }
}

/// The digest with these raw bytes.
fn sha256(raw: &[u8]) -> Option<Digest> {
    digest_from_raw(Algorithm::Sha256, raw)
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

        let hashes = Hashes::load(Path::new("/nowhere"), now);
        assert_eq!(hashes.of(open()).unwrap(), Digest::sha256(b"x"));
        assert!(reload(&hashes, now).is_none(), "it may change within this tick");

        let later = Hashes::load(Path::new("/nowhere"), now + 10);
        later.of(open()).unwrap();
        let next = reload(&later, now + 20).unwrap();
        assert_eq!(next.lock().len(), 1);
        assert_eq!(next.of(open()).unwrap(), Digest::sha256(b"x"));
        assert_eq!(next.vouch(&open()).unwrap().digest, Digest::sha256(b"x"));
        assert!(hashes.vouch(&open()).is_none(), "it may change within this tick");
        assert!(next.encode().is_none(), "nothing new, nothing to write");

        let (file, promise) = (open(), next.vouch(&open()).unwrap());
        assert!(promise.holds(&file));
        fs::write(&path, "yy").unwrap();
        assert!(!promise.holds(&file) && next.vouch(&open()).is_none());
        fs::write(&path, "y").unwrap();
        assert_eq!(next.of(open()).unwrap(), Digest::sha256(b"y"));
    }

    #[test]
    fn garbage_is_as_good_as_nothing() {
        let room = tempfile::tempdir().unwrap();
        for bytes in [&b""[..], b"WHARFHS1", b"WHARFHS1short", b"something else entirely"] {
            fs::write(room.path().join("hashes"), bytes).unwrap();
            assert!(Hashes::load(&room.path().join("hashes"), 0).lock().is_empty());
        }
    }
}
