//! Base images under policies: whoever asks for one gets what the rules make of it.

use async_trait::async_trait;
use wharf_spec::{Platform, Reference};

use super::{Answer, Policies, PolicyError, Subject};
use crate::base::{BaseError, BaseImage, BaseImages, ImageName};

/// A policy pins an image so often and not more.
const MOST_PINS: usize = 4;

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
        match name {
            ImageName::Reference(reference) => {
                let wanted = self.policies.image(reference).map_err(refused)?;
                self.judged(name, wanted, platform).await
            }
            ImageName::Layout { .. } => {
                self.policies.layout(&name.to_string()).map_err(refused)?;
                self.bases.resolve(name, platform).await
            }
            // What went into it was asked for when it was made.
            ImageName::Made { .. } => self.bases.resolve(name, platform).await,
        }
    }
}

/// Asks policies about an image, as a build does. It is looked at only where they want to know what it is.
pub async fn ask_about_image(
    policies: &Policies,
    reference: &Reference,
    platform: &Platform,
    bases: &dyn BaseImages,
) -> Result<(), BaseError> {
    let name = ImageName::Reference(reference.clone());
    Governed::new(bases, policies).judge(&name, reference.clone(), platform).await.map(drop)
}

/// Looks at an image, for those who want to know what policies see of it.
pub async fn described(
    reference: &Reference,
    platform: &Platform,
    bases: &dyn BaseImages,
) -> Result<Subject, BaseError> {
    let mut subject = Subject::image(reference, platform);
    subject.describe(&bases.resolve(&ImageName::Reference(reference.clone()), platform).await?);
    Ok(subject)
}

impl Governed<'_> {
    /// The image, when programs allow it.
    async fn judged(&self, name: &ImageName, wanted: Reference, platform: &Platform) -> Result<BaseImage, BaseError> {
        match self.judge(name, wanted, platform).await? {
            (_, Some(base)) => Ok(base),
            (wanted, None) => self.bases.resolve(&ImageName::Reference(wanted), platform).await,
        }
    }

    /// Which image programs allow. It is looked at before they are asked only where they want to know what it is.
    async fn judge(
        &self,
        name: &ImageName,
        mut wanted: Reference,
        platform: &Platform,
    ) -> Result<(Reference, Option<BaseImage>), BaseError> {
        let refused = |source| BaseError::Policy { name: name.clone(), source };
        for _ in 0..MOST_PINS {
            let mut subject = Subject::image(&wanted, platform);
            let (mut answer, mut found) = (self.policies.ask(&subject).map_err(refused)?, None);
            if answer == Answer::Describe {
                let base = self.bases.resolve(&ImageName::Reference(wanted.clone()), platform).await?;
                subject.describe(&base);
                found = Some(base);
                answer = self.policies.ask(&subject).map_err(refused)?;
            }
            match answer {
                Answer::Pinned(digest) => wanted.digest = Some(digest),
                Answer::Allowed | Answer::Describe => return Ok((wanted, found)),
            }
        }
        Err(refused(PolicyError::Endless(wanted.to_string())))
    }
}
