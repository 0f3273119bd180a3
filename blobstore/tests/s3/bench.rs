//! An empty store of its own for every case, in one bucket.

use std::future::{Ready, ready};
use std::sync::Arc;

use async_trait::async_trait;
use wharf_blobstore::conformance::{ObjectsBench, RecordsBench, far_future};
use wharf_blobstore::s3::{S3Config, S3Objects, S3Records, open_engines};
use wharf_blobstore::{Ids as _, Objects, RandomIds, Records};

/// A place in the bucket that nobody else has.
pub(crate) struct S3Bench {
    config: S3Config,
}

/// This place, under a fresh prefix.
pub(crate) fn fresh(place: &S3Config) -> S3Config {
    let id = u128::from_be_bytes(RandomIds.fresh());
    S3Config { prefix: format!("{}test/{id:032x}/", place.prefix), ..place.clone() }
}

impl S3Bench {
    pub(crate) fn new(place: &S3Config) -> Ready<Self> {
        ready(Self { config: fresh(place) })
    }

    pub(crate) async fn engines(&self) -> (S3Objects, S3Records) {
        open_engines(&self.config).await.unwrap()
    }

    /// What lies around of unfinished objects. Tombstones of records are none of it: they are there for ever.
    async fn unfinished(&self) -> Vec<String> {
        let (objects, _) = self.engines().await;
        let left = objects.unfinished(far_future()).await.unwrap();
        left.iter().map(|unfinished| format!("unfinished/{}", unfinished.key)).collect()
    }
}

#[async_trait]
impl ObjectsBench for S3Bench {
    async fn objects(&self) -> Arc<dyn Objects> {
        Arc::new(self.engines().await.0)
    }

    async fn leftovers(&self) -> Vec<String> {
        self.unfinished().await
    }
}

#[async_trait]
impl RecordsBench for S3Bench {
    async fn records(&self) -> Arc<dyn Records> {
        Arc::new(self.engines().await.1)
    }

    async fn leftovers(&self) -> Vec<String> {
        self.unfinished().await
    }
}
