//! Errors as they stand on the wire (OCI distribution-spec, "Error Codes").

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A code of the distribution specification's error table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// Every code, in the specification's order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code as it stands on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// Blob unknown to registry.
    BlobUnknown = "BLOB_UNKNOWN",
    /// Blob upload invalid.
    BlobUploadInvalid = "BLOB_UPLOAD_INVALID",
    /// Blob upload unknown to registry.
    BlobUploadUnknown = "BLOB_UPLOAD_UNKNOWN",
    /// Provided digest did not match uploaded content.
    DigestInvalid = "DIGEST_INVALID",
    /// Manifest references a manifest or blob unknown to registry.
    ManifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN",
    /// Manifest invalid.
    ManifestInvalid = "MANIFEST_INVALID",
    /// Manifest unknown to registry.
    ManifestUnknown = "MANIFEST_UNKNOWN",
    /// Invalid repository name.
    NameInvalid = "NAME_INVALID",
    /// Repository name not known to registry.
    NameUnknown = "NAME_UNKNOWN",
    /// Provided length did not match content length.
    SizeInvalid = "SIZE_INVALID",
    /// Authentication required.
    Unauthorized = "UNAUTHORIZED",
    /// Requested access to the resource is denied.
    Denied = "DENIED",
    /// The operation is unsupported.
    Unsupported = "UNSUPPORTED",
    /// Too many requests.
    TooManyRequests = "TOOMANYREQUESTS",
    /// Something went wrong here; not in the specification's table, but what every registry answers with a 5xx.
    Unknown = "UNKNOWN",
}

impl ErrorCode {
    /// The code with this text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The body of an error answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// One or more errors.
    #[serde(default)]
    pub errors: Vec<ErrorInfo>,
}

/// One error of an [`ErrorBody`]. The code is text here: other registries have codes of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorInfo {
    /// See [`ErrorCode`].
    pub code: String,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// For programs; any shape.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

impl ErrorBody {
    /// A body with one error.
    pub fn one(code: ErrorCode, message: impl Into<String>) -> Self {
        let info = ErrorInfo { code: code.to_string(), message: message.into(), detail: serde_json::Value::Null };
        Self { errors: vec![info] }
    }
}
