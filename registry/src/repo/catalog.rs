//! The list of repositories: one flat, ordered scan.

use bytes::Bytes;
use wharf_blobstore::{Change, Expect, Write};
use wharf_spec::RepositoryName;

use super::{Repositories, Result, keys};

impl Repositories {
    /// Names of repositories in ascending order by bytes, `limit` at most, after `last`.
    pub async fn list(&self, last: Option<&str>, limit: usize) -> Result<Vec<RepositoryName>> {
        let after = last.map(|last| format!("{}{last}", keys::CATALOG));
        let entries = self.store.records.list(keys::CATALOG, after.as_deref(), limit).await?;
        let name = |key: &str| key.strip_prefix(keys::CATALOG)?.parse().ok();
        Ok(entries.iter().filter_map(|entry| name(entry.key.as_str())).collect())
    }

    /// Whether anybody has pushed to `name`.
    pub async fn exists(&self, name: &RepositoryName) -> Result<bool> {
        Ok(self.store.records.get(&keys::catalog(name)).await?.is_some())
    }

    /// The write that enters `name` into the catalogue; a conflict means it is there already.
    pub(super) fn enter(name: &RepositoryName) -> Write {
        Write { key: keys::catalog(name), expect: Expect::Absent, change: Change::Put(Bytes::from_static(b"{}")) }
    }
}
