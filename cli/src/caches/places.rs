//! From what a flag says to a place that can be read and written.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use wharf_blobstore::azure::{AzureConfig, AzureFiles};
use wharf_blobstore::s3::{S3Config, S3Files};
use wharf_client::flat::{AzurePlace, FlatRepository, GhaConfig, GhaPlace, GhaVersion, Paths, S3Place};
use wharf_client::layout::LayoutDirectory;
use wharf_client::registry::RemoteRepository;
use wharf_client::transfer::{Error as TransferError, ImageSink, ImageSource, Result as TransferResult};
use wharf_spec::{RawManifest, Reference, Tag};

use super::flag::{AzureOptions, GhaOptions, Prefixes, S3Options};
use crate::env::Environment;
use crate::failure::Failure;
use crate::outputs::Insecure;
use crate::remote::RemoteImage;
use crate::session::Session;

/// How long what is in a bucket stays as old as it is.
const REFRESH: Duration = Duration::from_hours(24);

/// The container, where nobody names one.
const CONTAINER: &str = "wharf-cache";

/// A place that is read and written.
#[async_trait]
pub(super) trait Place: ImageSource + ImageSink {
    /// Whether an entry that was found is still worth something: at places that nobody keeps in order its layer may be
    /// gone. At those where what is old is removed, it becomes young.
    async fn stands(&self, entry: &RawManifest, tag: &Tag) -> TransferResult<bool>;

    /// Whether it keeps all that its manifests need, so that nobody has to look.
    fn keeps_order(&self) -> bool;
}

#[async_trait]
impl Place for RemoteRepository {
    async fn stands(&self, _entry: &RawManifest, _tag: &Tag) -> TransferResult<bool> {
        Ok(true)
    }

    fn keeps_order(&self) -> bool {
        true
    }
}

#[async_trait]
impl Place for LayoutDirectory {
    async fn stands(&self, entry: &RawManifest, _tag: &Tag) -> TransferResult<bool> {
        has_all(self, entry).await
    }

    fn keeps_order(&self) -> bool {
        false
    }
}

#[async_trait]
impl Place for FlatRepository {
    async fn stands(&self, entry: &RawManifest, tag: &Tag) -> TransferResult<bool> {
        Ok(self.has_entry(tag, entry).await? && has_all(self, entry).await?)
    }

    fn keeps_order(&self) -> bool {
        false
    }
}

