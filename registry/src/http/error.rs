//! From errors to answers: the only file that knows which error has which status and code.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use wharf_blobstore::Error as StoreError;
use wharf_spec::{ErrorBody, ErrorCode, ErrorInfo};

use super::advice::advice;
use super::route::RouteError;
use crate::repo;

/// Why a request is answered with an error.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The path or method means nothing.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The registry refuses.
    #[error(transparent)]
    Repo(#[from] repo::Error),
    /// Nobody has logged in, or with the wrong password.
    #[error("log in first: this registry asks for a user name and password")]
    Unauthorized,
    /// The request's body is larger than what is accepted.
    #[error("the manifest is larger than the {limit} bytes that are accepted here")]
    ManifestTooLarge {
        /// Bytes accepted.
        limit: usize,
    },
    /// Too many `tag=` parameters.
    #[error("at most {limit} tags can be set at once")]
    TooManyTags {
        /// Tags accepted.
        limit: usize,
    },
    /// A parameter that must be there, or does not read.
    #[error("the parameter `{name}` {problem}")]
    Parameter {
        /// Which.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A header that does not read.
    #[error("the header {name} {problem}")]
    Header {
        /// Which.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A body that is not the JSON it should be.
    #[error("the request's body is not what is expected here: {problem}")]
    Body {
        /// What is wrong with it.
        problem: String,
    },
    /// A digest parameter that is no digest.
    #[error(transparent)]
    Digest(#[from] wharf_spec::DigestError),
    /// A chunk's range that does not read.
    #[error("Content-Range must read <first byte>-<last byte>")]
    ContentRange,
    /// A range outside of the content.
    #[error("the content has {size} bytes, the range lies outside")]
    Range {
        /// Length of the content.
        size: u64,
    },
    /// Deleting is switched off.
    #[error("deleting is switched off on this registry")]
    DeleteDisabled,
    /// The client did not send its body.
    #[error("the request's body ended early")]
    Truncated,
    /// No more than so many requests of this kind at once.
    #[error("too many requests of this kind at once; try again in a moment")]
    Busy,
    /// The process is shutting down.
    #[error("shutting down")]
    ShuttingDown,
}

impl Failure {
    /// The table.
    fn code(&self) -> (StatusCode, ErrorCode) {
        use ErrorCode as Code;
        use StatusCode as Status;
        match self {
            Self::Route(error) => match error {
                RouteError::NotFound => (Status::NOT_FOUND, Code::Unsupported),
                RouteError::Method(_) => (Status::METHOD_NOT_ALLOWED, Code::Unsupported),
                RouteError::Name(_) => (Status::BAD_REQUEST, Code::NameInvalid),
                RouteError::Tag(_) => (Status::BAD_REQUEST, Code::ManifestInvalid),
                RouteError::NoSuchTag(_) => (Status::NOT_FOUND, Code::ManifestUnknown),
                RouteError::Digest(_) => (Status::BAD_REQUEST, Code::DigestInvalid),
            },
            Self::Repo(error) => repo_code(error),
            Self::Unauthorized => (Status::UNAUTHORIZED, Code::Unauthorized),
            Self::ManifestTooLarge { .. } => (Status::PAYLOAD_TOO_LARGE, Code::SizeInvalid),
            Self::TooManyTags { .. } => (Status::URI_TOO_LONG, Code::ManifestInvalid),
            Self::Parameter { .. } | Self::Header { .. } | Self::Body { .. } => {
                (Status::BAD_REQUEST, Code::Unsupported)
            }
            Self::Digest(_) => (Status::BAD_REQUEST, Code::DigestInvalid),
            Self::ContentRange => (Status::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid),
            Self::Range { .. } => (Status::RANGE_NOT_SATISFIABLE, Code::SizeInvalid),
            Self::DeleteDisabled => (Status::METHOD_NOT_ALLOWED, Code::Unsupported),
            Self::Truncated => (Status::BAD_REQUEST, Code::SizeInvalid),
            Self::Busy => (Status::TOO_MANY_REQUESTS, Code::TooManyRequests),
            Self::ShuttingDown => (Status::SERVICE_UNAVAILABLE, Code::Unknown),
        }
    }

    /// What the client reads: what is wrong, and what to do. Faults of ours are named only in the log.
    fn message(&self, status: StatusCode) -> String {
        let wrong = match self {
            Self::Repo(repo::Error::Store(StoreError::Full { .. })) => {
                "the registry's disk is full; nothing was stored".to_owned()
            }
            Self::Repo(repo::Error::Store(StoreError::Contended { .. })) => {
                "others are changing the same thing; try again in a moment".to_owned()
            }
            _ if status.is_server_error() && !matches!(self, Self::ShuttingDown) => {
                "the registry could not do this; its log says why".to_owned()
            }
            other => other.to_string(),
        };
        match advice(self) {
            Some(advice) => format!("{wrong}; {advice}"),
            None => wrong,
        }
    }

    fn detail(&self) -> serde_json::Value {
        match self {
            Self::Repo(repo::Error::Missing { digests, .. }) => {
                serde_json::json!(
                    digests.iter().map(|digest| serde_json::json!({ "digest": digest })).collect::<Vec<_>>()
                )
            }
            _ => serde_json::Value::Null,
        }
    }

    /// The answer.
    pub fn response(&self) -> Response<Body> {
        let (status, code) = self.code();
        if status.is_server_error() {
            tracing::error!(error = self as &dyn std::error::Error, "request failed");
        }
        let info = ErrorInfo { code: code.to_string(), message: self.message(status), detail: self.detail() };
        let body = serde_json::to_vec(&ErrorBody { errors: vec![info] }).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Self::Unauthorized => {
                let challenge = HeaderValue::from_static("Basic realm=\"wharf\", charset=\"UTF-8\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            Self::Route(RouteError::Method(methods)) => {
                if let Ok(allow) = HeaderValue::from_str(&methods.join(", ")) {
                    headers.insert(header::ALLOW, allow);
                }
            }
            Self::Range { size } => {
                if let Ok(range) = HeaderValue::from_str(&format!("bytes */{size}")) {
                    headers.insert(header::CONTENT_RANGE, range);
                }
            }
            _ if status == StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

fn repo_code(error: &repo::Error) -> (StatusCode, ErrorCode) {
    use ErrorCode as Code;
    use StatusCode as Status;
    use repo::{Error as E, NoWayBack};
    match error {
        E::UnknownRepository(_) => (Status::NOT_FOUND, Code::NameUnknown),
        E::UnknownManifest { .. } => (Status::NOT_FOUND, Code::ManifestUnknown),
        E::UnknownBlob { .. } => (Status::NOT_FOUND, Code::BlobUnknown),
        E::Missing { .. } => (Status::NOT_FOUND, Code::ManifestBlobUnknown),
        E::WrongSize { .. } | E::Manifest(_) => (Status::BAD_REQUEST, Code::ManifestInvalid),
        E::ManifestDigest { .. } => (Status::BAD_REQUEST, Code::DigestInvalid),
        // As the specification has it for what cannot be deleted.
        E::InUse { .. } => (Status::METHOD_NOT_ALLOWED, Code::Denied),
        E::UnknownUpload => (Status::NOT_FOUND, Code::BlobUploadUnknown),
        E::OutOfOrder { .. } => (Status::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid),
        E::ChunkLength { .. } | E::ShortChunk { .. } | E::Truncated => (Status::BAD_REQUEST, Code::SizeInvalid),
        E::Delta(_) => (Status::BAD_REQUEST, Code::BlobUploadInvalid),
        E::UploadBusy => (Status::CONFLICT, Code::BlobUploadInvalid),
        E::TagMoved { .. } => (Status::PRECONDITION_FAILED, Code::Denied),
        E::Immutable { .. } => (Status::CONFLICT, Code::Denied),
        E::NoWayBack { problem, .. } => match problem {
            NoWayBack::NoVersion(_) | NoWayBack::NoDigest(_) | NoWayBack::Gone(_) => {
                (Status::NOT_FOUND, Code::ManifestUnknown)
            }
            NoWayBack::Deletion(_) | NoWayBack::NothingOlder | NoWayBack::NotDeleted | NoWayBack::NothingLeft => {
                (Status::CONFLICT, Code::Denied)
            }
        },
        E::TagContended(_) => (Status::TOO_MANY_REQUESTS, Code::TooManyRequests),
        E::Store(error) => match error {
            StoreError::Mismatch(_) => (Status::BAD_REQUEST, Code::DigestInvalid),
            StoreError::Full { .. } => (Status::INSUFFICIENT_STORAGE, Code::Unknown),
            StoreError::Contended { .. } => (Status::TOO_MANY_REQUESTS, Code::TooManyRequests),
            StoreError::UploadLost => (Status::NOT_FOUND, Code::BlobUploadUnknown),
            StoreError::Unavailable { .. } => (Status::SERVICE_UNAVAILABLE, Code::Unknown),
            StoreError::Corrupt { .. }
            | StoreError::Refused { .. }
            | StoreError::CorruptRecord { .. }
            | StoreError::Unusable { .. }
            | StoreError::Io { .. }
            | StoreError::Database { .. } => (Status::INTERNAL_SERVER_ERROR, Code::Unknown),
        },
    }
}
