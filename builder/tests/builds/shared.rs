//! Results that other places know.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use wharf_blobstore::Store;
use wharf_builder::sandbox::Tier;
use wharf_builder::{BaseLayers, BuildResult, SharedLayer, StepCache, StepLayer};
use wharf_client::transfer::{self, ByteStream, ImageSource, Origin, Target};
use wharf_spec::{Descriptor, Digest, RawManifest};

use crate::fixture::{World, outcomes};
use crate::show;

const TWO_STAGES: &str = "FROM shell AS build\nCOPY src /src\nRUN cat /src/a > /out\n\
                          FROM shell\nCOPY --from=build /out /app\nRUN cat /app";

fn world() -> World {
    let mut world = World::with(&[("src/a", "one")]);
    world.bases.add_shell("shell");
    world
}

/// What one build made, offered to others; its layers come out of that build's store.
struct Offer {
    made: HashMap<String, StepLayer>,
    store: Store,
    read: Arc<Mutex<Vec<Digest>>>,
}

impl Offer {
    fn of(world: &World, result: &BuildResult) -> Arc<Self> {
        let made = result.made.iter().chain(&result.mounts).map(|made| (made.key.clone(), made.clone())).collect();
        Arc::new(Self { made, store: world.store.clone(), read: Arc::default() })
    }
}

#[derive(Clone)]
struct Layers(Store, Arc<Mutex<Vec<Digest>>>);

#[async_trait]
impl StepCache for Offer {
    async fn find(&self, key: &str) -> Option<SharedLayer> {
        let source = Arc::new(Layers(self.store.clone(), Arc::clone(&self.read)));
        self.made.get(key).map(|made| SharedLayer { made: made.clone(), source })
    }
}

#[async_trait]
impl ImageSource for Layers {
    async fn manifest(&self, target: &Target) -> transfer::Result<RawManifest> {
        Err(transfer::Error::ManifestNotFound { origin: self.origin(), target: target.clone() })
    }

    async fn blob(&self, descriptor: &Descriptor) -> transfer::Result<ByteStream> {
        use futures_util::{StreamExt as _, TryStreamExt as _};
        self.1.lock().unwrap().push(descriptor.digest);
        let blobs = self.0.blobs();
        let blob = blobs.find(&descriptor.digest).await?.unwrap();
        Ok(blobs.read(&blob, 0..blob.size).await?.map_err(transfer::Error::from).boxed())
    }

    async fn referrers(&self, _digest: &Digest) -> transfer::Result<Vec<Descriptor>> {
        Ok(Vec::new())
    }

    fn origin(&self) -> Origin {
        Origin::Stream
    }
}

/// The same build on a machine that has nothing but the offer.
fn newcomer(world: &World, offer: &Arc<Offer>) -> World {
    let mut other = world.elsewhere();
    other.store = Store::memory();
    other.caches = vec![Arc::clone(offer) as Arc<dyn StepCache>];
    other
}

#[tokio::test]
async fn another_machine_takes_what_it_needs_and_nothing_else() {
    let world = world();
    let first = world.build(TWO_STAGES).await;
    assert_eq!((first.made.len(), first.made_for_target), (5, 3), "a copy from a stage has two keys");
    let offer = Offer::of(&world, &first);
    let other = newcomer(&world, &offer);
    let second = other.build(TWO_STAGES).await;
    assert!(outcomes(&second).iter().all(|line| line.ends_with("cached")), "{:?}", outcomes(&second));
    assert_eq!(first.image.digest(), second.image.digest());
    let mut read = offer.read.lock().unwrap().clone();
    read.sort();
    let mut wanted: Vec<Digest> = first.image.blobs()[2..].iter().map(|blob| blob.digest).collect();
    wanted.sort();
    assert_eq!(read, wanted, "the layers of the image, none of the stage before");
    show::layers(&other.store, &second).await;

    // A build that only wants to know takes none.
    let offer = Offer::of(&world, &first);
    let third = newcomer(&world, &offer);
    let mut request = third.request(TWO_STAGES);
    request.base_layers = BaseLayers::Leave;
    assert_eq!(third.build_request(request).await.image.digest(), first.image.digest());
    assert!(offer.read.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_changed_is_done_on_top_of_what_others_know() {
    let world = world();
    let first = world.build(TWO_STAGES).await;
    let other = newcomer(&world, &Offer::of(&world, &first));
    let changed = TWO_STAGES.replace("RUN cat /app", "RUN cat /app > /changed");
    let second = other.build(&changed).await;
    let ends: Vec<bool> = outcomes(&second).iter().map(|line| line.ends_with("cached")).collect();
    assert_eq!(ends, [true, true, true, false]);
    // And the next time it is known here.
    let mut alone = other.request(&changed);
    alone.explain_cache = true;
    assert!(outcomes(&other.build_request(alone).await).iter().all(|line| line.ends_with("cached")));
}

#[tokio::test]
async fn an_image_says_which_steps_it_is_made_of_when_asked() {
    let world = world();
    let mut request = world.request(TWO_STAGES);
    request.inline_cache = true;
    let image = world.build_request(request).await;
    let listed = wharf_builder::shared::inline_steps(&image.image);
    assert_eq!(listed, image.made[..3]);
    let plain = world.build(TWO_STAGES).await;
    assert!(wharf_builder::shared::inline_steps(&plain.image).is_empty());
    let made = listed.into_iter().map(|made| (made.key.clone(), made)).collect();
    let offer = Arc::new(Offer { made, store: world.store.clone(), read: Arc::default() });
    let second = newcomer(&world, &offer)
        .build(
            "FROM shell AS build\nCOPY src /src\nRUN cat /src/a > /out\n\
                          FROM shell\nCOPY --from=build /out /app\nRUN cat /app",
        )
        .await;
    assert_eq!(second.image.digest(), plain.image.digest());
}

const WRITES: &str = "FROM shell\nRUN --mount=type=cache,target=/c,mode=0711 mkdir /c/d && echo kept > /c/d/f && \
                      ln -s f /c/d/l && chmod 600 /c/d/f";
const READS: &str =
    "FROM shell\nRUN --mount=type=cache,target=/c cat /c/d/l > /out 2>&1; stat -c %a /c /c/d/f >> /out 2>&1; :";

/// What a step finds in the cache of a machine that has nothing but the offer.
async fn found(world: &World, offer: &Arc<Offer>, import: bool) -> String {
    let other = newcomer(world, offer);
    let mut request = other.request(READS);
    request.mounts.import = import;
    let result = other.build_request(request).await;
    let directory = tempfile::tempdir().unwrap();
    result.write_directory(directory.path()).await.unwrap();
    std::fs::read_to_string(directory.path().join("out")).unwrap()
}

#[tokio::test]
async fn cache_mounts_come_along_when_that_is_wanted() {
    if let Tier::None { reason } = Tier::current() {
        println!("skipped: {reason}");
        return;
    }
    let world = world();
    let mut request = world.request(WRITES);
    request.mounts.export = true;
    let made = world.build_request(request.clone()).await;
    assert_eq!(made.mounts.len(), 1);
    assert!(made.made.iter().all(|step| step.key != made.mounts[0].key), "it is no result of a step");
    assert!(world.build_request(request).await.mounts.is_empty(), "no step ran, so nothing changed");

    let offer = Offer::of(&world, &made);
    assert!(found(&world, &offer, false).await.contains("No such file"));
    assert_eq!(found(&world, &offer, true).await, "kept\n711\n600\n");
    let unasked = self::world();
    assert!(unasked.build(WRITES).await.mounts.is_empty());
}