async fn has_all(place: &dyn ImageSink, entry: &RawManifest) -> TransferResult<bool> {
    for blob in entry.blobs() {
        if !place.has_blob(blob).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A repository.
pub(super) fn registry(session: &Session, name: &Reference, insecure: Insecure) -> Result<RemoteImage, Failure> {
    let Some(host) = &name.host else {
        return Err(Failure::usage(format!("the cache {name} names no registry"))
            .hint("results in the store are always used; a cache is somewhere else"));
    };
    match insecure {
        Insecure::No => session.remote(name),
        Insecure::Allowed => session.trusting([host.to_string()]).remote(name),
    }
}

/// Why a directory is no place.
pub(super) fn unusable(path: &Path, error: TransferError) -> Failure {
    Failure::new(format!("the cache {} cannot be used", path.display())).because(error)
}

/// `prefix` and one of the others, as strings that stand one after the other.
fn paths(prefixes: &Prefixes, join: impl Fn(&str, &str) -> String) -> Paths {
    let top = prefixes.prefix.as_deref().unwrap_or_default();
    let entries = join(top, prefixes.manifests.as_deref().unwrap_or("manifests/"));
    Paths {
        blobs: join(top, prefixes.blobs.as_deref().unwrap_or("blobs/")),
        entries: prefixes.names.iter().map(|name| format!("{entries}{name}/")).collect(),
    }
}

/// A bucket.
pub(super) fn s3(session: &Session, options: &S3Options) -> Result<Arc<dyn Place>, Failure> {
    let environment = &session.environment;
    let failed = |what: &str| Failure::usage(format!("cache `type=s3`: {what}"));
    let bucket = options.bucket.as_deref().or(environment.s3_bucket());
    let bucket = bucket.ok_or_else(|| failed("bucket is missing").hint("write bucket=NAME, or set AWS_BUCKET"))?;
    let bad = |error| failed("it names no place").because(error);
    let mut config = S3Config::of_bucket(bucket).map_err(bad)?;
    if let Some(endpoint) = options.endpoint.as_deref().or(environment.s3_endpoint()) {
        config = config.at(endpoint).map_err(bad)?;
    }
    options.region.as_deref().or(environment.s3_region()).unwrap_or_default().clone_into(&mut config.region);
    config.path_style = options.path_style;
    config.credentials = environment.s3_credentials();
    if let (Some(id), Some(key)) = (&options.key_id, &options.key) {
        let token = options.token.as_ref().map(|token| ("AWS_SESSION_TOKEN", token.reveal()));
        let own = [("AWS_ACCESS_KEY_ID", id.as_str()), ("AWS_SECRET_ACCESS_KEY", key.reveal())];
        let own = own.into_iter().chain(token);
        config.credentials = own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    }
    let files = S3Files::new(&config).map_err(|error| failed("it cannot be used").because(error))?;
    let paths = paths(&options.prefixes, |top, rest| format!("{top}{rest}"));
    Ok(Arc::new(FlatRepository::new(S3Place::new(files, paths, options.refresh.unwrap_or(REFRESH)))))
}

/// A container.
pub(super) fn azure(session: &Session, options: &AzureOptions) -> Result<Arc<dyn Place>, Failure> {
    let told = session.environment.azure();
    let failed = |what: &str| Failure::usage(format!("cache `type=azblob`: {what}"));
    let account_url = options.account_url.as_deref().or(told.account_url);
    let account_url = account_url.ok_or_else(|| {
        failed("account_url is missing").hint("write account_url=https://ACCOUNT.blob.core.windows.net")
    })?;
    let container = options.container.as_deref().or(told.container).unwrap_or(CONTAINER);
    let account = options.account.as_deref().or(told.account);
    let mut config = AzureConfig::new(account_url, account, container)
        .map_err(|error| failed("it names no place").because(error))?;
    config.credentials = told.credentials;
    if let Some(key) = &options.key {
        let name = "AZURE_STORAGE_ACCOUNT_KEY".to_owned();
        config.credentials = [(name, key.reveal().to_owned())].into();
    }
    let files = AzureFiles::new(config).map_err(|error| failed("it cannot be used").because(error))?;
    let mut prefixes = options.prefixes.clone();
    prefixes.prefix = prefixes.prefix.or_else(|| told.prefix.map(str::to_owned));
    // Here they are directories, however they end.
    let paths = paths(&prefixes, |top, rest| {
        let parts = top.split('/').chain(rest.split('/')).filter(|part| !part.is_empty());
        parts.fold(String::new(), |path, part| format!("{path}{part}/"))
    });
    Ok(Arc::new(FlatRepository::new(AzurePlace::new(files, paths))))
}

/// The cache of GitHub Actions; `None` outside of a job.
pub(super) fn gha(session: &Session, options: &GhaOptions) -> Result<Option<Arc<dyn Place>>, Failure> {
    let Some(config) = gha_config(&session.environment, options) else { return Ok(None) };
    let place = GhaPlace::new(config, &session.client_config()?)
        .map_err(|error| Failure::usage("cache `type=gha`: it cannot be used").because(error))?;
    Ok(Some(Arc::new(FlatRepository::new(place))))
}

/// As Docker chooses: the version that is asked for, else the one whose address is given.
fn gha_config(environment: &Environment, options: &GhaOptions) -> Option<GhaConfig> {
    let told = environment.github();
    let second = options.url_v2.is_some() || told.second_version;
    let version = options.version.unwrap_or(match (second, options.url.as_deref().or(told.cache_url)) {
        (false, Some(_)) => GhaVersion::V1,
        (true, _) | (false, None) => GhaVersion::V2,
    });
    let url = match version {
        GhaVersion::V1 => options.url.as_deref().or(told.cache_url).or(told.results_url),
        GhaVersion::V2 => options.url_v2.as_deref().or(told.results_url),
    };
    let token = options.token.clone().or_else(|| told.token.map(wharf_client::auth::Secret::new));
    let scope = options.scope.clone().unwrap_or_else(|| "wharf".to_owned());
    Some(GhaConfig { version, url: url?.to_owned(), token: token?, scope })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caches::flag::{CachePlace, flags};

    fn place(text: &str) -> CachePlace {
        flags(&[text.to_owned()]).unwrap().remove(0).place
    }

    fn refused<T>(result: Result<T, Failure>) -> String {
        result.err().expect("refused").render(false)
    }

    #[test]
    fn what_is_missing_is_said_with_where_it_could_come_from() {
        let session = Session::for_tests(Environment::default(), true);
        let CachePlace::S3(options) = place("type=s3,region=x") else { panic!("a bucket") };
        assert!(refused(s3(&session, &options)).contains("AWS_BUCKET"));
        let CachePlace::S3(options) = place("type=s3,bucket=x") else { panic!("a bucket") };
        assert!(refused(s3(&session, &options)).contains("3 to 63"));
        let CachePlace::Azure(options) = place("type=azblob,name=x") else { panic!("a container") };
        assert!(refused(azure(&session, &options)).contains("account_url"));
        let told = Environment::of([("BUILDKIT_AZURE_STORAGE_ACCOUNT_URL", "https://ann.blob.core.windows.net")]);
        assert!(azure(&Session::for_tests(told, true), &options).is_ok());
        let told = Environment::of([("AWS_BUCKET", "images"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]);
        let CachePlace::S3(options) = place("type=s3,prefix=a/") else { panic!("a bucket") };
        let found = s3(&Session::for_tests(told, true), &options).unwrap();
        assert_eq!(found.origin().to_string(), "s3://images/ at http://127.0.0.1:1");
    }

    #[test]
    fn paths_are_made_of_prefixes() {
        let CachePlace::S3(options) = place("type=s3,bucket=b,prefix=a-,name=x;y,blobs_prefix=l/") else {
            panic!("a bucket")
        };
        let paths = paths(&options.prefixes, |top, rest| format!("{top}{rest}"));
        assert_eq!(
            (paths.blobs.as_str(), paths.entries.join(" ")),
            ("a-l/", "a-manifests/x/ a-manifests/y/".to_owned())
        );
    }

    #[test]
    fn the_version_of_the_protocol_is_chosen_as_docker_does() {
        let chosen = |text: &str, environment: Environment| {
            let CachePlace::Gha(options) = place(text) else { panic!("a cache service") };
            gha_config(&environment, &options).map(|config| format!("{:?} {}", config.version, config.url))
        };
        let none = Environment::default;
        let job = || {
            Environment::of([
                ("ACTIONS_RUNTIME_TOKEN", "t"),
                ("ACTIONS_CACHE_URL", "http://one/"),
                ("ACTIONS_RESULTS_URL", "http://two/"),
            ])
        };
        let newer = || {
            Environment::of([
                ("ACTIONS_RUNTIME_TOKEN", "t"),
                ("ACTIONS_RESULTS_URL", "http://two/"),
                ("ACTIONS_CACHE_SERVICE_V2", "True"),
            ])
        };
        for (text, environment, expected) in [
            ("type=gha", none(), None),
            ("type=gha,url=http://x", none(), None),
            ("type=gha,url=http://x,token=t", none(), Some("V1 http://x")),
            ("type=gha,url_v2=http://x,token=t", none(), Some("V2 http://x")),
            ("type=gha", job(), Some("V1 http://one/")),
            ("type=gha,version=2", job(), Some("V2 http://two/")),
            ("type=gha", newer(), Some("V2 http://two/")),
            ("type=gha,version=1", newer(), Some("V1 http://two/")),
        ] {
            assert_eq!(chosen(text, environment).as_deref(), expected, "{text}");
        }
    }
}
