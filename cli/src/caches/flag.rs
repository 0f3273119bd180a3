//! One `--cache-from` or `--cache-to`: a place, and what goes there.

use std::path::PathBuf;
use std::time::Duration;

use wharf_client::auth::Secret;
use wharf_client::flat::GhaVersion;
use wharf_client::transfer::Target;
use wharf_spec::{Digest, Reference, Tag};

use super::options::Options;
use crate::failure::Failure;
use crate::outputs::Insecure;

/// A place with results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CachePlace {
    /// `type=registry,ref=NAME`, or a bare name: a repository, and the image of that name if it has one.
    Registry(Reference, Insecure),
    /// `type=local,src=DIR` and `type=local,dest=DIR`: an OCI layout.
    Local(LocalPlace),
    /// `type=inline`: the image itself.
    Inline,
    /// `type=s3`: a bucket.
    S3(Box<S3Options>),
    /// `type=azblob`: a container.
    Azure(Box<AzureOptions>),
    /// `type=gha`: the cache of GitHub Actions.
    Gha(Box<GhaOptions>),
}

/// A directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPlace {
    /// Where.
    pub path: PathBuf,
    /// An image in it that may list its steps, too.
    pub image: Option<Target>,
    /// Whether what a build did not use goes.
    pub reset: bool,
}

/// How the paths in a bucket or a container begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefixes {
    /// All.
    pub prefix: Option<String>,
    /// Those of layers, after it.
    pub blobs: Option<String>,
    /// Those of entries, after it.
    pub manifests: Option<String>,
    /// Directories of entries, after that: all are written, and read in this order.
    pub names: Vec<String>,
}

/// `type=s3`, where what is not said comes from the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Options {
    pub bucket: Option<String>,
    pub region: Option<String>,
    pub endpoint: Option<String>,
    pub path_style: Option<bool>,
    pub prefixes: Prefixes,
    pub key_id: Option<String>,
    pub key: Option<Secret>,
    pub token: Option<Secret>,
    /// What is older is made young when it is found.
    pub refresh: Option<Duration>,
    /// How many entries are sent at once.
    pub jobs: Option<usize>,
}

/// `type=azblob`, where what is not said comes from the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureOptions {
    pub account_url: Option<String>,
    pub account: Option<String>,
    pub container: Option<String>,
    pub key: Option<Secret>,
    pub prefixes: Prefixes,
}

/// `type=gha`, where what is not said comes from the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GhaOptions {
    pub version: Option<GhaVersion>,
    pub url: Option<String>,
    pub url_v2: Option<String>,
    pub token: Option<Secret>,
    pub scope: Option<String>,
    pub timeout: Option<Duration>,
}

/// How much is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheMode {
    /// The steps of the image.
    Min,
    /// Those of all stages.
    Max,
}

/// Whether cache mounts go there, or come from there, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounts {
    /// They stay where they are.
    Own,
    /// `mounts=true`.
    Shared,
}

/// What happens when a cache cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The command fails.
    Fail,
    /// `ignore-error=true`: it warns.
    Warn,
}

/// A place and how much is sent there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheFlag {
    /// Where.
    pub place: CachePlace,
    /// What.
    pub mode: CacheMode,
    /// And what else.
    pub mounts: Mounts,
    /// And if not.
    pub on_error: OnError,
}

/// The flags of a command.
pub fn flags(texts: &[String]) -> Result<Vec<CacheFlag>, Failure> {
    let mut flags = Vec::new();
    for text in texts {
        if text.contains('=') || text == "inline" {
            flags.push(CacheFlag::of(&Options::read(text)?)?);
            continue;
        }
        // Bare names are registries, as Docker has it.
        for name in text.split(',') {
            let bad = |error| Failure::usage(format!("cache `{text}`: `{name}` is no name")).because(error);
            flags.push(CacheFlag::at(CachePlace::Registry(name.parse().map_err(bad)?, Insecure::No)));
        }
    }
    Ok(flags)
}

impl CacheFlag {
    fn at(place: CachePlace) -> Self {
        Self { place, mode: CacheMode::Max, mounts: Mounts::Own, on_error: OnError::Fail }
    }

