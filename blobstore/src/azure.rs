//! Files in a container of Azure Blob Storage: names with slashes, whole or not there at all.
//!
//! No store lies in Azure; this is for what is kept there beside one. Requests, signatures and repetitions are
//! `object_store`'s, connections those of the S3 engine.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use http::StatusCode;
use object_store::azure::{AzureAuthorizer, AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::{HttpClient, HttpRequest};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt as _};
use url::Url;

use crate::error::innermost;
use crate::s3::Patience;
use crate::s3::transport::Transport;
use crate::{ByteStream, Error, Result};

/// Longer files go in parts of this many bytes, of which there may be 50,000.
const PART: usize = 16 << 20;

/// Where a container lies and how it is reached.
#[derive(Clone)]
pub struct AzureConfig {
    /// The account's address: `https://ACCOUNT.blob.core.windows.net`.
    pub account_url: String,
    /// The account's name.
    pub account: String,
    /// The container's name.
    pub container: String,
    /// Credentials and where to get them, by the names of the variables that Azure's own tools read, as
    /// `AZURE_CLIENT_ID`, and the account's key as `AZURE_STORAGE_ACCOUNT_KEY`. Without any, the machine's identity
    /// service is asked.
    pub credentials: BTreeMap<String, String>,
    /// How long is waited.
    pub patience: Patience,
}

impl AzureConfig {
    /// A container of the account at this address. The account has the name that the address begins with, unless it is
    /// given.
    pub fn new(account_url: &str, account: Option<&str>, container: &str) -> Result<Self, BadAzurePlace> {
        let url = Url::parse(account_url).map_err(|_| BadAzurePlace::Url(account_url.to_owned()))?;
        let host = url.host_str().unwrap_or_default();
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if !plain || !matches!(url.scheme(), "http" | "https") || host.is_empty() {
            return Err(BadAzurePlace::Url(account_url.to_owned()));
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(3..=63).contains(&container.len()) || !container.bytes().all(plain) {
            return Err(BadAzurePlace::Container(container.to_owned()));
        }
        Ok(Self {
            account: account.or_else(|| host.split('.').next()).unwrap_or_default().to_owned(),
            account_url: account_url.trim_end_matches('/').to_owned(),
            container: container.to_owned(),
            credentials: BTreeMap::new(),
            patience: Patience::default(),
        })
    }
}

/// Why nothing can lie there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAzurePlace {
    /// The address.
    #[error("`{0}` is no account's address: write https://ACCOUNT.blob.core.windows.net, without a token")]
    Url(String),
    /// The container's name.
    #[error("`{0}` cannot be a container: 3 to 63 of a-z, 0-9 and `-`")]
    Container(String),
}

impl fmt::Display for AzureConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account_url, self.container)
    }
}

impl fmt::Debug for AzureConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the credentials' values.
        f.debug_struct("AzureConfig").field("place", &self.to_string()).finish_non_exhaustive()
    }
}

/// Files in a container. Cloning is cheap; clones share connections.
#[derive(Clone)]
pub struct AzureFiles {
    service: Arc<MicrosoftAzure>,
    http: HttpClient,
    config: Arc<AzureConfig>,
}

impl fmt::Debug for AzureFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AzureFiles").field(&self.config).finish()
    }
}

impl AzureFiles {
    /// The files at this place. Nothing is asked yet.
    pub fn new(config: AzureConfig) -> Result<Self> {
        let transport = Transport::new(config.patience)?;
        let mut builder = MicrosoftAzureBuilder::new();
        for (name, value) in &config.credentials {
            if let Ok(key) = name.to_lowercase().parse::<AzureConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        let retry = object_store::RetryConfig {
            max_retries: 6,
            retry_timeout: config.patience.retries,
            ..object_store::RetryConfig::default()
        };
        let service = builder
            .with_account(&config.account)
            .with_endpoint(config.account_url.clone())
            .with_container_name(&config.container)
            .with_allow_http(true)
            .with_retry(retry)
            .with_http_connector(transport.clone())
            .build()
            .map_err(|error| Error::Unusable { path: config.to_string(), reason: innermost(&error) })?;
        Ok(Self { service: Arc::new(service), http: transport.client(), config: Arc::new(config) })
    }

    /// Where this is, as the user knows it.
    pub fn place(&self) -> String {
        self.config.to_string()
    }

    /// A file's length in bytes; `None` when there is none.
    pub async fn size(&self, path: &str) -> Result<Option<u64>> {
        match self.service.head(&Path::from(path)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("look for a file on Azure", &error)),
        }
    }

    /// A file's bytes; `None` when there is none.
    pub async fn read(&self, path: &str) -> Result<Option<ByteStream>> {
        const DOING: &str = "read a file on Azure";
        match self.service.get(&Path::from(path)).await {
            Ok(found) => {
                let files = self.clone();
                Ok(Some(found.into_stream().map_err(move |error| files.failed(DOING, &error)).boxed()))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(DOING, &error)),
        }
    }

