//! Where a bucket lies and how it is reached. Read from a URL; whoever makes it adds what must not stand in one:
//! credentials.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use url::Url;

/// A place for a store in a bucket.
#[derive(Clone)]
pub struct S3Config {
    /// The bucket's name.
    pub bucket: String,
    /// What every key starts with: empty, or ending in `/`.
    pub prefix: String,
    /// The service's address, `http://127.0.0.1:9000`; Amazon's of the region when there is none.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: String,
    /// Whether the bucket stands in the path (`https://host/bucket/key`) or in the host name. In the path, where nobody
    /// says and there is an endpoint of its own.
    pub path_style: Option<bool>,
    /// How the service encrypts what is written.
    pub encryption: Encryption,
    /// Credentials and where to get them, by the names of the variables that Amazon's own tools read, as
    /// `AWS_ACCESS_KEY_ID`. Without any, the machine's instance metadata service is asked.
    pub credentials: BTreeMap<String, String>,
    /// How long is waited.
    pub patience: Patience,
}

/// How the service encrypts what is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// As the bucket says.
    #[default]
    Bucket,
    /// With keys of the service (SSE-S3).
    Service,
    /// With a key of the key management service (SSE-KMS); with its default key when none is named.
    Kms(Option<String>),
}

/// How long a request may take, and how long it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For an answer to begin, and then between any two pieces of it. Bodies are given time by their length on top.
    pub answer: Duration,
    /// After this, a request that keeps failing is not tried again.
    pub retries: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let [connect, answer, retries] = [5, 30, 60].map(Duration::from_secs);
        Self { connect, answer, retries }
    }
}

/// Why a URL names no place for a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadS3Url {
    /// It is not a URL, or another kind of URL.
    #[error("an S3 store is written s3://BUCKET/PREFIX?OPTION=VALUE&…")]
    Form,
    /// The bucket's name.
    #[error("`{0}` cannot be a bucket: 3 to 63 of a-z, 0-9, `-` and `.`, with a letter or digit at both ends")]
    Bucket(String),
    /// The prefix.
    #[error("`{0}` cannot be a prefix: use letters, digits, `-`, `_`, `.` and `/`, with no empty part")]
    Prefix(String),
    /// Credentials do not belong in a URL, which ends up in logs and process lists.
    #[error("credentials do not belong into the URL: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")]
    Credentials,
    /// An option nobody knows.
    #[error("`{0}` is none of the options endpoint, region, path_style, encryption and kms_key")]
    Option(String),
    /// An option with a value that means nothing.
    #[error("`{option}={value}` means nothing: {expected}")]
    Value {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
}

impl S3Config {
    /// Reads `s3://bucket/prefix?endpoint=…&region=…&path_style=true|false&encryption=s3|kms&kms_key=…`. With an
    /// endpoint of its own, a bucket is looked for in the path unless the URL says otherwise.
    pub fn from_url(text: &str) -> Result<Self, BadS3Url> {
        let url = Url::parse(text).map_err(|_| BadS3Url::Form)?;
        if url.scheme() != "s3" || url.fragment().is_some() || url.port().is_some() {
            return Err(BadS3Url::Form);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadS3Url::Credentials);
        }
        let mut config = Self::of_bucket(url.host_str().unwrap_or_default())?;
        config.prefix = prefix(url.path())?;
        for (option, value) in url.query_pairs() {
            match &*option {
                "endpoint" => config.endpoint = Some(endpoint(&value)?),
                "region" => config.region = value.into_owned(),
                "path_style" => config.path_style = Some(truth(&value)?),
                "encryption" => config.encryption = config.encryption.chosen(&value)?,
                "kms_key" => config.encryption = Encryption::Kms(Some(value.into_owned())),
                _ => return Err(BadS3Url::Option(option.into_owned())),
            }
        }
        Ok(config)
    }

    /// A whole bucket of Amazon's.
    pub fn of_bucket(name: &str) -> Result<Self, BadS3Url> {
        Ok(Self {
            bucket: bucket_name(name)?,
            prefix: String::new(),
            endpoint: None,
            region: String::new(),
            path_style: None,
            encryption: Encryption::default(),
            credentials: BTreeMap::new(),
            patience: Patience::default(),
        })
    }

    /// The same place at this service's address, which a URL without an endpoint leaves open.
    pub fn at(mut self, address: &str) -> Result<Self, BadS3Url> {
        self.endpoint = Some(endpoint(address)?);
        Ok(self)
    }

    /// The region, `us-east-1` when none is named.
    pub(super) fn region(&self) -> &str {
        if self.region.is_empty() { "us-east-1" } else { &self.region }
    }

    /// The bucket's own address, without a `/` at its end.
    pub(super) fn base(&self) -> String {
        let bucket = &self.bucket;
        match (&self.endpoint, self.path_style.unwrap_or(self.endpoint.is_some())) {
            (Some(endpoint), true) => format!("{endpoint}/{bucket}"),
            (Some(endpoint), false) => endpoint.replacen("://", &format!("://{bucket}."), 1),
            (None, true) => format!("https://s3.{}.amazonaws.com/{bucket}", self.region()),
            (None, false) => format!("https://{bucket}.s3.{}.amazonaws.com", self.region()),
        }
    }
}