    fn of(options: &Options) -> Result<Self, Failure> {
        let place = place(options)?;
        let mode = match options.text("mode") {
            None | Some("max") => CacheMode::Max,
            Some("min") => CacheMode::Min,
            Some(other) => return Err(options.wrong(format!("mode is min or max, not {other}"))),
        };
        let mounts = match options.truth("mounts")? {
            None | Some(false) => Mounts::Own,
            Some(true) if place == CachePlace::Inline => {
                return Err(options.wrong("an image carries no cache mounts: give them a place of their own"));
            }
            Some(true) => Mounts::Shared,
        };
        let on_error = if options.truth("ignore-error")? == Some(true) { OnError::Warn } else { OnError::Fail };
        Ok(Self { place, mode, mounts, on_error })
    }
}

fn place(options: &Options) -> Result<CachePlace, Failure> {
    match options.kind() {
        "registry" => {
            let name = options.needed("ref")?;
            let bad = |error: wharf_spec::ReferenceError| options.wrong(format!("`{name}` is no name")).because(error);
            let insecure = options.truth("registry.insecure")? == Some(true);
            let insecure = if insecure { Insecure::Allowed } else { Insecure::No };
            Ok(CachePlace::Registry(name.parse().map_err(bad)?, insecure))
        }
        "local" => local(options).map(CachePlace::Local),
        "s3" => s3(options).map(|s3| CachePlace::S3(Box::new(s3))),
        "azblob" => Ok(CachePlace::Azure(Box::new(AzureOptions {
            account_url: options.owned("account_url"),
            account: options.owned("account_name"),
            container: options.owned("container"),
            key: options.secret("secret_access_key"),
            prefixes: prefixes(options),
        }))),
        "gha" => gha(options).map(|gha| CachePlace::Gha(Box::new(gha))),
        _ => Ok(CachePlace::Inline),
    }
}

fn local(options: &Options) -> Result<LocalPlace, Failure> {
    let path = options.text("dest").or_else(|| options.text("src"));
    let path = path.ok_or_else(|| {
        options
            .wrong("dest or src is missing")
            .hint("write type=local,dest=DIR to write and type=local,src=DIR to read")
    })?;
    let tag = |text: &str| text.parse::<Tag>().map_err(|error| options.wrong("tag is none").because(error));
    let digest = |text: &str| text.parse::<Digest>().map_err(|error| options.wrong("digest is none").because(error));
    let image = match (options.text("digest"), options.text("tag")) {
        (Some(text), _) => Some(Target::Digest(digest(text)?)),
        (None, Some(text)) => Some(Target::Tag(tag(text)?)),
        (None, None) => None,
    };
    Ok(LocalPlace { path: PathBuf::from(path), image, reset: options.truth("reset")? == Some(true) })
}

fn prefixes(options: &Options) -> Prefixes {
    let names = options.text("name").unwrap_or("wharf").split(';').filter(|name| !name.is_empty());
    Prefixes {
        prefix: options.owned("prefix"),
        blobs: options.owned("blobs_prefix"),
        manifests: options.owned("manifests_prefix"),
        names: names.map(str::to_owned).collect(),
    }
}

fn s3(options: &Options) -> Result<S3Options, Failure> {
    match options.text("retry_mode") {
        // Requests are tried again for a minute, whatever it says.
        None | Some("standard" | "adaptive") => {}
        Some(other) => return Err(options.wrong(format!("retry_mode is standard or adaptive, not {other}"))),
    }
    Ok(S3Options {
        bucket: options.owned("bucket"),
        region: options.owned("region"),
        endpoint: options.owned("endpoint_url"),
        path_style: options.truth("use_path_style")?,
        prefixes: prefixes(options),
        key_id: options.owned("access_key_id"),
        key: options.secret("secret_access_key"),
        token: options.secret("session_token"),
        refresh: options.span("touch_refresh")?,
        jobs: options.number("upload_parallelism")?,
    })
}

