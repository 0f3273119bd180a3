//! Content hashes, remembered by what the file system says about a file: as long as device, inode, size and both times
//! are the same, so is the content. A file that changed just before it was hashed may change again within the same tick
//! of the file system's clock; such a hash is good for this build only.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use wharf_spec::{Algorithm, Digest, Hasher};

/// What identifies a file's content: device, inode, size, modification and change, each in seconds and nanoseconds.
type Identity = [i64; 7];

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
    known: Mutex<HashMap<Identity, Known>>,
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
            let (identity, digest) = record.split_at(7 * 8);
            let mut numbers = [0; 7];
            for (number, bytes) in numbers.iter_mut().zip(identity.chunks_exact(8)) {
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
        let lasting = |(identity, one): &(&Identity, &Known)| one.stored || self.lasts(identity);
        let mut records: Vec<_> = known.iter().filter(lasting).collect();
        if records.iter().all(|(_, one)| one.stored) {
            return None;
        }
        records.sort_by_key(|(_, one)| !one.used);
        let mut bytes = MAGIC.to_vec();
        for (identity, one) in records.into_iter().take(MOST) {
            identity.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
            bytes.extend_from_slice(one.digest.as_bytes());
        }
        Some(bytes)
    }

    /// Whether a file was old enough, when it was hashed, for any later change to show.
    fn lasts(&self, identity: &Identity) -> bool {
        let [.., mtime, _, ctime, _] = *identity;
        mtime.max(ctime) < self.began - TICK
    }

    /// The SHA-256 of a regular file's content.
    pub(super) fn of(&self, mut file: File) -> io::Result<Digest> {
        let identity = identity(&file)?;
        if let Some(known) = self.lock().get_mut(&identity) {
            known.used = true;
            return Ok(known.digest);
        }
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut buffer = vec![0; 256 << 10];
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
        if self::identity(&file)? == identity {
            self.lock().insert(identity, Known { digest, used: true, stored: false });
        }
        Ok(digest)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identity, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn identity(file: &File) -> io::Result<Identity> {
    let found = file.metadata()?;
    Ok([
        found.dev().cast_signed(),
        found.ino().cast_signed(),
        found.size().cast_signed(),
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec(),
    ])
}

/// The digest with these raw bytes.
fn sha256(raw: &[u8]) -> Option<Digest> {
    let hex = raw.iter().fold(String::from("sha256:"), |hex, byte| hex + &format!("{byte:02x}"));
    hex.parse().ok()
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
        let now = fs::metadata(&path).unwrap().ctime();
        let open = || File::open(&path).unwrap();

        let hashes = Hashes::load(Path::new("/nowhere"), now);
        assert_eq!(hashes.of(open()).unwrap(), Digest::sha256(b"x"));
        assert!(reload(&hashes, now).is_none(), "it may change within this tick");

        let later = Hashes::load(Path::new("/nowhere"), now + 10);
        later.of(open()).unwrap();
        let next = reload(&later, now + 20).unwrap();
        assert_eq!(next.lock().len(), 1);
        assert_eq!(next.of(open()).unwrap(), Digest::sha256(b"x"));
        assert!(next.encode().is_none(), "nothing new, nothing to write");

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
