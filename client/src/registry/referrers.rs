//! What refers to a manifest: asked of the registry, or kept by the clients under a tag where the registry does not
//! know (distribution-spec, "Listing Referrers" and "Referrers Tag Schema").

use std::collections::BTreeMap;

use wharf_spec::{Descriptor, Digest, Index, ManifestView, MediaType, RawManifest, Tag};

use super::RemoteRepository;
use super::answer::Context;
use super::list::Listing;
use crate::transfer::{Error, Result, Target};

impl RemoteRepository {
    pub(super) async fn list_referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>> {
        let doing = format!("list what refers to {}/{}@{digest}", self.host(), self.name());
        for endpoint in self.readers().await {
            let scopes = self.pull_scope(&endpoint);
            let listing = Listing { inner: self.inner(), endpoint: &endpoint, scopes: &scopes, doing: &doing };
            let url = endpoint.url(self.name(), &format!("referrers/{digest}"));
            match listing.pages::<Index>(url).await {
                Ok(Some(pages)) => return Ok(pages.into_iter().flat_map(|page| page.manifests).collect()),
                // A mirror that does not know lists may mirror a registry that does.
                Ok(None) => {}
                Err(error) if endpoint.is_mirror() => {
                    self.mirror_failed(Context { endpoint: &endpoint, doing: &doing }, &error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.fallback_index(digest).await?.map(|index| index.manifests).unwrap_or_default())
    }

    async fn fallback_index(&self, digest: &Digest) -> Result<Option<Index>> {
        match self.get_manifest_at_origin(&Target::Tag(fallback_tag(digest))).await {
            Ok(manifest) => match manifest.view() {
                ManifestView::Index(index) => Ok(Some(index.clone())),
                // Somebody's own tag that happens to have this name.
                ManifestView::Manifest(_) => Ok(None),
            },
            Err(Error::ManifestNotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Notes `manifest` under its subject's tag. Two clients doing so at once can lose one of the entries: the reason
    /// for the referrers API, and nothing a client can mend.
    pub(super) async fn add_to_fallback_tag(&self, subject: &Digest, manifest: &RawManifest) -> Result<()> {
        let mut index = self.fallback_index(subject).await?.unwrap_or_else(|| Index {
            schema_version: 2,
            media_type: Some(MediaType::new(MediaType::OCI_INDEX)),
            artifact_type: None,
            manifests: Vec::new(),
            subject: None,
            annotations: BTreeMap::new(),
        });
        if index.manifests.iter().any(|known| known.digest == manifest.digest()) {
            return Ok(());
        }
        index.manifests.push(Descriptor {
            artifact_type: manifest.artifact_type().cloned(),
            annotations: manifest.annotations().clone(),
            ..manifest.descriptor()
        });
        let index = RawManifest::from_index(index);
        self.put_manifest_as(&index, &Target::Tag(fallback_tag(subject))).await.map(drop)
    }
}

/// `<algorithm>-<encoded>`, both cut to what a tag can hold.
fn fallback_tag(digest: &Digest) -> Tag {
    let hex: String = digest.hex().chars().take(64).collect();
    format!("{}-{hex}", digest.algorithm()).parse().expect("an algorithm, a dash and digits make a tag")
}

#[cfg(test)]
mod tests {
    use wharf_spec::Algorithm;

    use super::*;

    #[test]
    fn fallback_tags_are_named_as_the_specification_says() {
        assert_eq!(fallback_tag(&Digest::sha256(b"")).as_str(), format!("sha256-{}", Digest::sha256(b"").hex()));
        assert_eq!(fallback_tag(&Digest::of(Algorithm::Sha512, b"")).as_str().len(), "sha512-".len() + 64);
    }
}
