//! What only this engine can say: which unfinished objects lie around, for whoever purges uploads that nobody goes on
//! with. Which of them still have an upload session is not known here.

use std::fs;
use std::sync::Arc;
use std::time::SystemTime;

use super::EmbeddedObjects;
use super::blocking::blocking;
use super::unfinished::{all_names, remove_partial};
use crate::{ObjectKey, Result};

/// An unfinished object that can perhaps be taken up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The key it would get.
    pub key: ObjectKey,
    /// When bytes were last written to it.
    pub modified: SystemTime,
}

impl EmbeddedObjects {
    /// Every unfinished object that has a file, in ascending order of keys. An upload session may name it, somebody may
    /// be writing to it right now, or it is left over.
    pub async fn unfinished(&self) -> Result<Vec<Unfinished>> {
        let shelf = Arc::clone(&self.shelf);
        blocking(move || {
            let mut found: Vec<Unfinished> = Vec::new();
            for name in all_names(&shelf)? {
                // One that is gone meanwhile was finished or forgotten.
                let modified = fs::metadata(shelf.layout.partial().join(name.to_string())).and_then(|it| it.modified());
                found.extend(modified.ok().map(|modified| Unfinished { key: name.key, modified }));
            }
            // An upload may have several branches; the youngest says how long nobody has touched it.
            found.sort_unstable_by_key(|it| (it.key, std::cmp::Reverse(it.modified)));
            found.dedup_by_key(|it| it.key);
            Ok(found)
        })
        .await
    }

    /// Forgets an unfinished object, whatever its checkpoint. A writer that still holds it will fail.
    pub async fn forget_unfinished(&self, key: ObjectKey) -> Result<()> {
        let shelf = Arc::clone(&self.shelf);
        blocking(move || remove_partial(&shelf, key)).await
    }
}
