//! `COPY` and `ADD`: looks the sources up, hashes what counts, and if the result is not known writes the layer straight
//! from where the files are.

use std::sync::Arc;

use super::LayerFault;
use super::blame;
use super::copy_layer::{Job, Opener, Writing};
use super::key::{Facts, Key};
use super::layer::{Layer, Stack};
use super::notes::Notes;
use super::remote::{Download, file_name};
use super::solver::{Need, Solver};
use super::stage_files::{Contents, StageFiles};
use super::transport::{StoreLayerError, StoredLayer, blocking, store_layer};
use crate::context::Context;
use crate::copy::{Rules, fingerprint_selections};
use crate::dockerfile::{Diagnostic, Span};
use crate::error::BuildError;
use crate::event::MadeLayer;
use crate::files::{self, Files, Found, Selected, Selection};
use crate::ignore::IgnoreFile;
use crate::layer::{Encoding, Fingerprint, LayerPath, Tree, WriterOptions};
use crate::plan::{Archives, Copy, FileSource, Item, Link, Parents, PlannedStage, StageId, Step};

/// Where paths are looked up.
#[derive(Clone)]
enum Source {
    Context(Arc<Context>),
    Stage { id: StageId, files: StageFiles, stack: Stack },
}

impl Source {
    fn files(&self) -> &dyn Files {
        match self {
            Self::Context(context) => &**context,
            Self::Stage { files, .. } => files,
        }
    }
}

/// A copy whose sources are known.
pub(super) struct PreparedCopy {
    source: Option<Source>,
    items: Vec<PreparedItem>,
}

impl PreparedCopy {
    /// Notes the files that the key is about.
    pub(super) fn note(&self, notes: &mut Notes) {
        for item in &self.items {
            if let PreparedItem::Selected { things, .. } = item {
                notes.files(things);
            }
        }
    }

    fn selected(&self) -> impl Iterator<Item = &Found> {
        let things = self.items.iter().flat_map(|item| match item {
            PreparedItem::Selected { things, .. } => &things[..],
            PreparedItem::Inline { .. } | PreparedItem::Fetched { .. } | PreparedItem::Promised { .. } => &[],
        });
        things.flat_map(|thing| std::iter::once(&thing.top).chain(&thing.below))
    }
}

/// One thing to copy, found.
pub(super) enum PreparedItem {
    /// Files of the source.
    Selected { things: Vec<Selection>, span: Span },
    /// A file from the Dockerfile.
    Inline { name: String, text: Arc<[u8]> },
    /// A file from a URL.
    Fetched { download: Download, archives: Archives },
    /// One whose content is known by its checksum; it is fetched when it is needed.
    Promised { at: usize },
}

