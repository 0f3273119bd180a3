//! What to do about an error, for the person who reads it in a client. The errors themselves say what is wrong; they are also read by
//! people who work on a store without HTTP, to whom paths below `/v2/` would mean nothing.

use std::borrow::Cow;

use wharf_blobstore::Error as StoreError;
use wharf_spec::ManifestError;

use super::error::Failure;
use super::route::RouteError;
use crate::repo::{Error, NoWayBack};

type Advice = Option<Cow<'static, str>>;

/// What follows the error's own words. None where they say already what to do.
pub(super) fn advice(failure: &Failure) -> Advice {
    let text = match failure {
        Failure::Route(error) => match error {
            RouteError::NotFound
            | RouteError::Method(_)
            | RouteError::Name(_)
            | RouteError::Tag(_)
            | RouteError::NoSuchTag(_)
            | RouteError::Digest(_) => return None,
        },
        Failure::Unauthorized
        | Failure::Parameter { .. }
        | Failure::Header { .. }
        | Failure::Body { .. }
        | Failure::Digest(_)
        | Failure::ContentRange
        | Failure::Busy => return None,
        Failure::Repo(error) => return about(error),
        Failure::ManifestTooLarge { .. } => {
            "make it smaller, or have `max-manifest-size` raised in the registry's configuration"
        }
        Failure::TooManyTags { .. } => "set the others with another request",
        Failure::Range { .. } => "ask for a range within it, or for all of it",
        Failure::DeleteDisabled => "`delete` in its configuration switches it on",
        Failure::Truncated => "send it again",
        Failure::ShuttingDown => "try again in a moment",
    };
    Some(text.into())
}

fn about(error: &Error) -> Advice {
    let text: Cow<_> = match error {
        Error::UnknownRepository(_) => "/v2/_catalog lists what there is".into(),
        Error::UnknownManifest { repository, reference } if reference.contains(':') => {
            format!("push it to {repository} first").into()
        }
        Error::UnknownManifest { repository, .. } => format!("/v2/{repository}/tags/list lists its tags").into(),
        Error::UnknownBlob { repository, .. } => format!("push it to {repository}, or mount it there").into(),
        Error::WrongSize { .. } => "correct the manifest and push it again".into(),
        Error::ManifestDigest { actual, .. } => format!("push it to {actual} or to a tag").into(),
        Error::OutOfOrder { offset, .. } => format!("send what begins at {offset}").into(),
        Error::ChunkLength { .. } => "none of it was kept: send the chunk again".into(),
        Error::ShortChunk { .. } => "begin a new upload, or send the rest without Content-Range".into(),
        Error::Delta(_) => "none of it was kept: send the bytes themselves".into(),
        Error::UploadBusy => "ask the upload how far it is, and go on from there".into(),
        Error::Truncated => {
            "ask the upload how far it is, and go on from there; anything else is to be sent again".into()
        }
        Error::TagMoved { .. } => "look whether it should still be changed, and say what it is now".into(),
        Error::Manifest(error) => return manifest(error),
        Error::NoWayBack { tag, problem } => return way_back(tag.as_str(), problem),
        Error::Store(StoreError::Mismatch(_)) => "send the content that has that digest, in a new upload".into(),
        Error::Store(StoreError::UploadLost) => "begin a new upload".into(),
        Error::Store(StoreError::Full { .. }) => "it can be pushed again once there is room".into(),
        // What to do is in the words already; what is wrong inside is for whoever reads the log.
        Error::Missing { .. }
        | Error::InUse { .. }
        | Error::UnknownUpload
        | Error::Immutable { .. }
        | Error::TagContended(_)
        | Error::Store(_) => return None,
    };
    Some(text)
}

fn manifest(error: &ManifestError) -> Advice {
    match error {
        ManifestError::Json(_) | ManifestError::MediaType(_) => {
            Some("push an OCI or a Docker schema 2 manifest or index".into())
        }
        ManifestError::MediaTypeMismatch { inside, .. } => Some(format!("send it as Content-Type: {inside}").into()),
        ManifestError::SchemaVersion(_) | ManifestError::Ambiguous => None,
    }
}

fn way_back(tag: &str, problem: &NoWayBack) -> Advice {
    match problem {
        NoWayBack::NoVersion(_) | NoWayBack::NoDigest(_) | NoWayBack::Deletion(_) => {
            Some(format!("the history of {tag} lists what it can go back to").into())
        }
        NoWayBack::NothingOlder | NoWayBack::NothingLeft => Some("push what it should point at".into()),
        NoWayBack::Gone(_) | NoWayBack::NotDeleted => None,
    }
}
