//! A store, a cache directory, some base images, and builds in them.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use wharf_blobstore::Store;
use wharf_builder::dockerfile::render;
use wharf_builder::layer::{
    DiffOptions, Encoding, LayerWriter, OverlayXattr, Ownership, Tree, WriterOptions, write_upper,
};
use wharf_builder::sandbox::Tier;
use wharf_builder::{
    BaseError, BaseImage, BaseImages, BuildEnvironment, BuildError, BuildEvent, BuildRequest, BuildResult,
    ContextSource, DockerfileText, Fetch, ImageName, Offline, StepCache, StepOutcome, Together, build,
};
use wharf_client::transfer::{self, ByteStream, ImageSource, Origin, Target};
use wharf_spec::{Descriptor, Digest, ImageConfig, Manifest, MediaType, Platform, RawManifest, RootFs};

use crate::support::image;

/// Everything a build works with.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) cache_dir: PathBuf,
    pub(crate) jobs: usize,
    /// Of builds that know of each other.
    pub(crate) together: Option<Together>,
    pub(crate) caches: Vec<Arc<dyn StepCache>>,
    pub(crate) fetch: Arc<dyn Fetch>,
    _room: TempDir,
    pub(crate) context: TempDir,
    pub(crate) bases: Bases,
    pub(crate) cancel: CancellationToken,
    pub(crate) events: Arc<Mutex<Vec<BuildEvent>>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let room = tempfile::tempdir().unwrap();
        Self {
            store: Store::memory(),
            cache_dir: room.path().join("cache"),
            jobs: 2,
            together: None,
            caches: Vec::new(),
            fetch: Arc::new(Offline),
            _room: room,
            context: tempfile::tempdir().unwrap(),
            bases: Bases::default(),
            cancel: CancellationToken::new(),
            events: Arc::default(),
        }
    }

    /// A world whose context holds these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let world = Self::new();
        for (path, text) in files {
            world.write(path, text);
        }
        world
    }

    /// Writes a file of the context. Its time is always the same.
    pub(crate) fn write(&self, path: &str, text: &str) {
        image::write(self.context.path(), path, text);
        settle_times(self.context.path());
    }

    /// The same store seen from another machine, as it were: nothing on disk, another copy of the context.
    pub(crate) fn elsewhere(&self) -> Self {
        let mut other = Self::new();
        (other.store, other.bases) = (self.store.clone(), self.bases.clone());
        copy_tree(self.context.path(), other.context.path());
        settle_times(other.context.path());
        other
    }

    pub(crate) fn request(&self, dockerfile: &str) -> BuildRequest {
        let name = "Dockerfile".to_owned();
        let mut request = BuildRequest::new(DockerfileText { name, text: dockerfile.to_owned() });
        request.context = Some(ContextSource::Directory(self.context.path().to_owned()));
        request.platform = Platform::linux("amd64");
        request.build_platform = Platform::linux("amd64");
        request
    }

    pub(crate) async fn try_build(&self, request: BuildRequest) -> Result<BuildResult, BuildError> {
        let events = Arc::clone(&self.events);
        events.lock().unwrap().clear();
        let environment = BuildEnvironment {
            store: self.store.clone(),
            cache_dir: self.cache_dir.clone(),
            bases: Arc::new(self.bases.clone()),
            fetch: Arc::clone(&self.fetch),
            caches: self.caches.clone(),
            events: Arc::new(move |event| events.lock().unwrap().push(event)),
            taps: None,
            cancel: self.cancel.clone(),
            together: self.together.clone().unwrap_or_else(|| Together::new(self.jobs)),
        };
        build(request, environment).await
    }

    /// A build that goes well.
    pub(crate) async fn build_request(&self, request: BuildRequest) -> BuildResult {
        let text = request.dockerfile.text.clone();
        self.try_build(request).await.unwrap_or_else(|error| panic!("{}", explain(&error, &text)))
    }

    pub(crate) async fn build(&self, dockerfile: &str) -> BuildResult {
        self.build_request(self.request(dockerfile)).await
    }

    /// The message of a build that fails.
    pub(crate) async fn failure(&self, dockerfile: &str) -> String {
        self.failure_of(self.request(dockerfile)).await
    }

    pub(crate) async fn failure_of(&self, request: BuildRequest) -> String {
        let text = request.dockerfile.text.clone();
        match self.try_build(request).await {
            Ok(_) => panic!("this build should fail"),
            Err(error) => explain(&error, &text),
        }
    }

    /// The events of the last build.
    pub(crate) fn events(&self) -> Vec<BuildEvent> {
        self.events.lock().unwrap().clone()
    }
}

