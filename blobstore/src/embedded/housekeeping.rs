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
        let place = Arc::clone(&self.place);
        blocking(move || {
            let mut found: Vec<Unfinished> = Vec::new();
            for name in all_names(&place)? {
                // One that is gone meanwhile was finished or forgotten.
                let modified = fs::metadata(place.layout.partial().join(name.to_string())).and_then(|it| it.modified());
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
        let place = Arc::clone(&self.place);
        blocking(move || remove_partial(&place, key)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::open_engines;
    use crate::{Error, Objects as _};

    #[tokio::test]
    async fn unfinished_objects_are_named_once_and_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let (objects, _) = open_engines(directory.path()).unwrap();
        let [plain, branched, nameless, finished] = [4, 3, 2, 1].map(|number| ObjectKey::new([number; 16]));

        let _nameless = objects.create(nameless).await.unwrap();
        let mut writer = objects.create(finished).await.unwrap();
        writer.checkpoint().await.unwrap();
        writer.finish().await.unwrap();
        objects.create(plain).await.unwrap().checkpoint().await.unwrap();
        let mut first = objects.create(branched).await.unwrap();
        let checkpoint = first.checkpoint().await.unwrap();
        let mut second = objects.resume(branched, &checkpoint).await.unwrap();
        second.write("bytes".into()).await.unwrap();
        second.checkpoint().await.unwrap();
        std::fs::write(directory.path().join("partial/notes.txt"), "not ours").unwrap();

        let found = objects.unfinished().await.unwrap();
        assert_eq!(found.iter().map(|it| it.key).collect::<Vec<_>>(), [branched, plain]);
        assert!(found.iter().all(|it| it.modified > SystemTime::UNIX_EPOCH));
        objects.forget_unfinished(branched).await.unwrap();
        assert!(matches!(second.finish().await, Err(Error::UploadLost)));
        assert_eq!(objects.unfinished().await.unwrap().len(), 1);
    }
}
