//! Users from an htpasswd file with bcrypt entries. The file is read again when it changes.
//!
//! bcrypt is slow on purpose: a password that was right once is remembered as a keyed hash, so that a hundred nodes
//! pulling at once cost one bcrypt. At most two are computed at a time, and only so many wait: whoever guesses passwords
//! cannot keep those out whose password is remembered.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::Semaphore;
use wharf_blobstore::Ids;
use wharf_spec::{Algorithm, Digest, Hasher};

/// Passwords remembered; more than that and all are forgotten.
const REMEMBERED: usize = 10_000;

/// Logins computed at a time, and with those that wait for it.
const AT_ONCE: usize = 2;
const WAITING: usize = 64;

/// Checks users against an htpasswd file.
#[derive(Debug)]
pub struct Authenticator {
    path: PathBuf,
    anonymous_pull: bool,
    /// Makes remembered hashes useless outside of this process.
    key: [u8; 16],
    users: Mutex<Users>,
    slots: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

/// What became of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// It is this user.
    Right,
    /// It is not, or there is no such user.
    Wrong,
    /// Too many logins at once to say.
    Busy,
}

#[derive(Debug, Default)]
struct Users {
    modified: Option<SystemTime>,
    hashes: HashMap<String, String>,
    right: HashMap<String, Digest>,
}

/// Why an htpasswd file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HtpasswdError {
    /// It cannot be read.
    #[error("could not read the htpasswd file {path}: {source}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A line is not `user:$2y$…`.
    #[error("{path}, line {line}: not `user:` and a bcrypt hash; make entries with `htpasswd -B`", path = path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
}

impl Authenticator {
    /// Reads the file. With `anonymous_pull`, reading needs no login.
    pub fn open(path: &Path, anonymous_pull: bool, ids: &dyn Ids) -> Result<Self, HtpasswdError> {
        let (hashes, modified) = read(path)?;
        let users = Mutex::new(Users { modified, hashes, right: HashMap::new() });
        let (slots, queue) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(WAITING)));
        Ok(Self { path: path.to_path_buf(), anonymous_pull, key: ids.fresh(), users, slots, queue })
    }

    /// Whether reading needs no login.
    pub fn anonymous_pull(&self) -> bool {
        self.anonymous_pull
    }

    /// Whether this is the user's password.
    pub(super) async fn verify(&self, user: &str, password: String) -> Login {
        let seen = self.fingerprint(user, &password);
        let (known, hash) = {
            let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
            self.refresh(&mut users);
            if users.right.get(user) == Some(&seen) {
                return Login::Right;
            }
            // An unknown user costs as much as a wrong password, so that time does not tell who exists.
            users.hashes.get(user).cloned().map_or_else(|| (false, some_hash(&users.hashes)), |hash| (true, hash))
        };
        let Ok(_place) = self.queue.try_acquire() else { return Login::Busy };
        let Ok(_slot) = self.slots.acquire().await else { return Login::Busy };
        let checked = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash)).await;
        let right = known && matches!(checked, Ok(Ok(true)));
        if right {
            let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
            if users.right.len() >= REMEMBERED {
                users.right.clear();
            }
            users.right.insert(user.to_owned(), seen);
        }
        if right { Login::Right } else { Login::Wrong }
    }

    /// Reads the file again when it has changed; an unreadable one leaves the users as they were.
    fn refresh(&self, users: &mut Users) {
        let modified = std::fs::metadata(&self.path).and_then(|data| data.modified()).ok();
        if modified == users.modified || modified.is_none() {
            return;
        }
        match read(&self.path) {
            Ok((hashes, modified)) => *users = Users { modified, hashes, right: HashMap::new() },
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "keeping the users read before");
                users.modified = modified;
            }
        }
    }

    fn fingerprint(&self, user: &str, password: &str) -> Digest {
        let mut hasher = Hasher::new(Algorithm::Sha512);
        for part in [self.key.as_slice(), user.as_bytes(), &[0], password.as_bytes(), &[0], self.key.as_slice()] {
            hasher.update(part);
        }
        hasher.finish()
    }
}

