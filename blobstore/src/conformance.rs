//! The contract of the two traits as named cases, run against every engine and every wrapper by one line each:
//!
//! ```text
//! wharf_blobstore::objects_conformance!(memory_objects, MemoryBench::new);
//! wharf_blobstore::records_conformance!(memory_records, MemoryBench::new);
//! ```
//!
//! A line becomes a module with one test per case, so a failure has the case's name, and no engine can leave a case
//! out. The cases are listed once, in [`object_cases::CASES`] and [`record_cases::CASES`]; each cleans up behind itself,
//! and fails when anything is left: finished or unfinished objects, records, files.
//!
//! Cases hold engines to what the traits promise and to nothing more. They know no engine.

pub mod object_cases;
pub mod record_cases;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};

use crate::{Objects, Records};

/// An empty place for objects, made for one case.
#[async_trait]
pub trait ObjectsBench: Send + Sync + 'static {
    /// A handle on the objects, as another process would have it: it shares with the others as little as possible.
    async fn objects(&self) -> Arc<dyn Objects>;

    /// Names whatever lies there beside finished objects, like bytes of unfinished ones. No handle is in use.
    async fn leftovers(&self) -> Vec<String>;
}

/// An empty place for records, made for one case.
#[async_trait]
pub trait RecordsBench: Send + Sync + 'static {
    /// A handle on the records, as another process would have it: it shares with the others as little as possible.
    async fn records(&self) -> Arc<dyn Records>;

    /// Names whatever lies there beside records. No handle is in use.
    async fn leftovers(&self) -> Vec<String>;
}

/// One promise, and how to see whether it is kept.
pub struct Case<B: ?Sized> {
    /// What is promised, as the name of a function.
    pub name: &'static str,
    /// Panics when the promise is broken.
    pub run: fn(Arc<B>) -> BoxFuture<'static, ()>,
}

/// After everything that a test does, by any clock: whatever is unfinished then is unfinished.
pub fn far_future() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33)
}

fn find<B: ?Sized>(cases: &'static [Case<B>], name: &str) -> &'static Case<B> {
    cases.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("there is no case {name}"))
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("threads can be started")
}

/// Far more than any case takes; an engine that never answers fails instead of stopping everything.
async fn bounded(case: BoxFuture<'static, ()>) {
    tokio::time::timeout(Duration::from_mins(5), case).await.expect("the case has not ended for five minutes");
}

/// Runs one case; [`crate::objects_conformance`] calls this.
pub fn check_objects<B: ObjectsBench, F: Future<Output = B>>(name: &str, make: impl FnOnce() -> F) {
    runtime().block_on(async {
        let bench: Arc<dyn ObjectsBench> = Arc::new(make().await);
        bounded((find(object_cases::CASES, name).run)(Arc::clone(&bench))).await;
        let left = bench.objects().await.list(None, 10).await.expect("objects can be listed");
        assert!(left.is_empty(), "the case left objects behind: {left:?}");
        let left = bench.leftovers().await;
        assert!(left.is_empty(), "left behind: {left:?}");
    });
}

/// Runs one case; [`crate::records_conformance`] calls this.
pub fn check_records<B: RecordsBench, F: Future<Output = B>>(name: &str, make: impl FnOnce() -> F) {
    runtime().block_on(async {
        let bench: Arc<dyn RecordsBench> = Arc::new(make().await);
        bounded((find(record_cases::CASES, name).run)(Arc::clone(&bench))).await;
        let left = bench.records().await.list("", None, 10).await.expect("records can be listed");
        assert!(left.is_empty(), "the case left records behind: {left:?}");
        let left = bench.leftovers().await;
        assert!(left.is_empty(), "left behind: {left:?}");
    });
}