    /// Writes a file of these bytes; nothing, when they end in an error. The container is made when it is not there.
    pub async fn write<E: From<Error>>(
        &self,
        path: &str,
        bytes: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<(), E> {
        let path = Path::from(path);
        let (mut bytes, mut buffer) = (pin!(bytes), BytesMut::new());
        let mut upload: Option<Box<dyn MultipartUpload>> = None;
        // Blocks that are never put into a list are forgotten by the service.
        while let Some(piece) = bytes.try_next().await? {
            buffer.extend_from_slice(&piece);
            while buffer.len() >= PART {
                let part = buffer.split_to(PART).freeze();
                let upload = match &mut upload {
                    Some(upload) => upload,
                    none => {
                        // A block cannot be sent again once it failed, so the container is there before the first one.
                        self.make_container().await?;
                        none.insert(self.service.put_multipart(&path).await.map_err(|error| self.unwritten(&error))?)
                    }
                };
                upload.put_part(part.into()).await.map_err(|error| self.unwritten(&error))?;
            }
        }
        let rest = buffer.freeze();
        let Some(mut upload) = upload else { return Ok(self.write_small(&path, rest).await?) };
        if !rest.is_empty() {
            upload.put_part(rest.into()).await.map_err(|error| self.unwritten(&error))?;
        }
        upload.complete().await.map_err(|error| self.unwritten(&error))?;
        Ok(())
    }

    async fn write_small(&self, path: &Path, bytes: Bytes) -> Result<()> {
        match self.service.put(path, bytes.clone().into()).await {
            Ok(_) => Ok(()),
            // Nothing but the container can be missing.
            Err(object_store::Error::NotFound { .. }) => {
                self.make_container().await?;
                let written = self.service.put(path, bytes.into()).await;
                written.map(drop).map_err(|error| self.unwritten(&error))
            }
            Err(error) => Err(self.unwritten(&error)),
        }
    }

    /// Makes the container, unless it is there.
    async fn make_container(&self) -> Result<()> {
        let doing = || "make a container on Azure".to_owned();
        let unanswered = |problem: String| Error::Unavailable { doing: doing(), problem };
        let credential = self.service.credentials().get_credential().await;
        let credential = credential.map_err(|error| self.failed("make a container on Azure", &error))?;
        let mut request: HttpRequest = http::Request::put(format!("{}?restype=container", self.config))
            .header(http::header::CONTENT_LENGTH, 0)
            .body(Bytes::new().into())
            .map_err(|error| unanswered(error.to_string()))?;
        AzureAuthorizer::new(&credential, &self.config.account)
            .try_authorize(&mut request)
            .map_err(|error| self.failed("make a container on Azure", &error))?;
        let answer = tokio::time::timeout(self.config.patience.answer, self.http.execute(request)).await;
        let answer = answer.map_err(|_| unanswered("no answer in time".to_owned()))?;
        let status = answer.map_err(|error| unanswered(innermost(&error)))?.status();
        match status {
            StatusCode::CREATED | StatusCode::CONFLICT => Ok(()),
            _ => Err(Error::Refused {
                doing: doing(),
                problem: format!("{} answered {status}; make the container, or let the credentials do so", self.config),
            }),
        }
    }

    fn unwritten(&self, error: &object_store::Error) -> Error {
        self.failed("write a file to Azure", error)
    }

    fn failed(&self, doing: &str, error: &object_store::Error) -> Error {
        let (doing, problem) = (doing.to_owned(), told(&innermost(error)));
        match error {
            object_store::Error::Unauthenticated { .. } | object_store::Error::PermissionDenied { .. } => {
                Error::Refused {
                    doing,
                    problem: format!(
                        "{} refuses: {problem}; check secret_access_key, or the AZURE_ variables and their rights there",
                        self.config
                    ),
                }
            }
            _ => Error::Unavailable { doing, problem: format!("{}: {problem}", self.config) },
        }
    }
}

/// What an error's document says, in one line.
fn told(problem: &str) -> String {
    let field = |name: &str| {
        let rest = problem.split_once(&format!("<{name}>"))?.1;
        rest.split(['<', '\r', '\n']).next().filter(|text| !text.is_empty())
    };
    match (field("Code"), field("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => problem.lines().collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_named_by_its_address() {
        let config = AzureConfig::new("https://ann.blob.core.windows.net/", None, "cache").unwrap();
        assert_eq!(
            (config.account.as_str(), config.to_string().as_str()),
            ("ann", "https://ann.blob.core.windows.net/cache")
        );
        let config = AzureConfig::new("http://127.0.0.1:10000/ann", Some("ann"), "cache").unwrap();
        assert_eq!((config.account.as_str(), config.to_string().as_str()), ("ann", "http://127.0.0.1:10000/ann/cache"));
        for bad in ["ann", "ftp://ann.example", "https://ann.example?sig=x", "https://ann:key@ann.example"] {
            assert!(AzureConfig::new(bad, None, "cache").is_err(), "{bad}");
        }
        for bad in ["ab", "Cache", "a/b"] {
            assert!(AzureConfig::new("https://ann.example", None, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_the_service_says_fits_a_line() {
        let document = "400: <?xml?>\n<Error>\n<Code>BadThing</Code><Message>It is bad.\nRequestId:1</Message></Error>";
        assert_eq!(told(document), "BadThing: It is bad.");
        assert_eq!(told("no\nconnection"), "no connection");
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut config = AzureConfig::new("https://ann.example", None, "cache").unwrap();
        config.credentials.insert("AZURE_CLIENT_SECRET".to_owned(), "hush".to_owned());
        assert!(!format!("{config:?} {config}").contains("hush"));
        let key = "AZURE_STORAGE_ACCOUNT_KEY".to_owned();
        config.credentials = BTreeMap::from([(key, "not base64, hush".to_owned())]);
        let error = AzureFiles::new(config).unwrap_err().to_string();
        assert!(!error.contains("hush"), "{error}");
    }
}
