//! Which unfinished objects lie around, for whoever purges uploads that nobody goes on with. Which of them still have an
//! upload session is not known here.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use super::objects::Place;
use super::unfinished::all_names;
use crate::{ObjectKey, Result, Unfinished};

/// Every unfinished object that has a file and was not written to since `before`, in ascending order of keys.
pub(super) fn untouched(place: &Place, before: SystemTime) -> Result<Vec<Unfinished>> {
    // An upload may have several branches; the youngest says how long nobody has touched it.
    let mut found: BTreeMap<ObjectKey, (SystemTime, u64)> = BTreeMap::new();
    for name in all_names(place)? {
        // One that is gone meanwhile was finished or forgotten.
        let Ok(metadata) = fs::metadata(place.layout.partial().join(name.to_string())) else { continue };
        let Ok(modified) = metadata.modified() else { continue };
        let (youngest, bytes) = found.entry(name.key).or_insert((modified, 0));
        *youngest = modified.max(*youngest);
        *bytes += metadata.len();
    }
    let untouched = found.into_iter().filter(|(_, (modified, _))| *modified < before);
    Ok(untouched.map(|(key, (_, bytes))| Unfinished { key, bytes }).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::embedded::open_engines;
    use crate::{Error, Objects as _};

    use super::*;

    #[tokio::test]
    async fn unfinished_objects_are_named_once_with_all_their_bytes_and_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let (objects, _) = open_engines(directory.path()).unwrap();
        let [plain, branched, nameless, finished] = [4, 3, 2, 1].map(|number| ObjectKey::new([number; 16]));

        let _nameless = objects.create(nameless).await.unwrap();
        let mut writer = objects.create(finished).await.unwrap();
        writer.checkpoint().await.unwrap();
        writer.finish().await.unwrap();
        objects.create(plain).await.unwrap().checkpoint().await.unwrap();
        let mut first = objects.create(branched).await.unwrap();
        first.write("old ".into()).await.unwrap();
        let checkpoint = first.checkpoint().await.unwrap();
        let mut second = objects.resume(branched, &checkpoint).await.unwrap();
        second.write("bytes".into()).await.unwrap();
        second.checkpoint().await.unwrap();
        fs::write(directory.path().join("partial/notes.txt"), "not ours").unwrap();

        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33);
        let found = objects.unfinished(later).await.unwrap();
        let expected = [(branched, 4 + 9), (plain, 0)].map(|(key, bytes)| Unfinished { key, bytes });
        assert_eq!(found, expected);
        // One of the branches is old, the other one is not.
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(3600);
        let old = all_names(&objects.place).unwrap().into_iter().find(|name| name.key == branched).unwrap();
        let file = fs::File::options().write(true).open(directory.path().join(format!("partial/{old}"))).unwrap();
        file.set_modified(long_ago).unwrap();
        assert_eq!(objects.unfinished(long_ago + Duration::from_secs(60)).await.unwrap(), []);

        objects.abandon(branched).await.unwrap();
        assert!(matches!(second.finish().await, Err(Error::UploadLost)));
        assert_eq!(objects.unfinished(later).await.unwrap().len(), 1);
    }
}
