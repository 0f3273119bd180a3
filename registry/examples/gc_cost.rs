//! How long collecting garbage takes among so many live blobs: `gc_cost DIRECTORY LIVE GARBAGE`. Prints seconds.
//!
//! Live blobs are written as the records that pushes would have left, ten to a manifest, without their bytes: a collector
//! does not read them. The garbage is pushed and deleted as clients do it.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use wharf_blobstore::{Change, Expect, Ids as _, ObjectKey, RandomIds, RecordKey, Write, embedded};
use wharf_registry::gc::{Collector, Policy};
use wharf_registry::repo::Repositories;
use wharf_spec::{Descriptor, Digest, Manifest, MediaType, RawManifest, RepositoryName};

const LAYERS: usize = 10;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, live, garbage] = &arguments[..] else { return Err("gc_cost DIRECTORY LIVE GARBAGE".into()) };
    let store = embedded::open(Path::new(directory))?;
    let repositories = Repositories::new(store.clone());
    for first in (0..live.parse::<usize>()?).step_by(LAYERS * 20) {
        let mut batch = Vec::new();
        for manifest in 0..20 {
            publish(first + manifest * LAYERS, &mut batch);
        }
        store.records.write(batch).await?;
    }
    // So that the log of all that is not written while garbage is collected.
    let policy = Policy { grace: Duration::ZERO, ..Policy::default() };
    Collector::new(repositories.clone(), policy).run(&mut |_| {}).await?;
    let garbage: usize = garbage.parse()?;
    make_garbage(&repositories, garbage).await?;
    let begun = Instant::now();
    let report = Collector::new(repositories, policy).run(&mut |_| {}).await?;
    let elapsed = begun.elapsed();
    if report.blobs != garbage as u64 {
        return Err(format!("{} blobs collected instead of {garbage}", report.blobs).into());
    }
    println!("{:.3}", elapsed.as_secs_f64());
    Ok(())
}

fn manifest(layers: impl Iterator<Item = Bytes>) -> RawManifest {
    let mut layers =
        layers.map(|bytes| Descriptor::new(MediaType::OCI_LAYER, Digest::sha256(&bytes), bytes.len() as u64));
    let config = layers.next().expect("a layer");
    RawManifest::from_manifest(Manifest {
        schema_version: 2,
        media_type: Some(MediaType::new(MediaType::OCI_MANIFEST)),
        artifact_type: None,
        config,
        layers: layers.collect(),
        subject: None,
        annotations: [].into(),
    })
}

fn live_layer(number: usize) -> Bytes {
    format!("live {number}").into()
}

/// The records of a published manifest, whose first layer has this number.
fn publish(first: usize, batch: &mut Vec<Write>) {
    let mut put = |key: String, value: String| {
        batch.push(Write { key: RecordKey::new(key), expect: Expect::Absent, change: Change::Put(value.into()) });
    };
    let (holder, name) = (ObjectKey::new(RandomIds.fresh()), format!("live/{}", first / 10_000));
    let manifest = manifest((first..first + LAYERS).map(live_layer));
    let record = format!("repos/{name}/_manifests/{}", manifest.digest());
    for number in first..first + LAYERS {
        let bytes = live_layer(number);
        let (digest, epoch) = (Digest::sha256(&bytes), ObjectKey::new(RandomIds.fresh()));
        let state = format!(r#"{{"state":"live","epoch":"{epoch}","size":{},"usedAt":1}}"#, bytes.len());
        put(format!("blobs/{digest}"), state);
        put(format!("refs/{digest}/{holder}"), record.clone());
        put(format!("repos/{name}/_blobs/{digest}"), r#"{"confirmed_at":1}"#.to_owned());
    }
    let header = format!(
        r#"{{"state":"live","holder":"{holder}","mediaType":"{}","pushedAt":1,"pushedBy":"bench"}}"#,
        manifest.media_type()
    );
    put(record, format!("{header}\n{}", String::from_utf8_lossy(manifest.bytes())));
}

/// Pushes images and deletes them.
async fn make_garbage(repositories: &Repositories, blobs: usize) -> Result<(), Box<dyn std::error::Error>> {
    let name: RepositoryName = "garbage/app".parse()?;
    for first in (0..blobs).step_by(LAYERS) {
        let layers: Vec<Bytes> = (first..first + LAYERS).map(|number| format!("garbage {number}").into()).collect();
        let uploads =
            layers.iter().map(|bytes| repositories.put_blob(&name, Digest::sha256(bytes), bytes.clone().into()));
        futures_util::future::try_join_all(uploads).await?;
        let manifest = manifest(layers.into_iter());
        repositories.put_manifest(&name, &manifest, &[], "bench").await?;
        repositories.delete_manifest(&name, &manifest.digest(), "bench").await?;
    }
    Ok(())
}
