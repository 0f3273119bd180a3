//! `RUN --mount=type=cache`: directories that outlive builds.
//!
//! A cache has numbered slots. *Shared* users use slot 0 at once; a *locked* user waits until slot 0 is his alone; a
//! *private* one takes the first slot nobody uses. Locks are the kernel's, so a killed build holds none.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use rustix::fs::{FlockOperation, Gid, Uid, chown, flock};
use rustix::io::Errno;

use super::blame;
use super::cache_use::touch;
use super::materialise::materialise;
use super::solver::{Need, Solver};
use super::stage_files::{Contents, StageFiles};
use super::transport::blocking;
use crate::dockerfile::mount::CacheSharing;
use crate::error::BuildError;
use crate::files::{Files, FilesError, Found, Selection, resolve};
use crate::layer::{Kind, LayerPath};
use crate::plan::{Cache, FileSource, Memory, RunMount, Step};

/// The lock of a slot, held until it is dropped.
pub(super) struct CacheLock(#[expect(dead_code, reason = "held, not read")] File);

/// More private users at once than this wait.
const SLOTS: usize = 64;

impl Solver<'_> {
    /// A cache's directory, locked as it wants to be.
    pub(super) async fn open_cache(
        &self,
        cache: &Cache,
        mount: &RunMount,
        step: &Step,
    ) -> Result<(Option<CacheLock>, PathBuf), BuildError> {
        let failed = |source| BuildError::io(format!("open the cache `{}`", cache.id), source);
        let (lock, slot) = if step.memory == Memory::Ignored {
            (None, self.fresh_cache(&cache.id)?)
        } else {
            let (home, sharing) = (self.depot.cache().mount(&cache.id), cache.sharing);
            let (lock, slot) = take_slot(&home, sharing).await.map_err(failed)?;
            self.used_mounts().insert(cache.id.clone(), mount.span);
            (Some(lock), slot)
        };
        let data = slot.join("data");
        if !data.exists() {
            let draft = self.depot.scratch("cache")?;
            let new = draft.join("it");
            make_new(&new, cache).map_err(failed)?;
            let imported = step.memory != Memory::Ignored && Box::pin(self.import_mount(&cache.id, &new)).await?;
            if let (false, Some((source, path))) = (imported, &cache.seed) {
                fs::remove_dir(&new).map_err(failed)?;
                self.seed(*source, path, mount, (step, &draft)).await?;
                make_new(&new, cache).map_err(failed)?;
            }
            if let Err(error) = fs::rename(&new, &data)
                && !data.exists()
            {
                return Err(failed(error));
            }
        }
        Ok((lock, data))
    }

    /// The same for all steps of this build, and empty at first.
    fn fresh_cache(&self, id: &str) -> Result<PathBuf, BuildError> {
        let mut fresh = self.fresh_mounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = fresh.get(id) {
            return Ok(slot.clone());
        }
        let slot = self.depot.scratch("fresh-cache")?;
        fresh.insert(id.to_owned(), slot.clone());
        Ok(slot)
    }

    /// Puts the first content of a cache into `draft`, under the name `it`.
    async fn seed(
        &self,
        source: FileSource,
        path: &str,
        mount: &RunMount,
        (step, draft): (&Step, &Path),
    ) -> Result<(), BuildError> {
        let wanted = LayerPath::parse_clipped(path).unwrap_or_default();
        let draft = draft.to_owned();
        let made = match source {
            FileSource::Context(id) => {
                let context = self.context(id, step.span).await?;
                blocking(move || {
                    let Some(selection) = everything(&*context, &wanted)? else { return Ok(()) };
                    materialise(&selection, &|path: &LayerPath| context.open_file(path), &draft)
                })
                .await
            }
            FileSource::Stage(id) => {
                // Its bytes were made sure of before this step began.
                let stack = self.stage(id, Need::Identity).await?;
                let tree = self.depot.tree(&stack, Some(step.id)).await?;
                let files = StageFiles { tree: std::sync::Arc::clone(&tree) };
                let selection = everything(&files, &wanted).map_err(|error| blame::files(&error, mount.span))?;
                let Some(selection) = selection else { return Ok(()) };
                let is_file = |kind: &Kind| matches!(kind, Kind::File { .. });
                let all = std::iter::once(&selection.top).chain(&selection.below);
                let paths: Vec<LayerPath> =
                    all.filter(|found| is_file(&found.entry.kind)).map(|found| found.entry.path.clone()).collect();
                let contents = Contents::gather(&self.depot, (&stack, &tree), &paths, Some(step.id)).await?;
                blocking(move || materialise(&selection, &|path: &LayerPath| contents.open(path), &draft)).await
            }
        };
        made.map_err(|error| blame::files(&error, mount.span).into())
    }
}

fn everything(files: &dyn Files, path: &LayerPath) -> Result<Option<Selection>, FilesError> {
    let Some(top) = resolve(files, path)?.filter(Found::is_dir) else { return Ok(None) };
    let mut below = files.walk(&top)?;
    below.remove_first();
    Ok(Some(Selection { name: b"it".to_vec(), top, below }))
}

fn make_new(directory: &Path, cache: &Cache) -> io::Result<()> {
    if !directory.exists() {
        fs::create_dir(directory)?;
    }
    if (cache.uid, cache.gid) != (0, 0) {
        chown(directory, Some(Uid::from_raw(cache.uid)), Some(Gid::from_raw(cache.gid)))?;
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(cache.mode))
}

/// How often somebody who waits for a cache looks again.
const PATIENCE: Duration = Duration::from_millis(50);

/// Locks a slot; waits for one that somebody else has to himself.
pub(super) async fn take_slot(home: &Path, sharing: CacheSharing) -> io::Result<(CacheLock, PathBuf)> {
    let (slots, mode) = match sharing {
        CacheSharing::Shared => (1, FlockOperation::NonBlockingLockShared),
        CacheSharing::Locked => (1, FlockOperation::NonBlockingLockExclusive),
        CacheSharing::Private => (SLOTS, FlockOperation::NonBlockingLockExclusive),
    };
    loop {
        for number in 0..slots {
            let slot = home.join(number.to_string());
            fs::create_dir_all(&slot)?;
            let lock = File::options().create(true).truncate(false).write(true).open(slot.join("lock"))?;
            match flock(&lock, mode) {
                Ok(()) => {
                    touch(&lock);
                    return Ok((CacheLock(lock), slot));
                }
                Err(Errno::WOULDBLOCK) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Not in the kernel: a build that is cancelled must not wait for somebody else's.
        tokio::time::sleep(PATIENCE).await;
    }
}
