//! One bucket: signed requests, tried again until they are answered or patience ends.
//!
//! Requests are made here and not by `object_store`'s own methods, which hide what the engine stands on: statuses,
//! whether an attempt that failed may have been carried out after all, the parts of an upload. Credentials and signatures
//! are that crate's.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer};
use object_store::client::{HttpClient, HttpRequest, HttpResponse};
use object_store::signer::{SignedUrlOptions, Signer as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::config::{Encryption, Patience, S3Config};
use super::documents::{self, Problem, unquoted};
use super::retry::{Backoff, Setback};
use super::transport::Transport;
use crate::error::innermost;
use crate::{Error, Result};

/// What a signed path may hold as it is: what the signature's definition says, and nothing else.
pub(super) const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
/// The same for a parameter.
const PARAMETER: &AsciiSet = &PATH.add(b'/');

/// Bodies are expected to travel at least this fast, in bytes a second.
const SLOWEST: u64 = 128 << 10;

/// What is done where something is written on a condition.
const WRITING: &str = "write a record to S3";

/// A bucket, and where in it the store lies.
pub(super) struct Bucket {
    http: HttpClient,
    name: String,
    /// For credentials and for URLs that others use.
    service: AmazonS3,
    region: String,
    base: String,
    prefix: String,
    encryption: Encryption,
    patience: Patience,
    /// As the user knows it.
    place: String,
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    method: Method,
    /// Without the store's prefix; `None` for the bucket itself.
    key: Option<String>,
    parameters: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, String)>,
    body: Bytes,
    /// For messages: "could not <doing>".
    doing: &'static str,
}

/// An answer that came whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Bytes,
    /// An earlier attempt of the same request may have been carried out.
    pub(super) doubtful: bool,
}

/// What a conditional write expects.
#[derive(Clone, Copy, Debug)]
pub(super) enum Condition<'a> {
    /// Nothing there.
    Absent,
    /// The object with this entity tag, without quotes.
    Tag(&'a str),
}

/// How a conditional write went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Done; the new entity tag.
    Done(String),
    /// Something else is there, or nothing. Nothing was written.
    Refused,
    /// The same, but an attempt before was not answered: it may have been carried out, and be what is there.
    Doubtful,
}

impl Written {
    /// What is left to say where what is there does not tell whose it is.
    pub(super) fn unknown() -> Error {
        Error::Unavailable { doing: WRITING.to_owned(), problem: "it is not known whether it was written".to_owned() }
    }
}

impl Call {
    pub(super) fn new(method: Method, key: impl Into<String>, doing: &'static str) -> Self {
        let (parameters, headers) = (Vec::new(), Vec::new());
        Self { method, key: Some(key.into()), parameters, headers, body: Bytes::new(), doing }
    }

    /// A request about the bucket.
    pub(super) fn bucket(method: Method, doing: &'static str) -> Self {
        Self { key: None, ..Self::new(method, "", doing) }
    }

    pub(super) fn parameter(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.parameters.push((name, value.into()));
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    fn failed(&self, problem: String) -> Error {
        Error::Unavailable { doing: self.doing.to_owned(), problem }
    }
}

impl Answer {
    /// The entity tag, without quotes.
    pub(super) fn etag(&self) -> Option<String> {
        etag(&self.headers)
    }

    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn problem(&self) -> Problem {
        documents::problem(&self.body)
    }
}

pub(super) fn etag(headers: &http::HeaderMap) -> Option<String> {
    let etag = unquoted(headers.get(header::ETAG)?.to_str().ok()?);
    (!etag.is_empty()).then(|| etag.to_owned())
}

impl Bucket {
    pub(super) fn new(config: &S3Config) -> Result<Self> {
        let transport = Transport::new(config.patience)?;
        let unusable =
            |error: object_store::Error| Error::Unusable { path: config.to_string(), reason: innermost(&error) };
        let base = config.base();
        let mut builder = AmazonS3Builder::new();
        for (name, value) in &config.credentials {
            if let Ok(key) = name.to_lowercase().parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        // Fetching credentials must not outlast the request they are for.
        let retry =
            object_store::RetryConfig { max_retries: 3, retry_timeout: config.patience.answer, ..Default::default() };
        let service = builder
            .with_bucket_name(&config.bucket)
            .with_region(config.region())
            // With the bucket in it already: in the host name or the path, as this file makes it.
            .with_endpoint(&base)
            .with_virtual_hosted_style_request(true)
            .with_allow_http(true)
            .with_retry(retry)
            .with_http_connector(transport.clone())
            .build()
            .map_err(unusable)?;
        Ok(Self {
            http: transport.client(),
            name: config.bucket.clone(),
            service,
            region: config.region().to_owned(),
            base,
            prefix: config.prefix.clone(),
            encryption: config.encryption.clone(),
            patience: config.patience,
            place: config.to_string(),
        })
    }

    /// The key of the bucket for this one of the store.
    pub(super) fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The store's key for this one of the bucket.
    pub(super) fn relative<'a>(&self, full: &'a str) -> Option<&'a str> {
        full.strip_prefix(&self.prefix)
    }

