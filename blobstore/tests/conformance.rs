//! Every engine keeps every promise of the two traits.

use std::future::{Ready, ready};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;
use wharf_blobstore::conformance::{ObjectsBench, RecordsBench, far_future};
use wharf_blobstore::memory::{MemoryObjects, MemoryRecords};
use wharf_blobstore::{Objects, Records, embedded};

wharf_blobstore::objects_conformance!(memory_objects, MemoryBench::new);
wharf_blobstore::records_conformance!(memory_records, MemoryBench::new);
wharf_blobstore::objects_conformance!(embedded_objects, EmbeddedBench::new);
wharf_blobstore::records_conformance!(embedded_records, EmbeddedBench::new);

/// Handles of the memory engine are all there is of it.
#[derive(Default)]
struct MemoryBench {
    objects: MemoryObjects,
    records: MemoryRecords,
}

impl MemoryBench {
    fn new() -> Ready<Self> {
        ready(Self::default())
    }
}

#[async_trait]
impl ObjectsBench for MemoryBench {
    async fn objects(&self) -> Arc<dyn Objects> {
        Arc::new(self.objects.clone())
    }

    async fn leftovers(&self) -> Vec<String> {
        let left = self.objects.unfinished(far_future()).await.unwrap();
        left.iter().map(|unfinished| unfinished.key.to_string()).collect()
    }
}

#[async_trait]
impl RecordsBench for MemoryBench {
    async fn records(&self) -> Arc<dyn Records> {
        Arc::new(self.records.clone())
    }

    async fn leftovers(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Every handle opens the directory anew, as another process would.
struct EmbeddedBench {
    directory: TempDir,
}

impl EmbeddedBench {
    fn new() -> Ready<Self> {
        let directory = tempfile::tempdir().unwrap();
        embedded::open(directory.path()).unwrap();
        ready(Self { directory })
    }

    /// Every file that a store which was closed and holds nothing does not have.
    fn unexpected(&self) -> Vec<String> {
        let mut found = Vec::new();
        collect_files(self.directory.path(), &mut found);
        let expected = ["wharf-store.json", "records.sqlite"].map(|name| self.directory.path().join(name));
        found.retain(|path| !expected.iter().any(|expected| expected == Path::new(path)));
        found
    }
}

fn collect_files(directory: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_files(&path, found);
        } else {
            found.push(path.display().to_string());
        }
    }
}

#[async_trait]
impl ObjectsBench for EmbeddedBench {
    async fn objects(&self) -> Arc<dyn Objects> {
        Arc::new(embedded::open_engines(self.directory.path()).unwrap().0)
    }

    async fn leftovers(&self) -> Vec<String> {
        self.unexpected()
    }
}

#[async_trait]
impl RecordsBench for EmbeddedBench {
    async fn records(&self) -> Arc<dyn Records> {
        Arc::new(embedded::open_engines(self.directory.path()).unwrap().1)
    }

    async fn leftovers(&self) -> Vec<String> {
        self.unexpected()
    }
}
