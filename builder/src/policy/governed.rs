//! Base images under policies: whoever asks for one gets what the rules make of it.

use async_trait::async_trait;
use wharf_spec::Platform;

use super::Policies;
use crate::base::{BaseError, BaseImage, BaseImages, ImageName};

/// Base images, asked for after the policies were.
pub(crate) struct Governed<'a> {
    bases: &'a dyn BaseImages,
    policies: &'a Policies,
}

impl<'a> Governed<'a> {
    pub(crate) fn new(bases: &'a dyn BaseImages, policies: &'a Policies) -> Self {
        Self { bases, policies }
    }
}

#[async_trait]
impl BaseImages for Governed<'_> {
    async fn resolve(&self, name: &ImageName, platform: &Platform) -> Result<BaseImage, BaseError> {
        let refused = |source| BaseError::Policy { name: name.clone(), source };
        let wanted = match name {
            ImageName::Reference(reference) => ImageName::Reference(self.policies.image(reference).map_err(refused)?),
            ImageName::Layout { .. } => {
                self.policies.layout(&name.to_string()).map_err(refused)?;
                name.clone()
            }
            // What went into it was asked for when it was made.
            ImageName::Made { .. } => name.clone(),
        };
        self.bases.resolve(&wanted, platform).await
    }
}