impl Encryption {
    fn chosen(self, value: &str) -> Result<Self, BadS3Url> {
        match value {
            "s3" => Ok(Self::Service),
            // The key may have been named first.
            "kms" => Ok(if let Self::Kms(key) = self { Self::Kms(key) } else { Self::Kms(None) }),
            _ => Err(BadS3Url::Value { option: "encryption", value: value.to_owned(), expected: "s3 or kms" }),
        }
    }

    /// The headers of a request that creates an object.
    pub(super) fn headers(&self) -> Vec<(&'static str, String)> {
        const ALGORITHM: &str = "x-amz-server-side-encryption";
        match self {
            Self::Bucket => Vec::new(),
            Self::Service => vec![(ALGORITHM, "AES256".to_owned())],
            Self::Kms(None) => vec![(ALGORITHM, "aws:kms".to_owned())],
            Self::Kms(Some(key)) => {
                vec![(ALGORITHM, "aws:kms".to_owned()), ("x-amz-server-side-encryption-aws-kms-key-id", key.clone())]
            }
        }
    }
}

fn bucket_name(name: &str) -> Result<String, BadS3Url> {
    let plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let bytes = name.as_bytes();
    let ends = bytes.first().is_some_and(plain) && bytes.last().is_some_and(plain);
    let inside = bytes.iter().all(|byte| plain(byte) || matches!(byte, b'-' | b'.'));
    if ends && inside && (3..=63).contains(&name.len()) && !name.contains("..") {
        Ok(name.to_owned())
    } else {
        Err(BadS3Url::Bucket(name.to_owned()))
    }
}

fn prefix(path: &str) -> Result<String, BadS3Url> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(String::new());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let part = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(plain);
    if path.split('/').all(part) { Ok(format!("{path}/")) } else { Err(BadS3Url::Prefix(path.to_owned())) }
}

fn endpoint(value: &str) -> Result<String, BadS3Url> {
    let bad = || BadS3Url::Value { option: "endpoint", value: value.to_owned(), expected: "http(s)://HOST[:PORT]" };
    let url = Url::parse(value).map_err(|_| bad())?;
    let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !plain || !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn truth(value: &str) -> Result<bool, BadS3Url> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(BadS3Url::Value { option: "path_style", value: value.to_owned(), expected: "true or false" }),
    }
}

impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the credentials' values.
        f.debug_struct("S3Config")
            .field("place", &self.to_string())
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)?;
        self.endpoint.iter().try_for_each(|endpoint| write!(f, " at {endpoint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(url: &str) -> String {
        S3Config::from_url(url).unwrap().base()
    }

    #[test]
    fn a_url_says_where_the_bucket_is() {
        assert_eq!(base("s3://images"), "https://images.s3.us-east-1.amazonaws.com");
        assert_eq!(base("s3://images/?region=eu-west-1"), "https://images.s3.eu-west-1.amazonaws.com");
        assert_eq!(base("s3://images?path_style=true"), "https://s3.us-east-1.amazonaws.com/images");
        assert_eq!(base("s3://images?endpoint=http://127.0.0.1:9000"), "http://127.0.0.1:9000/images");
        assert_eq!(base("s3://images?endpoint=https://s3.example/&path_style=false"), "https://images.s3.example");
        let config = S3Config::from_url("s3://images/team/wharf/?endpoint=http://localhost:9000").unwrap();
        assert_eq!(config.prefix, "team/wharf/");
        assert_eq!(config.to_string(), "s3://images/team/wharf/ at http://localhost:9000");
    }

    #[test]
    fn encryption_is_by_the_service_or_a_key() {
        let encryption = |options: &str| S3Config::from_url(&format!("s3://images?{options}")).unwrap().encryption;
        assert_eq!(encryption(""), Encryption::Bucket);
        assert_eq!(encryption("encryption=s3"), Encryption::Service);
        assert_eq!(encryption("encryption=kms"), Encryption::Kms(None));
        let key = Encryption::Kms(Some("arn:aws:kms:key/1".to_owned()));
        assert_eq!(encryption("encryption=kms&kms_key=arn:aws:kms:key/1"), key);
        assert_eq!(encryption("kms_key=arn:aws:kms:key/1&encryption=kms"), key);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (url, expected) in [
            ("images", "s3://BUCKET"),
            ("gs://images", "s3://BUCKET"),
            ("s3://", "cannot be a bucket"),
            ("s3://Im_ages", "cannot be a bucket"),
            ("s3://ab", "cannot be a bucket"),
            ("s3://images/a//b", "cannot be a prefix"),
            ("s3://images/a%20b", "cannot be a prefix"),
            ("s3://key:secret@images", "AWS_ACCESS_KEY_ID"),
            ("s3://images?regoin=x", "`regoin` is none of the options"),
            ("s3://images?path_style=1", "true or false"),
            ("s3://images?endpoint=127.0.0.1:9000", "http(s)://HOST"),
            ("s3://images?encryption=aes", "s3 or kms"),
        ] {
            let error = S3Config::from_url(url).unwrap_err().to_string();
            assert!(error.contains(expected), "{url}: {error}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut config = S3Config::from_url("s3://images").unwrap();
        config.credentials.insert("AWS_SECRET_ACCESS_KEY".to_owned(), "hush".to_owned());
        assert!(!format!("{config:?} {config}").contains("hush"));
    }
}
