//! Blobs that a registry has taken a moment ago: it need not be asked whether it has them.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use wharf_spec::{Digest, RegistryHost, RepositoryName};

use super::client::lock;

/// How long a registry's word holds. No registry deletes so soon what no image has named yet, and whoever pushes for longer
/// asks again.
const HOLDS: Duration = Duration::from_secs(60);

/// With more than this it is worth throwing out what is older.
const MANY: usize = 4096;

type Blob = (RegistryHost, RepositoryName, Digest);

/// What has arrived where, and when.
#[derive(Default)]
pub(super) struct Arrived {
    blobs: Mutex<HashMap<Blob, Instant>>,
}

impl Arrived {
    /// The registry said that it has the blob.
    pub(super) fn note(&self, host: &RegistryHost, repository: &RepositoryName, digest: &Digest) {
        let mut blobs = lock(&self.blobs);
        if blobs.len() >= MANY {
            blobs.retain(|_, since| since.elapsed() < HOLDS);
        }
        if blobs.len() < MANY {
            blobs.insert((host.clone(), repository.clone(), *digest), Instant::now());
        }
    }

    /// Whether it said so a moment ago.
    pub(super) fn lately(&self, host: &RegistryHost, repository: &RepositoryName, digest: &Digest) -> bool {
        let blob = (host.clone(), repository.clone(), *digest);
        lock(&self.blobs).get(&blob).is_some_and(|since| since.elapsed() < HOLDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrived_is_known_for_its_repository_and_no_more_than_that_is_kept() {
        let (host, app): (RegistryHost, RepositoryName) = ("registry.test".parse().unwrap(), "app".parse().unwrap());
        let arrived = Arrived::default();
        let digest = Digest::sha256(b"0");
        assert!(!arrived.lately(&host, &app, &digest));
        arrived.note(&host, &app, &digest);
        assert!(arrived.lately(&host, &app, &digest));
        assert!(!arrived.lately(&host, &"other".parse().unwrap(), &digest));
        for number in 1..=MANY {
            arrived.note(&host, &app, &Digest::sha256(number.to_string().as_bytes()));
        }
        assert_eq!(lock(&arrived.blobs).len(), MANY);
        assert!(arrived.lately(&host, &app, &digest), "what has just come is not thrown out");
    }
}