/// A hash to compute for nobody: that of some user, since all users' hashes usually cost the same.
fn some_hash(hashes: &HashMap<String, String>) -> String {
    hashes.values().next().cloned().unwrap_or_default()
}

type Read = (HashMap<String, String>, Option<SystemTime>);

fn read(path: &Path) -> Result<Read, HtpasswdError> {
    let failed = |source| HtpasswdError::Read { path: path.to_path_buf(), source };
    let modified = std::fs::metadata(path).and_then(|data| data.modified()).map_err(failed)?;
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let mut hashes = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let entry = line.split_once(':').filter(|(user, hash)| {
            !user.is_empty() && ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix))
        });
        let Some((user, hash)) = entry else {
            return Err(HtpasswdError::Line { path: path.to_path_buf(), line: index + 1 });
        };
        hashes.insert(user.to_owned(), hash.to_owned());
    }
    Ok((hashes, Some(modified)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_blobstore::RandomIds;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        std::fs::write(&path, text).unwrap();
        (directory, path)
    }

    #[tokio::test]
    async fn users_are_checked_and_remembered() {
        let hash = bcrypt::hash("secret", 4).unwrap();
        let (_directory, path) = file(&format!("# people\nann:{hash}\n"));
        let users = Authenticator::open(&path, false, &RandomIds).unwrap();
        for _ in 0..2 {
            assert_eq!(users.verify("ann", "secret".into()).await, Login::Right);
            assert_eq!(users.verify("ann", "wrong".into()).await, Login::Wrong);
            assert_eq!(users.verify("bob", "secret".into()).await, Login::Wrong);
        }
    }

    #[tokio::test]
    async fn guessing_is_bounded_and_does_not_keep_out_who_is_remembered() {
        // Dear enough that no guess is done before it was looked at.
        let hash = bcrypt::hash("secret", 10).unwrap();
        let (_directory, path) = file(&format!("ann:{hash}\n"));
        let users = Arc::new(Authenticator::open(&path, false, &RandomIds).unwrap());
        assert_eq!(users.verify("ann", "secret".into()).await, Login::Right);
        let guess = |number: usize| {
            let users = users.clone();
            async move { users.verify("ann", number.to_string()).await }
        };
        let mut guesses: Vec<_> = (0..WAITING + 10).map(guess).map(Box::pin).collect();
        // Each is polled once: it has its place in the queue, or none.
        for guess in &mut guesses[..WAITING] {
            assert!(futures_util::poll!(guess).is_pending());
        }
        for guess in &mut guesses[WAITING..] {
            assert_eq!(guess.await, Login::Busy);
        }
        assert_eq!(users.verify("ann", "secret".into()).await, Login::Right);
    }

    #[tokio::test]
    async fn a_changed_file_is_read_again_and_what_was_right_is_forgotten() {
        let entry = |password: &str| format!("ann:{}\n", bcrypt::hash(password, 4).unwrap());
        let (_directory, path) = file(&entry("old"));
        let users = Authenticator::open(&path, false, &RandomIds).unwrap();
        assert_eq!(users.verify("ann", "old".into()).await, Login::Right);
        std::fs::write(&path, entry("new")).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        let later = file.metadata().unwrap().modified().unwrap() + std::time::Duration::from_secs(10);
        file.set_modified(later).unwrap();
        assert_eq!(users.verify("ann", "old".into()).await, Login::Wrong);
        assert_eq!(users.verify("ann", "new".into()).await, Login::Right);
    }

    #[test]
    fn a_line_that_is_no_bcrypt_entry_is_named() {
        let (_directory, path) = file("\nann:{SHA}abc\n");
        let error = Authenticator::open(&path, false, &RandomIds).unwrap_err();
        assert!(matches!(error, HtpasswdError::Line { line: 2, .. }), "{error}");
    }
}