/// An error as a user sees it, without what differs between machines.
pub(crate) fn explain(error: &BuildError, text: &str) -> String {
    if let BuildError::Dockerfile(diagnostics) = error {
        return diagnostics.iter().map(|one| render(one, "Dockerfile", text, false).trim_end().to_owned()).collect();
    }
    if let BuildError::Ignore { path, text, diagnostic } = error {
        return render(diagnostic, path, text, false).trim_end().to_owned();
    }
    let mut lines = vec![format!("error: {error}")];
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        lines.push(format!("  because {error}"));
        cause = error.source();
    }
    lines.join("\n")
}

/// Which steps ran, and which were known: `RUN x: cached`.
pub(crate) fn outcomes(result: &BuildResult) -> Vec<String> {
    let outcome = |outcome: &StepOutcome| match outcome {
        StepOutcome::Cached => "cached",
        StepOutcome::Ran { .. } => "ran",
    };
    result.steps.iter().map(|step| format!("{}: {}", step.step.text, outcome(&step.outcome))).collect()
}

/// Base images that are at no store but this.
#[derive(Clone, Default)]
pub(crate) struct Bases {
    images: HashMap<String, BaseImage>,
    blobs: Blobs,
}

#[derive(Clone, Default)]
struct Blobs {
    blobs: Arc<Mutex<HashMap<Digest, Bytes>>>,
    fetched: Arc<Mutex<Vec<Digest>>>,
}

impl Bases {
    /// Adds an image whose layers are these directories.
    pub(crate) fn add(&mut self, name: &str, directories: &[&Path], change: impl FnOnce(&mut ImageConfig)) {
        let mut config = ImageConfig::scratch(&Platform::linux("amd64"));
        let (mut layers, mut diff_ids) = (Vec::new(), Vec::new());
        let mut below = Tree::new();
        for directory in directories {
            let mut writer = LayerWriter::new(Vec::new(), WriterOptions::new(Encoding::Gzip { level: 1 }));
            let ownership =
                if Tier::current() == Tier::UserNamespaceSingle { Ownership::Squashed } else { Ownership::Real };
            let options = DiffOptions { overlay: OverlayXattr::Trusted, ownership, ignore: Vec::new() };
            write_upper(directory, &below, &options, &mut writer).unwrap();
            let written = writer.finish().unwrap();
            below.push(&written.index);
            diff_ids.push(written.digests.diff_id);
            // Docker's own name for it, which becomes OCI's.
            layers.push(Descriptor::new(MediaType::DOCKER_LAYER_GZIP, written.digests.digest, written.digests.size));
            self.blobs.put(written.sink);
        }
        change(&mut config);
        config.rootfs = RootFs { diff_ids, ..RootFs::default() };
        let bytes = config.to_bytes();
        let descriptor = Descriptor::new(MediaType::DOCKER_CONFIG, Digest::sha256(&bytes), bytes.len() as u64);
        let manifest = RawManifest::from_manifest(Manifest {
            schema_version: 2,
            media_type: Some(MediaType::new(MediaType::DOCKER_MANIFEST)),
            artifact_type: None,
            config: descriptor,
            layers,
            subject: None,
            annotations: std::collections::BTreeMap::new(),
        });
        let (digest, source) = (manifest.digest(), Arc::new(self.blobs.clone()));
        let image = BaseImage { found: name.to_owned(), digest, attested: false, manifest, config, source };
        self.images.insert(name.to_owned(), image);
    }