impl Solver<'_> {
    /// The key of a copy from a stage, from what the stage is and what is asked of it.
    pub(super) async fn quick_copy_key(
        &self,
        stage: &PlannedStage,
        copy: &Copy,
        before: &Stack,
    ) -> Result<Option<Key>, BuildError> {
        let Some(FileSource::Stage(id)) = copy.source else { return Ok(None) };
        let mut facts = self.copy_facts("copy from stage", stage, copy, before);
        let stack = self.stage(id, Need::Identity).await?;
        facts.digest("from", &stack.identity());
        for item in &copy.items {
            match item {
                Item::Path { pattern, .. } => facts.text("path", pattern),
                Item::Inline { name, content } => facts.list("inline", [name.as_str(), content.as_str()]),
                Item::Url { .. } => return Ok(None),
            }
        }
        Ok(Some(facts.finish()))
    }

    fn copy_facts(&self, kind: &str, stage: &PlannedStage, copy: &Copy, before: &Stack) -> Facts {
        let nothing = Stack::default();
        // A linked layer does not depend on what is below it, but for the names of owners.
        let independent = copy.link == Link::Independent && copy.owner.is_none();
        let mut facts = self.facts(kind, stage, if independent { &nothing } else { before });
        facts.text("to", &copy.destination.path);
        facts.text("form", &format!("{:?}", copy.destination.form));
        facts.maybe("owner", copy.owner.as_deref());
        facts.maybe("mode", copy.mode.as_ref().map(|mode| format!("{mode:?}")).as_deref());
        facts.list("exclude", copy.exclude.iter().map(String::as_str));
        facts.text("how", &format!("{:?} {:?} {:?}", copy.archives, copy.parents, copy.link));
        facts
    }

    /// Looks all sources up.
    pub(super) async fn prepare_copy(
        &self,
        stage: &PlannedStage,
        step: &Step,
        copy: &Copy,
        before: &Stack,
    ) -> Result<(PreparedCopy, Facts), BuildError> {
        let mut facts = self.copy_facts("copy", stage, copy, before);
        let source = match copy.source {
            Some(source) => Some(self.copy_source(source, step).await?),
            None => None,
        };
        let exclude = IgnoreFile::from_patterns(copy.exclude.iter().map(String::as_str))
            .map_err(|error| blame::at(step.span, "--exclude cannot be used", &error))?;
        let mut items = Vec::new();
        for (at, item) in copy.items.iter().enumerate() {
            match item {
                Item::Path { pattern, span } => {
                    let source = source.clone().ok_or_else(|| no_source(*span))?;
                    let request = (pattern.clone(), exclude.clone(), copy.parents);
                    let (things, fingerprint) = self.select(source, request, *span).await?;
                    facts.fingerprint("files", &fingerprint);
                    items.push(PreparedItem::Selected { things, span: *span });
                }
                Item::Inline { name, content } => {
                    facts.list("inline", [name.as_str(), content.as_str()]);
                    items.push(PreparedItem::Inline { name: name.clone(), text: content.as_bytes().into() });
                }
                Item::Url { url, checksum, archives, span } => {
                    facts.text("remote", &format!("{} {archives:?}", file_name(url)));
                    if let Some(checksum) = checksum {
                        facts.digest("content", checksum);
                        items.push(PreparedItem::Promised { at });
                    } else {
                        let download = self.download(url, None, *span).await?;
                        facts.digest("content", &download.digest);
                        items.push(PreparedItem::Fetched { download, archives: *archives });
                    }
                }
            }
        }
        Ok((PreparedCopy { source, items }, facts))
    }

    async fn copy_source(&self, source: FileSource, step: &Step) -> Result<Source, BuildError> {
        match source {
            FileSource::Context(id) => Ok(Source::Context(self.context(id, step.span).await?)),
            FileSource::Stage(id) => {
                let mut stack = self.stage(id, Need::Identity).await?;
                let tree = match self.depot.tree(&stack, Some(step.id)).await {
                    // Neither the bytes nor what they were is known any more.
                    Err(BuildError::Layer(LayerFault::Gone { .. })) => {
                        stack = self.stage(id, Need::Live).await?;
                        self.depot.tree(&stack, Some(step.id)).await?
                    }
                    other => other?,
                };
                Ok(Source::Stage { id, files: StageFiles { tree }, stack })
            }
        }
    }

    /// What one source stands for, and the fingerprint of it.
    async fn select(
        &self,
        source: Source,
        (pattern, exclude, parents): (String, IgnoreFile, Parents),
        span: Span,
    ) -> Result<(Vec<Selection>, Fingerprint), BuildError> {
        let (looked_in, wanted) = (source.clone(), pattern.clone());
        let found = blocking(move || {
            let request = files::Request { pattern: &wanted, exclude: &exclude, parents };
            match files::select(looked_in.files(), &request)? {
                Selected::Missing => Ok(None),
                Selected::Things(mut things) => {
                    let fingerprint = fingerprint_selections(looked_in.files(), &mut things)?;
                    Ok(Some((things, fingerprint)))
                }
            }
        });
        match found.await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(self.missing(source, &pattern, span).await.into()),
            Err(error) => Err(blame::select(&error, span).into()),
        }
    }

    async fn missing(&self, source: Source, pattern: &str, span: Span) -> Diagnostic {
        let path = LayerPath::parse_clipped(pattern).unwrap_or_default();
        match source {
            Source::Context(context) => {
                let name = context.name().to_owned();
                let absence = blocking(move || context.absence(&path)).await;
                blame::missing_in_context(pattern, span, &name, &absence)
            }
            Source::Stage { id, files, .. } => {
                let is_dir = |here: &LayerPath| files.tree.get(here).is_some_and(|node| node.entry().is_dir());
                let known = path.ancestors().take_while(is_dir).last().unwrap_or_default();
                let text = |path: &LayerPath| format!("/{}", String::from_utf8_lossy(path.as_bytes()));
                let siblings: Vec<String> = files.tree.children(&known).map(|node| text(&node.entry().path)).collect();
                blame::missing_in_stage(pattern, span, &self.plan.stages[id.0].name, &siblings)
            }
        }
    }

    /// Makes the layer.
    pub(super) async fn copy(
        &self,
        step: &Step,
        copy: &Copy,
        before: &Stack,
        prepared: PreparedCopy,
    ) -> Result<Layer, BuildError> {
        let below = match copy.link {
            Link::Merged => self.depot.tree(before, Some(step.id)).await?,
            Link::Independent => Arc::new(Tree::new()),
        };
        let owner = match &copy.owner {
            Some(text) => Some(self.owner(text, before, step).await?),
            None => None,
        };
        let opener = self.opener(&prepared, step).await?;
        let mut items = Vec::new();
        for item in prepared.items {
            items.push(match item {
                PreparedItem::Promised { at } => self.keep_promise(&copy.items[at]).await?,
                other => other,
            });
        }
        let rules = Rules { owner, mode: copy.mode.clone() };
        let room = self.depot.cache().room().to_owned();
        let job = Job { below, rules, copy: copy.clone(), items, opener: opener.clone(), room, span: step.span };
        let ready = blocking(move || job.lay_out()).await?;
        self.write_layer(step, Writing { ready, opener }).await
    }

    /// How the bytes of selected files are had.
    async fn opener(&self, prepared: &PreparedCopy, step: &Step) -> Result<Opener, BuildError> {
        match &prepared.source {
            None => Ok(Opener::Nothing),
            Some(Source::Context(context)) => Ok(Opener::Context(Arc::clone(context))),
            Some(Source::Stage { files, stack, .. }) => {
                let files_of = prepared.selected().filter(|found| found.is_file());
                let wanted: Vec<LayerPath> = files_of.map(|found| found.entry.path.clone()).collect();
                let contents = Contents::gather(&self.depot, (stack, &files.tree), &wanted, Some(step.id)).await?;
                Ok(Opener::Stage(Arc::new(contents)))
            }
        }
    }

    async fn keep_promise(&self, item: &Item) -> Result<PreparedItem, BuildError> {
        match item {
            Item::Url { url, checksum, archives, span } => {
                let download = self.download(url, checksum.as_ref(), *span).await?;
                Ok(PreparedItem::Fetched { download, archives: *archives })
            }
            Item::Path { span, .. } => Err(no_source(*span).into()),
            Item::Inline { name, content } => {
                Ok(PreparedItem::Inline { name: name.clone(), text: content.as_bytes().into() })
            }
        }
    }

    /// Stores what was laid out.
    pub(super) async fn write_layer(&self, step: &Step, writing: Writing) -> Result<Layer, BuildError> {
        let recipe = self.recipe(step).await;
        let memory = self.memory_for(&recipe.options).await?;
        let stored = store_layer(self.depot.blobs(), recipe, move |writer| writing.fill(writer)).await;
        drop(memory);
        let stored = stored.map_err(|error| match error {
            StoreLayerError::Store(error) => error.into(),
            StoreLayerError::Fill(error) => error.blame(step.span),
        })?;
        self.keep(step, stored)
    }

    /// Takes a layer that was just written into the books, while it goes to the disk.
    pub(super) fn keep(&self, step: &Step, stored: StoredLayer) -> Result<Layer, BuildError> {
        self.keep_frames(step, &stored);
        let StoredLayer { blob, descriptor, digests, index, .. } = stored;
        let made = MadeLayer { digest: descriptor.digest, size: descriptor.size, in_image: self.is_in_image(step) };
        let (reporter, cancel) = (Arc::clone(&self.reporter), self.cancel.clone());
        self.depot.settling().begin(descriptor.digest, async move {
            let committed = blob.commit().await;
            match &committed {
                Ok(()) => reporter.stored(made),
                // Nothing that builds on it can succeed.
                Err(_) => cancel.cancel(),
            }
            committed
        });
        self.depot.learn(digests.diff_id, index)?;
        Ok(Layer { descriptor, diff_id: digests.diff_id, keys: Vec::new(), created: Some(self.now()), source: None })
    }

    /// How layers are written.
    pub(super) fn writer_options(&self) -> WriterOptions {
        let wanted = self.request.compression;
        let encoding = Encoding::new(wanted.format, wanted.level);
        WriterOptions { clamp_mtime: self.epoch(), ..WriterOptions::new(encoding) }
    }

    /// Seconds since 1970 that stand for "now" in the image.
    fn now(&self) -> i64 {
        self.epoch().unwrap_or_else(|| self.clock())
    }

    /// Seconds since 1970.
    pub(super) fn clock(&self) -> i64 {
        let since = self.reporter.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }
}

fn no_source(span: Span) -> Diagnostic {
    Diagnostic::error("there is nothing to copy this from", span)
}
