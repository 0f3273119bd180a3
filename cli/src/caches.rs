//! `--cache-from` and `--cache-to`: results of steps at registries, in directories, and inside images.
//!
//! A place is asked for one key at a time, and only when the store does not know it. Sending is the same for both kinds of
//! place: an entry is a small manifest with one layer, and what is there already is not sent again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio::sync::OnceCell;
use wharf_builder::shared::{EMPTY_CONFIG, inline_steps, read_step, step_manifest, step_tag};
use wharf_builder::{SharedLayer, StepCache, StepLayer};
use wharf_client::layout::LayoutDirectory;
use wharf_client::transfer::{CopyOptions, Error as TransferError, ImageSink, ImageSource, Target, copy};
use wharf_spec::Reference;

use crate::built::Built;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::publish::Made;
use crate::session::Session;
use crate::stores::OpenStore;
use crate::transfers;

/// A place with results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CachePlace {
    /// `type=registry,ref=NAME`, or a bare name: a repository, and the image of that name if it has one.
    Registry(Reference),
    /// `type=local,src=DIR` and `type=local,dest=DIR`: an OCI layout.
    Local(PathBuf),
    /// `type=inline`: the image itself.
    Inline,
}

/// How much is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheMode {
    /// The steps of the image.
    Min,
    /// Those of all stages.
    Max,
}

/// Whether cache mounts go there, or come from there, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounts {
    /// They stay where they are.
    Own,
    /// `mounts=true`.
    Shared,
}

/// A place and how much is sent there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheFlag {
    /// Where.
    pub place: CachePlace,
    /// What.
    pub mode: CacheMode,
    /// And what else.
    pub mounts: Mounts,
}

impl FromStr for CacheFlag {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let wrong = |what: &str| {
            Failure::usage(format!("cache `{text}`: {what}"))
                .hint("write type=registry,ref=NAME, type=local,dest=DIR (src=DIR to read) or type=inline")
        };
        let reference =
            |name: &str| name.parse().map_err(|error: wharf_spec::ReferenceError| wrong("bad name").because(error));
        if !text.contains('=') && text != "inline" {
            let place = CachePlace::Registry(reference(text)?);
            return Ok(Self { place, mode: CacheMode::Max, mounts: Mounts::Own });
        }
        let fields: BTreeMap<&str, &str> =
            text.split(',').map(|field| field.split_once('=').unwrap_or((field, ""))).collect();
        let known = ["type", "ref", "src", "dest", "mode", "mounts", "inline"];
        if let Some(unknown) = fields.keys().find(|name| !known.contains(name)) {
            return Err(wrong(&format!("`{unknown}` is not known")));
        }
        let mode = match fields.get("mode").copied() {
            None | Some("max") => CacheMode::Max,
            Some("min") => CacheMode::Min,
            Some(other) => return Err(wrong(&format!("mode is min or max, not {other}"))),
        };
        let place = match fields.get("type").copied().unwrap_or("inline") {
            "registry" => CachePlace::Registry(reference(fields.get("ref").ok_or_else(|| wrong("ref is missing"))?)?),
            "local" => {
                let path =
                    fields.get("dest").or_else(|| fields.get("src")).ok_or_else(|| wrong("dest or src is missing"))?;
                CachePlace::Local(PathBuf::from(path))
            }
            "inline" => CachePlace::Inline,
            other => return Err(wrong(&format!("there is no type {other}"))),
        };
        let mounts = match fields.get("mounts").copied() {
            None | Some("false") => Mounts::Own,
            Some("true") if place == CachePlace::Inline => {
                return Err(wrong("an image carries no cache mounts: give them a place of their own"));
            }
            Some("true") => Mounts::Shared,
            Some(other) => return Err(wrong(&format!("mounts is true or false, not {other}"))),
        };
        Ok(Self { place, mode, mounts })
    }
}

/// The flags of a command.
pub fn flags(texts: &[String]) -> Result<Vec<CacheFlag>, Failure> {
    texts.iter().map(|text| text.parse()).collect()
}

/// The places of `--cache-from`.
pub fn readers(session: &Session, flags: &[CacheFlag]) -> Result<Vec<Arc<dyn StepCache>>, Failure> {
    let mut readers: Vec<Arc<dyn StepCache>> = Vec::new();
    for flag in flags {
        match &flag.place {
            CachePlace::Registry(name) => {
                let remote = session.remote(&with_host(name)?)?;
                let target = Target::from(&remote.reference);
                readers.push(Arc::new(Reader::new(remote.repository, Some(target), session.global.quiet)));
            }
            // A directory that is not there is a cache that is empty: the first build makes it.
            CachePlace::Local(path) if !path.exists() => {}
            CachePlace::Local(path) => {
                let layout = LayoutDirectory::open(path).map_err(|error| unusable(path, error))?;
                readers.push(Arc::new(Reader::new(layout, None, session.global.quiet)));
            }
            CachePlace::Inline => {
                return Err(Failure::usage("--cache-from type=inline: name the image instead")
                    .hint("--cache-from REGISTRY/NAME:TAG finds what its build put into it"));
            }
        }
    }
    Ok(readers)
}

fn with_host(name: &Reference) -> Result<Reference, Failure> {
    if name.host.is_none() {
        return Err(Failure::usage(format!("the cache {name} names no registry"))
            .hint("results in the store are always used; a cache is somewhere else"));
    }
    Ok(name.clone())
}

fn unusable(path: &Path, error: TransferError) -> Failure {
    Failure::new(format!("the cache {} cannot be used", path.display())).because(error)
}