    /// An image with a shell, made of this machine's programs.
    pub(crate) fn add_shell(&mut self, name: &str) {
        static SHELL: OnceLock<Bases> = OnceLock::new();
        let made = SHELL.get_or_init(|| {
            let mut made = Self::default();
            made.add("shell", &[image::layer()], |config| {
                config.config.env = vec!["PATH=/usr/bin".to_owned()];
                config.history = vec![wharf_spec::History {
                    created: Some("2020-01-01T00:00:00Z".to_owned()),
                    created_by: Some("a shell".to_owned()),
                    ..wharf_spec::History::default()
                }];
            });
            made
        });
        self.blobs.blobs.lock().unwrap().extend(made.blobs.blobs.lock().unwrap().clone());
        let image = BaseImage { source: Arc::new(self.blobs.clone()), ..made.images["shell"].clone() };
        self.images.insert(name.to_owned(), image);
    }

    /// Spoils the bytes of an image's layers.
    pub(crate) fn damage(&mut self, name: &str) {
        for layer in self.images[name].manifest.blobs().into_iter().skip(1) {
            let spoilt = vec![b'x'; usize::try_from(layer.size).unwrap()];
            self.blobs.blobs.lock().unwrap().insert(layer.digest, spoilt.into());
        }
    }

    /// How many blobs were fetched so far.
    pub(crate) fn fetched(&self) -> usize {
        self.blobs.fetched.lock().unwrap().len()
    }
}

impl Blobs {
    fn put(&self, bytes: Vec<u8>) {
        self.blobs.lock().unwrap().insert(Digest::sha256(&bytes), bytes.into());
    }
}

#[async_trait]
impl BaseImages for Bases {
    async fn resolve(&self, name: &ImageName, _platform: &Platform) -> Result<BaseImage, BaseError> {
        let found = self.images.get(&name.to_string()).cloned();
        found.ok_or_else(|| BaseError::NotFound { name: name.clone(), tried: vec!["the test".to_owned()] })
    }
}

#[async_trait]
impl ImageSource for Blobs {
    async fn manifest(&self, target: &Target) -> transfer::Result<RawManifest> {
        Err(transfer::Error::ManifestNotFound { origin: self.origin(), target: target.clone() })
    }

    async fn blob(&self, descriptor: &Descriptor) -> transfer::Result<ByteStream> {
        let digest = descriptor.digest;
        self.fetched.lock().unwrap().push(digest);
        let found = self.blobs.lock().unwrap().get(&digest).cloned();
        let bytes = found.ok_or_else(|| transfer::Error::BlobNotFound { origin: self.origin(), digest })?;
        let pieces: Vec<_> = bytes.chunks(10_000).map(|piece| Ok(bytes.slice_ref(piece))).collect();
        Ok(futures_util::stream::iter(pieces).boxed())
    }

    async fn referrers(&self, _digest: &Digest) -> transfer::Result<Vec<Descriptor>> {
        Ok(Vec::new())
    }

    fn origin(&self) -> Origin {
        Origin::Stream
    }
}

/// 2001-09-09T01:46:40Z for everything, so that digests do not depend on when a test runs.
pub(crate) fn settle_times(root: &Path) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
    let time = Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    let mut ahead = vec![root.to_owned()];
    while let Some(path) = ahead.pop() {
        if path.symlink_metadata().unwrap().is_dir() {
            ahead.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// Copies files, links and modes; in another order than they were made in.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    let mut entries: Vec<_> = fs::read_dir(from).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
    for entry in entries {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            fs::create_dir(&target).unwrap();
            copy_tree(&source, &target);
            fs::set_permissions(&target, fs::metadata(&source).unwrap().permissions()).unwrap();
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source).unwrap(), &target).unwrap();
        } else {
            fs::copy(&source, &target).unwrap();
        }
    }
}

/// A tar with these files, each `0640` of 7:8.
pub(crate) fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o640);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(5);
        builder.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// gzip, as `tar czf` makes it.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

impl World {
    /// All records as text.
    pub(crate) async fn records(&self) -> String {
        let entries = self.store.records.list("", None, 10_000).await.unwrap();
        let line = |entry: &wharf_blobstore::Entry| {
            format!("{} {}\n", entry.key, String::from_utf8_lossy(&entry.record.value))
        };
        entries.iter().map(line).collect()
    }
}
