//! Which unfinished objects lie in the bucket, for whoever purges uploads that nobody goes on with.
//!
//! Nearly all of them have a state under `unfinished/`. A writer that is killed between beginning its upload in parts and
//! writing that state leaves only the upload; services list those, by key. (`MinIO` does not: it lists what has exactly the
//! key it is asked for, and forgets old uploads by itself.)

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::bucket::Bucket;
use super::documents::moment;
use super::listing::{Listing, PAGE};
use super::multipart::{self, Multipart};
use super::objects::{OBJECTS, object_name};
use super::unfinished::{UNFINISHED, Unfinished as Traces};
use crate::{Error, Ids, ObjectKey, Result, Unfinished};

/// What lies there of one object.
#[derive(Debug, Default)]
struct Found {
    /// Something of it is young, or nobody can tell.
    touched: bool,
    bytes: u64,
    uploads: BTreeSet<String>,
}

impl Found {
    fn note(&mut self, written: &str, before: SystemTime) {
        self.touched |= moment(written).is_none_or(|written| written >= before);
    }
}

/// Every unfinished object of which nothing was written since `before`, in ascending order of keys.
pub(super) async fn untouched(bucket: &Bucket, ids: &dyn Ids, before: SystemTime) -> Result<Vec<Unfinished>> {
    let mut found: BTreeMap<ObjectKey, Found> = BTreeMap::new();
    let mut listing = Listing::new(bucket, UNFINISHED, None);
    while !listing.ended() {
        for listed in listing.next(PAGE).await? {
            let name = listed.key.strip_prefix(UNFINISHED).unwrap_or_default();
            let (key, tail) = name.split_once('.').map_or((name, false), |(key, _)| (key, true));
            let Ok(key) = key.parse() else { continue };
            let found = found.entry(key).or_default();
            found.note(&listed.last_modified, before);
            found.bytes += if tail { listed.size } else { 0 };
        }
    }
    for upload in multipart::under_way(bucket, OBJECTS).await? {
        let Some(Ok(key)) = upload.key.strip_prefix(OBJECTS).map(str::parse) else { continue };
        let found = found.entry(key).or_default();
        found.note(&upload.initiated, before);
        found.uploads.insert(upload.id);
    }
    found.retain(|_, found| !found.touched);
    let mut untouched = Vec::new();
    for (key, mut found) in found {
        found.uploads.extend(Traces { bucket, key, ids }.upload().await?);
        weigh(bucket, key, &mut found, before).await?;
        if !found.touched {
            untouched.push(Unfinished { key, bytes: found.bytes });
        }
    }
    Ok(untouched)
}

/// Looks at the parts, too: only these may be young while somebody sends a large object slowly.
async fn weigh(bucket: &Bucket, key: ObjectKey, found: &mut Found, before: SystemTime) -> Result<()> {
    let name = object_name(key);
    for upload in std::mem::take(&mut found.uploads) {
        let parts = match (Multipart { bucket, key: &name, upload: &upload }).parts().await {
            Ok(parts) => parts,
            // Completed or aborted: somebody is at it, or died just before he took away the rest.
            Err(Error::UploadLost) => continue,
            Err(error) => return Err(error),
        };
        for part in parts.values() {
            found.note(&part.last_modified, before);
            found.bytes += part.size;
        }
    }
    Ok(())
}