fn gha(options: &Options) -> Result<GhaOptions, Failure> {
    let version = match options.text("version") {
        None => None,
        Some("1") => Some(GhaVersion::V1),
        Some("2") => Some(GhaVersion::V2),
        Some(other) => return Err(options.wrong(format!("version is 1 or 2, not {other}"))),
    };
    Ok(GhaOptions {
        version,
        url: options.owned("url"),
        url_v2: options.owned("url_v2"),
        token: options.secret("token"),
        scope: options.owned("scope"),
        timeout: options.span("timeout")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<CacheFlag, Failure> {
        flags(&[text.to_owned()]).map(|mut flags| flags.remove(0))
    }

    fn directory(path: &str) -> LocalPlace {
        LocalPlace { path: path.into(), image: None, reset: false }
    }

    #[test]
    fn flags_read_as_docker_writes_them() {
        let registry = |name: &str| CachePlace::Registry(name.parse().unwrap(), Insecure::No);
        let local = |path: &str| CachePlace::Local(directory(path));
        let tagged = |image: Target| CachePlace::Local(LocalPlace { image: Some(image), ..directory("out") });
        let digest = Digest::sha256(b"x");
        for (text, place, mode) in [
            ("reg.example/app/cache", registry("reg.example/app/cache"), CacheMode::Max),
            ("type=registry,ref=reg.example/c,mode=min", registry("reg.example/c"), CacheMode::Min),
            ("TYPE=registry,Ref=reg.example/c", registry("reg.example/c"), CacheMode::Max),
            (
                "type=registry,ref=h:1/c,registry.insecure=true",
                CachePlace::Registry("h:1/c".parse().unwrap(), Insecure::Allowed),
                CacheMode::Max,
            ),
            ("type=local,dest=out", local("out"), CacheMode::Max),
            ("type=local,src=out", local("out"), CacheMode::Max),
            ("type=local,\"dest=a,b\"", local("a,b"), CacheMode::Max),
            ("type=local,src=out,tag=v1", tagged(Target::Tag("v1".parse().unwrap())), CacheMode::Max),
            (&format!("type=local,src=out,digest={digest}"), tagged(Target::Digest(digest)), CacheMode::Max),
            (
                "type=local,dest=out,reset=true",
                CachePlace::Local(LocalPlace { reset: true, ..directory("out") }),
                CacheMode::Max,
            ),
            ("type=inline", CachePlace::Inline, CacheMode::Max),
            ("inline", CachePlace::Inline, CacheMode::Max),
            (
                "type=registry,ref=c,image-manifest=true,oci-mediatypes=true,compression=zstd,compression-level=3,\
                 force-compression=true",
                registry("c"),
                CacheMode::Max,
            ),
        ] {
            assert_eq!(read(text).unwrap(), CacheFlag { mode, ..CacheFlag::at(place) }, "{text}");
        }
        assert_eq!(flags(&["a.io/x,b.io/y".to_owned()]).unwrap().len(), 2);
        let with = read("type=local,dest=out,mounts=true,ignore-error=true").unwrap();
        assert_eq!((with.mounts, with.on_error), (Mounts::Shared, OnError::Warn));
        for bad in [
            "type=inline,mounts=true",
            "type=local,dest=x,mounts=some",
            "type=registry",
            "type=local",
            "type=ftp",
            "type=local,dest=x,mode=some",
            "type=inline,color=red",
            "type=local,src=x,digest=sha256:1",
            "type=gha,version=3",
            "type=s3,retry_mode=never",
            "type=s3,upload_parallelism=0",
            "type=s3,touch_refresh=often",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn buckets_containers_and_the_cache_of_actions_are_told_all_they_need() {
        let CachePlace::S3(s3) = read(
            "type=s3,bucket=b,region=r,name=a;b,prefix=p/,endpoint_url=http://h:1,use_path_style=true,access_key_id=ann,\
             secret_access_key=hush,touch_refresh=12h,upload_parallelism=8",
        )
        .unwrap()
        .place
        else {
            panic!("a bucket")
        };
        assert_eq!((s3.bucket.as_deref(), s3.path_style, s3.jobs), (Some("b"), Some(true), Some(8)));
        assert_eq!(
            (s3.prefixes.names.as_slice(), s3.refresh),
            (["a".to_owned(), "b".to_owned()].as_slice(), Some(Duration::from_hours(12)))
        );
        assert!(!format!("{s3:?}").contains("hush"));
        let CachePlace::Azure(azure) =
            read("type=azblob,name=x,account_url=https://a.example,secret_access_key=hush").unwrap().place
        else {
            panic!("a container")
        };
        assert_eq!((azure.account_url.as_deref(), azure.container), (Some("https://a.example"), None));
        let CachePlace::Gha(gha) = read("type=gha,scope=main,version=1,timeout=1h30m,repository=a/b").unwrap().place
        else {
            panic!("a cache service")
        };
        assert_eq!((gha.version, gha.timeout), (Some(GhaVersion::V1), Some(Duration::from_mins(90))));
    }
}
