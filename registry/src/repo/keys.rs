//! The registry's keys. Repository names contain slashes, so what belongs to a repository starts with `_`, with which
//! no name component can start.
//!
//! ```text
//! catalog/<name>                              there is such a repository
//! repos/<name>/_manifests/<digest>            manifest.rs: pending | live (holder), media type, exact bytes
//! repos/<name>/_blobs/<digest>                blobs.rs: this repository may read this blob
//! repos/<name>/_tags/<tag>                    tags.rs: current descriptor, version number, history
//! repos/<name>/_referrers/<subject>/<digest>  referrers.rs: descriptor of a manifest about <subject>
//! refs/<digest>/<holder>                      manifest.rs: key of the record that needs this content: a manifest's. Holders
//!                                             of other kinds (a tag whose kept history has <digest>, a cached build step)
//!                                             may stand here too: what a collector does not know counts as needing it
//! candidates/manifests/<id>                   candidates.rs: a manifest whose references are about to come or to go
//! gc/lease                                    gc/lease.rs: which process collects
//! uploads/<id>                                uploads.rs: an upload session
//! ```

use wharf_blobstore::{ObjectKey, RecordKey};
use wharf_spec::{Digest, RepositoryName, Tag};

use super::manifests::Holder;
use super::uploads::SessionId;

pub(super) const CATALOG: &str = "catalog/";
pub(super) const UPLOADS: &str = "uploads/";
pub(crate) const CANDIDATES: &str = "candidates/manifests/";

pub(super) fn catalog(name: &RepositoryName) -> RecordKey {
    RecordKey::new(format!("{CATALOG}{name}"))
}

pub(super) fn manifest(name: &RepositoryName, digest: &Digest) -> RecordKey {
    RecordKey::new(format!("repos/{name}/_manifests/{digest}"))
}

pub(super) fn manifests(name: &RepositoryName) -> String {
    format!("repos/{name}/_manifests/")
}

pub(crate) fn blob_link(name: &RepositoryName, digest: &Digest) -> RecordKey {
    RecordKey::new(format!("repos/{name}/_blobs/{digest}"))
}

pub(super) fn tag(name: &RepositoryName, tag: &Tag) -> RecordKey {
    RecordKey::new(format!("repos/{name}/_tags/{tag}"))
}

pub(super) fn tags(name: &RepositoryName) -> String {
    format!("repos/{name}/_tags/")
}

pub(super) fn referrer(name: &RepositoryName, subject: &Digest, digest: &Digest) -> RecordKey {
    RecordKey::new(format!("repos/{name}/_referrers/{subject}/{digest}"))
}

pub(super) fn referrers(name: &RepositoryName, subject: &Digest) -> String {
    format!("repos/{name}/_referrers/{subject}/")
}

pub(super) fn reference(digest: &Digest, holder: Holder) -> RecordKey {
    RecordKey::new(format!("refs/{digest}/{holder}"))
}

pub(crate) fn references(digest: &Digest) -> String {
    format!("refs/{digest}/")
}

/// The repository whose manifest record has this key.
pub(crate) fn owner(key: &str) -> Option<RepositoryName> {
    key.strip_prefix("repos/")?.split_once("/_manifests/")?.0.parse().ok()
}

pub(super) fn candidate(id: ObjectKey) -> RecordKey {
    RecordKey::new(format!("{CANDIDATES}{id}"))
}

pub(super) fn upload(id: SessionId) -> RecordKey {
    RecordKey::new(format!("{UPLOADS}{id}"))
}
