//! Blobs: are their bytes there, and are they theirs? And will what nobody needs be found?

use futures_util::TryStreamExt as _;
use wharf_blobstore::{BlobState, BlobView, Current, Entry, ObjectKey, Result as StoreResult, view_entry};
use wharf_spec::{Digest, Hasher};

use super::{Check, Event, Fate, Kind, Mode, PAGE};
use crate::repo::holders::Entitlement;
use crate::repo::keys;

impl Check<'_> {
    /// Every object there is.
    pub(super) async fn objects(&mut self) -> StoreResult<Vec<ObjectKey>> {
        let mut all = Vec::new();
        loop {
            let page = self.store().objects.list(all.last().copied(), PAGE).await?;
            let last = page.len() < PAGE;
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    }

    pub(super) async fn blobs(&mut self) -> StoreResult<()> {
        let mut after = None::<String>;
        loop {
            let entries = self.page("blobs/", after.as_deref()).await?;
            for entry in &entries {
                self.blob(entry).await?;
            }
            match entries.last() {
                Some(entry) if entries.len() == PAGE => after = Some(entry.key.as_str().to_owned()),
                Some(_) | None => break,
            }
        }
        // What was put aside earlier is explained, too.
        let entries = self.store().records.list("quarantine/blobs/", None, usize::MAX).await?;
        for view in entries.iter().filter_map(|entry| view_entry(entry).ok().flatten()) {
            self.explain(&view);
        }
        Ok(())
    }

    fn explain(&mut self, view: &BlobView) {
        self.explained.extend(view.current.map(|current| current.epoch));
        self.explained.extend(&view.stale);
        self.explained.extend(view.arriving.iter().map(|arriving| arriving.epoch));
    }

    async fn blob(&mut self, entry: &Entry) -> StoreResult<()> {
        let view = match view_entry(entry) {
            Ok(Some(view)) => view,
            Ok(None) => {
                self.found(Kind::DamagedRecord, &entry.key, "its key is no digest's", Fate::Left);
                return Ok(());
            }
            Err(error) => {
                let fate = self.quarantine(entry).await?;
                self.found(Kind::DamagedRecord, &entry.key, error.to_string(), fate);
                return Ok(());
            }
        };
        self.explain(&view);
        if let Some(current) = view.current.filter(|current| current.state != BlobState::Deleting)
            && let Some(problem) = self.verify(&view.digest, &current).await?
            // Unless it was deleted or pushed again while it was read.
            && self.repositories.blobs.view(&view.digest).await?.as_ref() == Some(&view)
        {
            self.damaged.insert(view.digest);
            let fate = self.quarantine(entry).await?;
            self.found(Kind::DamagedBlob, &entry.key, problem, fate);
            return Ok(());
        }
        self.will_be_found(&view).await
    }

    /// What is wrong with a blob's bytes.
    async fn verify(&mut self, digest: &Digest, current: &Current) -> StoreResult<Option<String>> {
        let objects = &self.store().objects;
        match objects.size(current.epoch).await? {
            None => return Ok(Some("its bytes are missing".to_owned())),
            Some(size) if size != current.size => {
                return Ok(Some(format!("it has {size} bytes instead of {}", current.size)));
            }
            Some(_) => {}
        }
        let Some(mut bytes) = objects.read(current.epoch, 0..current.size).await? else {
            return Ok(Some("its bytes are missing".to_owned()));
        };
        let mut hasher = Hasher::new(digest.algorithm());
        loop {
            match bytes.try_next().await {
                Ok(Some(piece)) => {
                    hasher.update(&piece);
                    self.report.bytes += piece.len() as u64;
                    (self.events)(Event::Read(self.report.bytes));
                }
                Ok(None) => break,
                Err(error) => return Ok(Some(format!("its bytes cannot be read: {error}"))),
            }
        }
        self.report.blobs += 1;
        let actual = hasher.finish();
        Ok((actual != *digest).then(|| format!("its bytes have the digest {actual}")))
    }

    /// A blob that nobody needs must be a candidate, or it stays for ever.
    async fn will_be_found(&mut self, view: &BlobView) -> StoreResult<()> {
        if self.candidates.contains(&view.digest) || self.is_held(&view.digest).await? {
            return Ok(());
        }
        let fate = match self.mode {
            Mode::Look => Fate::Found,
            Mode::Repair => {
                self.repositories.blobs.nominate(view.digest).await?;
                Fate::Repaired
            }
        };
        let problem = "no manifest needs it, and no collector would look at it";
        self.found(Kind::MissingCandidate, format!("blobs/{}", view.digest), problem, fate);
        Ok(())
    }

    async fn is_held(&self, digest: &Digest) -> StoreResult<bool> {
        let (prefix, mut after) = (keys::references(digest), None::<String>);
        loop {
            let entries = self.store().records.list(&prefix, after.as_deref(), PAGE).await?;
            for entry in &entries {
                // What is wrong with a reference is said where references are checked.
                if !matches!(self.repositories.entitlement(entry).await, Ok(Entitlement::Dead)) {
                    return Ok(true);
                }
            }
            match entries.last() {
                Some(entry) if entries.len() == PAGE => after = Some(entry.key.as_str().to_owned()),
                Some(_) | None => return Ok(false),
            }
        }
    }

    /// Objects that no record names, and that are still there.
    pub(super) async fn unexplained(&mut self, objects: &[ObjectKey]) -> StoreResult<()> {
        for object in objects {
            if self.explained.contains(object) {
                continue;
            }
            if let Some(size) = self.store().objects.size(*object).await? {
                let problem = format!("{size} bytes that no record knows");
                self.found(Kind::UnexplainedObject, object, problem, Fate::Left);
            }
        }
        Ok(())
    }
}
