//! Replays what real clients send, request by request: one plain file a client in `testdata/http/`.

mod wire;

use wharf_blobstore::Store;
use wharf_spec::Algorithm;
use wire::script::{Script, scripts};

async fn replay_all(store: impl Fn() -> Store) {
    let scripts = scripts("http");
    assert!(scripts.len() >= 10, "{scripts:?}");
    let mut failed = Vec::new();
    for path in scripts {
        let (name, store) = (path.display().to_string(), store());
        let place = name.clone();
        let played = tokio::spawn(async move {
            let script = Script::read(&path);
            let [case] = script.cases.as_slice() else { panic!("{place} is one client's sequence") };
            script.play(case, &place, store, Algorithm::Sha256).await;
        });
        if played.await.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "see above: {failed:#?}");
}

#[tokio::test]
async fn every_client_is_answered_as_it_needs() {
    replay_all(Store::memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_is_answered_as_it_needs_from_disk() {
    let directory = tempfile::tempdir().unwrap();
    let number = std::sync::atomic::AtomicUsize::new(0);
    replay_all(|| {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        wharf_blobstore::embedded::open(&directory.path().join(number.to_string())).unwrap()
    })
    .await;
}