    /// The bucket's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn patience(&self) -> Patience {
        self.patience
    }

    /// A request that creates an object, with the headers that say how it is encrypted.
    pub(super) fn creating(&self, method: Method, key: impl Into<String>, doing: &'static str) -> Call {
        let call = Call::new(method, key, doing);
        self.encryption
            .headers()
            .into_iter()
            .fold(call, |call, (name, value)| call.header(HeaderName::from_static(name), value))
    }

    /// Sends a request until it is answered. Answers that mean "no" are answers too; see [`Bucket::refusal`].
    pub(super) async fn send(&self, call: &Call) -> Result<Answer> {
        let mut backoff = Backoff::new(self.patience.retries);
        let mut doubtful = false;
        loop {
            let limit = self.limit(call.body.len());
            let setback = match tokio::time::timeout(limit, self.attempt(call)).await {
                Ok(Ok(answer)) => return Ok(Answer { doubtful, ..answer? }),
                Ok(Err(setback)) => setback,
                Err(_) => Setback::silence(),
            };
            tracing::debug!(problem = setback.problem, "request will be tried again");
            doubtful |= setback.doubtful;
            if !backoff.wait().await {
                return Err(call.failed(setback.problem));
            }
        }
    }

    /// Sends a request whose answer is read piece by piece. The outer result is the end of the matter, the inner one
    /// worth another attempt.
    pub(super) async fn open(&self, call: &Call) -> Result<Result<HttpResponse, Setback>> {
        let request = self.signed(call).await?;
        tracing::debug!(method = %call.method, key = call.key, "S3 request");
        match tokio::time::timeout(self.limit(0), self.http.execute(request)).await {
            Ok(Ok(response)) => Ok(Ok(response)),
            Ok(Err(error)) => Ok(Err(Setback::unanswered(&error))),
            Err(_) => Ok(Err(Setback::silence())),
        }
    }

    /// One attempt: an error of the inner kind ends the matter, one of the outer kind is worth another.
    async fn attempt(&self, call: &Call) -> Result<Result<Answer>, Setback> {
        let request = match self.signed(call).await {
            Ok(request) => request,
            Err(error) => return Ok(Err(error)),
        };
        tracing::debug!(method = %call.method, key = call.key, "S3 request");
        let response = self.http.execute(request).await.map_err(|error| Setback::unanswered(&error))?;
        let (head, body) = response.into_parts();
        let body = body.bytes().await.map_err(|error| Setback::cut(&error))?;
        let (status, headers) = (head.status, head.headers);
        if !status.is_success()
            && let Some(setback) = Setback::answered(status, &documents::problem(&body))
        {
            return Err(setback);
        }
        Ok(Ok(Answer { status, headers, body, doubtful: false }))
    }

    fn limit(&self, body: usize) -> Duration {
        self.patience.answer + Duration::from_secs(body as u64 / SLOWEST)
    }

    async fn signed(&self, call: &Call) -> Result<HttpRequest> {
        let credential = self.service.credentials().get_credential().await.map_err(|error| Error::Refused {
            doing: call.doing.to_owned(),
            problem: format!("no credentials for S3: {}", innermost(&error)),
        })?;
        let invalid = |problem: String| Error::Refused { doing: call.doing.to_owned(), problem };
        let mut request = http::Request::builder().method(&call.method).uri(self.url(call));
        for (name, value) in &call.headers {
            let value = HeaderValue::from_str(value).map_err(|error| invalid(error.to_string()))?;
            request = request.header(name, value);
        }
        let mut request = request.body(call.body.clone().into()).map_err(|error| invalid(error.to_string()))?;
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|error| invalid(error.to_string()))?;
        Ok(request)
    }

    fn url(&self, call: &Call) -> String {
        let mut url = self.base.clone();
        url.push('/');
        if let Some(key) = &call.key {
            url.extend(utf8_percent_encode(&self.full(key), PATH));
        }
        for (index, (name, value)) in call.parameters.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            url.extend(utf8_percent_encode(value, PARAMETER));
        }
        url
    }

    /// A `GET` of this object that anybody may make for `valid`, with an answer of this type.
    pub(super) async fn presigned(&self, key: &str, valid: Duration, content_type: &str) -> Result<String> {
        let doing = || "sign an address".to_owned();
        let path = object_store::path::Path::parse(self.full(key))
            .map_err(|error| Error::Refused { doing: doing(), problem: error.to_string() })?;
        let options = SignedUrlOptions::new().with_query([("response-content-type", content_type)]);
        let url = self.service.signed_url_opts(Method::GET, &path, valid, &options).await;
        url.map(String::from).map_err(|error| Error::Unavailable { doing: doing(), problem: innermost(&error) })
    }

    /// The error that an answer is which the caller has no use for.
    pub(super) fn refusal(&self, call: &Call, answer: &Answer) -> Error {
        let (status, problem) = (answer.status, answer.problem());
        let doing = call.doing.to_owned();
        if matches!(problem.code.as_str(), "QuotaExceeded" | "XMinioStorageFull" | "InsufficientCapacity")
            || status == StatusCode::INSUFFICIENT_STORAGE
        {
            return Error::Full { doing };
        }
        Error::Refused { doing, problem: self.explain(status, &problem) }
    }

    /// What an answer says, and what to do where that is clear.
    pub(super) fn explain(&self, status: StatusCode, problem: &Problem) -> String {
        let hint = match problem.code.as_str() {
            "NoSuchBucket" => "; create the bucket first".to_owned(),
            "AccessDenied" => "; the credentials must be allowed to list, read, write and delete there".to_owned(),
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" => {
                "; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".to_owned()
            }
            "AuthorizationHeaderMalformed" | "PermanentRedirect" if !problem.region.is_empty() => {
                format!("; the bucket is in another region: region={}", problem.region)
            }
            _ if status.is_redirection() => "; the bucket is in another region, or behind another endpoint".to_owned(),
            _ => String::new(),
        };
        let separator = if problem.code.is_empty() || problem.message.is_empty() { "" } else { ": " };
        let Problem { code, message, .. } = problem;
        format!("{} answered {} {code}{separator}{message}{hint}", self.place, status.as_u16())
    }

    /// Writes an object on a condition.
    pub(super) async fn write_if(&self, key: &str, condition: Condition<'_>, body: Bytes) -> Result<Written> {
        let call = self.creating(Method::PUT, key, WRITING).body(body);
        let call = match condition {
            Condition::Absent => call.header(header::IF_NONE_MATCH, "*"),
            Condition::Tag(tag) => call.header(header::IF_MATCH, format!("\"{tag}\"")),
        };
        let answer = self.send(&call).await?;
        match answer.status {
            StatusCode::OK => answer.etag().map(Written::Done).ok_or_else(|| call.failed("no ETag".to_owned())),
            StatusCode::PRECONDITION_FAILED | StatusCode::NOT_FOUND | StatusCode::CONFLICT
                if answer.problem().code != "NoSuchBucket" =>
            {
                Ok(if answer.doubtful { Written::Doubtful } else { Written::Refused })
            }
            _ => Err(self.refusal(&call, &answer)),
        }
    }

    /// Reads a whole small object and its entity tag.
    pub(super) async fn read_small(&self, key: &str) -> Result<Option<(String, Bytes)>> {
        let call = Call::new(Method::GET, key, "read a record from S3");
        let answer = self.send(&call).await?;
        match answer.status {
            StatusCode::OK => {
                let tag = answer.etag().ok_or_else(|| call.failed("no ETag".to_owned()))?;
                Ok(Some((tag, answer.body)))
            }
            StatusCode::NOT_FOUND if answer.problem().code != "NoSuchBucket" => Ok(None),
            _ => Err(self.refusal(&call, &answer)),
        }
    }

    /// Writes an object under a key that nobody else writes.
    pub(super) async fn write(&self, key: &str, body: Bytes) -> Result<()> {
        let call = self.creating(Method::PUT, key, "write an object to S3").body(body);
        let answer = self.send(&call).await?;
        if answer.status == StatusCode::OK { Ok(()) } else { Err(self.refusal(&call, &answer)) }
    }

    /// An object's length in bytes.
    pub(super) async fn size(&self, key: &str) -> Result<Option<u64>> {
        let call = Call::new(Method::HEAD, key, "look for an object on S3");
        let answer = self.send(&call).await?;
        match answer.status {
            StatusCode::OK => {
                let length = answer.header(&header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
                length.map(Some).ok_or_else(|| call.failed("no Content-Length".to_owned()))
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.refusal(&call, &answer)),
        }
    }

    /// Deletes an object. Deleting what is not there is fine.
    pub(super) async fn delete(&self, key: &str) -> Result<()> {
        let call = Call::new(Method::DELETE, key, "delete an object from S3");
        let answer = self.send(&call).await?;
        match answer.status {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(()),
            StatusCode::NOT_FOUND if answer.problem().code != "NoSuchBucket" => Ok(()),
            _ => Err(self.refusal(&call, &answer)),
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.place).finish()
    }
}
