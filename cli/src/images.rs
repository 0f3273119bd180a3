//! Images wherever they are: finding one in the store by any of its names, and publishing what was made.

use wharf_client::transfer::Target;
use wharf_registry::repo::{Error as RepoError, LocalRepository, Repositories, StoredManifest};
use wharf_spec::{RawManifest, Reference, RepositoryName};

use crate::failure::Failure;
use crate::names::{candidates, store_name};
use crate::stores::OpenStore;

/// An image that is in the store.
pub struct LocalImage {
    /// The repository that holds it.
    pub name: RepositoryName,
    /// Its manifest.
    pub manifest: RawManifest,
}

/// Who stands in the history of tags for what this program does.
pub const BY: &str = "wharf";

impl OpenStore {
    /// A repository of the store as a place to copy from and to.
    pub fn place(&self, name: &RepositoryName) -> LocalRepository {
        LocalRepository::new(self.repositories.clone(), name.clone(), BY)
    }

    /// Finds an image under any name it may have here; `None` when it is not in the store.
    pub async fn find(&self, reference: &Reference) -> Result<Option<LocalImage>, Failure> {
        for candidate in candidates(reference) {
            let Some(name) = store_name(&candidate) else { continue };
            if let Some(stored) = read(&self.repositories, &name, &Target::from(&candidate)).await? {
                let parsed =
                    RawManifest::parse(stored.bytes.to_vec(), Some(&stored.media_type), stored.digest.algorithm());
                let damaged = |error| Failure::new(format!("{reference} in the store cannot be read")).because(error);
                return Ok(Some(LocalImage { name, manifest: parsed.map_err(damaged)? }));
            }
        }
        Ok(None)
    }

    /// Finds an image, or says that it is not there.
    pub async fn require(&self, reference: &Reference) -> Result<LocalImage, Failure> {
        self.find(reference).await?.ok_or_else(|| {
            Failure::new(format!("{reference} is not in the store {}", self.place))
                .hint("`wharf images` lists what is; `wharf pull` fetches from a registry")
        })
    }
}

async fn read(store: &Repositories, name: &RepositoryName, target: &Target) -> Result<Option<StoredManifest>, Failure> {
    let found = match target {
        Target::Tag(tag) => store.manifest_by_tag(name, tag).await,
        Target::Digest(digest) => store.manifest(name, digest).await,
    };
    match found {
        Ok(stored) => Ok(Some(stored)),
        Err(RepoError::UnknownManifest { .. } | RepoError::UnknownRepository(_)) => Ok(None),
        Err(error) => Err(Failure::new("the store could not be read").because(error)),
    }
}

/// The repository of the store for a reference that a user writes to.
pub fn destination(reference: &Reference) -> Result<RepositoryName, Failure> {
    store_name(reference)
        .ok_or_else(|| Failure::usage(format!("{reference} is too long a name for an image in the store")))
}