/// Entries of one place.
struct Reader {
    place: Arc<dyn ImageSource>,
    /// The image that may list its steps.
    image: Option<Target>,
    inline: OnceCell<Vec<StepLayer>>,
    quiet: bool,
    complained: AtomicBool,
}

impl Reader {
    fn new(place: impl ImageSource + 'static, image: Option<Target>, quiet: bool) -> Self {
        let (inline, complained) = (OnceCell::new(), AtomicBool::new(false));
        Self { place: Arc::new(place), image, inline, quiet, complained }
    }

    async fn inline(&self) -> &[StepLayer] {
        self.inline
            .get_or_init(async || {
                let Some(image) = &self.image else { return Vec::new() };
                match self.place.manifest(image).await {
                    Ok(manifest) => inline_steps(&manifest),
                    Err(error) => {
                        self.complain(&error);
                        Vec::new()
                    }
                }
            })
            .await
    }

    /// Said once: a place that does not answer would be said of every step.
    fn complain(&self, error: &TransferError) {
        let absent = matches!(error, TransferError::ManifestNotFound { .. });
        if !absent && !self.quiet && !self.complained.swap(true, Ordering::Relaxed) {
            eprintln!("warning: the cache {} is not used: {error}", self.place.origin());
        }
    }
}

#[async_trait]
impl StepCache for Reader {
    async fn find(&self, key: &str) -> Option<SharedLayer> {
        let shared = |made| SharedLayer { made, source: Arc::clone(&self.place) };
        if let Some(made) = self.inline().await.iter().find(|made| made.key == key) {
            return Some(shared(made.clone()));
        }
        if self.complained.load(Ordering::Relaxed) {
            return None;
        }
        match self.place.manifest(&Target::Tag(step_tag(key)?)).await {
            Ok(manifest) => read_step(key, &manifest).map(shared),
            Err(error) => {
                self.complain(&error);
                None
            }
        }
    }
}

/// Sends results to the places of `--cache-to`.
pub async fn send(
    session: &Session,
    store: &OpenStore,
    (flags, built): (&[CacheFlag], &Built),
    progress: &Progress,
) -> Result<(), Failure> {
    for (flag, part) in flags.iter().flat_map(|flag| built.parts.iter().map(move |part| (flag, part))) {
        let result = &part.result;
        let count = match flag.mode {
            CacheMode::Min => result.made_for_target,
            CacheMode::Max => result.made.len(),
        };
        let mounts = if flag.mounts == Mounts::Shared { &result.mounts[..] } else { &[] };
        let made = &[&result.made[..count], mounts].concat();
        match &flag.place {
            CachePlace::Registry(name) => {
                let remote = session.remote(&with_host(name)?)?;
                send_to(store, made, &remote.repository, progress).await?;
            }
            CachePlace::Local(path) => {
                let layout = LayoutDirectory::create(path).map_err(|error| unusable(path, error))?;
                send_to(store, made, &layout, progress).await?;
            }
            // It went with the image.
            CachePlace::Inline => {}
        }
    }
    Ok(())
}

async fn send_to<P: ImageSource + ImageSink>(
    store: &OpenStore,
    made: &[StepLayer],
    place: &P,
    progress: &Progress,
) -> Result<(), Failure> {
    let failed = |error: TransferError| {
        Failure::new(format!("could not write the cache {}", place.destination())).because(error)
    };
    let blobs = store.repositories.store().blobs();
    let stored = |error: wharf_blobstore::Error| Failure::new("the store failed").because(error);
    blobs.put(bytes::Bytes::from_static(EMPTY_CONFIG)).await.map_err(stored)?;
    for step in made {
        let Some(tag) = step_tag(&step.key) else { continue };
        // Nobody needed its bytes, so they are not here; whoever has them has sent them.
        if blobs.find(&step.layer.digest).await.map_err(stored)?.is_none() {
            continue;
        }
        match place.manifest(&Target::Tag(tag.clone())).await {
            Ok(there) if read_step(&step.key, &there).is_some_and(|there| there.layer.digest == step.layer.digest) => {
                continue;
            }
            Ok(_) | Err(TransferError::ManifestNotFound { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
        let source = Made::new(store, step_manifest(step));
        let events = transfers::shown(progress, "cache");
        copy((&source, &source.target()), (place, Some(&tag)), &CopyOptions::default(), &events)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_read_as_docker_writes_them() {
        let registry = |name: &str| CachePlace::Registry(name.parse().unwrap());
        for (text, place, mode) in [
            ("reg.example/app/cache", registry("reg.example/app/cache"), CacheMode::Max),
            ("type=registry,ref=reg.example/c,mode=min", registry("reg.example/c"), CacheMode::Min),
            ("type=local,dest=out", CachePlace::Local("out".into()), CacheMode::Max),
            ("type=local,src=out", CachePlace::Local("out".into()), CacheMode::Max),
            ("type=inline", CachePlace::Inline, CacheMode::Max),
        ] {
            let flag = CacheFlag { place, mode, mounts: Mounts::Own };
            assert_eq!(text.parse::<CacheFlag>().unwrap(), flag, "{text}");
        }
        let with = "type=local,dest=out,mounts=true".parse::<CacheFlag>().unwrap();
        assert_eq!(with.mounts, Mounts::Shared);
        for bad in ["type=inline,mounts=true", "type=local,dest=x,mounts=some"] {
            assert!(bad.parse::<CacheFlag>().is_err(), "{bad}");
        }
        for bad in ["type=registry", "type=local", "type=gha", "type=local,dest=x,mode=some", "type=inline,color=red"] {
            assert!(bad.parse::<CacheFlag>().is_err(), "{bad}");
        }
    }
}
